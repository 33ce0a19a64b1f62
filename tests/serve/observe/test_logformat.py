"""Access log formats: each field, where there is one and where there is none; no line can be forged."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import App, Gate, Kit, Served, answering
from table import table
from wire import PATIENCE, Client, eventually, request

from dualwsgi.config import Config
from dualwsgi.errors import ConfigError
from dualwsgi.serve.observe import accesslog, journal
from dualwsgi.serve.observe.accesslog import AccessLog
from dualwsgi.serve.observe.client import attach
from dualwsgi.serve.observe.journal import request_id, traceparent
from dualwsgi.serve.observe.logformat import NAMES, Ended, Format, escaped
from dualwsgi.serve.server import Server

GUNICORN = (
    '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s %(L)s %(p)s %(m)s %(U)s %(q)s %(H)s'
)
EVENTLET = (
    '%(client_ip)s - - [%(date_time)s] "%(request_line)s" %(status_code)s %(body_length)s %(wall_seconds).6f'
)


class Logged:
    """A server with an access log in a file."""

    def __init__(self, kit: Kit, tmp_path: Path) -> None:
        self._kit = kit
        self.path = tmp_path / "access.log"

    def serve(self, app: App, **settings: Any) -> Served:
        self.served = self._kit.serve(app, access_log=str(self.path), **settings)
        return self.served

    def lines(self) -> list[str]:
        """What was written by the end of the server."""
        self.served.stop()
        return self.path.read_text("latin-1").splitlines()


@pytest.fixture
def logged(kit: Kit, tmp_path: Path) -> Logged:
    return Logged(kit, tmp_path)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            "common",
            r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}(:\d\d){3} [+-]\d{4}\] "GET /a\?b=c HTTP/1\.1" 200 5',
        ),
        (
            "combined",
            r'127\.0\.0\.1 - - \[[^]]+\] "GET /a\?b=c HTTP/1\.1" 200 5 "http://from/" "a \\"b\\" c"',
        ),
        (EVENTLET, r'127\.0\.0\.1 - - \[[^]]+\] "GET /a\?b=c HTTP/1\.1" 200 5 \d+\.\d{6}'),
        (
            GUNICORN,
            r'127\.0\.0\.1 - - \[[^]]+\] "GET /a\?b=c HTTP/1\.1" 200 5 "http://from/" "a \\"b\\" c" '
            r"\d+ \d\.\d{6} <\d+> GET /a b=c HTTP/1\.1",
        ),
        ("%({X-One}i)s %({x-none}i)s %({Content-Type}o)s %({wsgi.url_scheme}e)s", r"1 - text/plain http"),
        ("100%% %(status)d %(size)s %(route)s %(path)s %(query)s %(reason)s", r"100% 200 5 GET /a /a b=c OK"),
    ],
    ids=["common", "combined", "eventlet", "gunicorn", "fields", "words"],
)
def test_a_format_writes_what_it_says(logged: Logged, form: str, expected: str) -> None:
    served = logged.serve(answering(), access_log_format=form)
    fields = ("Referer: http://from/", 'User-Agent: a "b" c', "X-One: 1")
    served.ask(request("GET", "/a?b=c", *fields))
    (line,) = logged.lines()
    assert re.fullmatch(expected, line), line


def test_json_has_types_and_phases(logged: Logged) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"one")
        yield b"two"

    served = logged.serve(
        app, access_log_format="json: status, size, seconds, queued, application, cpu, first_byte, {host}i, u"
    )
    served.ask()
    served.ask(b"NONSENSE\r\n\r\n")
    one, other = map(json.loads, logged.lines())
    assert (one["status"], one["size"], one["{host}i"], one["u"]) == (200, 6, "test", "-")
    assert 0 <= one["queued"] <= one["first_byte"] <= one["seconds"]
    assert 0 <= one["application"] <= one["seconds"]
    assert one["cpu"] >= 0
    assert (other["status"], other["queued"], other["{host}i"]) == (400, None, "-")


@pytest.mark.parametrize("form", ["combined", EVENTLET, "json", '%(h)s "%(r)s" "%(a)s" "%({x}i)s"'])
def test_no_line_can_be_forged_or_obeyed(logged: Logged, form: str) -> None:
    served = logged.serve(answering(), access_log_format=form)
    client = served.client()
    client.send(
        b'GET /"\\\x9b31m\xff HTTP/1.1\r\nHost: a\r\nUser-Agent: "\\\x85\xe2\x80\xae x\r\nX: "\xff\r\n\r\n'
    )
    client.response()
    octets = (logged.lines(), logged.path.read_bytes())[1]
    assert re.fullmatch(rb"[ -~]+\n", octets), octets
    if form != "json":
        quotes = re.sub(rb"\\.", b"", octets).count(b'"')
        assert quotes == re.sub(r"\\.", "", "".join(logged.lines())).count('"')
        assert quotes % 2 == 0
    else:
        json.loads(octets)


def test_escaping_covers_what_latin_1_does_not_hold() -> None:
    assert escaped('a"\\\n\x7f\u202e\U0001f600') == r"a\"\\\x0a\x7f\u202e\U0001f600"


@table("name", NAMES)
def test_every_name_has_a_value_for_what_was_no_request(name: str) -> None:
    ended = Ended(None, {}, "400 Bad Request", 0, 0.0, {}, [])
    assert Format(f"%({name})s")(ended)
    assert json.loads(Format(f"json: {name}")(ended)).keys() == {name}


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("%(nonsense)s", "'nonsense' is not known; give h, l, u"),
        ("json: nonsense", "'nonsense' is not known"),
        ("plain text", "names no field"),
        ("", "names no field"),
        ("%(h)s %d", "begins no %(name)s"),
        ("%(h)", "cannot be written"),
        ("%(h)d", "cannot be written"),
    ],
)
def test_a_format_that_cannot_be_is_refused(kit: Kit, tmp_path: Path, form: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        kit.serve(answering(), access_log=str(tmp_path / "log"), access_log_format=form)
    assert str(caught.value).startswith("access_log_format: ")
    assert says in str(caught.value)


@table(
    ("settings", "says"),
    [
        ({"access_log_format": "json:nope"}, "access_log_format: 'nope' is not known; give"),
        ({"access_log_format": "%(h"}, "access_log_format: a % that begins no"),
        ({"access_log_skip": "healthz"}, "access_log_skip: 'healthz' is neither a path nor a status; give"),
        ({"access_log_skip": "304, 2xx, 6xx"}, "access_log_skip: '6xx' is neither"),
    ],
)
def test_what_no_log_could_be_written_by_is_refused_though_there_is_none(
    settings: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Server(answering(), Config(**settings))
    assert str(caught.value).startswith(says)


def test_paths_statuses_and_quick_ones_are_left_out(logged: Logged, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        path = environ["PATH_INFO"]
        status = {"/gone": "404 Not Found", "/bad": "500 Internal Server Error"}.get(path, "200 OK")
        return answering(status=status)(environ, start_response)

    served = logged.serve(app, access_log_skip="/healthz /static/* 404")
    for path in ("/", "/healthz", "/healthz/x", "/static/a", "/static", "/gone", "/bad"):
        served.ask(request(target=path))
    paths = [line.split('"')[1].split()[1] for line in logged.lines()]
    assert paths == ["/", "/healthz/x", "/static", "/bad"]


def test_only_slow_ones_and_failures_are_written_if_so_asked(logged: Logged, gate: Gate) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/slow":
            gate.wait()
        status = "500 Internal Server Error" if environ["PATH_INFO"] == "/bad" else "200 OK"
        return answering(status=status)(environ, start_response)

    served = logged.serve(app, access_log_slow=60.0)
    client: Client = served.client()
    client.send(request(target="/slow"))
    gate.expect()
    served.ask()
    served.ask(request(target="/bad"))
    view = served.server.look()
    assert view is not None
    (conn,) = [call.conn for call in view.calls if call.conn.request.line.target == "/slow"]
    conn.since -= 61.0
    gate.open()
    client.response()
    assert [line.split('"')[1].split()[1] for line in logged.lines()] == ["/bad", "/slow"]


# Ids


def test_ids_are_taken_or_made_and_told_to_all(logged: Logged) -> None:
    seen: list[tuple[str, str, str, str]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        seen.append(
            (
                environ["dualwsgi.request_id"],
                environ["HTTP_X_REQUEST_ID"],
                environ["HTTP_TRACEPARENT"],
                request_id.get(),
            )
        )
        return answering()(environ, start_response)

    served = logged.serve(app, request_id=True, access_log_format="%(request_id)s %(trace_id)s")
    trace = "0af7651916cd43dd8448eb211c80319c"
    parent = f"00-{trace}-b7ad6b7169203331-01"
    client = served.client()
    first = client.send(
        request("GET", "/", "X-Request-ID: from-outside", f"traceparent: {parent}")
    ).response()
    second = client.send(
        request("GET", "/", "X-Request-ID: b a d", f"traceparent: 00-{'0' * 32}-1-01")
    ).response()
    assert first["X-Request-ID"] == "from-outside"
    assert re.fullmatch(r"[0-9a-f]{16}", second["X-Request-ID"])
    assert seen[0] == ("from-outside", "from-outside", parent, "from-outside")
    made = second["X-Request-ID"]
    assert seen[1][:2] == (made, made)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", seen[1][2])
    assert seen[1][3] == made
    assert request_id.get() == ""
    assert logged.lines() == [f"from-outside {trace}", f"{made} {seen[1][2].split('-')[1]}"]


@table(
    ("parent", "taken"),
    [
        (f"00-{'1' * 32}-{'2' * 16}-01", True),
        (f"00-{'1' * 32}-{'2' * 16}-01-what-comes-after-is-of-a-later-version", False),
        (f"00-{'1' * 32}-{'2' * 16}-01-", False),
        (f"cc-{'1' * 32}-{'2' * 16}-01-what-comes-after-is-of-a-later-version", True),
        (f"cc-{'1' * 32}-{'2' * 16}-01.not", False),
        (f"ff-{'1' * 32}-{'2' * 16}-01", False),
        (f"00-{'0' * 32}-{'2' * 16}-01", False),
        (f"00-{'1' * 32}-{'0' * 16}-01", False),
        (f"00-{'A' * 32}-{'2' * 16}-01", False),
    ],
)
def test_a_trace_context_is_taken_as_the_w3c_says(parent: str, taken: bool) -> None:
    found = journal._TRACEPARENT.fullmatch(parent)
    assert (found is not None) is taken
    assert found is None or found[1] == "1" * 32


def test_an_iterator_works_within_its_request_and_its_time_counts(logged: Logged) -> None:
    seen = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        def pieces() -> Iterator[bytes]:
            try:
                seen.append((request_id.get(), traceparent.get()))
                time.sleep(0.02)
                yield b"a"
            finally:
                seen.append((request_id.get(), traceparent.get()))

        start_response("200 OK", [("Content-Length", "1")])
        return pieces()

    served = logged.serve(
        app, request_id=True, access_log_format="json: application, sending, queued, seconds"
    )
    parent = f"00-{'1' * 32}-{'2' * 16}-01"
    answer = (
        served.client().send(request("GET", "/", "X-Request-ID: mine", f"traceparent: {parent}")).response()
    )
    assert answer.body == b"a"
    (line,) = map(json.loads, logged.lines())
    assert seen == [("mine", parent)] * 2
    assert line["application"] >= 0.02
    assert line["application"] + line["sending"] + line["queued"] == pytest.approx(line["seconds"], abs=1e-4)
    assert (request_id.get(), traceparent.get()) == ("", "")


@pytest.mark.parametrize("how", ["content", "file"])
def test_the_time_that_a_client_takes_to_read_the_tail_of_a_response_is_part_of_its_request(
    logged: Logged, tmp_path: Path, how: str
) -> None:
    content = bytes(8_000_000)
    (tmp_path / "large").write_bytes(content)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("Content-Length", str(len(content)))])
        return [content] if how == "content" else environ["wsgi.file_wrapper"](open(tmp_path / "large", "rb"))

    served = logged.serve(
        app, access_log_format="json: seconds, sending", control_socket=str(tmp_path / "control")
    )
    client = served.client(window=65536).send(request())
    with attach(tmp_path / "control") as attached:

        def has_waited() -> bool:
            flights = attached.ask("snapshot")["in_flight"]
            return bool(flights) and flights[0]["phase"] == "flush" and flights[0]["age"] > 0.1

        assert eventually(has_waited)
    assert client.response().body == content
    (line,) = map(json.loads, logged.lines())
    assert line["seconds"] >= line["sending"] > 0.1
    assert served.server.counters.recent[0].seconds == pytest.approx(line["seconds"], abs=1e-6)


@pytest.mark.parametrize("text", ["\\", '"', "\x7f", "\x80\xff", "\t", "{}", "%(h)s", "%0a"])
def test_a_line_of_json_is_one_whatever_a_client_sends(logged: Logged, text: str) -> None:
    served = logged.serve(answering(), access_log_format="json: target, user_agent, {cookie}i, status")
    octets = text.encode("latin-1")
    fields = b"Host: a\r\nUser-Agent: x%by\r\nCookie: z%bz\r\n" % (octets, octets)
    client = served.client().send(b"GET /?q HTTP/1.1\r\n%b\r\n" % fields)
    status = client.response().status
    (line,) = logged.lines()
    assert line.isascii() and line.isprintable()
    found = json.loads(line)
    assert found["status"] == status
    if status == 200:
        assert (found["user_agent"], found["{cookie}i"]) == (f"x{text}y", f"z{text}z")


def test_an_id_of_the_application_s_own_stays(kit: Kit) -> None:
    served = kit.serve(answering(headers=[("X-Request-ID", "mine")]), request_id=True)
    assert served.ask()["X-Request-ID"] == "mine"


def test_server_timing_says_how_long_it_took(kit: Kit) -> None:
    served = kit.serve(answering(), server_timing=True)
    assert re.fullmatch(r"queue;dur=\d+\.\d{3}, app;dur=\d+\.\d{3}", served.ask()["Server-Timing"])


def test_every_request_is_logged_once_and_none_is_kept(logged: Logged) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"].endswith("7"):
            raise RuntimeError("on purpose")
        return answering()(environ, start_response)

    served = logged.serve(app, access_log_format="json: target, status, u")
    for number in range(30):
        served.ask(request(target=f"/{number}"))
    journal = served.server._watchers.log._journal  # type: ignore[union-attr]
    assert eventually(lambda: not journal._calls)
    logged._kit.log.take()
    found = [(one["target"], one["status"]) for one in map(json.loads, logged.lines())]
    assert sorted(found) == sorted((f"/{n}", 500 if n % 10 == 7 else 200) for n in range(30))
    assert served.server.counters.requests == 30


# Where it goes


@pytest.mark.parametrize("over", ["unix", "udp"])
def test_syslog_gets_a_datagram_a_line(kit: Kit, tmp_path: Path, over: str) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX if over == "unix" else socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(path) if over == "unix" else ("127.0.0.1", 0))
        daemon.settimeout(PATIENCE)
        where = str(path) if over == "unix" else f"127.0.0.1:{daemon.getsockname()[1]}"
        served = kit.serve(answering(), access_log=f"syslog:{where}", access_log_format="%(m)s %(U)s %(s)s")
        served.ask(request(target="/one"))
        served.ask(request(target="/two"))
        served.stop()
        found = [daemon.recv(1000).decode() for _ in range(2)]
    for line, target in zip(found, ("/one", "/two"), strict=True):
        assert re.fullmatch(rf"<134>1 \d{{4}}-\S+Z \S+ dualwsgi \d+ access - GET {target} 200", line), line


def test_a_syslog_that_is_not_there_is_refused(kit: Kit, tmp_path: Path) -> None:
    for target, says in [
        (f"syslog:{tmp_path}/none", "cannot reach"),
        ("syslog:nowhere.invalid:x", "there is no"),
    ]:
        with pytest.raises(ConfigError, match=f"access_log: {says}"):
            kit.serve(answering(), access_log=target)


def test_a_full_disk_is_told_once_and_costs_its_lines_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, room = tmp_path / "log", 30
    log = AccessLog(str(path))

    def write(fd: int, octets: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = os.write(fd, octets[:room])
        room -= count
        return count

    monkeypatch.setattr(accesslog, "write", write)
    for _ in range(3):
        log(None, {"REMOTE_ADDR": "192.0.2.1"}, "200 OK", 0, 0.0)
        log.write_out()
    assert [record.getMessage() for record in caplog.records] == [
        "cannot write the access log (lines dropped so far: 1): No space left on device"
    ]
    caplog.clear()
    room = 10_000
    log(None, {"REMOTE_ADDR": "192.0.2.2"}, "200 OK", 0, 0.0)
    log.close()
    assert [record.getMessage() for record in caplog.records] == [
        "the access log is written again; 3 lines are missing"
    ]
    torn, whole = path.read_text().splitlines()
    assert torn.startswith("192.0.2.1 - - [")
    assert whole.startswith("192.0.2.2 - - [")
    assert whole.endswith('"-" "-"')
