"""Runs in parts: several JSON files of one machine and the same versions become one run. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from loadtests.peers.drives import Sample
from loadtests.peers.report import Result, subject_of
from loadtests.peers.rounds import Record
from loadtests.peers.scenarios import SCENARIOS
from loadtests.peers.servers import SERVERS

MUST_AGREE = ("python", "machine", "pinning", "versions")


class CannotMerge(ValueError):
    """The files are not of one kind; says by what they differ."""


def merge(documents: Sequence[dict[str, Any]]) -> tuple[list[Result], dict[str, Any]]:
    """The scenarios of all documents, in the order of `SCENARIOS`, and what is told of them together.

    Of a scenario that comes twice the later one counts. Raises CannotMerge where figures would not compare.
    """
    if not documents:
        raise CannotMerge("there is nothing to merge")
    found: dict[str, Result] = {}
    for document in documents:
        for name in MUST_AGREE:
            mine, first = document["about"].get(name), documents[0]["about"].get(name)
            if mine != first:
                raise CannotMerge(f"they differ in {name}: {first} and {mine}")
        for name, said in document["scenarios"].items():
            if name in SCENARIOS:
                records = [_record(*pair) for pair in said["servers"].items() if pair[0] in SERVERS]
                found[name] = Result(SCENARIOS[name], records, subject_of(records))
    dates = sorted({document["about"]["date"] for document in documents})
    about = documents[0]["about"] | {
        "date": dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}",
        "commands": list(
            dict.fromkeys(one for document in documents for one in document["about"]["commands"])
        ),
    }
    return [found[name] for name in SCENARIOS if name in found], about


def _record(server: str, said: dict[str, Any]) -> Record:
    rounds = [
        Sample({name: math.nan if value is None else value for name, value in figures.items()})
        for figures in said["rounds"]
    ]
    return Record(server, said["command"], rounds, said["notes"], said["failed"])
