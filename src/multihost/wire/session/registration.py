"""How other processes see that this one lives.

In each partition in which a process holds or waits for something it keeps a key with a lease. The
key says which connection keeps it alive: when that is gone from the same server the process was
killed, and nobody has to wait for the end of the lease (see :mod:`multihost.wire.session.janitor`).
"""

from __future__ import annotations

import itertools
import os
import secrets
import socket
import threading
import time
from typing import Any, NamedTuple

from multihost.wire.identity import hold_id, waiter_id
from multihost.wire.link import Link
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script

__all__ = ["ThreadIdentity", "SessionInfo", "SessionRegistration"]

_register = Script("session/register")


class SessionInfo(NamedTuple):
    """What a session says of itself."""

    connection: bytes  # client id of the connection that keeps it alive, empty if unknown
    server: bytes  # which run of which server counts so
    pid: int
    host: str

    def pack(self) -> bytes:
        return b"%b %b %d %b" % (self.connection, self.server, self.pid, self.host.encode())

    @classmethod
    def unpack(cls, packed: bytes) -> SessionInfo:
        connection, server, pid, host = packed.split(b" ", 3)
        return cls(connection, server, int(pid), host.decode("utf-8", "replace"))


class ThreadIdentity(threading.local):
    """This thread, as the server knows it."""

    def __init__(self, presence: SessionRegistration) -> None:
        name = threading.current_thread().name[:64]
        self.waiter_id: bytes = waiter_id(presence.sid, next(presence.threads), name)
        self._registration = presence
        self._last = 0

    def new_hold_id(self) -> bytes:
        """A name for the next hold of this thread: unique, with the server's time in it."""
        now = time.monotonic_ns() // 1000 + self._registration.clock_offset
        self._last = now = max(now, self._last + 1)
        return hold_id(self.waiter_id, now)


class SessionRegistration:
    """The keys of one session."""

    def __init__(self, link: Link, namespace: str, lease_ms: bytes) -> None:
        self.sid: bytes = secrets.token_urlsafe(12).encode()
        self.threads: itertools.count[int] = itertools.count()
        self.clock_offset: int = (
            time.time_ns() // 1000 - time.monotonic_ns() // 1000
        )  # until the server says
        self.server: bytes = b""
        self.expirations: int = 0  # how often others could take this process for dead
        self.session_keys: dict[bytes, bytes] = {}  # prefix of a partition -> its key there
        self.valid_until: float = 0.0  # until then no key can have expired, by the monotonic clock
        self._link = link
        self._namespace = namespace
        self._lease_ms = lease_ms
        self._channel: Any = None
        self._info = b""
        self._requested: list[tuple[bytes, threading.Event]] = []

    # any thread

    def now(self) -> float:
        """The server's time in seconds since the epoch, as far as this process knows."""
        return (time.monotonic_ns() // 1000 + self.clock_offset) / 1e6

    def request_registration(self, prefix: bytes) -> threading.Event:
        """Ask the background thread for a key in a partition; set when it is there."""
        there = threading.Event()
        self._requested.append((prefix, there))
        return there

    def has_expired(self, prefix: bytes, since: int) -> bool:
        """Whether others could take this process for dead since it counted ``lapses``."""
        key = self.session_keys.get(prefix)
        # In this order: who comes back counts first.
        return (
            key is not None and not self._link.execute(b"EXISTS", key)
        ) or self.expirations != since

    # the background thread

    @property
    def needs_heartbeat(self) -> bool:
        """Whether there is something to do before the next beat."""
        return bool(self._requested) or (
            self._channel is not None and self._link.current_channel() is not self._channel
        )

    @property
    def fileno(self) -> int:
        """The connection whose end others take for the end of this process."""
        channel = self._link.current_channel()
        return -1 if channel is None or channel is not self._channel else channel.fileno()

    def heartbeat(self) -> list[bytes]:
        """Renew every key, in one round trip; the partitions in which others could take this
        process for dead.
        """
        wanted, self._requested = self._requested, []
        try:
            lapsed = self._renew({prefix for prefix, _ in wanted})
        finally:
            for _, there in wanted:
                there.set()  # also if it failed: who asked finds out why
        return lapsed

    def _renew(self, new: set[bytes]) -> list[bytes]:
        lapsed: list[bytes] = []
        while True:
            changed = self._link.current_channel() is not self._channel or self._channel is None
            if changed:
                self._identify_connection()
            places = list(self.session_keys.items())
            begun = time.monotonic()
            replies = self._link.pipeline(
                [(b"TIME",), *[(b"PEXPIRE", key, self._lease_ms) for _, key in places]]
            )
            seconds, micros = replies[0]
            self.clock_offset = int(seconds) * 1000000 + int(micros) - time.monotonic_ns() // 1000
            missing = [p for (p, _), kept in zip(places, replies[1:], strict=True) if not kept]
            lapsed += missing
            self.expirations += bool(missing)
            for prefix in {*new, *missing, *(self.session_keys if changed else ())}:
                key = prefix + b"s:" + self.sid
                _register.run_readonly(self._link, [key], self._info, self._lease_ms)
                self.session_keys[prefix] = key
            if self._link.current_channel() is self._channel:
                self.valid_until = begun + int(self._lease_ms) / 1000
                return lapsed

    def _identify_connection(self) -> None:
        """Find out how the server calls this thread's connection, in one exchange: with two of them
        a connection that breaks again and again might never get so far.
        """
        number, facts = self._link.pipeline_raw([(b"CLIENT", b"ID"), (b"INFO", b"server")])
        self._channel = self._link.current_channel()
        lines = [] if isinstance(facts, ReplyError) else bytes(facts).splitlines()
        self.server = next((line[7:] for line in lines if line.startswith(b"run_id:")), b"")
        known = self.server and not isinstance(number, ReplyError)
        connection = b"%d" % number if known else b""
        host = socket.gethostname()
        self._info = SessionInfo(connection, self.server, os.getpid(), host).pack()

    def release_waiters(self) -> None:
        """The background thread has ended: nobody will answer those who ask."""
        for _, there in self._requested:
            there.set()

    def unregister(self) -> None:
        """The process ends, or forgets what it had."""
        keys, self.session_keys = list(self.session_keys.values()), {}
        if keys:
            self._link.execute(b"UNLINK", *keys)
