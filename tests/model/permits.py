"""Several permits at one place, and what others release of them.

The model in C has one element at a place. Where there are more, a move out of it is not idempotent,
and ``release()`` of another process leaves a mark for each: see *Several at one place* in
docs/holds.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.small import Rules

__all__ = ["RULES", "Permits"]

N = 3

AGAIN = "a release that may have been executed is sent again"
LEFT = "what an interrupted take may have moved stays there"
KEPT = "settling keeps what is not known"
UNMARKED = "what others released is not marked"
RULES = (AGAIN, LEFT, KEPT, UNMARKED)


class Server(NamedTuple):
    """``marks``: how many of the place others have released. ``others``: what they hold."""

    free: int = N
    place: int = 0
    marks: int = 0
    others: int = 0


class State(NamedTuple):
    """``count``: permits that this process believes to have, ``seen`` marks it knows of.
    ``request``: under way; ``is_done``: executed, with the answer ``found``; ``broken``: which does
    not arrive.
    """

    server: Server = Server()
    saved: Server | None = None
    has_settled: bool = True
    count: int = 0
    seen: int = 0
    request: str = ""
    is_done: bool = False
    found: bool = False
    broken: bool = False
    is_undone: bool = False
    wrong: str = ""
    breaks: int = 2
    crashes: int = 1
    frees: int = 1


class Permits(Rules):
    def first(self) -> State:
        return State()

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        yield from self._requests(state)
        yield from self._others(state)
        yield from self._faults(state)
        if not state.has_settled and (state.broken or not state.request):
            yield "settle", self._settle(state)
        if state.broken and state.has_settled:
            yield "recover", self._recover(state)

    def _requests(self, state: State) -> Iterator[tuple[str, State]]:
        server = state.server
        if not state.request and state.has_settled:
            if state.count < N - 1:
                yield "take", state._replace(request="take")
            if state.count:
                yield "release", state._replace(request="release")
        if state.request and not (state.is_done or state.broken):
            if state.request == "take":
                found, moved = server.free > 0, _moved(server, -(server.free > 0))
            else:
                found, moved = server.place > 0, _moved(server, server.place > 0)
            yield "execute", state._replace(server=moved, is_done=True, found=found)
        if state.is_done and not state.broken and state.has_settled:
            yield "hear", self._hear(state)

    def _hear(self, state: State) -> State:
        was_found, request = state.found, state.request
        state = state._replace(request="", is_done=False, found=False)
        if request == "take":
            return state._replace(count=state.count + was_found)
        if was_found:
            return state._replace(count=state.count - 1)
        if state.server.marks > state.seen:
            return state._replace(count=state.count - 1, seen=state.seen + 1)
        return state._replace(count=0, wrong=LOST)

    def _recover(self, state: State) -> State:
        """The connection had broken: what lies at the place and is not known goes back. A release
        of the last permit there may be sent again: it can find no other one.
        """
        count = max(state.count - (state.request == "release"), 0)
        if state.request == "release" and (AGAIN in self._left_out or not count):
            server = _moved(state.server, state.server.place > 0)
        elif state.request == "take" and LEFT in self._left_out:
            server = state.server
        else:
            server, _ = _trimmed(state.server, count, state.seen)
        if not count:  # others' marks are forgotten with the place
            server = server._replace(marks=0)
        seen = state.seen if count else 0
        return state._replace(
            server=server, count=count, seen=seen, request="", is_done=False, broken=False
        )

    def _settle(self, state: State) -> State:
        server, missing = _trimmed(state.server, state.count, state.seen)
        if KEPT in self._left_out:
            server = state.server
        if not state.count:
            server = server._replace(marks=0)
        return state._replace(server=server, count=state.count - missing, has_settled=True)

    def _others(self, state: State) -> Iterator[tuple[str, State]]:
        server = state.server
        if server.free:
            moved = server._replace(free=server.free - 1, others=server.others + 1)
            yield "another takes", state._replace(server=moved)
        if server.others:
            moved = server._replace(free=server.free + 1, others=server.others - 1)
            yield "another releases", state._replace(server=moved)
        if server.place and state.frees:
            marks = server.marks + (UNMARKED not in self._left_out)
            moved = _moved(server, 1)._replace(marks=marks)
            yield "another releases ours", state._replace(server=moved, frees=state.frees - 1)

    def _faults(self, state: State) -> Iterator[tuple[str, State]]:
        if state.request and not state.broken and state.breaks:
            yield "break", state._replace(broken=True, breaks=state.breaks - 1)
        if state.crashes and state.saved is None:
            yield "save", state._replace(saved=state.server)
        if state.saved is not None:
            after = state._replace(
                server=state.saved,
                saved=None,
                crashes=0,
                has_settled=False,
                broken=bool(state.request),
                is_undone=True,
            )
            yield "go back", after

    def wrong(self, state: State) -> str:
        if state.wrong and not state.is_undone:
            return state.wrong
        server = state.server
        if server.free + server.place + server.others != N:
            return "S2: permits lost or doubled"
        if state.request or not state.has_settled:
            return ""
        believed = max(state.count - max(server.marks - state.seen, 0), 0)
        if believed > server.place:
            return NOT_THERE
        return GHOST if believed < server.place else ""


LOST = "S5: what a living process had is lost"
NOT_THERE = "S1: it believes to have what the server does not know"
GHOST = "S3: a permit that nobody knows of"


def _moved(server: Server, back: int) -> Server:
    return server._replace(free=server.free + back, place=server.place - back)


def _trimmed(server: Server, count: int, seen: int) -> tuple[Server, int]:
    """Return what ``hold/recover`` and ``hold/settle`` make of it, and how many are missing."""
    wanted = max(count - max(server.marks - seen, 0), 0)
    beyond = max(server.place - wanted, 0)
    return _moved(server, beyond), max(wanted - server.place, 0)
