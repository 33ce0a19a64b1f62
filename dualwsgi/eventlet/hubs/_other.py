"""The hubs that eventlet has and this one does not: names for programs that ask which is in use."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["other_hub"]


def other_hub(name: str) -> Any:
    """A class Hub that nothing is an instance of."""

    class Hub:
        def __new__(cls, *args: object, **kwargs: object) -> NoReturn:
            raise NotImplementedError(f"the {name} hub cannot be used: dualwsgi has one hub")

    Hub.__module__ = f"{__name__.rpartition('.')[0]}.{name}"
    return Hub
