"""A table of cases as one test: for rows by the dozen that take microseconds each.

A test of its own costs some milliseconds however little it does, in each worker, since all of them
collect it.  Rows that need a server share one by the fixture `serve_in_turn`; what takes time stays
with pytest.mark.parametrize.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

Test = Callable[..., None]


def table(
    names: str | tuple[str, ...], rows: Iterable[Any], *, ids: Iterable[Any] | Callable[[Any], str] = repr
) -> Callable[[Test], Test]:
    """As pytest.mark.parametrize, but one test that tries every row and names all that fail.

    A row may have its name by pytest.param.
    """
    listed = list(rows)
    called = [ids(row) for row in listed] if callable(ids) else [str(each) for each in ids]
    keys = (names,) if isinstance(names, str) else names
    for at, row in enumerate(listed):
        if isinstance(row, type(pytest.param())):
            assert not row.marks, "a mark would be lost"
            listed[at] = row.values[0] if isinstance(names, str) else row.values
            called[at] = row.id or called[at]
    assert listed and len(listed) == len(called), "a name for each row, and a row at least"

    def decorate(test: Test) -> Test:
        signature = inspect.signature(test)

        @functools.wraps(test)
        def try_all(**fixtures: Any) -> None:
            wrong: dict[str, BaseException] = {}
            for name, row in zip(called, listed, strict=True):
                values = (row,) if isinstance(names, str) else row
                try:
                    test(**dict(zip(keys, values, strict=True)), **fixtures)
                except (Exception, pytest.fail.Exception) as error:
                    wrong[name] = error
            if wrong:
                told = "\n".join(f"{name}: {error}" for name, error in wrong.items())
                raise AssertionError(f"{len(wrong)} of {len(listed)} rows\n{told}") from next(
                    iter(wrong.values())
                )

        left = [each for each in signature.parameters.values() if each.name not in keys]
        try_all.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return try_all

    return decorate
