"""The grammar of RFC 9110 and RFC 9112 as named patterns, each below the production it stands for.

Patterns are over `str` decoded as ISO-8859-1, one character an octet.  They are used with
`fullmatch`, so that none needs anchors.  Nothing here decides what a violation costs.
"""

from __future__ import annotations

import re

# RFC 9110 section 5.6.2
#   token = 1*tchar
#   tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~"
#         / DIGIT / ALPHA
token = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
TOKEN = re.compile(token)

# RFC 9110 section 5.5
#   field-value = *field-content;  field-vchar = VCHAR / obs-text
# Controls other than HTAB are forbidden; leading and trailing whitespace is not part of a value.
field_value = r"[\t\x20-\x7e\x80-\xff]*"
FIELD_VALUE = re.compile(field_value)

# The octets that may stand in a head outside its line ends, for bytes.translate(None, HEAD_OCTETS):
# what such a call leaves over is controls, and line ends are the only controls a head may hold.
HEAD_OCTETS = bytes(octet for octet in range(256) if octet == 9 or (octet >= 32 and octet != 127))

# RFC 9112 section 3.2
#   origin-form    = absolute-path [ "?" query ]
#   absolute-form  = absolute-URI
#   authority-form = uri-host ":" port
#   asterisk-form  = "*"
# Of the characters inside a path or query only the framing ones are policed: visible ASCII without
# "#", which starts a fragment and may not be sent.  Browsers send some that RFC 3986 reserves
# ("|", "^", "{"), and applications see them as received.
TARGET_OCTETS = re.compile(r"[!-\"$-~]+")

# RFC 3986 section 3.2.2
#   host = IP-literal / IPv4address / reg-name;  port = *DIGIT
#   IP-literal = "[" ( IPv6address / IPvFuture ) "]"
#   IPvFuture  = "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )
#   reg-name   = *( unreserved / pct-encoded / sub-delims ), which an IPv4address is too
# RFC 9110 section 4.2.1 forbids the empty name, so `uri_host` is never empty.
octet = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
h16 = r"[0-9A-Fa-f]{1,4}"
ls32 = rf"(?:{h16}:{h16}|(?:{octet}\.){{3}}{octet})"
ipv6_address = "|".join(
    [rf"(?:{h16}:){{6}}{ls32}", rf"::(?:{h16}:){{5}}{ls32}"]
    + [rf"(?:(?:{h16}:){{0,{4 - n}}}{h16})?::(?:{h16}:){{{n}}}{ls32}" for n in (4, 3, 2, 1, 0)]
    + [rf"(?:(?:{h16}:){{0,5}}{h16})?::{h16}", rf"(?:(?:{h16}:){{0,6}}{h16})?::"]
)
ipv_future = r"[vV][0-9A-Fa-f]+\.[0-9A-Za-z\-._~!$&'()*+,;=:]+"
name_octet = r"[0-9A-Za-z\-._~!$&'()*+,;=]"
pct_encoded = r"%[0-9A-Fa-f]{2}"
reg_name = rf"{name_octet}++(?:{pct_encoded}{name_octet}*+)*|(?:{pct_encoded}{name_octet}*+)+"
uri_host = rf"(?:{reg_name}|\[(?:{ipv6_address}|{ipv_future})\])"
AUTHORITY = re.compile(rf"{uri_host}(?::[0-9]*)?")
AUTHORITY_FORM = re.compile(rf"{uri_host}:0*([0-9]{{1,5}})")

# RFC 9110 section 7.2
#   Host = uri-host [ ":" port ]
# and empty where the target URI has no authority.
HOST = re.compile(rf"{uri_host}(?::[0-9]*)?|")

# RFC 3986 section 3.1
#   scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ), of which a server of HTTP serves two
ABSOLUTE_FORM = re.compile(r"(?i:https?)://([^/?]*)(.*)")

# RFC 9112 section 2.3
#   HTTP-version = HTTP-name "/" DIGIT "." DIGIT
HTTP_VERSION = re.compile(r"HTTP/([0-9])\.([0-9])")

# RFC 9110 section 8.6
#   Content-Length = 1*DIGIT
# Bounded, because int() of a long string of digits is quadratic; 10**18 octets are enough.
CONTENT_LENGTH = re.compile(r"[0-9]{1,18}")

# RFC 9112 section 7.1
#   chunk-size = 1*HEXDIG
#   chunk-ext  = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
#   chunk-ext-val = token / quoted-string
# Possessive, so that no line makes the matcher go back over it.
quoted_string = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+"'
chunk_ext = rf"(?:[ \t]*+;[ \t]*+{token}+(?:[ \t]*+=[ \t]*+(?:{token}+|{quoted_string}))?+)*+"
CHUNK_LINE = re.compile(rf"([0-9A-Fa-f]{{1,16}}){chunk_ext}")

# RFC 9112 section 4
#   status-line = HTTP-version SP status-code SP [ reason-phrase ]
# PEP 3333 hands over "status-code SP reason-phrase"; the reason may be empty.  RFC 9110 section 15:
# a code outside 100 to 599 is invalid.
STATUS = re.compile(r"([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")

# RFC 9110 section 15.2, without those that mean something to the connection: 100 and 101
INTERIM_STATUS = re.compile(r"1(?:0[2-9]|[1-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")

# RFC 9110 section 7.6.1, and RFC 2616 section 13.5.1, which PEP 3333 refers to
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def list_members(value: str) -> list[str]:
    """The members of a comma-separated list field, empty ones dropped (RFC 9110 section 5.6.1)."""
    return [member for member in (part.strip(" \t") for part in value.split(",")) if member]
