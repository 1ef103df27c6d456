"""Objects as a sequence of calls sees them: what each may answer, and what follows from that."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tests.explore.histories import UNKNOWN, Call, Raised

__all__ = ["Barrier", "Counter", "Dict", "Event", "List", "Lock", "Queue", "Semaphore"]

LOST = Raised("LeaseLost")
NOBODY = ""


def _of_nobody(given: tuple[Any, ...]) -> list[Any]:
    """Return what is under way of the dead."""
    return [each for each in given if each[0] == NOBODY]


def _fits(call: Call, *possible: Any) -> bool:
    return call.result is UNKNOWN or any(
        type(call.result) is type(result) and call.result == result for result in possible
    )


class _Object:
    initial: Any = None

    def accept(self, state: Any, call: Call) -> list[Any]:
        if isinstance(call.result, Raised) and call.result.name == "ServerFull":
            return [state]  # "nothing was changed"
        method: Callable[[Any, Call], list[Any]] = getattr(self, call.name)
        return method(state, call)

    def forget(self, state: Any, call: Call) -> list[Any]:
        return [state]

    def dies(self, state: Any, call: Call) -> list[Any]:
        return [state]

    def lapses(self, state: Any, call: Call) -> list[Any]:
        """The lease of a client has run out."""
        return self.dies(state, call)


class Lock(_Object):
    """``(holder, levels, last token, who lost it)``; with ``levels`` an RLock."""

    initial = (None, 0, 0, frozenset())

    def __init__(self, is_recursive: bool = False) -> None:
        self._is_recursive = is_recursive

    def acquire(self, state: Any, call: Call) -> list[Any]:
        holder, levels, last, lost = state
        if holder == call.client and self._is_recursive:
            return [(holder, levels + 1, last, lost)] if _fits(call, last) else []
        if holder is not None:
            return []
        token = call.result
        if token is UNKNOWN:
            token = last
        elif type(token) is not int or token <= last:
            return []
        return [(call.client, 1, token, lost - {call.client})]

    def try_acquire(self, state: Any, call: Call) -> list[Any]:
        if call.result is None:
            return [state] if state[0] not in (None, call.client) else []
        return self.acquire(state, call)

    def release(self, state: Any, call: Call) -> list[Any]:
        holder, levels, last, lost = state
        if holder == call.client:
            left = (holder, levels - 1, last, lost) if levels > 1 else (None, 0, last, lost)
            return [left] if _fits(call, None) else []
        if call.client in lost:
            return [state] if _fits(call, LOST) else []
        return []

    def locked(self, state: Any, call: Call) -> list[Any]:
        return [state] if _fits(call, state[0] is not None) else []

    def dies(self, state: Any, call: Call) -> list[Any]:
        holder, levels, last, lost = state
        if holder != call.client:
            return [state]
        return [(None, 0, last, lost | {call.client})]

    def forget(self, state: Any, call: Call) -> list[Any]:
        holder, levels, last, lost = state
        if type(call.result) is int:  # it was granted: a token is not given twice
            return [(holder, levels, max(last, call.result), lost | {call.client})]
        return []  # who has released it does not have it, whatever the server says


class Semaphore(_Object):
    """``(free, what each client has, who lost some)``."""

    def __init__(self, value: int, is_bounded: bool = False) -> None:
        self._value, self._is_bounded = value, is_bounded
        self.initial = (value, (), frozenset())

    def acquire(self, state: Any, call: Call) -> list[Any]:
        free, has, lost = state
        if not free or not _fits(call, True):
            return []
        return [(free - 1, tuple(sorted([*has, call.client])), lost)]

    def try_acquire(self, state: Any, call: Call) -> list[Any]:
        if call.result is False:
            return [state] if not state[0] else []
        return self.acquire(state, call)

    def release(self, state: Any, call: Call) -> list[Any]:
        free, has, lost = state
        found = []
        if call.client in lost and _fits(call, LOST):
            found.append(state)
        if not _fits(call, None) or (self._is_bounded and free >= self._value):
            return found
        left = list(has)
        if call.client in left:
            left.remove(call.client)
        elif left and self._is_bounded:
            left.pop(0)
        return [*found, (free + 1, tuple(left), lost)]

    def dies(self, state: Any, call: Call) -> list[Any]:
        free, has, lost = state
        back = min(has.count(call.client), max(0, self._value - free))
        left = tuple(client for client in has if client != call.client)
        return [(free + back, left, lost | {call.client})]

    def forget(self, state: Any, call: Call) -> list[Any]:
        free, has, lost = state
        if call.result is True:
            return [(free, has, lost | {call.client})]
        # A signal is lost, as data is; but who has given a permit back does not have it.
        return [] if call.client in has else [state]


class Event(_Object):
    initial = False

    def set(self, state: Any, call: Call) -> list[Any]:
        return [True] if _fits(call, None) else []

    def clear(self, state: Any, call: Call) -> list[Any]:
        return [False] if _fits(call, None) else []

    def wait(self, state: Any, call: Call) -> list[Any]:
        return [state] if state and _fits(call, True) else []

    def is_set(self, state: Any, call: Call) -> list[Any]:
        return [state] if _fits(call, state) else []

    def announce(self, state: Any, call: Call) -> list[Any]:
        return self.set(state, call)

    def await_announcement(self, state: Any, call: Call) -> list[Any]:
        return self.wait(state, call)


class Barrier(_Object):
    """``(places that were given, whether somebody could not arrive)``, for two parties and one
    passing.
    """

    initial: Any = ((), False)

    def accept(self, state: Any, call: Call) -> list[Any]:
        if isinstance(call.result, Raised) and call.result.name == "ServerFull":
            return [(state[0], True)]
        return super().accept(state, call)

    def wait(self, state: Any, call: Call) -> list[Any]:
        # All arrive before one leaves: the calls overlap, so each may be put first.
        places, is_alone = state
        if call.result is UNKNOWN:
            return [] if is_alone else [state]
        if _fits(call, Raised("BrokenBarrierError")):
            return [state]
        if type(call.result) is int and call.result in (0, 1) and call.result not in places:
            return [((*places, call.result), is_alone)]
        return []

    def passed(self, state: Any, call: Call) -> list[Any]:
        return [state] if _fits(call, "all", "broken") else []


class Counter(_Object):
    initial = 0

    def add(self, state: Any, call: Call) -> list[Any]:
        return [state + 1] if _fits(call, state + 1) else []

    def look(self, state: Any, call: Call) -> list[Any]:
        return [state] if _fits(call, state) else []


class Dict(_Object):
    """Its items, sorted."""

    def __init__(self, **items: int) -> None:
        self.initial = tuple(sorted(items.items()))

    def _after(self, state: Any, call: Call, result: Any, **changes: Any) -> list[Any]:
        if not _fits(call, result):
            return []
        after = {**dict(state), **changes}
        return [tuple(sorted((k, v) for k, v in after.items() if v is not None))]

    def set(self, state: Any, call: Call) -> list[Any]:
        key, value = call.args
        return self._after(state, call, None, **{key: value})

    def pop(self, state: Any, call: Call) -> list[Any]:
        (key,) = call.args
        return self._after(state, call, dict(state).get(key), **{key: None})

    def setdefault(self, state: Any, call: Call) -> list[Any]:
        key, value = call.args
        value = dict(state).get(key, value)
        return self._after(state, call, value, **{key: value})

    def update(self, state: Any, call: Call) -> list[Any]:
        return self._after(state, call, None, **dict(call.args))

    def increment(self, state: Any, call: Call) -> list[Any]:
        (key,) = call.args
        value = dict(state).get(key, 0) + 1
        return self._after(state, call, value, **{key: value})

    def look(self, state: Any, call: Call) -> list[Any]:
        return [state] if _fits(call, state) else []


class List(_Object):
    def __init__(self, *items: int) -> None:
        self.initial = items

    def append(self, state: Any, call: Call) -> list[Any]:
        return [(*state, *call.args)] if _fits(call, None) else []

    def pop(self, state: Any, call: Call) -> list[Any]:
        if not state:
            return [state] if _fits(call, Raised("IndexError")) else []
        return [state[:-1]] if _fits(call, state[-1]) else []

    def look(self, state: Any, call: Call) -> list[Any]:
        return [state] if _fits(call, state) else []


class Queue(_Object):
    """``(items, under way to whom, how many are not done)``; first in, first out.

    What the dead had is under way to :data:`NOBODY`: it comes back when somebody has looked, which
    others may be served before.
    """

    def __init__(self, *items: str, maxsize: int = 0) -> None:
        self._maxsize = maxsize
        self.initial = (items, (), len(items))

    def put(self, state: Any, call: Call) -> list[Any]:
        items, given, unfinished = state
        if not _fits(call, None) or (self._maxsize and len(items) >= self._maxsize):
            return []
        return [((*items, *call.args), given, unfinished + 1)]

    def get(self, state: Any, call: Call) -> list[Any]:
        items, given, unfinished = state
        # What a consumer had before this one has been acknowledged, if this call has ended.
        others = [g for g in given if g[0] != call.client or call.result is UNKNOWN]
        is_told = call.result is not UNKNOWN
        found = []
        if items and _fits(call, items[0]):
            found.append((items[1:], (*others, (call.client, items[0], is_told)), unfinished))
        for back in _of_nobody(given):
            if _fits(call, back[1]):
                left = [g for g in others if g is not back]
                found.append((items, (*left, (call.client, back[1], is_told)), unfinished))
        return found

    def task_done(self, state: Any, call: Call) -> list[Any]:
        items, given, unfinished = state
        return [(items, given, unfinished - 1)] if unfinished and _fits(call, None) else []

    def join(self, state: Any, call: Call) -> list[Any]:
        return [state] if not state[2] and _fits(call, None) else []

    def drain(self, state: Any, call: Call) -> list[Any]:
        """All that is left, by somebody who comes last."""
        items, given, _ = state
        orders = {items}
        for back in _of_nobody(given):
            orders = {
                (*order[:at], back[1], *order[at:])
                for order in orders
                for at in range(len(order) + 1)
            }
        return [((), (), 0)] if any(_fits(call, order) for order in orders) else []

    def dies(self, state: Any, call: Call) -> list[Any]:
        """What a consumer got last comes back, or not: nobody knows whether it heard of it."""
        return self._lost(state, call, with_told=True)

    def lapses(self, state: Any, call: Call) -> list[Any]:
        return self._lost(state, call, with_told=False)

    def _lost(self, state: Any, call: Call, with_told: bool) -> list[Any]:
        items, given, unfinished = state
        mine = [g[1] for g in given if g[0] == call.client and (with_told or not g[2])]
        left = tuple(g for g in given if g[0] != call.client)
        return [
            (items, (*left, *((NOBODY, each, True) for each in back)), unfinished)
            for count in range(len(mine) + 1)
            for back in itertools.combinations(mine, count)
        ]

    def forget(self, state: Any, call: Call) -> list[Any]:
        return [] if call.name == "task_done" else [state]
