"""This parser against h11 and httptools, over requests that are almost right.

No disagreement is an error by itself; one that nobody has judged is.  See judgements.py, and
docs/parser-disagreements.md, which is made of it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from time import monotonic

import pytest
from table import table

from .judgements import JUDGED, PAGE, Judgement, find, page
from .mutations import CORPUS, almost_right
from .peers import PEERS, disagreement, read_here

SOAK = float(os.environ.get("DUALWSGI_SOAK_SECONDS", "120"))


def unjudged(data: bytes) -> Iterator[str]:
    """The disagreements over `data` that are not in the table."""
    ours = read_here(data)
    for peer, read in PEERS.items():
        kind = disagreement(ours, read(data))
        if kind and find(peer, kind, data) is None:
            yield f"{peer}, {kind}: {data!r}"


def test_every_disagreement_over_the_corpus_is_judged() -> None:
    wrong = [line for data in CORPUS for line in unjudged(data)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("seed", range(4))
def test_every_disagreement_over_what_is_almost_right_is_judged(seed: int) -> None:
    chance = random.Random(seed)
    wrong = [line for _ in range(1500) for line in unjudged(almost_right(chance))]
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.soak
@pytest.mark.timeout(SOAK + 60)
def test_no_other_kind_comes_up_in_the_long_run() -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    deadline = monotonic() + SOAK
    wrong: list[str] = []
    while monotonic() < deadline and len(wrong) < 20:
        wrong += unjudged(almost_right(chance))
    assert not wrong, f"seed {seed}\n" + "\n".join(wrong)


@table("judgement", JUDGED, ids=lambda one: f"{one.kind} ({', '.join(one.peers)})")
def test_an_example_shows_its_kind(judgement: Judgement) -> None:
    ours = read_here(judgement.example)
    kinds = {peer: disagreement(ours, read(judgement.example)) for peer, read in PEERS.items()}
    assert judgement.kind in [kinds[peer] for peer in judgement.peers], kinds
    assert judgement.covers(judgement.example)


def test_the_page_is_the_table() -> None:
    if not PAGE.parent.exists():
        pytest.skip("the documentation is not here")
    assert PAGE.read_text() == page(), "to write it anew: python tests/http11/judgements.py"
