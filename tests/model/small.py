"""A search through all states of a model that is small enough for Python, breadth first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple, Protocol, TypeVar

__all__ = ["Found", "Model", "Rules", "explore"]

S = TypeVar("S", bound=Hashable)


class Model(Protocol[S]):
    """A model of some rules, of which some may be left out."""

    def first(self) -> S:
        """Return the state in which it begins."""

    def steps(self, state: S) -> Iterator[tuple[str, S]]:
        """Yield what may happen, and the state that follows."""

    def wrong(self, state: S) -> str:
        """Return what is wrong in a state; nothing if all is right."""


class Rules:
    """The rules of a model, but for those that are left out."""

    def __init__(self, *left_out: str) -> None:
        self._left_out = left_out


class Found(NamedTuple):
    """``way``: the steps to the first state that is wrong, a shortest way."""

    states: int
    wrong: str
    way: list[str]


def explore(model: Model[S], goes_on: Callable[[S], bool] = lambda _: True) -> Found:
    """Look at each state that can be reached."""
    begin = model.first()
    reached: dict[S, tuple[str, S] | None] = {begin: None}
    waiting = deque([begin])
    while waiting:
        state = waiting.popleft()
        wrong = model.wrong(state)
        if wrong:
            return Found(len(reached), wrong, _way(reached, state))
        for step, after in model.steps(state):
            if after not in reached and goes_on(after):
                reached[after] = step, state
                waiting.append(after)
    return Found(len(reached), "", [])


def _way(reached: dict[S, tuple[str, S] | None], state: S) -> list[str]:
    way = []
    while (before := reached[state]) is not None:
        step, state = before
        way.append(step)
    return way[::-1]
