"""Addresses, trust and lists of proxies: who the client is."""

from __future__ import annotations

from table import table

from dualwsgi.http11.forwarded import Trust, client_node, parse_forwarded, parse_list, parse_node


@table(
    ("text", "node"),
    [
        ("192.0.2.1", ("192.0.2.1", "")),
        ("192.0.2.1:80", ("192.0.2.1", "80")),
        ("2001:DB8::1", ("2001:db8::1", "")),
        ("[2001:db8::1]", ("2001:db8::1", "")),
        ("[2001:db8::1]:443", ("2001:db8::1", "443")),
        ("::ffff:192.0.2.1", ("192.0.2.1", "")),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("localhost", None),
        ("192.0.2.256", None),
        ("192.0.2", None),
        ("192.000.002.001", None),
        ("192.0.2.1:", None),
        ("192.0.2.1:123456", None),
        ("[192.0.2.1", None),
        ("fe80::1%eth0", None),
        ("192.0.2.1\n", None),
    ],
)
def test_a_node_is_an_address_and_perhaps_a_port(text: str, node: tuple[str, str] | None) -> None:
    assert parse_node(text) == node


@table(
    ("texts", "address", "trusted"),
    [
        (("10.0.0.0/8",), "10.255.0.1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("192.0.2.1",), "192.0.2.1", True),
        (("192.0.2.1",), "192.0.2.2", False),
        (("2001:db8::/32",), "2001:db8:1::5", True),
        (("2001:db8::/32",), "2001:db9::5", False),
        (("0.0.0.0/0",), "::1", False),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("unix",), "", True),
        (("10.0.0.0/8",), "", False),
        (("*",), "", True),
        (("*",), "203.0.113.9", True),
        ((), "127.0.0.1", False),
        (("10.0.0.0/8",), "no address", False),
    ],
)
def test_trust_is_by_address_network_and_word(texts: tuple[str, ...], address: str, trusted: bool) -> None:
    trust = Trust(texts)
    assert trust.covers(address) is trusted
    assert trust.covers(address) is trusted


@table(
    ("value", "client"),
    [
        ("203.0.113.9", (0, "203.0.113.9")),
        ("203.0.113.9, 10.0.0.2", (0, "203.0.113.9")),
        ("6.6.6.6, 203.0.113.9, 10.0.0.2", (1, "203.0.113.9")),
        ("10.0.0.9, 203.0.113.9, 10.0.0.2", (1, "203.0.113.9")),
        ("10.0.0.1, 10.0.0.2", (0, "10.0.0.1")),  # all are trusted: the first is the client
        ("nonsense, 10.0.0.2", (1, "10.0.0.2")),
        ("203.0.113.9, nonsense", None),
        ("", None),
        (" , ,", None),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_not_trusted(
    value: str, client: tuple[int, str] | None
) -> None:
    found = client_node(parse_list(value), Trust(["10.0.0.0/8"]).covers)
    assert (found and (found[0], found[1][0])) == client


@table(
    ("value", "elements"),
    [
        ("for=192.0.2.1", [{"for": "192.0.2.1"}]),
        ('For="[2001:db8:cafe::17]:4711"', [{"for": "[2001:db8:cafe::17]:4711"}]),
        (
            "for=192.0.2.60;proto=http;by=203.0.113.43",
            [{"for": "192.0.2.60", "proto": "http", "by": "203.0.113.43"}],
        ),
        ("for=192.0.2.43, for=198.51.100.17", [{"for": "192.0.2.43"}, {"for": "198.51.100.17"}]),
        ('for=_gazonk ;  host="a\\"b"', [{"for": "_gazonk", "host": 'a"b'}]),
        ("for=192.0.2.1:80", [{"for": "192.0.2.1:80"}]),  # without the quotes that it needs
        (", for=a,, ;", [{"for": "a"}]),
        ("", []),
        ("for", None),
        ("for=", None),
        ("for=a;for=b", None),
        ('for="a', None),
        ("for=a b", None),
        ('for="a"b', None),
        ("for = a", None),
    ],
)
def test_forwarded_is_read_as_rfc_7239_writes_it(value: str, elements: list[dict[str, str]] | None) -> None:
    assert parse_forwarded(value) == elements
