"""An event stream (server-sent events): a piece is sent when it is made, until the client leaves.

dualwsgi run event_stream:app --app-dir docs/examples --backend green
"""

import itertools
import time
from urllib.parse import parse_qs


def app(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    count = int(query.get("count", ["0"])[0])
    start_response("200 OK", [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")])
    return events(count or None)


def events(count):
    try:
        for number in itertools.islice(itertools.count(1), count):
            yield f"id: {number}\ndata: {time.time():.3f}\n\n".encode()
            time.sleep(0.05)
    finally:
        print("the stream is over")  # also when the client has left
