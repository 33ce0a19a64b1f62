"""Config: its defaults hold, every bad value is refused by name and with a cure, text is read."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from table import table

from dualwsgi.config import BindAddress, Config, Count, Seconds, knobs, mistyped, parse_bind, read_environ
from dualwsgi.errors import ConfigError


def test_defaults_are_valid_and_frozen() -> None:
    config = Config()
    assert config.bind == ("127.0.0.1:8000",)
    assert config.backend == "threads"
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.threads = 3  # type: ignore[misc]


def test_every_field_has_a_knob_with_help_that_ends_in_a_full_stop() -> None:
    assert list(knobs()) == [field.name for field in dataclasses.fields(Config)]
    for name, knob in knobs().items():
        assert knob.help.endswith("."), name
        assert knob.wanted, name


def test_values_are_tidied() -> None:
    config = Config(bind=[":80", "unix:/run/app.sock"], keep_alive=5)  # type: ignore[arg-type]
    assert config.bind == (":80", "unix:/run/app.sock")
    assert isinstance(config.keep_alive, float)
    assert Config(bind="a:1").bind == ("a:1",)  # type: ignore[arg-type]
    assert [str(address) for address in config.addresses] == [":80", "unix:/run/app.sock"]


@table(
    ("field", "value", "says"),
    [
        ("threads", 0, "threads: 0 is out of range; give a whole number from 1 to 10000"),
        ("threads", 10_001, "out of range"),
        ("threads", "8", "threads: '8' is not a whole number"),
        ("threads", True, "not a whole number"),
        ("threads", 1.0, "not a whole number"),
        ("queue_size", -1, "from 0 to 1000000"),
        ("limit_request_body", -1, "a number of bytes"),
        ("queue_timeout", 0, "out of range"),
        ("keep_alive", -0.1, "out of range"),
        ("keep_alive", math.nan, "keep_alive: nan is out of range"),
        ("keep_alive", math.inf, "out of range"),
        ("keep_alive", None, "not a number of seconds"),
        ("backend", "asyncio", "backend: 'asyncio' is not known; give threads or green"),
        ("backend", ["green"], "is not known"),
        ("log_level", "loud", "give debug, info, warning, error or critical"),
        ("debug", 1, "neither True nor False"),
        ("patch", "yes", "neither True nor False"),
        ("server_header", "a\r\nSet-Cookie: b", "cannot be sent in a header"),
        ("server_header", " padded", "cannot be sent in a header"),
        ("server_header", None, "cannot be sent in a header"),
        ("access_log", "", "'-' for standard output"),
        ("access_log", "a\0b", "is not a path"),
        ("bind", (), "names no address"),
        ("bind", 8000, "bind: 8000 is not an address"),
        ("bind", [8000], "names no address"),
        ("bind", ["a:1", "a:1"], "names an address twice"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name_with_the_cure(field: str, value: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**{field: value})
    assert str(caught.value).startswith(f"{field}: ")
    assert says in str(caught.value)
    assert "; give " in str(caught.value)


def test_port_0_may_be_asked_for_twice() -> None:
    assert len(Config(bind=("127.0.0.1:0", "127.0.0.1:0")).addresses) == 2


@table("name", list(knobs()))
def test_the_bounds_themselves_are_allowed(name: str) -> None:
    knob = knobs()[name]
    if isinstance(knob, Count | Seconds):
        assert getattr(Config(**{name: knob.low}), name) == knob.low
        assert getattr(Config(**{name: knob.high}), name) == knob.high
        with pytest.raises(ConfigError):
            Config(**{name: knob.high + 1})


# Text


@table(
    ("field", "text", "value"),
    [
        ("threads", "8", 8),
        ("limit_request_body", "0", 0),
        ("limit_request_body", "10M", 10 * 1024**2),
        ("limit_request_body", "1GiB", 1024**3),
        ("limit_request_body", "64 kb", 65_536),
        ("limit_request_body", "512B", 512),
        ("keep_alive", "75", 75.0),
        ("keep_alive", ".5", 0.5),
        ("keep_alive", "500ms", 0.5),
        ("keep_alive", "2 m", 120.0),
        ("keep_alive", "1h", 3600.0),
        ("debug", "yes", True),
        ("debug", "OFF", False),
        ("backend", "Green", "green"),
        ("server_header", "", ""),
        ("access_log", "", None),
        ("access_log", "-", "-"),
        ("access_log", "on", "-"),
        ("access_log", "0", None),
        ("access_log", "/var/log/app.log", "/var/log/app.log"),
        ("bind", ":80", (":80",)),
        ("bind", "127.0.0.1:80, [::1]:80 unix:/a", ("127.0.0.1:80", "[::1]:80", "unix:/a")),
    ],
)
def test_a_variable_sets_its_field(field: str, text: str, value: object) -> None:
    assert read_environ({f"DUALWSGI_{field.upper()}": text}) == {field: value}


@table("name", list(knobs()))
def test_what_a_knob_writes_it_also_reads(name: str) -> None:
    knob, value = knobs()[name], getattr(Config(), name)
    assert knob.parse(knob.write(value), name) == value
    if isinstance(knob, Count | Seconds):
        for bound in (knob.low, knob.high):
            assert knob.parse(knob.write(bound), name) == bound


@table(
    ("field", "text", "says"),
    [
        ("threads", "many", "'many' is not a whole number"),
        ("threads", "0", "0 is out of range"),
        ("limit_request_body", "10 MW", "not a number of bytes"),
        ("keep_alive", "5 days", "not a number of seconds"),
        ("keep_alive", "nan", "not a number of seconds"),
        ("debug", "perhaps", "neither yes nor no"),
        ("backend", "gevent", "give threads or green"),
        ("bind", "127.0.0.1", "names no port"),
    ],
)
def test_a_variable_with_a_bad_value_is_named(field: str, text: str, says: str) -> None:
    variable = f"DUALWSGI_{field.upper()}"
    with pytest.raises(ConfigError) as caught:
        read_environ({variable: text})
    assert str(caught.value).startswith(f"{variable}: ")
    assert says in str(caught.value)


def test_a_variable_that_is_nearly_one_is_told_from_those_that_others_make() -> None:
    others = ["DUALWSGI_PORT", "DUALWSGI_PORT_80_TCP", "DUALWSGI_PORT_80_TCP_PROTO", "DUALWSGI_SERVICE_HOST"]
    others += [
        "DUALWSGI_SERVICE_PORT",
        "DUALWSGI_SERVICE_PORT_HTTP",
        "DUALWSGI_THREADS",
        "DUALWSGI_APP",
        "THREAD",
    ]
    assert mistyped(dict.fromkeys(others, "1")) == {}
    assert mistyped({"DUALWSGI_TREADS": "5", "DUALWSGI_GRACEFULL_TIMEOUT": "1"}) == {
        "DUALWSGI_TREADS": "DUALWSGI_THREADS",
        "DUALWSGI_GRACEFULL_TIMEOUT": "DUALWSGI_GRACEFUL_TIMEOUT",
    }


def test_unset_empty_and_foreign_variables_count_for_nothing() -> None:
    assert read_environ({}) == {}
    assert read_environ({"DUALWSGI_THREADS": "", "DUALWSGI_PORT": "tcp://10.0.0.1:80", "PATH": "/bin"}) == {}


# Addresses


@table(
    ("text", "address"),
    [
        ("127.0.0.1:8000", BindAddress("tcp", "127.0.0.1", 8000)),
        ("localhost:0", BindAddress("tcp", "localhost", 0)),
        (":8000", BindAddress("tcp", "", 8000)),
        ("*:8000", BindAddress("tcp", "", 8000)),
        ("[::1]:8000", BindAddress("tcp", "::1", 8000)),
        ("[fe80::1%eth0]:8000", BindAddress("tcp", "fe80::1%eth0", 8000)),
        ("unix:/run/app.sock", BindAddress("unix", path="/run/app.sock")),
        ("unix:///run/app.sock", BindAddress("unix", path="/run/app.sock")),
        ("unix:app.sock", BindAddress("unix", path="app.sock")),
        ("unix:@app", BindAddress("abstract", path="app")),
        ("fd://3", BindAddress("fd", fd=3)),
    ],
)
def test_an_address_is_parsed_and_written_back(text: str, address: BindAddress) -> None:
    assert parse_bind(text) == address
    assert parse_bind(str(address)) == address


@table(
    ("text", "cure"),
    [
        ("", "HOST:PORT"),
        ("a b:80", "HOST:PORT"),
        ("8000", ":8000 or 127.0.0.1:8000"),
        ("localhost", "localhost:8000"),
        ("localhost:", "a port from 0 to 65535"),
        ("localhost:http", "a port from 0 to 65535"),
        ("localhost:65536", "a port from 0 to 65535"),
        ("localhost:+80", "a port from 0 to 65535"),
        ("localhost:٨٠", "a port from 0 to 65535"),
        ("http://localhost:80/", "such as localhost:80"),
        ("::1:8000", "[::1]:8000"),
        ("[::1:8000", "[::1]:8000"),
        ("[localhost]:80", "[::1]:8000"),
        ("[]:80", "[::1]:8000"),
        ("unix:", "unix:/run/app.sock"),
        ("unix:@", "unix:/run/app.sock"),
        ("unix:/" + "x" * 103, "at most 103 bytes"),
        ("fd://", "fd://3"),
        ("fd://-1", "fd://3"),
    ],
)
def test_an_address_that_cannot_be_read_is_refused_with_the_cure(text: str, cure: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_bind(text, "--bind")
    message = str(caught.value)
    assert message.startswith(f"--bind: {text!r} ")
    assert cure in message.partition("; give ")[2]
