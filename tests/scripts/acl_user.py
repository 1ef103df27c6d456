"""Users that may touch what a script declares, and nothing else."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import re
from collections.abc import Iterator
from typing import Any

import hiredis

from multihost.wire.link.resp import pack, pack_all
from multihost.wire.link.socket import SocketChannel
from multihost.wire.replies import ReplyError
from multihost.wire.script import header as headers
from multihost.wire.script.source import all_names, expand

__all__ = ["USER", "Limits", "restricted_user"]

USER = "limited"
PASSWORD = "pw"

EVERYTHING = ["reset", "on", f">{PASSWORD}", "allkeys", "+@all"]
AROUND = "+evalsha +eval +multi +exec +watch +unwatch +lrange +get +auth +ping".split()

CALL = re.compile(r"\bp?call\(([^,()]+)")  # a command, or one of two: x and 'ONE' or 'OTHER'
COMMAND = re.compile(r"'([A-Z]{2,})'")
DERIVED = re.compile(r"(data(?:\.\.\.)?|sessions|clients|partition)((?::\w+)*)(:<\w+>)?")
PARTITION = re.compile(rb"\{[^}]*\}")


@functools.cache
def scripts_by_digest() -> dict[bytes, tuple[str, headers.Header, str]]:
    """Name, header and code of each script, by what EVALSHA and what EVAL name it. To read all of
    them takes longer than most tests that need them.
    """
    found = {}
    for name in all_names():
        code = expand(name).code
        digest = hashlib.sha1(code.encode()).hexdigest().encode()
        found[digest] = found[code.encode()] = (name, headers.check(name), code)
    return found


class Limits:
    """Before a script runs, the user of its connection is cut down to the keys and commands that
    the script declares. Each connection has a user of its own: others are not held up.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._by_digest = scripts_by_digest()
        self._users: dict[SocketChannel, str] = {}
        self._waiting: set[SocketChannel] = set()
        self._numbers = itertools.count()
        self.seen: set[str] = set()
        """The scripts that were run under their limits."""
        self._widen(USER)

    def close(self) -> None:
        self._server.command("ACL", "DELUSER", USER, *self._users.values())

    def of_scripts(self, requests: bytes) -> list[list[bytes]] | None:
        """The commands, if there are scripts among them."""
        reader = hiredis.Reader()
        reader.feed(requests)
        commands: list[list[bytes]] = []
        while (command := reader.gets()) is not False:
            commands.append(command)
        return commands if any(map(self._is_script, commands)) else None

    def log_in(self, channel: SocketChannel, exchange: Any) -> None:
        """Give the connection its own user."""
        if channel not in self._users:
            user = f"{USER}-{next(self._numbers)}"
            self._widen(user)
            exchange(channel, pack((b"AUTH", user.encode(), PASSWORD.encode())))
            self._users[channel] = user

    @contextlib.contextmanager
    def narrowed(self, channel: SocketChannel, commands: list[list[bytes]]) -> Iterator[None]:
        """For an exchange with scripts."""
        self._narrow(channel, commands)
        try:
            yield
        finally:
            self._widen(self._users[channel])

    def wait(self, channel: SocketChannel, commands: list[list[bytes]]) -> None:
        """Until the connection is used for something else."""
        self._narrow(channel, commands)
        self._waiting.add(channel)

    def _narrow(self, channel: SocketChannel, commands: list[list[bytes]]) -> None:
        rules: list[str | bytes] = ["resetkeys", "-@all"]
        for command in commands:
            if self._is_script(command):
                name, more = self._rules(command)
                rules += more
                self.seen.add(name)
            else:
                rules += [f"+{command[0].decode().lower()}", *(b"~" + key for key in command[1:3])]
        self._server.command("ACL", "SETUSER", self._users[channel], *rules)

    def plain(self, channel: SocketChannel) -> None:
        """Commands without a script follow."""
        if channel in self._waiting:
            self._waiting.discard(channel)
            self._widen(self._users[channel])

    def _is_script(self, command: list[bytes]) -> bool:
        return command[0] in (b"EVALSHA", b"EVAL") and command[1] in self._by_digest

    def _widen(self, user: str) -> None:
        self._server.command("ACL", "SETUSER", user, *EVERYTHING)

    def _rules(self, command: list[bytes]) -> tuple[str, list[str | bytes]]:
        name, header, source = self._by_digest[command[1]]
        count = int(command[2])
        keys = command[3 : 3 + count]
        listed = [entry for entry in header.keys if ":" not in entry]
        if listed == ["data..."]:
            of = {"data...": keys}
        else:
            assert len(keys) == len(listed), (name, keys, listed)
            of = {entry: [key] for key, entry in zip(keys, listed, strict=True)}
        of["partition"] = [partition_of(key) for key in keys[:1]]
        allowed = list(keys)
        for entry in header.keys:
            if ":" in entry:
                base, suffix, index = DERIVED.fullmatch(entry).groups()  # type: ignore[union-attr]
                tail = (suffix or "") + (":*" if index else "")
                allowed += [key + tail.encode() for key in of.get(base) or of["data..."]]
        called = COMMAND.findall(" ".join(CALL.findall(source)))
        if header.args == ("commands...",):
            called += commands_in(command[3 + count :])
        commands = [f"+{command.lower()}" for command in sorted(set(called))]
        patterns = [b"~" + key for key in allowed]
        return name, [*patterns, *AROUND, *commands]


