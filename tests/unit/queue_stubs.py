"""A session and a link without a server, for the pieces of a queue's consumer."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Hashable
from types import SimpleNamespace
from typing import Any

from multihost.wire.keys import Keys
from multihost.wire.link import PinnedConnection
from multihost.wire.session import Handle, Hold

__all__ = ["Clock", "StubSession", "commands_of", "handle_of"]


class Clock:
    """Stands for the module ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class StubMembership:
    def __init__(self) -> None:
        self.expirations = 0
        self.valid_until = math.inf


class StubRegistration:
    """In one partition only."""

    sid = b"me"

    def __init__(self) -> None:
        self.here = StubMembership()
        self.memberships = collections.defaultdict(lambda: self.here)
        self.names = collections.defaultdict(lambda: b"me")

    def presence_of(self, prefix: bytes) -> Any:
        return SimpleNamespace(run=b"run")

    def lapse_reason(self, prefix: bytes, lease: float) -> str:
        return "was taken for dead"


class StubJanitor:
    """Keeps timers and deferred actions, which a test runs when it likes."""

    server = b"run"

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], bool]]] = []
        self.deferred: list[Callable[[], object]] = []
        self.watched: list[object] = []

    def call_every(self, seconds: float, action: Callable[[], bool]) -> None:
        self.timers.append((seconds, action))

    def watch_briefly(self, *watched: object) -> None:
        self.watched.append(watched)

    def defer(self, action: Callable[[], object]) -> None:
        self.deferred.append(action)

    def run_timers(self) -> None:
        timers, self.timers = self.timers, []
        self.timers += [(seconds, action) for seconds, action in timers if action()]

    def run_deferred(self) -> None:
        deferred, self.deferred = self.deferred, []
        for action in deferred:
            action()


class StubLink:
    """Answers pipelines, and keeps what they contained."""

    server = b"run"
    guarded = False
    replicas = 0

    def __init__(self) -> None:
        self.connection = PinnedConnection(b"r:1", {})
        self.pipelines: list[list[Any]] = []
        self.executed: list[tuple[bytes, ...]] = []
        self.error: BaseException | None = None
        self.disconnects = 0
        self.is_fenced = False
        self.reply: Any = 1

    def lane(self, prefix: bytes) -> StubLink:
        return self

    def fence_broken(self) -> bool:
        return self.is_fenced

    def peek(self) -> PinnedConnection:
        return self.connection

    def pipeline(self, commands: list[Any]) -> list[Any]:
        self.pipelines.append(commands)
        if self.error is not None:
            raise self.error
        return [self.reply] * len(commands)

    def checkout(self) -> PinnedConnection:
        return self.connection

    def exchange_many(self, connection: PinnedConnection, requests: bytes, count: int) -> list[Any]:
        return self.pipeline(commands_of(requests))

    def execute(self, *command: bytes) -> Any:
        self.executed.append(command)
        if self.error is not None:
            raise self.error
        return self.reply


class StubSession:
    lease = 30.0
    ttl_ms = b"30000"
    codec = SimpleNamespace(of=lambda _: None)

    def __init__(self) -> None:
        self.link = StubLink()
        self.registration = StubRegistration()
        self.janitor = StubJanitor()
        self.holds: dict[Hashable, Hold] = {}
        self.settling = SimpleNamespace(users={})
        self.collector = SimpleNamespace(has_lists=False)
        self.identity = SimpleNamespace(key=1)
        self.registered: list[Keys] = []

    def ensure_registered(self, keys: Keys) -> None:
        self.registered.append(keys)


def handle_of(session: StubSession, ident: str = "n:q") -> Handle:
    return Handle(session, Keys("ns", ident))  # type: ignore[arg-type]


def commands_of(packed: bytes) -> list[list[bytes]]:
    """Unpack commands, of which the last may lack its end."""
    commands: list[list[bytes]] = []
    parts = packed.split(b"\r\n")
    while parts and parts[0][:1] == b"*":
        count = int(parts[0][1:])
        commands.append(parts[2 : 2 * count + 1 : 2])
        parts = parts[2 * count + 1 :]
    return commands
