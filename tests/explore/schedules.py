"""A schedule: whose turn it is, and what goes wrong. It has a number, by which it is run again."""

from __future__ import annotations

import dataclasses

__all__ = ["FAULTS", "Schedule"]

FAULTS = (
    "none",
    "cut before",
    "cut after",
    "late",
    "half open",
    "cut off",
    "suspended",
    "suspended past its lease",
    "killed",
    "restarted",
    "gone back",
    "full",
    "cut, then full",
    "refused",
)
"""In the order of their numbers: a new one comes last."""

ACTORS = "ABCabc"
"""Clients, and what is still under way of a client's broken connection."""

BASE = 8  # of the digits that stand for actors
POINTS = 256
FAULT_NUMBERS = 32


@dataclasses.dataclass(frozen=True)
class Schedule:
    """``order``: who is served in each of the first steps; behind them each goes on for as long as
    it can. The fault befalls the request of step ``point``.
    """

    order: str = ""
    fault: str = "none"
    point: int = 0

    @property
    def number(self) -> int:
        """Number of the schedule, the same for ever."""
        order = 1
        for actor in self.order:
            order = order * BASE + ACTORS.index(actor)
        return (order * POINTS + self.point) * FAULT_NUMBERS + FAULTS.index(self.fault)

    @classmethod
    def numbered(cls, number: int) -> Schedule:
        """Return the schedule with a number."""
        number, fault = divmod(number, FAULT_NUMBERS)
        code, point = divmod(number, POINTS)
        order = ""
        while code > 1:
            code, digit = divmod(code, BASE)
            order = ACTORS[digit] + order
        return cls(order, FAULTS[fault], point)

    def __str__(self) -> str:
        fault = "" if self.fault == "none" else f", {self.fault} at step {self.point}"
        return f"#{self.number} (order {self.order or '-'}{fault})"
