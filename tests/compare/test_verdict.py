"""Which differences are told, who is said to be the limit, and what is recommended."""

from __future__ import annotations

import pytest
from synthetic import comparison
from table import table

from dualwsgi.compare.rounds import sides_of
from dualwsgi.compare.verdict import MATTERS, Verdict, judge


def found(verdict: Verdict) -> set[tuple[str, int, str]]:
    """What differs: the figure, the users, the better side."""
    return {
        (finding.figure.name, finding.users, verdict.names[finding.better])
        for finding in verdict.findings
        if finding.better is not None
    }


# Differences


def test_a_backend_against_itself_shows_no_difference() -> None:
    verdict = judge(comparison(sides=("green", "green")))
    assert found(verdict) == set()
    assert verdict.choice is None
    assert verdict.headline.startswith("No difference")
    assert verdict.names == ("green (A)", "green (B)")
    assert {finding.word for finding in verdict.findings if finding.figure.judged} == {
        finding.word for finding in verdict.findings if finding.word.startswith("no difference beyond ")
    }


def test_at_most_one_in_twenty_comparisons_of_equals_finds_anything() -> None:
    wrong = sum(bool(found(judge(comparison(seed=seed, noise=0.1)))) for seed in range(100))
    assert wrong <= 11, "95 % of the whole table: 5 are expected, and 11 are more than chance gives"


def test_a_slowed_backend_is_found_and_named() -> None:
    slower = {"p50": 1.3, "p95": 1.3, "p99": 1.3, "rate": 1 / 1.3}
    verdict = judge(comparison(second=slower))
    assert found(verdict) == {
        (name, users, "threads") for name in ("p50", "p95", "p99", "rate") for users in (4, 64)
    }
    assert verdict.choice == 0
    assert verdict.headline == "Choose threads."
    assert any(reason.startswith("throughput at 64 users: ") for reason in verdict.reasons)
    assert verdict.against == []


def test_the_second_side_can_win_and_what_speaks_against_it_is_told() -> None:
    verdict = judge(comparison(second={"rate": 2.5, "p50": 0.4, "p95": 0.4, "p99": 0.4, "rss": 1.6}))
    assert verdict.headline == "Choose green."
    assert any("2.5 times as good" in reason for reason in verdict.reasons)
    assert all("peak memory" in line for line in verdict.against)
    assert len(verdict.against) == 2


@pytest.mark.parametrize(("factor", "told"), [(1 + MATTERS / 2, False), (1 + MATTERS * 2, True)])
def test_a_difference_that_is_sure_and_small_is_none(factor: float, told: bool) -> None:
    verdict = judge(comparison(second={"cpu": factor}, noise=0.0005))
    assert bool(found(verdict)) is told


@table(
    ("figure", "factor", "told"),
    [
        ("rss", 1.08, False),  # 3.2 MB more than 40
        ("rss", 1.13, True),
        ("switches", 1.04, False),  # 0.08 more than 2
        ("switches", 1.06, True),
        ("p50", 1.05, True),
    ],
)
def test_a_difference_below_what_anyone_could_notice_is_none(figure: str, factor: float, told: bool) -> None:
    verdict = judge(comparison(second={figure: factor}, noise=0.0005))
    assert ({name for name, _, _ in found(verdict)} == {figure}) is told


@pytest.mark.parametrize(
    ("figure", "factor", "decides"),
    [("rate", 1.04, False), ("rate", 1.07, True), ("cpu", 1.07, False), ("cpu", 1.13, True)],
)
def test_a_small_difference_is_told_and_decides_nothing(figure: str, factor: float, decides: bool) -> None:
    verdict = judge(comparison(second={figure: factor}, noise=0.0005))
    assert {name for name, _, _ in found(verdict)} == {figure}
    assert (verdict.choice is not None) is decides


def test_a_lower_cost_alone_decides_where_clients_feel_nothing() -> None:
    verdict = judge(comparison(second={"cpu": 0.8}))
    assert verdict.headline == "Choose green."
    assert all(reason.startswith("CPU a request") for reason in verdict.reasons)


def test_context_switches_alone_decide_nothing() -> None:
    verdict = judge(comparison(second={"switches": 3.0}))
    assert verdict.choice is None
    assert verdict.headline.startswith("Either")
    assert verdict.against


# Errors and answers


