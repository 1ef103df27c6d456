"""Parties of a barrier, at a server that goes back over their arrivals and the ends of generations.

Two parties make a generation; of three processes any two may. One that waits is told how its
generation ended, or asks. See ``barrier/settle`` and ``lib/catch_up``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tests.model.small import Rules

__all__ = ["RULES", "Barriers"]

PARTIES, PROCESSES, ROUNDS = 2, 3, 2

FORGOTTEN = "a party that waits does not arrive again"
OF_OTHERS = "a party that was forgotten passes with others"
STILL_COUNTED = "settling does not tell which generation has ended"
LET_PASS = "those that wait for an earlier generation are let pass"
RULES = (FORGOTTEN, OF_OTHERS, STILL_COUNTED, LET_PASS)

OPEN, BROKEN = "open", "broken"
NEVER = -1


class Server(NamedTuple):
    """``waiting``: who has arrived in the generation that fills; ``known``: who has in which
    other, and was not told of its end; ``ends``: how these ended.
    """

    generation: int = 0
    waiting: frozenset[int] = frozenset()
    known: frozenset[tuple[int, int]] = frozenset()
    ends: frozenset[tuple[int, str]] = frozenset()


class Process(NamedTuple):
    """``waits``: for which generation; ``ended``: the last one of which it knows the end;
    ``passed``: all that it ever did.
    """

    waits: int = NEVER
    ended: int = NEVER
    passed: frozenset[int] = frozenset()
    has_settled: bool = True
    rounds: int = ROUNDS


class State(NamedTuple):
    """``excused``: generations that ended again while one that knew of the end had not settled:
    until then nobody can know.
    """

    server: Server = Server()
    saved: Server | None = None
    processes: tuple[Process, ...] = (Process(),) * PROCESSES
    excused: frozenset[int] = frozenset()
    crashes: int = 1


class Barriers(Rules):
    def first(self) -> State:
        return State()

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        for n, process in enumerate(state.processes):
            if not process.has_settled:
                yield f"{n} settles", self._settle(state, n)
            elif process.waits == NEVER:
                if process.rounds:
                    yield f"{n} arrives", self._arrive(state, n)
            elif process.waits < state.server.generation:
                own = n, process.waits
                is_known = own in state.server.known or OF_OTHERS in self._left_out
                yield f"{n} is told", _told(state, n, is_known=is_known)
        if state.crashes and state.saved is None:
            yield "save", state._replace(saved=state.server)
        if state.saved is not None:
            processes = tuple(each._replace(has_settled=False) for each in state.processes)
            yield "go back", State(state.saved, None, processes, frozenset(), 0)

    def _arrive(self, state: State, n: int) -> State:
        generation = state.server.generation
        process = state.processes[n]
        process = process._replace(waits=generation, rounds=process.rounds - 1)
        return _counted(_with(state, n, process), n)

    def _settle(self, state: State, n: int) -> State:
        process, server = state.processes[n], state.server
        ended = NEVER if STILL_COUNTED in self._left_out else process.ended
        current = max(ended + 1, process.waits)
        if current > server.generation:
            others = server.waiting - {n}
            ends = {(server.generation, OPEN if LET_PASS in self._left_out else BROKEN)}
            earlier = {each for each in server.ends if each[0] < server.generation}
            known = {each for each in server.known if each[0] != n}
            known |= {(each, server.generation) for each in others}
            server = Server(
                current,
                frozenset(),
                frozenset(known),
                frozenset(earlier | (ends if others else set())),
            )
        state = _with(state._replace(server=server), n, process._replace(has_settled=True))
        is_missing = process.waits == server.generation and n not in server.waiting
        if is_missing and FORGOTTEN not in self._left_out:
            return _counted(state, n)
        return state

    def wrong(self, state: State) -> str:
        passed = Counter(each for process in state.processes for each in process.passed)
        if any(passed[each] > PARTIES and each not in state.excused for each in passed):
            return TOO_MANY
        server = state.server
        for n, process in enumerate(state.processes):
            is_counted = process.waits < server.generation or n in server.waiting
            if process.has_settled and process.waits != NEVER and not is_counted:
                return HANGS
        return ""


TOO_MANY = "a party passes by those that have passed"
HANGS = "a party waits and is not counted"


def _with(state: State, n: int, process: Process) -> State:
    processes = (*state.processes[:n], process, *state.processes[n + 1 :])
    return state._replace(processes=processes)


def _counted(state: State, n: int) -> State:
    """One more has arrived: the last one passes at once."""
    server = state.server
    if len(server.waiting) + 1 < PARTIES:
        return state._replace(server=server._replace(waiting=server.waiting | {n}))
    ends = server.ends | {(server.generation, OPEN)}
    known = server.known | {(each, server.generation) for each in server.waiting}
    is_excused = any(
        each.ended >= server.generation and not each.has_settled for each in state.processes
    )
    state = state._replace(
        server=Server(server.generation + 1, frozenset(), known, ends),
        excused=state.excused | ({server.generation} if is_excused else set()),
    )
    return _told(state, n, is_known=True)


def _told(state: State, n: int, *, is_known: bool) -> State:
    process, server = state.processes[n], state.server
    # Of one that nobody knows any more it is told that it broke.
    is_open = is_known and (process.waits, OPEN) in server.ends
    passed = process.passed | ({process.waits} if is_open else set())
    ended = max(process.ended, process.waits)
    known = frozenset(each for each in server.known if each[0] != n)
    state = state._replace(server=server._replace(known=known))
    return _with(state, n, process._replace(waits=NEVER, ended=ended, passed=passed))
