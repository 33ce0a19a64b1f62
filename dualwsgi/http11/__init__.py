"""HTTP/1.1 as bytes and messages (RFC 9110, RFC 9112): it asks and never does.

Bytes go in, messages and `BadRequest` come out; "need more" is a value.  Nothing in here knows a
socket, a clock, a thread, a log or WSGI.
"""
