"""Is there an order of the calls in which each result is right?

A history is what the clients have been told: each call with its begin, its end and its result, in
the order in which the explorer heard of them. It is right if the calls can be put in an order such
that each stands between its begin and its end, and the object, as its specification has it
(:mod:`tests.explore.objects`), gives each the result that it had.

A call whose end nobody heard of has been carried out, or not. A call that a server forgot, which
went back behind its reply, may have been in vain.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol

__all__ = ["UNKNOWN", "Call", "Raised", "Specification", "explain"]


@dataclasses.dataclass(frozen=True)
class Raised:
    """The result of a call that raised."""

    name: str
    text: str = dataclasses.field(default="", compare=False)

    def __repr__(self) -> str:
        return f"{self.name}({self.text!r})" if self.text else self.name


class _Unknown:
    def __repr__(self) -> str:
        return "?"


UNKNOWN = _Unknown()
"""The result of a call that did not end, as far as anybody heard."""


@dataclasses.dataclass
class Call:
    """A call of a client, or what happens to one (``dies``, ``lapses``: these need not happen)."""

    client: str
    name: str
    args: tuple[Any, ...] = ()
    begin: int = 0
    end: float = math.inf
    result: Any = UNKNOWN
    may_be_forgotten: bool = False
    is_event: bool = False

    @property
    def is_optional(self) -> bool:
        return self.is_event or self.result is UNKNOWN

    def __str__(self) -> str:
        args = ", ".join(map(repr, self.args))
        forgotten = ", perhaps forgotten by the server" if self.may_be_forgotten else ""
        if self.is_event:
            return f"{self.client} {self.name} [{self.begin}]"
        end = "" if self.end == math.inf else f"{self.end:g}"
        return (
            f"{self.client} {self.name}({args}) -> {self.result!r} [{self.begin}, {end}]{forgotten}"
        )


class Specification(Protocol):
    """An object as a sequence of calls sees it. States are immutable."""

    @property
    def initial(self) -> Any: ...

    def accept(self, state: Any, call: Call) -> list[Any]:
        """Return the states that may follow a call with the result that it had; none if it cannot
        have that result here.
        """

    def forget(self, state: Any, call: Call) -> list[Any]:
        """Return the states that may follow a call whose effect was lost, though it returned."""


def explain(calls: list[Call], specification: Specification, *, hang: bool = False) -> str | None:
    """Return None if there is an order of the calls, else what was tried in vain.

    With ``hang`` those that have not ended wait for ever, so it has to be an order behind which
    none of them can go on, and whatever befell a client has happened.
    """
    ended = [call for call in calls if not (hang and _hangs(call, calls))]
    waiting = [call for call in calls if call not in ended]
    seen: set[Any] = set()
    deepest: list[Call] = []

    def may_stop(left: frozenset[int], state: Any) -> bool:
        for i in left:
            if not ended[i].is_optional or (hang and ended[i].is_event):
                return False
        return not any(specification.accept(state, call) for call in waiting)

    def search(left: frozenset[int], state: Any, done: list[Call]) -> bool:
        nonlocal deepest
        if len(done) > len(deepest):
            deepest = list(done)
        if may_stop(left, state):
            return True
        if not left or (left, state) in seen:
            return False
        seen.add((left, state))
        first_end = min(ended[i].end for i in left)
        for i in left:
            call = ended[i]
            if call.begin > first_end:
                continue
            following = list(specification.accept(state, call))
            if call.may_be_forgotten:
                following += specification.forget(state, call)
            for after in following:
                if search(left - {i}, after, [*done, call]):
                    return True
        return False

    if search(frozenset(range(len(ended))), specification.initial, []):
        return None
    rest = [call for call in ended if call not in deepest and not call.is_optional]
    lines = ["no order of the calls explains their results; possible is", *map(str, deepest)]
    lines += ["but then not", *map(str, rest)] if rest else []
    lines += ["and nobody waits any more in", *map(str, waiting)] if waiting else []
    return "\n  ".join(lines)


def _hangs(call: Call, calls: list[Call]) -> bool:
    """Return whether it is still under way: its client has not been killed."""
    is_dead = any(c.is_event and c.client == call.client and c.name == "dies" for c in calls)
    return call.result is UNKNOWN and not call.is_event and not is_dead
