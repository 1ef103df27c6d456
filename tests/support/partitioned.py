"""One server that a process uses as if each partition were on another one.

What a cluster would refuse, or send to the wrong node, raises here: a command, a script or a
transaction with keys of two partitions, one without a key that is sent to no server in particular,
one over the link of another partition.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import hiredis

from multihost.wire.link import Link
from multihost.wire.link.link import open_links
from tests.scripts.acl_user import scripts_by_digest

__all__ = ["Audit", "Mixed", "partitioned"]

PARTITION = re.compile(rb"\{[^{}]*:\d\d\}:")
OVER_A_CONNECTION = {
    "exchange": 1,
    "exchange_many": 1,
    "exchange_blocking": 1,
    "send_and_pop": 1,
    "try_once": 1,
    "reconnect_and_resend": 1,
}
"""Methods of a link, and which argument has the requests."""
COMMANDS = ("execute", "execute_raw", "pipeline", "pipeline_raw", "execute_over")


class Mixed(AssertionError):
    """A request that has no place in a cluster."""


class Audit:
    """What was sent, and what was wrong with it."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        """The scripts that were run."""
        self.wrong: list[str] = []
        self._inside = threading.local()
        self._scripts = scripts_by_digest()

    @contextlib.contextmanager
    def inside(self) -> Iterator[bool]:
        """What a method of a link calls of its own; yields whether it already is such."""
        was = getattr(self._inside, "flag", False)
        self._inside.flag = True
        try:
            yield was
        finally:
            self._inside.flag = was

    def partitions(self, command: Sequence[bytes]) -> set[bytes]:
        if command[:1] in ([b"EVALSHA"], (b"EVALSHA",), [b"EVAL"], (b"EVAL",)):
            if command[1] in self._scripts:
                self.seen.add(self._scripts[command[1]][0])
            command = command[: 3 + int(command[2])]
        elif command[0] in (b"LPUSH", b"RPUSH", b"HSET", b"ZADD", b"SET"):
            command = command[:2]  # what is behind is data
        return {found[0] for each in command if (found := PARTITION.match(each))}

    def check(self, commands: Sequence[Sequence[bytes]], lane: bytes | None) -> None:
        """``lane``: the partition of the link, empty for that of a server, None for the whole."""
        together: set[bytes] = set()
        in_transaction = False
        for command in commands:
            if not command:
                continue
            found = self.partitions(command)
            together |= found
            if len(found) > 1:
                self.complain(f"one command has keys of {sorted(found)}: {command[:4]}")
            if command[0] == b"MULTI":
                in_transaction, together = True, set()
            elif command[0] == b"EXEC":
                in_transaction = False
                if len(together) > 1:
                    self.complain(f"one transaction has keys of {sorted(together)}")
            if lane is None and not found:
                self.complain(f"nobody says to which server: {command[:4]}")
            if lane and found - {lane}:
                self.complain(f"over the link of {lane!r}: {command[:4]}")
        if in_transaction and lane is None:
            self.complain("an open transaction")

    def complain(self, what: str) -> None:
        self.wrong.append(what)
        raise Mixed(what)


def _commands(requests: bytes) -> list[list[bytes]]:
    reader = hiredis.Reader()
    reader.feed(requests)
    commands: list[list[bytes]] = []
    while (command := reader.gets()) is not False:
        commands.append(command)
    return commands


class _View:
    """A lane of a link, or the link of one of its servers."""

    def __init__(self, audit: Audit, link: Link, prefix: bytes) -> None:
        self._audit = audit
        self._whole = link
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._whole, name)
        if not inspect.ismethod(found):
            return found
        is_checked = name in OVER_A_CONNECTION or name in COMMANDS
        audit, prefix = self._audit, self._prefix

        def over_this(*args: Any, **kwargs: Any) -> Any:
            if is_checked:
                audit.check(_sent(name, args), prefix)
            with audit.inside():
                return found(*args, **kwargs)

        return over_this

    def lane(self, prefix: bytes) -> Any:
        raise Mixed(f"a lane of a lane: {prefix!r}")


def _sent(name: str, args: Sequence[Any]) -> list[Sequence[bytes]]:
    if name in ("execute", "execute_raw"):
        return [args]
    if name in ("pipeline", "pipeline_raw"):
        return list(args[0])
    if name == "execute_over":
        return [args[1]]
    return list(_commands(args[OVER_A_CONNECTION[name]]))


@contextlib.contextmanager
def partitioned(monkeypatch: Any) -> Iterator[Audit]:
    """Have the links that are made from now on look at what they are given. Those of managers that
    outlive tests go on meanwhile.
    """
    audit = Audit()
    older = weakref.WeakSet(open_links)
    views: dict[tuple[int, bytes], Any] = {}

    def view(link: Link, prefix: bytes) -> Any:
        if link in older:
            return link
        known = views.get((id(link), prefix))
        if known is None or known._whole is not link:
            known = views[id(link), prefix] = _View(audit, link, prefix)
        return known

    def watched(name: str) -> Any:
        real = getattr(Link, name)

        def method(self: Link, *args: Any, **kwargs: Any) -> Any:
            if self in older:
                return real(self, *args, **kwargs)
            with audit.inside() as is_ours:
                if not is_ours:
                    if name in OVER_A_CONNECTION or name == "execute_over":
                        audit.complain(f"{name}() without a lane: {_sent(name, args)[:2]}")
                    audit.check(_sent(name, args), None)
                return real(self, *args, **kwargs)

        return method

    with monkeypatch.context() as patch:
        for name in (*OVER_A_CONNECTION, *COMMANDS):
            patch.setattr(Link, name, watched(name))
        patch.setattr(Link, "lane", view)
        patch.setattr(Link, "masters", lambda self: (view(self, b""),))
        yield audit