def partition_of(key: bytes) -> bytes:
    """What the keys of its partition start with, but for a colon."""
    found = PARTITION.match(key)
    assert found, key
    return found[0]


def commands_in(args: list[bytes]) -> list[str]:
    """The commands among the arguments: of each the number of its further ones, its name, those."""
    called = []
    while args:
        number, name = args[:2]
        called.append(name.decode())
        args = args[2 + int(number) :]
    return called


@contextlib.contextmanager
def restricted_user(server: Any, monkeypatch: Any) -> Iterator[tuple[Limits, str]]:
    """The limits, and the URL of the limited user."""
    limits = Limits(server)
    exchange, exchange_many = SocketChannel.exchange, SocketChannel.exchange_many
    block = SocketChannel.block

    def one(self: SocketChannel, request: bytes) -> Any:
        if (commands := limits.of_scripts(request)) is None:
            limits.plain(self)
            return exchange(self, request)
        limits.log_in(self, exchange)
        with limits.narrowed(self, commands):
            return exchange(self, request)

    def many(self: SocketChannel, requests: bytes, count: int) -> Any:
        if (commands := limits.of_scripts(requests)) is None:
            limits.plain(self)
            return exchange_many(self, requests, count)
        limits.log_in(self, exchange)
        with limits.narrowed(self, commands):
            return exchange_many(self, requests, count)

    def blocked(
        self: SocketChannel,
        requests: bytes,
        seconds: float | None,
        count: int = 3,
        grace: float = 0.0,
    ) -> list[Any]:
        """A wait: its first script runs alone, the second one with the pop before it."""
        commands = limits.of_scripts(requests)
        if commands is None or commands[0][0] == b"HEXISTS":  # of a queue: no script, or one behind
            if commands is None:
                limits.plain(self)
            else:
                limits.log_in(self, exchange)
                limits.wait(self, commands)
            return block(self, requests, seconds, count, grace)
        opening, *rest = commands
        limits.log_in(self, exchange)
        with limits.narrowed(self, [opening]):
            first = exchange(self, pack(opening))
        if isinstance(first, ReplyError):
            return [first]
        limits.wait(self, rest)
        return [
            first,
            *block(self, pack_all([(b"PING",), *rest]), seconds, grace=grace)[1:],
        ]

    with monkeypatch.context() as patch:
        patch.setattr(SocketChannel, "exchange", one)
        patch.setattr(SocketChannel, "exchange_many", many)
        patch.setattr(SocketChannel, "block", blocked)
        try:
            yield limits, server.url_for(USER, PASSWORD)
        finally:
            limits.close()
