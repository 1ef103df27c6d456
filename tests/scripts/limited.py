"""A user that may touch what a script declares, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from typing import Any

import hiredis

from multihost.wire import script as script_module
from multihost.wire.link.channel import SocketChannel

__all__ = ["USER", "Limits", "limited"]

USER = "limited"
PASSWORD = "pw"

EVERYTHING = ["reset", "on", f">{PASSWORD}", "allkeys", "+@all"]
AROUND = ["+evalsha", "+eval", "+multi", "+exec", "+watch", "+unwatch", "+lrange", "+get"]

CALL = re.compile(r"\bp?call\('(\w+)'")
DERIVED = re.compile(r"data(?:\.\.\.)?(:\w+)")


class Limits:
    """Before a script runs, its user is cut down to the keys and commands that it declares."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._one_at_a_time = threading.RLock()
        self._by_digest = {}
        self.seen: set[str] = set()
        """The scripts that were run under their limits."""
        for name in script_module.all_names():
            source = script_module.source_of(name)
            digest = hashlib.sha1(source.encode()).hexdigest().encode()
            header = script_module.parse(name, script_module._read(name))
            self._by_digest[digest] = self._by_digest[source.encode()] = (name, header, source)
        self.widen()

    def widen(self) -> None:
        self._server.command("ACL", "SETUSER", USER, *EVERYTHING)

    @contextlib.contextmanager
    def around(self, requests: bytes) -> Iterator[None]:
        """One request at a time: the background thread must not meet the limits of another."""
        with self._one_at_a_time, self._narrowed(requests):
            yield

    @contextlib.contextmanager
    def _narrowed(self, requests: bytes) -> Iterator[None]:
        reader = hiredis.Reader()
        reader.feed(requests)
        commands = []
        while (command := reader.gets()) is not False:
            commands.append(command)
        scripts = [c for c in commands if c[0] in (b"EVALSHA", b"EVAL") and c[1] in self._by_digest]
        if not scripts:
            yield
            return
        assert len(scripts) == 1
        name, rules = self._rules(scripts[0])
        self._server.command("ACL", "SETUSER", USER, *rules)
        try:
            yield
            self.seen.add(name)
        finally:
            self.widen()

    def _rules(self, command: list[bytes]) -> tuple[str, list[str | bytes]]:
        name, header, source = self._by_digest[command[1]]
        count = int(command[2])
        keys = command[3 : 3 + count]
        listed = [entry for entry in header.keys if ":" not in entry]
        suffixes = [match[1].encode() for e in header.keys if (match := DERIVED.fullmatch(e))]
        if listed == ["data..."]:
            of_data = keys
        else:
            assert len(keys) == len(listed), (name, keys, listed)
            of_data = [key for key, entry in zip(keys, listed, strict=True) if entry == "data"]
        allowed = [*keys, *[key + suffix for key in of_data for suffix in suffixes]]
        commands = [f"+{command.lower()}" for command in sorted(set(CALL.findall(source)))]
        patterns = [b"~" + key for key in allowed]
        return name, ["resetkeys", *patterns, "-@all", *AROUND, *commands]


@contextlib.contextmanager
def limited(server: Any, monkeypatch: Any) -> Iterator[tuple[Limits, str]]:
    """The limits, and the URL of the limited user."""
    limits = Limits(server)
    exchange, exchange_many = SocketChannel.exchange, SocketChannel.exchange_many

    def one(self: SocketChannel, request: bytes) -> Any:
        with limits.around(request):
            return exchange(self, request)

    def many(self: SocketChannel, requests: bytes, count: int) -> Any:
        with limits.around(requests):
            return exchange_many(self, requests, count)

    with monkeypatch.context() as patch:
        patch.setattr(SocketChannel, "exchange", one)
        patch.setattr(SocketChannel, "exchange_many", many)
        try:
            yield limits, server.url_for(USER, PASSWORD)
        finally:
            server.command("ACL", "DELUSER", USER)
