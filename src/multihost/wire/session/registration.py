"""How other processes see that this one is alive.

A session has a key with a lease in each partition in which the process holds or waits for
something. The value of the key names the connection over which the lease is renewed: when the
server has that connection no more, other processes need not wait for the end of the lease to
declare the process dead (see :mod:`multihost.wire.session.janitor`).
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from multihost.wire.identity import hold_id, waiter_id
from multihost.wire.link import Channel, Link
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script

__all__ = [
    "UNKNOWN",
    "SessionInfo",
    "SessionRegistration",
    "ThreadIdentity",
    "run_id",
    "without_connection",
]

_register = Script("session/register")
_CLIENT = re.compile(rb"^id=(\d+) ", re.MULTILINE)
_PACKED = re.compile(rb"([0-9]{0,20}) ([^ ]{0,64}) ([0-9]{1,10}) (.{0,300})", re.DOTALL)


class SessionInfo(NamedTuple):
    """The value of a session's keys."""

    connection: bytes  # client id of the connection that sends heartbeats; empty if unknown
    server: bytes  # run id of the server that numbered it
    pid: int
    host: str

    def pack(self) -> bytes:
        """Return it as bytes."""
        return b"%b %b %d %b" % (self.connection, self.server, self.pid, self.host.encode())

    @classmethod
    def unpack(cls, packed: bytes) -> SessionInfo:
        """Return what :meth:`pack` packed; :data:`UNKNOWN` for anything else: the session is alive
        while its key is there, whatever that holds.
        """
        found = _PACKED.fullmatch(packed)
        if found is None:
            return UNKNOWN
        connection, server, pid, host = found.groups()
        return cls(connection, server, int(pid), host.decode("utf-8", "replace"))


UNKNOWN = SessionInfo(b"", b"", 0, "(damaged)")
"""Of a session whose key another program has altered."""


class RegistrationRequest:
    """A thread asks for a session key. ``error`` is why there is none."""

    __slots__ = ("answered", "error", "prefix")

    def __init__(self, prefix: bytes) -> None:
        self.prefix: bytes = prefix
        self.answered: threading.Event = threading.Event()
        self.error: BaseException | None = None


def run_id(facts: bytes | ReplyError) -> bytes:
    """Return the run id of a server in its ``INFO server``, empty if that was refused."""
    lines = [] if isinstance(facts, ReplyError) else bytes(facts).splitlines()
    return next((line[7:] for line in lines if line.startswith(b"run_id:")), b"")


def without_connection(link: Link, server: bytes, packed: Iterable[bytes]) -> set[bytes]:
    """Return those of the packed infos whose connection was one of this run of the server, and has
    ended. 1 round trip. Raises ReplyError where connections may not be listed.
    """
    infos = {each: SessionInfo.unpack(each) for each in packed}
    numbered = {
        each: info.connection
        for each, info in infos.items()
        if info.connection and info.server == server
    }
    if not numbered:
        return set()
    listed = link.execute_raw(b"CLIENT", b"LIST", b"ID", *set(numbered.values()))
    present = set(_CLIENT.findall(listed))
    return {each for each, connection in numbered.items() if connection not in present}


class ThreadIdentity:
    """The names under which each thread waits and holds."""

    def __init__(self, registration: SessionRegistration) -> None:
        name = threading.current_thread().name[:64]
        self.waiter_id: bytes = waiter_id(registration.sid, next(registration.threads), name)
        self._registration = registration
        self._last = 0

    def new_hold_id(self) -> bytes:
        """Return an id for a hold of this thread: unique, with the server's time in it."""
        now = time.monotonic_ns() // 1000 + self._registration.clock_offset
        self._last = now = max(now, self._last + 1)
        return hold_id(self.waiter_id, now)


