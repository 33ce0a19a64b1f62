"""Another protocol on the same connection: 101, and then every line comes back in capitals.

dualwsgi run upgrade:app --app-dir docs/examples
"""


def app(environ, start_response):
    if environ.get("HTTP_UPGRADE") != "capitals":
        start_response("426 Upgrade Required", [("Content-Length", "0")])
        return []
    write = start_response("101 Switching Protocols", [("Upgrade", "capitals"), ("Connection", "Upgrade")])
    write(b"")  # the head goes out
    while line := environ["wsgi.input"].readline():
        write(line.upper())
    return []
