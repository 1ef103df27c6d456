"""The name among the arguments of a factory."""

from __future__ import annotations

from typing import Any, TypeVar, cast

__all__ = ["leading_name", "name_and"]

P = TypeVar("P")


def name_and(
    parameter: str, first: str | P | None, value: P | None, name: str | None
) -> tuple[str | None, P | None]:
    """Return the name and the parameter, of which the first argument may be either."""
    if isinstance(first, str) and name is None:
        return first, value
    if first is None:
        return name, value
    if value is not None:
        raise TypeError(f"takes a name and {parameter}, not {first!r} and {value!r}")
    return name, cast(P, first)


def leading_name(
    args: tuple[Any, ...], first_is_name: bool, name: str | None = None
) -> tuple[str | None, tuple[Any, ...]]:
    """Return the name and the other arguments: a leading str is the name where names come first."""
    if first_is_name and name is None and args and isinstance(args[0], str):
        return args[0], args[1:]
    return name, args
