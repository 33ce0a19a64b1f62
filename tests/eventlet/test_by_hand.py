"""What programs do to a server and its sockets beside calling wsgi.server, on both backends."""

from __future__ import annotations

import pytest
from annexe import Annexe


@pytest.mark.parametrize(("how", "number"), [("close", "EBADF"), ("shutdown", "EINVAL")])
def test_a_listener_that_is_closed_ends_the_server_and_its_idle_connections(
    annexe: Annexe, how: str, number: str
) -> None:
    assert annexe.call("closes_the_listener", how) == ["", number]


def test_a_duplicate_of_the_listener_stays_usable(annexe: Annexe) -> None:
    assert annexe.call("keeps_a_duplicate") == ["hello", True, -1, "hello"]


def test_a_server_that_has_ended_may_be_stopped_again(annexe: Annexe) -> None:
    assert annexe.call("stops_what_has_ended") == [True, True, "went on"]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            ["ECONNABORTED", "ECONNRESET", "EPIPE", "ENOTCONN", "ESHUTDOWN", "EPROTO", "EINTR", "SSL"],
            "not accepted: ",
        ),
        (["EMFILE"], "cannot accept connections: "),
    ],
)
def test_what_befalls_one_client_or_passes_does_not_end_the_server(
    annexe: Annexe, names: list[str], says: str
) -> None:
    fetched, ended_by, log = annexe.call("fails_to_accept", *names)
    assert (fetched, ended_by) == ("hello", "")
    assert [name for name in names if f"{says}{name}" not in log] == []


def test_another_error_of_accept_is_raised_out_of_the_server(annexe: Annexe) -> None:
    assert annexe.call("fails_to_accept", "EINVAL")[1] == "EINVAL"


def test_a_socket_that_takes_little_at_a_time_is_sent_all(annexe: Annexe) -> None:
    assert annexe.call("sends_octet_by_octet") == "hello"


@pytest.mark.parametrize("debug", [True, False])
def test_heads_are_read_line_by_line_from_the_file_that_the_socket_makes(annexe: Annexe, debug: bool) -> None:
    got, log = annexe.call("reads_by_a_file_of_its_own", debug)
    assert got == "" and "Traceback" not in log
    assert ("timed out ('127.0.0.1'" in log) == debug


def test_a_server_may_be_handed_its_connections(annexe: Annexe, certificate: str) -> None:
    assert '"GET / HTTP/1.1" ' in annexe.call("serves_who_has_left")
    assert "Traceback" not in annexe.call("serves_who_left_tls", certificate)


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("X-Any", "v\xe9", ["X-Any: v\xe9\r\n"]),
        ("X-Any", "\u2603", ["latin-1", "RFC 8187"]),
        ("X-\u2603", "v", ["latin-1", "header names"]),
    ],
)
def test_a_header_line_is_latin_1_or_says_what_to_do(
    annexe: Annexe, name: str, value: str, parts: list[str]
) -> None:
    said = annexe.call("header_line", name, value)
    assert [part for part in parts if part not in said] == []


def test_the_minimum_of_a_server_is_not_that_of_its_protocols_class(annexe: Annexe) -> None:
    before = annexe.call("chunk_size_of_the_class")
    assert annexe.serve("in_pieces", minimum_chunk_size=2 * before).ask().chunks == [6010]
    assert annexe.call("chunk_size_of_the_class") == before == 4096