class SessionRegistration:
    """The keys of one session."""

    def __init__(self, link: Link, namespace: str, lease_ms: bytes) -> None:
        self.sid: bytes = secrets.token_urlsafe(12).encode()
        self.threads: itertools.count[int] = itertools.count()
        # Microseconds from the monotonic clock to the server's; a guess before the first heartbeat.
        self.clock_offset: int = time.time_ns() // 1000 - time.monotonic_ns() // 1000
        self.server: bytes = b""
        self.expirations: int = 0  # how often other processes could declare this one dead
        self.session_keys: dict[bytes, bytes] = {}  # prefix of a partition -> its key there
        self.valid_until: float = 0.0  # no key can expire before, by the monotonic clock
        self._link = link
        self._namespace = namespace
        self._lease_ms = lease_ms
        self._channel: Channel | None = None  # the connection that the keys name
        self._info = b""
        self._requested: list[RegistrationRequest] = []
        self._has_ended = False  # the background thread

    # any thread

    def now(self) -> float:
        """Return the server's time in seconds since the epoch, as of the last heartbeat."""
        return (time.monotonic_ns() // 1000 + self.clock_offset) / 1e6

    def request_registration(self, prefix: bytes) -> RegistrationRequest:
        """Request a key in a partition. It is answered after the background thread has created
        it, and also if that failed, or the thread has ended.
        """
        request = RegistrationRequest(prefix)
        self._requested.append(request)
        if self._has_ended:  # in this order: release_waiters() sees the request, or this sees that
            request.answered.set()
        return request

    def has_expired(self, prefix: bytes, since: int) -> bool:
        """Return whether the session expired since ``expirations`` was ``since``. 1 round trip."""
        key = self.session_keys.get(prefix)
        # In this order: a heartbeat that restores the key meanwhile has counted before.
        return (
            key is not None and not self._link.execute(b"EXISTS", key)
        ) or self.expirations != since

    # the background thread

    @property
    def is_requested(self) -> bool:
        """Whether a thread waits for a key."""
        return bool(self._requested)

    @property
    def is_disconnected(self) -> bool:
        """Whether the keys name a connection that has ended."""
        return self._channel is not None and self._link.current_channel() is not self._channel

    @property
    def fileno(self) -> int:
        """The descriptor of the connection that the keys name; -1 if there is none."""
        channel = self._link.current_channel()
        return -1 if channel is None or channel is not self._channel else channel.fileno()

    def heartbeat(self) -> list[bytes]:
        """Renew every key, and create those that were requested.

        Returns the partitions in which the key had expired, so that other processes could declare
        this one dead. 1 round trip, more for new keys and on a new connection.
        """
        requested, self._requested = self._requested, []
        try:
            return self._renew({request.prefix for request in requested})
        except BaseException as error:
            for request in requested:
                request.error = error
            raise
        finally:
            for request in requested:
                request.answered.set()

    def _renew(self, new: set[bytes]) -> list[bytes]:
        expired: list[bytes] = []
        while True:
            changed = self._channel is None or self._link.current_channel() is not self._channel
            if changed:
                self._identify_connection()
            keys = list(self.session_keys.items())
            begun = time.monotonic()  # before the server renews: the keys live longer than we think
            (seconds, micros), *renewed = self._link.pipeline(
                [(b"TIME",), *[(b"PEXPIRE", key, self._lease_ms) for _, key in keys]]
            )
            self.clock_offset = int(seconds) * 1000000 + int(micros) - time.monotonic_ns() // 1000
            missing = [prefix for (prefix, _), ok in zip(keys, renewed, strict=True) if not ok]
            expired += missing
            # Counted before the keys are created again, see has_expired().
            self.expirations += bool(missing)
            for prefix in {*new, *missing, *(self.session_keys if changed else ())}:
                key = prefix + b"s:" + self.sid
                _register.run_readonly(self._link, [key], self._info, self._lease_ms)
                self.session_keys[prefix] = key
            # If the connection broke on the way the keys name the old one: again.
            if self._link.current_channel() is self._channel:
                self.valid_until = begun + int(self._lease_ms) / 1000
                return expired

    def _identify_connection(self) -> None:
        """Get the client id of this thread's connection, and the run id of the server.

        In one exchange: with two of them a connection that breaks again and again might never get
        so far.
        """
        number, facts = self._link.pipeline_raw([(b"CLIENT", b"ID"), (b"INFO", b"server")])
        self._channel = self._link.current_channel()
        self.server = run_id(facts)
        known = self.server and not isinstance(number, ReplyError)
        connection = b"%d" % number if known else b""
        host = socket.gethostname()
        self._info = SessionInfo(connection, self.server, os.getpid(), host).pack()

    def release_waiters(self) -> None:
        """Set the events of all requests, also of later ones: the background thread has ended."""
        self._has_ended = True
        for request in self._requested:
            request.answered.set()

    def unregister(self) -> None:
        """Delete the keys. 1 round trip."""
        keys, self.session_keys = list(self.session_keys.values()), {}
        if keys:
            self._link.execute(b"UNLINK", *keys)
