"""What goes wrong, each fault at the request of one step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from multihost.wire.wait import BLOCK_GRACE, MAX_BLOCK
from tests.explore.clients import Client
from tests.explore.gate import Wire

if TYPE_CHECKING:
    from tests.explore.run import Run

__all__ = ["FAULTS", "Fault"]

REPLY_SECONDS = 2.5  # how long a client waits for a reply: the gate, too, keeps others waiting
LEASE = 1.5  # where it is to run out
LONG = 300.0  # where it is not: who renews it takes a step more
AWAY = 3.0  # seconds for which somebody is cut off: more than the grace, less than any lease


class Fault:
    """None at all."""

    settings: ClassVar[dict[str, Any]] = {"lease": LONG, "timeout": 30.0}
    """Of the managers."""
    patience: ClassVar[float] = 30.0
    """Who does nothing for so many seconds hangs."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def befall(self, client: Client, wire: Wire) -> None:
        """Let it happen, at the first request of a connection."""
        raise NotImplementedError  # abstract: each fault below has its own

    def before_step(self, actor: str) -> None:
        """A request behind it is to be let go."""

    def after_step(self, actor: str) -> None:
        """It has been."""

    def pass_time(self) -> bool:
        """Nobody can go on; return whether that has changed something."""
        return False

    def execute(self, wire: Wire) -> None:
        """Let the server execute the request."""
        self.run.gate.forward(wire)
        self.run.flush()


class CutBefore(Fault):
    """The connection ends, and the request with it."""

    def befall(self, client: Client, wire: Wire) -> None:
        self.run.gate.drop(wire)


class CutAfter(Fault):
    """The connection ends behind the request: nobody hears the reply."""

    def befall(self, client: Client, wire: Wire) -> None:
        wire.swallows = True
        self.execute(wire)
        self.run.gate.drop(wire)


class Late(Fault):
    """The connection ends for the client; its request is under way, and arrives at any time."""

    def befall(self, client: Client, wire: Wire) -> None:
        self.run.gate.drop_client(wire)
        self.run.ghosts[client.letter] = wire


class HalfOpen(Fault):
    """The connection ends, and neither side is told."""

    settings: ClassVar[dict[str, Any]] = {"lease": LONG, "timeout": 2 * REPLY_SECONDS}
    patience: ClassVar[float] = MAX_BLOCK + BLOCK_GRACE + 2 * REPLY_SECONDS + 30.0

    def befall(self, client: Client, wire: Wire) -> None:
        wire.is_silent = True
        self.run.away.add(client.letter)


class CutOff(Fault):
    """All connections of the client end, and it cannot come back for a while."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._until = 0.0
        self._letter = ""

    def befall(self, client: Client, wire: Wire) -> None:
        self.execute(wire)
        for other in self.run.gate.of(client.letter):
            self.run.gate.drop(other)
        self.run.gate.shut_door(client.letter)
        self.run.away.add(client.letter)
        self._until, self._letter = time.monotonic() + AWAY, client.letter

    def pass_time(self) -> bool:
        if not self._letter:
            return False
        if time.monotonic() < self._until:
            self.run.gate.pump(0.02)
        else:
            self.run.gate.open_door(self._letter)
            self.run.away.discard(self._letter)
            self._letter = ""
        return True


class Suspended(Fault):
    """The client stops behind its request, until nobody else can go on."""

    seconds = 0.0

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._client: Client | None = None
        self._until = 0.0

    def befall(self, client: Client, wire: Wire) -> None:
        client.stop()
        self._client, self._until = client, time.monotonic() + self.seconds
        self.execute(wire)

    def pass_time(self) -> bool:
        if self._client is None:
            return False
        if time.monotonic() < self._until:
            self.run.gate.pump(0.02)
        else:
            self._client.resume()
            self._client = None
        return True


class SuspendedPastLease(Suspended):
    """The client stops for longer than its lease."""

    settings: ClassVar[dict[str, Any]] = {"lease": LEASE}
    seconds = 2 * LEASE

    def befall(self, client: Client, wire: Wire) -> None:
        super().befall(client, wire)
        self.run.happens(client.letter, "lapses")


class Killed(Fault):
    """The client is killed behind its request."""

    def befall(self, client: Client, wire: Wire) -> None:
        self.execute(wire)
        client.kill()
        for other in self.run.gate.of(client.letter):
            self.run.gate.drop(other)
        self.run.happens(client.letter, "dies")


class Restarted(Fault):
    """The server is killed behind the request, and comes back with all its data."""

    def befall(self, client: Client, wire: Wire) -> None:
        wire.swallows = True
        self.execute(wire)
        self.run.server.restart(empty=False)


class GoneBack(Fault):
    """The server is killed when the reply has arrived, and comes back without the request."""

    def befall(self, client: Client, wire: Wire) -> None:
        call = self.run.current_call(client.letter)
        assert call is not None
        call.may_be_forgotten = True
        self.run.server.command("SAVE")
        self.execute(wire)
        self.run.server.go_back()


class Full(Fault):
    """The server is full for this request."""

    def befall(self, client: Client, wire: Wire) -> None:
        self.run.server.command("CONFIG", "SET", "maxmemory", "1")
        self.execute(wire)
        self.run.server.command("CONFIG", "SET", "maxmemory", "0")


class CutThenFull(CutAfter):
    """Nobody hears the reply, and the server is full when the request comes again."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._letter = ""

    def befall(self, client: Client, wire: Wire) -> None:
        super().befall(client, wire)
        self._letter = client.letter

    def before_step(self, actor: str) -> None:
        if actor == self._letter:
            self.run.server.command("CONFIG", "SET", "maxmemory", "1")

    def after_step(self, actor: str) -> None:
        if actor == self._letter:
            self.run.server.command("CONFIG", "SET", "maxmemory", "0")
            self._letter = ""


class Refused(Fault):
    """The server refuses the request, as one that loads its data."""

    def befall(self, client: Client, wire: Wire) -> None:
        self.run.gate.refuse(wire, b"-LOADING Redis is loading the dataset in memory\r\n")


FAULTS: dict[str, type[Fault]] = {
    "none": Fault,
    "cut before": CutBefore,
    "cut after": CutAfter,
    "late": Late,
    "half open": HalfOpen,
    "cut off": CutOff,
    "suspended": Suspended,
    "suspended past its lease": SuspendedPastLease,
    "killed": Killed,
    "restarted": Restarted,
    "gone back": GoneBack,
    "full": Full,
    "cut, then full": CutThenFull,
    "refused": Refused,
}
