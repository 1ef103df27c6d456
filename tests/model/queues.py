"""Items of a queue under way to a consumer whose requests break off, at a server that goes back.

A consumer has a few lists on the server. An item moves to one, is handed to the caller, and then
acknowledged: the list is emptied. What may have been moved by a request that broke off goes back to
the queue, or is read again. See ``queue/settle``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.small import Rules

__all__ = ["RULES", "Queues"]

ITEMS, LISTS = "ab", 3

PUT_BACK = "settling puts back what was acknowledged"
ANY_LIST = "a list of which items went back counts as finished with"
UNDER_WAY = "a list with a request under way counts as finished with"
NOT_KEPT = "settling puts back what a caller has"
NOT_GIVEN_BACK = "what an interrupted call may have stays there"
RULES = (PUT_BACK, ANY_LIST, UNDER_WAY, NOT_KEPT, NOT_GIVEN_BACK)

FREE, ASKED, ANSWERED, HANDED, DOUBTFUL, RETIRED = range(6)


class Server(NamedTuple):
    """What is in the queue, and in each list of the consumer."""

    queue: str = ITEMS
    lists: tuple[str, ...] = ("",) * LISTS


class State(NamedTuple):
    """``stages``: of each list; ``undecided``: those of which items ever went back; ``ours``,
    ``theirs``: the items that callers of the consumer, and of another process, have got, ``seen``
    before the server went back; ``excused``: those that may come again; ``twice``: one that did,
    and may not.
    """

    server: Server = Server()
    saved: Server | None = None
    has_settled: bool = True
    stages: tuple[int, ...] = (FREE,) * LISTS
    undecided: frozenset[int] = frozenset()
    ours: str = ""
    theirs: str = ""
    seen: str = ""
    excused: str = ""
    twice: str = ""
    breaks: int = 2
    crashes: int = 1


class Queues(Rules):
    def first(self) -> State:
        return State()

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        for n, stage in enumerate(state.stages):
            yield from self._steps_of_list(state, n, stage)
        if FREE in state.stages and state.has_settled and not self._is_asking(state):
            yield "get", _at(state, state.stages.index(FREE), ASKED)
        if state.server.queue:
            item, server = state.server.queue[0], state.server
            server = server._replace(queue=server.queue[1:])
            if item not in state.theirs:
                yield "another gets", _deliver(state._replace(server=server), item, is_ours=False)
        if state.crashes and state.saved is None:
            yield "save", state._replace(saved=state.server)
        if state.saved is not None:
            yield "go back", self._go_back(state)
        if not state.has_settled and not self._is_asking(state):
            yield "settle", self._settle(state)

    def _is_asking(self, state: State) -> bool:
        return ASKED in state.stages or ANSWERED in state.stages

    def _steps_of_list(self, state: State, n: int, stage: int) -> Iterator[tuple[str, State]]:
        server = state.server
        items = server.lists[n]
        if stage == ASKED:
            moved = _with_list(server._replace(queue=server.queue[1:]), n, server.queue[:1])
            yield "execute", _at(state._replace(server=moved), n, ANSWERED)
        if stage == ANSWERED:
            if items:
                yield "hear", _deliver(_at(state, n, HANDED), items, is_ours=True)
            else:
                yield "hear", _at(state, n, FREE)
        if stage in (ASKED, ANSWERED) and state.breaks:
            yield "break", _doubt(state._replace(breaks=state.breaks - 1), n)
        if stage == HANDED and state.has_settled:
            emptied = state._replace(server=_with_list(server, n, ""))
            yield "acknowledge", _at(emptied, n, FREE)
        if stage == DOUBTFUL and state.has_settled:
            if items and NOT_GIVEN_BACK not in self._left_out:
                yield "read again", _deliver(_at(state, n, HANDED), items, is_ours=True)
            if NOT_GIVEN_BACK not in self._left_out:
                server = _put_back(server, n)
            yield "put back", _at(state._replace(server=server), n, FREE)

    def _go_back(self, state: State) -> State:
        assert state.saved is not None
        for n, stage in enumerate(state.stages):
            if stage in (ASKED, ANSWERED):
                state = _doubt(state, n)
        # What was delivered since comes again; and what another process had got may, which settles
        # for itself.
        return state._replace(
            server=state.saved,
            saved=None,
            crashes=0,
            has_settled=False,
            excused=state.excused + state.theirs + state.saved.queue,
            theirs="",
            seen=state.seen + state.theirs,
        )

    def _settle(self, state: State) -> State:
        server, stages = state.server, list(state.stages)
        excused = state.excused
        for n, stage in enumerate(stages):
            is_decided = n not in state.undecided or ANY_LIST in self._left_out
            if stage == HANDED and is_decided and NOT_KEPT not in self._left_out:
                continue
            is_finished = stage == FREE or (stage == DOUBTFUL and UNDER_WAY in self._left_out)
            is_decided = is_decided or (stage == DOUBTFUL and UNDER_WAY in self._left_out)
            if is_finished and is_decided and PUT_BACK not in self._left_out:
                server = _with_list(server, n, "")
            else:
                if n in state.undecided:
                    excused += server.lists[n]
                server = _put_back(server, n)
            stages[n] = RETIRED
        return state._replace(
            server=server, stages=tuple(stages), has_settled=True, excused=excused
        )

    def wrong(self, state: State) -> str:
        if state.twice:
            return TWICE
        if not state.has_settled:
            return ""
        server = state.server
        kept = "".join(
            items for items, stage in zip(server.lists, state.stages, strict=True) if stage > FREE
        )
        for item in ITEMS:
            if item not in state.ours + state.theirs + state.seen + server.queue + kept:
                return LOST
        return ""


TWICE = "an item comes twice"
LOST = "an item is lost"


def _at(state: State, n: int, stage: int) -> State:
    stages = (*state.stages[:n], stage, *state.stages[n + 1 :])
    return state._replace(stages=stages)


def _doubt(state: State, n: int) -> State:
    return _at(state, n, DOUBTFUL)._replace(undecided=state.undecided | {n})


def _with_list(server: Server, n: int, items: str) -> Server:
    return server._replace(lists=(*server.lists[:n], items, *server.lists[n + 1 :]))


def _put_back(server: Server, n: int) -> Server:
    return _with_list(server._replace(queue=server.lists[n] + server.queue), n, "")


def _deliver(state: State, item: str, *, is_ours: bool) -> State:
    if item in state.ours and item not in state.excused:
        state = state._replace(twice=item)
    if is_ours:
        return state._replace(ours="".join(sorted({*state.ours, item})))
    return state._replace(theirs="".join(sorted({*state.theirs, item})))
