"""Calls of scripts as they were sent, each with what was on the server just before."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import hiredis

from multihost.wire.link.socket import SocketChannel
from tests.scripts.acl_user import partition_of, scripts_by_digest

__all__ = ["Sample", "State", "put", "recorded", "state_of"]

State = dict[bytes, tuple[bytes, bool]]
"""Each key of a partition: its contents, and whether it expires."""

ENOUGH = 6
"""Calls of each script that are recorded."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One call of a script."""

    name: str
    source: bytes
    keys: tuple[bytes, ...]
    args: tuple[bytes, ...]
    before: State

    @property
    def partition(self) -> bytes:
        """What its keys start with."""
        return partition_of(self.keys[0])

    def command(self, keys: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The same call with these keys declared."""
        return (b"EVAL", self.source, b"%d" % len(keys), *keys, *self.args)


def state_of(server: Any, partition: bytes, *ahead: tuple[bytes, ...]) -> State:
    """What is there of a partition; ``ahead`` of each command goes what is given."""
    keys = server.keys(partition.decode() + "*")
    if not keys:
        return {}
    asked = [(*ahead, ("DUMP", key), *ahead, ("PTTL", key)) for key in keys]
    replies = server.commands(*itertools.chain.from_iterable(asked))
    step = 1 + len(ahead)
    each = zip(keys, replies[step - 1 :: 2 * step], replies[2 * step - 1 :: 2 * step], strict=True)
    return {key: (dump, ttl >= 0) for key, dump, ttl in each if dump is not None}


def put(state: State, *ahead: tuple[bytes, ...]) -> list[tuple[Any, ...]]:
    """The commands that restore it; ``ahead`` of each goes what is given."""
    return [
        command
        for key, (dump, expires) in state.items()
        for command in (*ahead, (b"RESTORE", key, 600_000 if expires else 0, dump, b"REPLACE"))
    ]


@contextlib.contextmanager
def recorded(server: Any, monkeypatch: Any) -> Iterator[tuple[set[str], list[Sample]]]:
    """The names of the scripts that this process has sent there, and the first calls of each.

    Managers that outlive tests are at other servers, or at the same one.
    """
    places = (getattr(server, "socket", None), ("127.0.0.1", getattr(server, "port", 0)))
    scripts = scripts_by_digest()
    seen: set[str] = set()
    found: list[Sample] = []
    counts: collections.Counter[str] = collections.Counter()

    def note(requests: bytes) -> None:
        reader = hiredis.Reader()
        reader.feed(requests)
        while (command := reader.gets()) is not False:
            if command[0] not in (b"EVALSHA", b"EVAL") or command[1] not in scripts:
                continue
            name, _, code = scripts[command[1]]
            counts[name] += 1
            if counts[name] <= ENOUGH:
                end = 3 + int(command[2])
                keys, args = tuple(command[3:end]), tuple(command[end:])
                before = state_of(server, partition_of(keys[0]))
                found.append(Sample(name, code.encode(), keys, args, before))
            seen.add(name)

    with monkeypatch.context() as patch:
        for way in ("exchange", "exchange_many", "block"):
            original = getattr(SocketChannel, way)

            def noted(
                self: SocketChannel, requests: bytes, *rest: Any, original: Any = original
            ) -> Any:
                if places[0] is None or self._socket.getpeername() in places:
                    note(requests)
                return original(self, requests, *rest)

            patch.setattr(SocketChannel, way, noted)
        yield seen, found
