"""Does a test leave something behind? Keys without owner or TTL, connections, threads, children."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import itertools
import multiprocessing
import os
import re
import sys
import threading
import weakref
import zlib
from collections.abc import Callable
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

from multihost.wire.link import Link
from multihost.wire.link.link import open_links
from tests.support.cluster import Cluster, ClusterCommands, ExternalCluster
from tests.support.raw import Endpoint
from tests.support.server import ExternalServer, Server
from tests.support.waiting import PATIENCE, wait_until

__all__ = [
    "ANY_NAMESPACE",
    "Snapshot",
    "check",
    "check_keys",
    "empty",
    "find_leaks",
    "is_listed",
    "ownerless_keys",
]

AnyServer = Server | ExternalServer | Cluster | ExternalCluster

KEY = re.compile(rb"\{([^{}]+):\d\d\}:(.+)", re.DOTALL)
PARTS = rb"index|originals|refs|contains|items|dead|free|held:[^:]+|inflight:[^:]+"
OF_OBJECT = re.compile(rb"([nu]:[^:]+)(?::(?:%b))?" % PARTS, re.DOTALL)
AT_PLACES = re.compile(
    rb"(\{[^{}]+:\d\d\}:)([nu]:[^:]+)(?::(?:held|inflight):([^:]+)\.\d+)?", re.DOTALL
)
USED = (b"names", b"epoch", b"cut", b"lists", b"leases")  # what a namespace has that was used
PARTITIONS = 64
OURS = "{multihost*:[0-9][0-9]}:*"
ANY_NAMESPACE = "{*:[0-9][0-9]}:*"

SECONDS = PATIENCE
SESSION = "multihost-session"


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What was there before the test."""

    threads: frozenset[threading.Thread]
    children: frozenset[int]
    clients: frozenset[str]
    links: tuple[weakref.ref[Link], ...]
    """Of managers that outlive tests."""

    @classmethod
    def take(cls, server: AnyServer | None) -> Snapshot:
        clients = frozenset(row["id"] for row in server.clients()) if server else frozenset()
        links = tuple(weakref.ref(each) for each in open_links)
        return cls(frozenset(threading.enumerate()), frozenset(_children()), clients, links)

    def new_clients(self, server: AnyServer) -> list[dict[str, str]]:
        """The connections of those that were not there before. A thread of a manager that outlives
        tests opens its connection when it first has something to send.
        """
        own = self._numbers(server)
        clients = [row for row in server.clients() if row["id"] not in own]
        new = [row for row in clients if row["id"] not in self.clients]
        before = len(self.clients - own)
        older = self.children & {child.pid for child in multiprocessing.active_children()}
        # By number: a connection that outlives tests may have been renewed.
        renewed = min(len(older), sum(row["name"] == "multihost" for row in new))
        return new if len(clients) > before + renewed else []

    def _numbers(self, server: AnyServer) -> set[str]:
        """The numbers of their connections."""
        links = [link for link in (ref() for ref in self.links) if link is not None]
        if isinstance(server, ClusterCommands):
            return set()
        place = Endpoint.parse(server.url)
        here = {place.path or place.port, getattr(server, "port", place.port)}
        return {
            number.decode()
            for link in links
            if (link.address.path or link.address.port) in here  # numbers are those of a server
            for number in link.client_ids()
        }


def check(before: Snapshot, server: AnyServer | None) -> list[str]:
    """What is left over once everything has had time to go; one line each."""
    if not find_leaks(before, server):
        return []
    gc.collect()  # what only a cycle holds is no leak
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not find_leaks(before, server), SECONDS)
    return find_leaks(before, server)


