"""A large upload, hashed as it comes in: it is never whole in memory, and a broken one is refused.

dualwsgi run upload:app --app-dir docs/examples --limit-request-body 10G
"""

import hashlib

PIECE = 256 * 1024


def app(environ, start_response):
    if environ["REQUEST_METHOD"] not in ("POST", "PUT"):
        start_response("405 Method Not Allowed", [("Allow", "POST, PUT"), ("Content-Length", "0")])
        return []
    digest, size = hashlib.sha256(), 0
    # A body that is cut short raises out of read(), and is answered 400 if that is let pass.
    while piece := environ["wsgi.input"].read(PIECE):
        digest.update(piece)
        size += len(piece)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{size} {digest.hexdigest()}\n".encode()]
