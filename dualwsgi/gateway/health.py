"""Requests that are about the server itself, and answered by whoever polls: no call has to be free.

Only GET and HEAD without a body are; everything else at these paths is the application's.  What is
said is the server's to know: here it becomes a response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..http11.head import HTTP_11
from ..http11.response import frame, plan_response
from .heads import Request

__all__ = ["Check", "HealthLane"]

Check = Callable[[], tuple[str, str]]
"""Returns a status such as "200 OK" and a text."""

FIELDS: Final = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]


class HealthLane:
    """Which paths are answered, and how.  `server_field` is a line for each response's head."""

    def __init__(self, checks: Mapping[str, Check], server_field: bytes) -> None:
        self.checks = checks
        self._server_field = server_field

    def find(self, request: Request) -> Check | None:
        """What answers this request; None if it is the application's."""
        check = self.checks.get(request.line.path)
        if check is None or request.has_body or request.may_tunnel:
            return None
        return check if request.line.method in ("GET", "HEAD") else None

    def answer(self, check: Check, request: Request, keep_alive: bool, date: bytes) -> bytes:
        """The octets of the response; `date` is its Date line."""
        status, text = check()
        content = text.encode()
        plan = plan_response(status, FIELDS, self._server_field)
        decided = frame(
            plan,
            method=request.line.method,
            http_11=request.line.version >= HTTP_11,
            keep_alive=keep_alive,
            length=len(content),
        )
        head = b"%b%b%b\r\n" % (plan.head, decided.lines, date)
        return head if request.line.method == "HEAD" else head + content