def check_keys(server: AnyServer) -> list[str]:
    """Keys that nobody will ever delete, once everything has had time to go."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not ownerless_keys(server), SECONDS)
    return ownerless_keys(server)


def find_leaks(before: Snapshot, server: AnyServer | None) -> list[str]:
    """What is left over at this moment."""
    multiprocessing.active_children()  # joins those that have ended
    ended = [thread.name for thread in before.threads if not thread.is_alive()]
    found = []
    for thread in threading.enumerate():
        if thread in before.threads or isinstance(thread, threading._DummyThread):
            continue
        if thread.name == SESSION and thread.name in ended:
            ended.remove(thread.name)  # that of a manager which outlives tests: a fork renews it
        else:
            found.append(f"thread {thread.name!r}")
    found += [
        f"child process {pid}: {_describe(pid)}" for pid in sorted(_children() - before.children)
    ]
    if server is not None:
        if not server.is_running:
            return [*found, "the shared server is dead: a test that kills it takes fresh_server"]
        found += [
            f"connection {row['id']} {row['name']} db={row['db']} last command {row['cmd']}"
            for row in before.new_clients(server)
        ]
        found += ownerless_keys(server)
    if (handled := sys.exception()) is not None:  # by a handler that did not come to its end
        found.append(f"a context for all later exceptions: {handled!r}")
    return found


def ownerless_keys(server: AnyServer, pattern: str = "*") -> list[str]:
    """Keys that nobody will ever delete: no TTL, no registered name, no owner that has one."""
    found = []
    if isinstance(server, (ExternalServer, ExternalCluster)):
        pattern = OURS
    for db in server.databases():
        keys = server.keys(pattern, db)
        ttls = server.commands(*(("PTTL", key) for key in keys), db=db)
        lasting = [key for key, ttl in zip(keys, ttls, strict=True) if ttl == -1]
        # Read once for all keys, and only if there is one that needs an owner.
        reached = functools.cache(functools.partial(_reached, server, db))
        found += [
            f"key {key!r} in db {db} without a TTL"
            for key in lasting
            if not _is_owned(server, db, key, reached)
        ]
    return found


def empty(server: AnyServer) -> None:
    """Delete what named objects are left, so that the next test finds nothing."""
    if isinstance(server, Server):
        server.command("FLUSHALL")
    elif isinstance(server, Cluster):
        server.each("FLUSHALL")
    elif keys := server.keys(OURS):
        server.commands(*(("DEL", key) for key in keys))


def _is_owned(
    server: AnyServer, db: int, key: bytes, reached: Callable[[bytes], set[bytes]]
) -> bool:
    parts = KEY.fullmatch(key)
    if not parts:
        return False
    namespace, tail = parts.groups()
    if tail in USED:
        return True
    if is_listed(server, key, db):
        return True
    if (members := _members(server, db, key, tail)) is not None:
        return members <= reached(namespace)
    part = OF_OBJECT.fullmatch(tail)
    return part is not None and part[1] in reached(namespace)


def is_listed(server: AnyServer, key: bytes, db: int = 0) -> bool:
    """Whether the collector knows what a process that was killed left at its places."""
    if not (parts := AT_PLACES.fullmatch(key)):
        return False
    partition, ident, session = parts.groups()
    listed = [field.split(b" ") for field in server.command("HKEYS", partition + b"lists", db=db)]
    if session is None:  # what it was about to take is counted behind that
        return ident in [field[0] for field in listed] and not server.command(
            "HEXISTS", key, "t", db=db
        )
    return [ident, session] in listed


def _members(server: AnyServer, db: int, key: bytes, tail: bytes) -> set[bytes] | None:
    """The objects that the collector knows of in a partition; None for other keys."""
    if tail in (b"kept", b"held"):
        return set(server.command("ZRANGE", key, 0, -1, db=db))
    if tail in (b"tops", b"partial"):
        return set(server.command("SMEMBERS", key, db=db))
    return None


def _reached(server: AnyServer, db: int, namespace: bytes) -> set[bytes]:
    """What has a name, or was let go by a container or its last holder, which is a reason for the
    collector to look; and what that contains. Objects that only contain each other are a leak.
    """

    def fields(keys: list[bytes]) -> list[list[bytes]]:
        return server.commands(*(("HKEYS", key) for key in keys), db=db) if keys else []

    names = fields([b"{%b:%02d}:names" % (namespace, number) for number in range(PARTITIONS)])
    waiting = {
        (number, b"n:" + name.replace(b"%", b"%25").replace(b":", b"%3A"))
        for number, found in enumerate(names)
        for name in found
    }
    logs = list(itertools.product(range(PARTITIONS), (b"cut", b"held")))
    ranges = [("ZRANGE", b"{%b:%02d}:%b" % (namespace, *each), 0, -1) for each in logs]
    for (number, _), found in zip(logs, server.commands(*ranges, db=db), strict=True):
        waiting |= {(number, ident) for ident in found}
    reached: set[bytes] = set()
    while waiting:
        reached |= {ident for _, ident in waiting}
        contents = fields([b"{%b:%02d}:%b:contains" % (namespace, *each) for each in waiting])
        waiting = {
            (zlib.crc32(ident) % PARTITIONS, ident)
            for ident in itertools.chain.from_iterable(contents)
            if ident not in reached
        }
    return reached


def _children() -> set[int]:
    """All our descendants but the two helpers that multiprocessing keeps as long as we live."""
    spared = {
        getattr(resource_tracker._resource_tracker, "_pid", None),
        getattr(forkserver._forkserver, "_forkserver_pid", None),
    }
    found = _descendants(os.getpid()) or {p.pid for p in multiprocessing.active_children() if p.pid}
    return {pid for pid in found if pid not in spared}


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        try:
            tasks = list(Path(f"/proc/{waiting.pop()}/task").iterdir())
        except OSError:
            continue  # it has just ended, or this is no Linux
        for task in tasks:
            try:
                children = {int(child) for child in (task / "children").read_text().split()}
            except OSError:
                continue
            waiting += children - found
            found |= children
    return found


def _describe(pid: int) -> str:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        words = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return "gone just now"
    return f"state {state} {words.strip()[:200]}"