def test_a_side_that_fails_requests_is_not_chosen_however_quick() -> None:
    verdict = judge(comparison(second={"rate": 3.0, "p50": 0.1}, failed=(0, 50)))
    assert verdict.choice == 0
    assert verdict.reasons[0] == "green failed 5.00% of the requests, threads 0.00%"


def test_failures_that_both_sides_share_decide_nothing() -> None:
    assert judge(comparison(failed=(50, 50))).choice is None


def test_answers_that_differ_are_told_first() -> None:
    one = comparison()
    for answers, body in zip(one.answers, (b"a", b"b"), strict=True):
        answers.add("GET /", 200, (), body)
    verdict = judge(one)
    assert verdict.differ[0].startswith("GET /: body is ")
    assert verdict.cautions[0].startswith("the answers differ")


def test_a_request_that_never_succeeds_is_told() -> None:
    one = comparison()
    for answers in one.answers:
        answers.add("GET /", 404, (), b"")
    assert judge(one).bad == ["GET / is answered 404 on threads", "GET / is answered 404 on green"]
    assert any("never answered with success" in line for line in judge(one).cautions)


# The limit


@pytest.mark.parametrize(
    ("busy", "generator_busy", "limit"),
    [(0.2, 0.2, "neither"), (0.95, 0.3, "server"), (0.3, 0.95, "generator"), (1.2, 0.95, "both")],
)
def test_the_limit_is_named(busy: float, generator_busy: float, limit: str) -> None:
    verdict = judge(comparison(busy=(busy, busy), generator_busy=(generator_busy, generator_busy)))
    assert set(verdict.limits.values()) == {limit}


def test_where_the_generator_is_the_limit_its_figures_decide_nothing_and_the_servers_own_do() -> None:
    faster = {"rate": 1.2, "p50": 0.8, "p95": 0.8, "p99": 0.8, "cpu": 0.5}
    verdict = judge(comparison(second=faster, generator_busy=(0.97, 0.97)))
    assert {name for name, _, _ in found(verdict)} == {"cpu"}
    assert verdict.choice == 1
    words = {finding.figure.name: finding.word for finding in verdict.findings}
    assert words["rate"] == words["p99"] == "generator's limit"
    assert any(
        "load generator (locust, 97% of its core) and not the server" in line for line in verdict.cautions
    )


def test_where_the_generator_is_the_limit_on_one_side_only_the_difference_stands() -> None:
    verdict = judge(comparison(second={"rate": 2.0}, generator_busy=(0.3, 0.97), busy=(0.99, 0.4)))
    assert ("rate", 64, "green") in found(verdict)


def test_a_pool_smaller_than_its_load_is_named_as_the_limit_with_the_cure() -> None:
    small = judge(comparison(second={"rate": 2.0}, settings=("--threads", "16")))
    assert any("at most 16 calls at once" in line and "--threads 64" in line for line in small.cautions)
    large = judge(comparison(second={"rate": 2.0}, settings=("--threads=64",)))
    assert not any("calls at once" in line for line in large.cautions)
    own = judge(comparison(sides=("threads --threads 8", "threads --threads 64")))
    assert sum("calls at once" in line for line in own.cautions) == 1


def test_a_disturbed_machine_is_told() -> None:
    assert any("waited for a CPU 30%" in line for line in judge(comparison(waited=0.3)).cautions)
    assert not any("waited for a CPU" in line for line in judge(comparison()).cautions)


def test_what_was_interrupted_is_judged_by_its_whole_rounds() -> None:
    one = comparison(rounds=5)
    del one.samples[-1]
    whole = one.whole_rounds()
    assert whole.plan.rounds == 4
    assert {sample.round for sample in whole.samples} == {0, 1, 2, 3}
    assert judge(whole).choice is None
    assert comparison(rounds=5).whole_rounds().plan.rounds == 5
    one.samples = one.samples[:1]
    assert one.whole_rounds().plan.rounds == 0


# Sides


@table("texts", [["threads"], ["threads", "green", "green"], ["threads", "fast"], ["", "green"]])
def test_sides_that_cannot_be_compared_are_refused_with_a_cure(texts: list[str]) -> None:
    with pytest.raises(ValueError, match="give "):
        sides_of(texts)


def test_sides_are_called_what_they_are() -> None:
    first, second = sides_of(["threads  --threads 8", "green"])
    assert (first.name, first.settings) == ("threads --threads 8", ("--backend", "threads", "--threads", "8"))
    assert (second.name, second.settings) == ("green", ("--backend", "green"))
