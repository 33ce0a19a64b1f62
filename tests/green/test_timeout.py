"""Timeout: when it fires, in whom, and what it raises."""

from __future__ import annotations

import gc
import weakref

import pytest

from dualwsgi import green
from dualwsgi.green import Hub, Timeout, with_timeout


def test_it_raises_itself_in_the_block(hub: Hub) -> None:
    with pytest.raises(Timeout) as caught, Timeout(0.002) as timeout:
        green.sleep(30)
    assert caught.value is timeout and not timeout.pending


def test_it_is_no_exception_that_libraries_would_swallow() -> None:
    assert not issubclass(Timeout, Exception)


def test_false_leaves_the_block_silently_but_only_for_itself(hub: Hub) -> None:
    with Timeout(0.002, False):
        green.sleep(30)
        raise AssertionError
    with pytest.raises(Timeout) as caught, Timeout(30, False), Timeout(0.002) as inner:
        green.sleep(30)
    assert caught.value is inner


@pytest.mark.parametrize("what", [KeyError, KeyError("mine")])
def test_it_raises_what_it_is_given(hub: Hub, what: KeyError) -> None:
    with pytest.raises(KeyError), Timeout(0.002, what):
        green.sleep(30)


def test_none_never_fires(hub: Hub) -> None:
    with Timeout(None) as timeout:
        assert not timeout.pending
        green.sleep(0.001)
    assert str(timeout) == ""


def test_the_clock_starts_in_the_constructor_and_again_in_the_block(hub: Hub) -> None:
    timeout = Timeout(0.005)
    assert timeout.pending
    with pytest.raises(AssertionError):
        timeout.start()
    with pytest.raises(Timeout):
        green.sleep(30)
    assert not timeout.pending
    with pytest.raises(Timeout), timeout:
        assert timeout.pending
        green.sleep(30)
    timeout.cancel()
    timeout.cancel()


def test_they_nest(hub: Hub) -> None:
    with Timeout(40), Timeout(30) as middle:
        with pytest.raises(Timeout) as caught, Timeout(0.002) as inner:
            green.sleep(30)
        assert caught.value is inner and middle.pending
    assert not middle.pending
    with pytest.raises(Timeout) as caught, Timeout(0.002) as outer, Timeout(30, False):
        green.sleep(30)
    assert caught.value is outer


def test_it_hits_only_the_greenlet_that_made_it(hub: Hub) -> None:
    def work() -> str:
        with Timeout(0.005, False):
            green.sleep(30)
        return "timed out"

    other = green.spawn(green.sleep, 0.01)
    assert green.spawn(work).get() == "timed out"
    other.get()


def test_it_hits_nobody_when_its_greenlet_has_ended(hub: Hub) -> None:
    timeouts: list[Timeout] = []
    green.spawn(lambda: timeouts.append(Timeout(0.002))).join()
    green.sleep(0.005)
    assert not timeouts[0].pending


def test_with_timeout_returns_a_value_instead(hub: Hub) -> None:
    assert with_timeout(1, lambda: 5) == 5
    assert with_timeout(0.002, green.sleep, 1, timeout_value="late") == "late"
    with pytest.raises(Timeout):
        with_timeout(0.002, green.sleep, 1)

    def inner() -> None:
        with Timeout(0.002):
            green.sleep(30)

    with pytest.raises(Timeout):  # not ours: no value
        with_timeout(1, inner, timeout_value="late")


def test_it_keeps_nothing_alive(hub: Hub) -> None:
    timeout = Timeout(100)
    ref = weakref.ref(timeout)
    timeout.cancel()
    del timeout
    gc.collect()
    assert ref() is None
    error = KeyError()
    timeout = Timeout(100, error)
    timeout.cancel()
    assert timeout.timer is None


def test_its_text_says_how_long(hub: Hub) -> None:
    texts = []
    for timeout in (Timeout(1), Timeout(2, False), Timeout(3, KeyError)):
        texts.append(str(timeout))
        assert "pending" in repr(timeout)
        timeout.cancel()
    assert texts == ["1 second", "2 seconds (silent)", "3 seconds (<class 'KeyError'>)"]
