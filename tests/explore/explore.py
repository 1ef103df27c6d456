"""All schedules of a scenario, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.explore.run import Outcome
from tests.explore.schedules import POINTS, Schedule

__all__ = ["orders", "schedules_of"]

Carry = Callable[[Schedule], Outcome]


def orders(carry: Carry, fault: str, point: int, bound: int | None) -> Iterator[Outcome]:
    """Yield the outcome of each order of requests in which the fault befalls step ``point``.

    In an order with ``bound`` no more than so many clients are made to wait though they could have
    gone on.
    """
    open_ = [""]
    while open_:
        order = open_.pop()
        outcome = carry(Schedule(order, fault, point))
        yield outcome
        for position in range(len(order), len(outcome.choices)):
            enabled, chosen = outcome.choices[position]
            before = outcome.order[:position]
            most = position + 1 if bound is None else bound
            others = [before + other for other in enabled if other != chosen]
            open_ += [order for order in others if _interruptions(outcome, order) <= most]


def _interruptions(outcome: Outcome, order: str) -> int:
    """Return how often somebody is made to wait who could go on."""
    return sum(
        before != after and before in enabled
        for before, after, (enabled, _) in zip(order, order[1:], outcome.choices[1:], strict=False)
    )


def schedules_of(carry: Carry, fault: str, bound: int | None) -> Iterator[Outcome]:
    """Yield the outcomes of all schedules with a fault: at each step, in each order."""
    if fault == "none":
        yield from orders(carry, fault, 0, bound)
        return
    for point in range(POINTS):
        has_fired = False
        for outcome in orders(carry, fault, point, bound):
            has_fired = has_fired or outcome.has_fired
            if outcome.has_fired or outcome.problem:
                yield outcome
        if not has_fired:
            return
