"""The pytest plugin, run as a stranger's suite would: on both backends, with clients that misbehave."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import pytest
from table import table

from dualwsgi.testing import BAD_FRAMING, ProtocolError, Served, chunked, request
from dualwsgi.testing.serving import answering, echo
from dualwsgi.testing.wire import CHUNKED

Serve = Callable[..., Served]

SUITE = """
import pytest

def app(environ, start_response):
    start_response("200 OK", [])
    return [environ["wsgi.url_scheme"].encode()]

def test_both(wsgi_server, wsgi_backend):
    served = wsgi_server(app, threads=3)
    assert served.server.config.backend == wsgi_backend
    assert served.server.config.threads == 3
    assert served.ask().body == b"http"

@pytest.mark.parametrize("wsgi_backend", ["green"], indirect=True)
def test_one(wsgi_server, wsgi_backend):
    assert wsgi_backend == "green"

def test_none():
    pass
"""


def is_installed() -> bool:
    return any(entry.value == "dualwsgi.testing.plugin" for entry in entry_points(group="pytest11"))


@pytest.mark.skipif(not is_installed(), reason="installed before there was an entry point: install it anew")
def test_a_suite_runs_on_both_backends_or_on_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    # By a process of its own: pytester takes out of this one what a run has loaded, and whoever came
    # after would have half of it twice, two hubs of one thread among it.
    alone = [f"-pno:{name}" for name in ("cacheprovider", "benchmark", "locust", "xdist")]
    alone.append(f"--basetemp={pytester.path / 'base'}")
    runs = "import sys, pytest; pytest.main(['-v', *sys.argv[2:]]); pytest.main(sys.argv[1:])"
    result = pytester.run(sys.executable, "-c", runs, "--wsgi-backend=threads", *alone)
    result.stdout.fnmatch_lines(
        [
            "*test_both?threads? PASSED*",
            "*test_both?green? PASSED*",
            "*test_one?green?*",
            "*= 4 passed*",
            "*= 3 passed*",
        ]
    )


def test_loading_the_plugin_loads_no_server() -> None:
    code = (
        "import sys, pytest, dualwsgi.testing.plugin;"
        "print([name for name in sys.modules if name.startswith('dualwsgi.') and 'testing' not in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['dualwsgi._version']\n"


# Misbehaving, towards our own


def test_a_server_stands_all_of_it(serve: Serve) -> None:
    assert serve(echo).misbehave.everything().status == 200


@table("name", BAD_FRAMING)
def test_bad_framing_is_refused(serve_in_turn: Serve, name: str, said: Callable[[], list[str]]) -> None:
    serve_in_turn(echo).misbehave.bad_framing([name])
    said()


def test_a_slow_request_is_a_request(serve: Serve) -> None:
    served = serve(echo)
    octets = request("POST", "/", CHUNKED) + chunked(b"one", b"two")
    assert served.misbehave.slow(octets, pause=0.0001).body == b"POST / onetwo"


def test_half_a_request_is_none(serve: Serve) -> None:
    served = serve(echo)
    answer = served.misbehave.cut(request("POST", "/", body=b"whole"), at=-1)
    assert answer is not None
    assert answer.status == 400


def test_pipelined_answers_come_in_order(serve: Serve) -> None:
    requests = [request("POST", "/", body=b"%d" % number) for number in range(20)]
    answers = serve(echo).misbehave.pipelined(*requests)
    assert [answer.body for answer in answers] == [b"POST / %d" % number for number in range(20)]


def test_a_server_that_takes_half_a_request_for_whole_is_found() -> None:
    """The kit's own assertions can fail: towards a server that answers anything with 200."""
    import socket
    import threading

    from dualwsgi.testing import Misbehaving

    def careless(listener: socket.socket) -> None:
        for _ in range(2):
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=careless, args=(listener,))
        thread.start()
        careful = Misbehaving(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(AssertionError, match="taken for a whole one"):
            careful.cut()
        with pytest.raises(AssertionError, match="RFC 9112"):
            careful.bad_framing(["length and coding"])
        thread.join()


def test_a_malformed_answer_is_an_error(serve: Serve) -> None:
    served = serve(answering([b"x"]))
    client: Any = served.client()
    client.send(request())
    client.exactly(5)  # what is left begins in the middle of the status line
    with pytest.raises(ProtocolError, match="no status line"):
        client.response()
