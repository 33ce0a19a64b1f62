"""The table of the kit: it tries every row, and one that fails is no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from table import table


def test_every_row_is_tried_with_the_fixtures_and_each_that_fails_is_named(tmp_path: Path) -> None:
    tried: list[tuple[int, Path]] = []

    @table(
        ("number", "square"),
        [(1, 1), pytest.param(2, 5, id="two"), (3, 9), (4, 0)],
        ids=["one", "its own is given", "three", "four"],
    )
    def squares(number: int, square: int, tmp_path: Path) -> None:
        tried.append((number, tmp_path))
        assert number**2 == square, "no square"
        if number == 4:
            pytest.fail("no more")

    with pytest.raises(AssertionError) as caught:
        squares(tmp_path=tmp_path)
    assert tried == [(number, tmp_path) for number in (1, 2, 3, 4)]
    first, *wrong = str(caught.value).splitlines()
    assert first == "2 of 4 rows"
    assert [line.partition(":")[0] for line in wrong if ": no square" in line] == ["two", "four"]
    assert "assert (2 ** 2) == 5" in str(caught.value)


@table("value", [1, 2])
def test_a_fixture_beside_the_rows_is_pytests(value: int, tmp_path: Path) -> None:
    assert value in (1, 2) and tmp_path.is_dir()
