"""One schedule: clients that are let go on one request at a time, and what came of it."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable

from tests.explore.clients import Client, Said
from tests.explore.faults import FAULTS, Fault
from tests.explore.gate import Gate, Wire, line_of
from tests.explore.histories import Call, Raised, explain
from tests.explore.scenarios import Scenario
from tests.explore.schedules import Schedule
from tests.support.server import Server

__all__ = ["Outcome", "Run", "Stuck"]

LONGEST = 300  # steps
OBSERVER, HOST = "Z", "H"
ANSWER_SECONDS = 1.0  # for a host


class Stuck(Exception):
    """Nobody goes on."""


class NotRepeatable(Exception):
    """A client does something else than in the schedule."""


@dataclasses.dataclass
class Outcome:
    """``choices``: who could be served in each step, and who was."""

    schedule: Schedule
    choices: list[tuple[str, str]]
    has_fired: bool
    problem: str | None
    trace: list[str]
    calls: list[Call]

    @property
    def order(self) -> str:
        return "".join(chosen for _, chosen in self.choices)


class Run:
    """One schedule, carried out."""

    def __init__(self, server: Server, scenario: Scenario, schedule: Schedule) -> None:
        self.server = server
        self.scenario = scenario
        self.schedule = schedule
        self.fault: Fault = FAULTS[schedule.fault](self)
        self.gate = Gate(server.url)
        self.steps = dict(zip("ABC", scenario.clients, strict=False)) | {OBSERVER: scenario.last}
        self.clients: dict[str, Client] = {}
        self._observer: Client | None = None
        self._host: Client | None = None
        self.ghosts: dict[str, Wire] = {}
        """What is still under way of a connection that the client has given up."""
        self.away: set[str] = set()
        """Clients that hear of nothing for a while."""
        self.calls: list[Call] = []
        self.trace: list[str] = []
        self.has_fired = False
        self._choices: list[tuple[str, str]] = []
        self._current: dict[str, Call] = {}
        self._ready: set[str] = set()
        self._done: set[str] = set()
        self._clock = 0

    def run(self) -> Outcome:
        """Carry it out from beginning to end."""
        problem = None
        try:
            self._start()
            self._begin()
            self._serve()
            self._look_last()
            problem = explain(self.calls, self.scenario.specification)
        except Stuck as stuck:
            # It may be that they wait for somebody who was killed, or could not do its part.
            problem = explain(self.calls, self.scenario.specification, hang=True)
            problem = problem and f"{stuck}\n  {problem}"
        except NotRepeatable as changed:
            problem = f"not repeatable: {changed}"
        finally:
            for client in [*self.clients.values(), *filter(None, [self._observer, self._host])]:
                client.close()
            self.gate.close()
        return Outcome(
            self.schedule, self._choices, self.has_fired, problem, self.trace, self.calls
        )

    # clients

    def _start(self) -> None:
        if self.scenario.kind.serve is not None:
            url = self.gate.open_door(HOST, free=True)
            self._host = Client(HOST, url, self.scenario.kind.serve)
            self.gate.watch(self._host.pipe, functools.partial(self._hear, self._host))
            self.wait_until(lambda: HOST in self._ready, "the host is ready")
            self._ready.discard(HOST)
        for letter, steps in self.steps.items():
            is_observer = letter == OBSERVER
            settings = {} if is_observer else self.fault.settings
            url = self.gate.open_door(letter, free=is_observer)
            work = self.scenario.work(steps, **settings)
            self.clients[letter] = client = Client(letter, url, work)
            self.gate.watch(client.pipe, functools.partial(self._hear, client))
        self.wait_until(lambda: len(self._ready) == len(self.clients), "all clients are ready")
        self._observer = self.clients.pop(OBSERVER)

    def _hear(self, client: Client) -> None:
        for said in client.read():
            self._note(client, said)

    def _note(self, client: Client, said: Said) -> None:
        letter = client.letter
        if said[0] == "gone":
            self.gate.unwatch(client.pipe)
            self._done.add(letter)
        elif said[0] == "ready":
            self._ready.add(letter)
        elif said[0] == "done":
            self._done.add(letter)
        elif said[0] == "call":
            name, *args = self.steps[letter][said[1]]
            call = Call(letter, str(name), tuple(args), begin=self.tick())
            self._current[letter] = call
            self.calls.append(call)
            self.say(f"   {letter} calls {name}{tuple(args)!r}")
        else:
            call = self._current[letter]
            call.result = said[2] if said[0] == "return" else Raised(*said[2:])
            call.end = self.tick()
            self.say(f"   {letter} {call.name} -> {call.result!r}")

    def tick(self) -> int:
        """Return the time: it goes on with each event."""
        self._clock += 1
        return self._clock

    def current_call(self, letter: str) -> Call | None:
        """Return the call that a client made last."""
        return self._current.get(letter)

    def happens(self, letter: str, name: str) -> None:
        """From now on something may befall a client."""
        self.calls.append(Call(letter, name, begin=self.tick(), is_event=True))

    def say(self, line: str) -> None:
        self.trace.append(line)

    # going on

    def _begin(self) -> None:
        self.gate.holds = True
        self.away.update(self.clients)  # until they start
        for letter, client in self.clients.items():
            self.away.discard(letter)
            client.start()
            self._settle()

    def _serve(self) -> None:
        while True:
            self._settle()
            enabled = self._enabled()
            if enabled:
                if len(self._choices) >= LONGEST:
                    raise NotRepeatable(f"does not end within {LONGEST} steps")
                actor = self._choose(enabled)
                self._choices.append((enabled, actor))
                self._step(actor)
            elif self.fault.pass_time():
                continue
            elif self._all_ended():
                return
            else:
                self.wait_until(
                    lambda: self._enabled() or self._busy() or self._all_ended(),
                    "somebody goes on",
                )

    def _choose(self, enabled: str) -> str:
        position = len(self._choices)
        if position < len(self.schedule.order):
            wanted = self.schedule.order[position]
            if wanted not in enabled:
                raise NotRepeatable(f"step {position} is {wanted}'s, but {enabled} wait")
            return wanted
        if self._choices and self._choices[-1][1] in enabled:
            return self._choices[-1][1]
        return enabled[0]

    def _step(self, actor: str) -> None:
        position = len(self._choices) - 1
        if actor.islower():
            wire = self.ghosts[actor.upper()]
            self.say(f"{position:3} late {actor.upper()}: {line_of(wire.requests[0][1])}")
            self.gate.forward(wire)
            self.flush()
            if not wire.requests:
                del self.ghosts[actor.upper()]
            return
        wire = self.gate.next_wire(actor)
        assert wire is not None
        self.say(f"{position:3} {actor}: {line_of(wire.requests[0][1])}")
        if position == self.schedule.point and self.schedule.fault != "none":
            self.has_fired = True
            self.say(f"    here: {self.schedule.fault}")
            self.fault.befall(self.clients[actor], wire)
        else:
            self.fault.before_step(actor)
            self.gate.forward(wire)
            self.flush()
            self.fault.after_step(actor)

    def flush(self) -> None:
        """Wait until the server has executed what it was sent, and handle its replies.

        Twice: a reply to the first may leave it before those to others that came before.
        """
        for _ in range(2):
            self.server.command("PING")
        while self.gate.pump(0):
            pass

    def _enabled(self) -> str:
        letters = [
            letter for letter, client in sorted(self.clients.items()) if self._can_go(client)
        ]
        return "".join(letters + [letter.lower() for letter in sorted(self.ghosts)])

    def _can_go(self, client: Client) -> bool:
        return (
            client.is_alive
            and not client.is_stopped
            and self.gate.next_wire(client.letter) is not None
        )

    def _has_ended(self, client: Client) -> bool:
        return not client.is_alive or client.letter in self._done

    def _all_ended(self) -> bool:
        return all(self._has_ended(client) for client in self.clients.values())

    def _busy(self) -> list[str]:
        """Return who is expected to do something at any moment."""
        busy = []
        for letter, client in self.clients.items():
            if self._has_ended(client) or client.is_stopped or self.gate.next_wire(letter):
                self.away.discard(letter)
            elif letter not in self.away and not self.gate.is_waiting(letter):
                busy.append(letter)
        return busy

    def _settle(self) -> None:
        self.wait_until(lambda: not self._busy(), "all clients have sent something, or wait")
        if self._host is not None:
            self._await_host()
        while self.gate.pump(0):
            pass

    def _await_host(self) -> None:
        """Give the host time to answer: it is not served by turns."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while any(map(self.gate.is_waiting, self.clients)) and time.monotonic() < deadline:
            self.gate.pump(0.05)
        self.wait_until(lambda: not self._busy(), "all clients have sent something, or wait")

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Handle what comes until something is so."""
        patience = self.fault.patience
        deadline = time.monotonic() + patience
        while True:
            while self.gate.pump(0):
                pass
            if condition():
                return
            if not self.gate.pump(0.1) and time.monotonic() > deadline:
                waiting = [l for l, c in self.clients.items() if not self._has_ended(c)]
                raise Stuck(f"not within {patience:g} s: {what} (still there: {' '.join(waiting)})")

    def _look_last(self) -> None:
        assert self._observer is not None
        self.gate.holds = False
        self._observer.start()
        self.wait_until(lambda: OBSERVER in self._done, "who comes last ends")
