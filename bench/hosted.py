"""The section on hosted objects: a registered class, called where its process is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from multiprocessing import get_context, managers
from typing import Any

from bench.catalogue import (
    HOSTED,
    HOSTED_CREATE,
    HOSTED_ERROR,
    HOSTED_LONG,
    HOSTED_NATIVE,
    Row,
    value,
)
from bench.contenders import import_multihost
from bench.measure import Plan, Samples, rehearse, take_turns

__all__ = ["hosted"]


class Counter:
    """What is hosted."""

    def __init__(self) -> None:
        self.number = 0

    def add(self, amount: int) -> int:
        """Return the sum."""
        self.number += amount
        return self.number

    def echo(self, thing: Any) -> Any:
        """Return what was given."""
        return thing

    def fail(self) -> None:
        """Raise something."""
        raise KeyError("missing")


def hosted(plan: Plan) -> Samples:
    """Measure calls to an object of the standard library's manager, and of ours."""
    samples = Samples()
    with contextlib.ExitStack() as stack:
        kinds: dict[str, Any] = {"stdlib": managers.BaseManager}
        if not import_multihost():
            import multihost.managers

            kinds["multihost"] = multihost.managers.BaseManager
        rows = {}
        for who, kind in kinds.items():
            cls = type("Hosting", (kind,), {})
            cls.register("Counter", Counter)
            cls.register("dict", dict, kind_of_dict(kind))
            rows[who] = rows_of(stack.enter_context(cls(ctx=get_context("fork"))))
        take_turns(rehearse(rows, 0, samples), plan)
    return samples


def kind_of_dict(kind: Any) -> Any:
    """Return the dict proxy that goes with a manager."""
    if kind is managers.BaseManager:
        return managers.DictProxy
    import multihost.managers

    return multihost.managers.DictProxy


def rows_of(manager: Any) -> Iterator[Row]:
    """Offer the rows."""
    counter, native, long = manager.Counter(), manager.dict({1: 2}), value(1) * 100
    yield Row(HOSTED, lambda _: counter.add(0))
    yield Row(HOSTED_LONG, lambda _: len(counter.echo(long)))
    yield Row(HOSTED_NATIVE, lambda _: native.get(1))

    def fail(_: int) -> object:
        try:
            counter.fail()
        except KeyError as error:
            return error.args
        return None

    yield Row(HOSTED_ERROR, fail)
    yield Row(HOSTED_CREATE, lambda _: manager.Counter().add(1))
