"""PEP 3333 over the seam: requests to environ, applications to responses.

It knows HTTP and WSGI.  It knows no backend: no thread, no greenlet, no event loop.
"""
