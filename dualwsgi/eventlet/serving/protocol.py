"""eventlet's HttpProtocol: one object a connection, a class to subclass.

    handle ─> handle_one_request ─> _read_request_line ─> parse_request ─> get_environ ─> handle_one_response
                     └──────────────────── until close_connection ────────────────────────────┘

Each of these may be overridden, as may send_error, log_message, MessageClass and what else the
standard library's BaseHTTPRequestHandler has.  What a subclass parses itself is written down as a head
and parsed once more by the house's own parser, so that every request has passed it, whoever read it.
"""

from __future__ import annotations

import errno
import http.client
import http.server
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...errors import BadRequest
from ...gateway.environ import Environ, environ_key, percent_decode
from ...gateway.heads import Request
from ...http11 import head as http11
from ...http11.response import REASONS, server_answer
from ...serve.observe.logformat import escaped
from .connection import AnnexeConnection
from .files import HeadFile, OutFile
from .stream import SocketStream, shut_down

if TYPE_CHECKING:
    from .server import Server

STATE_IDLE = "idle"
STATE_REQUEST = "request"
STATE_CLOSE = "close"

_CL_AND_TE = b"Content-Length and Transfer-Encoding are not allowed together\n"


class HttpProtocol(http.server.BaseHTTPRequestHandler):
    """Serves one connection: HttpProtocol([address, socket, state], server)."""

    protocol_version = "HTTP/1.1"
    minimum_chunk_size = 4096
    capitalize_response_headers = True
    reject_bad_requests = True
    """False: Transfer-Encoding wins over a Content-Length beside it, which smugglers use."""
    disable_nagle_algorithm = True

    server: Server  # type: ignore[assignment]
    connection: Any
    rfile: Any
    wfile: Any

    def __init__(self, conn_state: list[Any], server: Server) -> None:
        self.request = conn_state[1]
        self.client_address = conn_state[0]
        self.conn_state = conn_state
        self.server = server
        self.close_connection = True
        self.environ: Environ = {}
        self._parsed: Request | None = None
        if server.minimum_chunk_size is not None:
            self.minimum_chunk_size = server.minimum_chunk_size
        self.setup()
        try:
            self.handle()
        finally:
            self.finish()

    # The connection

    def setup(self) -> None:
        conn = self.connection = self.request
        if self.disable_nagle_algorithm and conn.family in (socket.AF_INET, socket.AF_INET6):
            try:
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                pass  # gone already
        self.rfile = HeadFile(conn.makefile("rb", self.rbufsize))
        self._peer = self._tell_peer()
        stream = SocketStream(conn, self.rfile, dict(self._peer))
        self.wfile = OutFile(stream)
        self._driver = AnnexeConnection(self, stream)

    def _tell_peer(self) -> dict[str, str]:
        try:
            here = self.request.getsockname()
        except OSError:
            here = ("", "")
        host, port = self.get_client_address()
        name, number = (str(here[0]), str(here[1])) if isinstance(here, tuple) else ("unix", "")
        return {"REMOTE_ADDR": host, "REMOTE_PORT": port, "SERVER_NAME": name, "SERVER_PORT": number}

    def get_client_address(self) -> tuple[str, str]:
        """Host and port of the client, ("unix", "") over a unix socket."""
        address: Any = self.client_address
        return (str(address[0]), str(address[1])) if isinstance(address, tuple) else ("unix", "")

    def handle(self) -> None:
        """Serves requests until the connection is to be closed."""
        self.close_connection = True
        while True:
            self.handle_one_request()
            if self.close_connection or self.is_to_close:
                break
            self.conn_state[2] = STATE_IDLE

    @property
    def is_to_close(self) -> bool:
        """Whether the server has asked for the end of this connection."""
        return self.conn_state[2] is STATE_CLOSE

    def finish(self) -> None:
        """Closes the connection.  Called once, however it ended."""
        stream = self._driver.stream
        if stream.timed_out:
            self._say("timed out")
        elif stream.was_reset:
            self._say("connection reset by peer")
        self._driver.end()
        try:
            self.rfile.close()
        except OSError:
            pass
        shut_down(self.connection)
        self.connection.close()

    def _say(self, what: str) -> None:
        self.server.log.debug(f"({self.server.pid}) {what} {self.client_address!r}")

    # One request

    def handle_one_request(self) -> None:
        """Reads a request and has it answered; sets close_connection if none may follow."""
        self.close_connection = True
        self._parsed = None
        line = self.raw_requestline = self._read_request_line()
        if not line:
            return
        if len(line) >= self.server.url_length_limit:
            self._refuse(BadRequest(414, "request line too long"))
            return
        self.close_connection = False
        if not self._parse():
            self.close_connection = True
            return
        self.server.outstanding_requests += 1
        try:
            self.handle_one_response()
        finally:
            self.server.outstanding_requests -= 1

    def _read_request_line(self) -> bytes:
        """The request line with its end, b"" if there is none; in it the idle time is spent."""
        server = self.server
        patience = server.keepalive
        bounded = bool(patience) and not isinstance(patience, bool)
        if self.is_to_close:
            return b""
        try:
            if bounded:
                self.connection.settimeout(patience)
            line = self._read_line(server.url_length_limit)
            for _ in range(8):  # RFC 9112 section 2.2: empty lines before a request are passed over
                if line != b"\r\n":
                    break
                line = self._read_line(server.url_length_limit)
            if bounded:
                self.connection.settimeout(server.socket_timeout)
        except OSError as error:
            self._note(error)
            return b""
        if line and not self.is_to_close:
            self.conn_state[2] = STATE_REQUEST
        return line

    def _read_line(self, limit: int) -> bytes:
        try:
            return self.rfile.readline(limit)  # type: ignore[no-any-return]
        except ValueError:  # closed
            return b""

    def _note(self, error: OSError) -> None:
        """How reading has ended.  Raises the error if it is none that clients and clocks make."""
        stream = self._driver.stream
        stream.failed(error)
        if not stream.timed_out and not stream.was_reset and error.errno != errno.EBADF:
            raise error

    def _parse(self) -> bool:
        """parse_request(), whosever it is, and the house's parser after it."""
        try:
            if not self.parse_request():
                return False
            if self._parsed is None:
                self._parsed = self._parse_again()
        except BadRequest as error:
            self._refuse(error)
            return False
        except OSError as error:
            self._note(error)
            return False
        return True

    def parse_request(self) -> bool:
        """Reads the rest of the head and parses it; False if it was refused.

        Sets command, path, request_version, requestline and headers, as that of the standard library.
        """
        try:
            head = self.raw_requestline + self._read_fields()
            self._parsed = request = self._parse_head(head)
        except BadRequest as error:
            self._refuse(error)
            return False
        line = request.line
        self.command = line.method
        self.path = line.target if not line.target.startswith("//") else "/" + line.target.lstrip("/")
        self.request_version = "HTTP/1.1" if line.version >= http11.HTTP_11 else "HTTP/1.0"
        self.requestline = self.raw_requestline.decode("latin-1").rstrip("\r\n")
        headers = self.MessageClass()
        for name, value, _ in request.lines:
            headers.set_raw(name, value)
        self.headers = headers
        return True

    def _read_fields(self) -> bytes:
        """The field lines and the empty line after them.  Raises BadRequest."""
        server = self.server
        longest, most = server.max_header_line, server.max_total_header_size
        lines = []
        size = 0
        while True:
            line = self.rfile.readline(longest)
            size += len(line)
            if len(line) >= longest:
                raise BadRequest(431, "Header Line Too Long")
            if size > most:
                raise BadRequest(431, "Headers Too Large")
            if not line:
                raise BadRequest(400, "the request head was cut short")
            lines.append(line)
            if line == b"\r\n":
                return b"".join(lines)
            if not line.endswith(b"\r\n"):
                raise BadRequest(400, "a line of the request head ends without CR LF")

    def _parse_head(self, head: bytes) -> Request:
        limits = self.server.limits_for(self)
        text, lines = http11.split_head(head, limits)
        line = http11.parse_request_line(text)
        parsed, fields = http11.parse_fields(lines, line.version, limits)
        return Request(line, fields, head, parsed)

    def _parse_again(self) -> Request:
        """A request that a subclass has parsed, by the house's parser."""
        headers = self.headers
        if headers.defects or headers.get_payload():  # the standard library drops what it cannot parse
            raise BadRequest(400, "malformed header fields")
        version = self.request_version if self.request_version in ("HTTP/1.0", "HTTP/1.1") else "HTTP/1.0"
        lines = [f"{self.command} {self.path} {version}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return self._parse_head("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))

    # Environ

    def get_environ(self) -> Environ:
        """The environ of the present request."""
        assert self._parsed is not None
        line, lines = self._parsed.line, self._parsed.lines
        environ: Environ = self.server.get_environ()
        path, mark, query = self.path.partition("?")
        environ.update(self._peer)
        environ["REQUEST_METHOD"] = self.command
        environ["SCRIPT_NAME"] = ""
        environ["RAW_PATH_INFO"] = path
        environ["PATH_INFO"] = percent_decode(path)
        if mark:
            environ["QUERY_STRING"] = query
        environ["SERVER_PROTOCOL"] = "HTTP/1.0"  # what eventlet says of every request
        environ["GATEWAY_INTERFACE"] = "CGI/1.1"
        environ["CONTENT_TYPE"] = self.headers.get("content-type") or self.headers.get_content_type()
        environ["headers_raw"] = tuple((name, value) for name, value, _ in lines)
        for name, value, _ in lines:
            key = environ_key(name)
            if key == "CONTENT_LENGTH":
                environ[key] = value
            elif key and key not in ("CONTENT_TYPE", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
                environ[key] = f"{environ[key]},{value}" if key in environ else value
        if line.authority is not None:
            environ["HTTP_HOST"] = line.authority
        environ["eventlet.posthooks"] = []
        environ["eventlet.set_idle"] = self._set_idle
        return environ

    def _set_idle(self) -> None:
        """A server that stops may close this connection now: it serves something that has no end."""
        if not self.is_to_close:
            self.conn_state[2] = STATE_IDLE

    # The response

    def handle_one_response(self) -> None:
        """Calls the application, sends its response, runs the post hooks and writes the access line."""
        driver = self._driver
        parsed = self._parsed
        assert parsed is not None
        self.environ = environ = self.get_environ()
        keeps = False
        try:
            keeps = driver.serve(parsed, environ, self.server.app)
        finally:
            if keeps:
                ahead = driver.take_buffer()
                if ahead:
                    self.rfile.put_back(ahead)
            else:
                self.close_connection = True
            self._run_posthooks(environ)
        self._log_access()

    def _run_posthooks(self, environ: Environ) -> None:
        for hook, args, kwargs in environ.get("eventlet.posthooks") or ():
            hook(environ, *args, **kwargs)

    def _log_access(self) -> None:
        server, driver = self.server, self._driver
        if not server.log_output:
            return
        server.log.info(
            server.log_format
            % {
                "client_ip": self.get_format_client_ip(),
                "client_port": self.get_client_address()[1],
                "date_time": self.log_date_time_string(),
                "request_line": escaped(self.requestline),
                "status_code": driver.status or "-",
                "body_length": 0 if driver.was_handled else driver.stream.sent,
                "wall_seconds": monotonic() - driver.began,
            }
        )

    def get_format_client_ip(self) -> str:
        """The client's address in the access line, after those that X-Forwarded-For tells of."""
        host = self.get_client_address()[0]
        if self.server.log_x_forwarded_for:
            forwarded = self.headers.get("X-Forwarded-For", "").replace(" ", "")
            if forwarded:
                return f"{escaped(forwarded)},{host}"
        return host

    # Refusals

    def _refuse(self, error: BadRequest) -> None:
        self.log_error("code %d, message %s", error.status, error.reason)
        self._driver.refuse_request(error)

    def refusal(self, error: BadRequest) -> bytes:
        """The whole answer to a request that breaks the protocol."""
        code, reason = error.status, error.reason
        content = b""
        if code == 414:
            status = "414 Request URI Too Long"
        elif reason in ("Header Line Too Long", "Headers Too Large"):
            status = f"400 {reason}"
        elif reason == "malformed Content-Length":
            status = "400 Bad Request"
        elif reason == "Content-Length together with Transfer-Encoding":
            status = "400 Bad Request"
            content = _CL_AND_TE
        else:
            return server_answer(code, reason, self._driver.date_line())
        assert code in REASONS
        return (
            f"HTTP/1.0 {status}\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            + content
        )

    # Logging, as the standard library's handler names it

    def log_message(self, format: str, *args: Any) -> None:
        self.server.log.info(f"{self.get_client_address()[0]} - {escaped(format % args)}")

    def version_string(self) -> str:
        return "dualwsgi"
