"""Scripts: operations that the server executes as one step, and the ways to run them.

A script that changes something must run once, also if its reply is lost and the request is sent
again. There are two ways to that:

- It **writes**: its first key is the reply key of the connection, its first argument the number of
  the request. The server keeps the number of the last request with the reply to it for a minute,
  and answers a repeat from there (``lua/lib/reply_cache.lua``).
- It is **idempotent**: it reads only, or has the same effect when it runs again.

Which of the two is in the header. A script is sent by its SHA1; a server that does not know it gets
the source. The source is read and its header checked at the first call. A call with the wrong
number of keys or arguments raises a TypeError (:class:`ArityError`) before anything is sent.

Scripts derive keys that they are not given. In a cluster half of what they touch may lie on another
node, while a slot is moved key by key. There (:attr:`Link.guarded`) each call has one key more, the
guard, which never exists: the cluster then refuses the whole call until the slot has moved.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from multihost.wire.keys import Keys, guard
from multihost.wire.link import (
    Command,
    Link,
    PinnedConnection,
    Reply,
    confirm_request,
    pack,
    pack_args,
    watch_and_execute,
)
from multihost.wire.replies import ReplyError, to_exception
from multihost.wire.script.header import ArityError, Header, arity, parse
from multihost.wire.script.source import Source, expand
from multihost.wire.script.staged import TooLong, is_too_long, run_staged
from multihost.wire.subject import describe

__all__ = ["CommandPrefix", "Script", "Target"]

T = TypeVar("T")

MAX_CACHED_ARGS = 6  # commands with more arguments have no fixed number of them
_SHA = r"\b[0-9a-f]{40}\b"


class CommandPrefix(NamedTuple):
    """The beginning of a command, up to its arguments. Everything but the reply key is the same for
    all threads: they share it.
    """

    start: bytes
    partition: bytes
    """For a script that writes: the partition whose reply key comes next."""
    rest: bytes
    """The other keys, and the length of the request number."""


class Target(Protocol):
    """The object that a script is run on."""

    @property
    def link(self) -> Link: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def command_prefixes(self) -> dict[tuple[Script, int], CommandPrefix]: ...


class _Cached(Generic[T]):
    """A property that is computed once, as by :func:`functools.cached_property`, which before
    Python 3.12 has a lock: a forked process may inherit it locked.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute

    def __get__(self, instance: Any, owner: object = None) -> T:
        value = instance.__dict__[self._compute.__name__] = self._compute(instance)
        return value


class Script:
    """One operation on the server, by the name of its Lua file, such as ``dict/set``.

    The keys that its header names are those of the target (:class:`~multihost.wire.keys.Keys`).
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @_Cached
    def _loaded(self) -> tuple[Source, Header]:
        source = expand(self.name)
        return source, parse(self.name, source.file, source.code)

    @_Cached
    def expanded(self) -> Source:
        return self._loaded[0]

    @_Cached
    def header(self) -> Header:
        return self._loaded[1]

    @_Cached
    def source(self) -> bytes:
        return self.expanded.code.encode()

    @_Cached
    def sha(self) -> bytes:
        return hashlib.sha1(self.source).hexdigest().encode()

    # What the header implies for every call, computed once.

    @_Cached
    def _writes(self) -> bool:
        return self.header.writes

    @_Cached
    def _numbers_of_args(self) -> range:
        return arity(self.header.passed_args)

    @_Cached
    def _unguarded(self) -> tuple[tuple[str, ...], bytes]:
        return self._shape(self.header.passed_keys)

    @_Cached
    def _guarded(self) -> tuple[tuple[str, ...], bytes]:
        return self._shape((*self.header.passed_keys, "guard"))

    def _shape(self, names: tuple[str, ...]) -> tuple[tuple[str, ...], bytes]:
        """Return the names of the keys that a call declares, and the beginning of the command."""
        return names, pack_args((b"EVALSHA", self.sha, b"%d" % len(names)))

    # ways to run it

    def run_readonly(self, link: Link, keys: Sequence[bytes], *args: bytes) -> Reply:
        """Run an idempotent script on any keys. 1 round trip."""
        self.header.check_keys(len(keys))
        self.header.check_args(len(args))
        declared = _declared(link, keys)
        try:
            try:
                return link.execute_raw(b"EVALSHA", self.sha, *declared, *args)
            except ReplyError as error:
                if error.code != "NOSCRIPT":
                    raise
                return link.execute_raw(b"EVAL", self.source, *declared, *args)
        except ReplyError as error:
            subject = keys[0].decode("utf-8", "replace") if keys else "the server"
            raise self.to_exception(error, subject) from None

    def run_many(
        self, link: Link, calls: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]
    ) -> list[Reply]:
        """Run an idempotent script with each of these keys and arguments; return the replies. 1
        round trip.
        """
        commands: list[Command] = []
        for keys, args in calls:
            self.header.check_keys(len(keys))
            self.header.check_args(len(args))
            commands.append((b"EVALSHA", self.sha, *_declared(link, keys), *args))
        replies = link.pipeline_raw(commands) if commands else []
        unknown = [n for n, reply in enumerate(replies) if _is_unknown(reply)]
        if unknown:
            again = link.pipeline_raw(self.commands(link, [calls[n] for n in unknown]))
            for n, reply in zip(unknown, again, strict=True):
                replies[n] = reply
        for reply, (keys, _) in zip(replies, calls, strict=True):
            if isinstance(reply, ReplyError):
                raise self.to_exception(reply, keys[0].decode("utf-8", "replace")) from None
        return replies

    def commands(
        self, link: Link, calls: Iterable[tuple[Sequence[bytes], Sequence[bytes]]]
    ) -> list[Command]:
        """Return commands for calls of an idempotent script with these keys and arguments, for one
        write to ``link``. The first one brings the source along: the server knows it then. In a
        cluster, where they go to several servers, it is the first one of each partition.
        """
        packed: list[Command] = []
        brought: set[bytes] = set()
        for keys, args in calls:
            self.header.check_keys(len(keys))
            self.header.check_args(len(args))
            where = guard(keys[0]) if link.guarded else b""
            start = (b"EVALSHA", self.sha) if where in brought else (b"EVAL", self.source)
            brought.add(where)
            packed.append((*start, *_declared(link, keys), *args))
        return packed

    def run_once(self, target: Target, *args: bytes) -> Reply:
        """Run a script once and only once, whatever happens to the connection. 1 round trip."""
        connection = target.link.checkout()
        try:
            request, on_noscript = self.pack_request(target, connection, args)
            return target.link.exchange(connection, request, on_noscript)
        except ReplyError as error:
            return self.handle_error(target, args, error)
        except TooLong:
            target.link.checkin(connection)
            return run_staged(self, target, args)
        except ArityError:
            target.link.checkin(connection)
            raise

    def handle_error(
        self,
        target: Target,
        args: Sequence[bytes],  # noqa: ARG002 - for a subclass
        error: ReplyError,
        source: Source | None = None,
    ) -> Reply:
        """Raise the exception for an error reply to :meth:`run_once`; a subclass may run it
        again.
        """
        # A script that writes has looked for the reply to an earlier attempt: there is none.
        error.is_repeated = error.is_repeated and not self._writes
        raise self.to_exception(error, target.keys.ident, source) from None

    def run_idempotent(self, target: Target, *args: bytes) -> Reply:
        """Run an idempotent script on an object. 1 round trip."""
        link = target.link
        request = self.pack_idempotent(target, args)
        try:
            try:
                return link.exchange(link.checkout(), request)
            except ReplyError as error:
                if error.code != "NOSCRIPT":
                    raise
                return link.execute_raw(b"EVAL", self.source, *self.keys_of(target, None), *args)
        except ReplyError as error:
            raise self.to_exception(error, target.keys.ident) from None

    def run_watching(
        self, target: Target, read: Command, decide: Callable[[Reply], Sequence[bytes] | None]
    ) -> Reply:
        """Read, compute the arguments from the reply, and run the script once if the object was not
        changed in between; else start over. 2 round trips, more if there was a change.

        Returns None if ``decide`` returns None. If it raises, nothing is changed.
        """
        link = target.link
        while True:
            connection = link.checkout()
            connection.sequence = connection.sequence + 1
            keys = self.keys_of(target, connection)
            call = _WatchedCall(self, keys, b"%012d" % connection.sequence, decide, link)
            try:
                reply = watch_and_execute(
                    link, connection, target.keys.data, read, call.command, call.finished
                )
                if link.replicas and reply is not None:
                    link.withdraw(connection)
                    confirm_request(link, connection, target.keys.prefix)
                return reply
            except ReplyError as error:
                if error.code != "NOSCRIPT":
                    raise self.to_exception(error, target.keys.ident) from None
                link.execute(b"SCRIPT", b"LOAD", self.source)

    def pack_request(
        self, target: Target, connection: PinnedConnection, args: Sequence[bytes]
    ) -> tuple[bytes, Callable[[], bytes]]:
        """Return a new request of ``connection``, and a function that returns what to send instead
        to a server that does not know the script. The request number is the same in both: the first
        may have been executed. Raises TooLong.
        """
        if not self._writes:
            return self.pack_idempotent(target, args), partial(self._pack_source, target, args)
        prefix = target.command_prefixes.get((self, len(args)))
        if prefix is None:  # always, where there are many arguments
            if len(args) > MAX_CACHED_ARGS and is_too_long(args):
                raise self.too_long(target, args)
            prefix = self._command_prefix(target, len(args))
        start, partition, rest = prefix
        connection.sequence = number = connection.sequence + 1
        return b"%b%b%b%012d\r\n%b" % (
            start,
            connection.packed_reply_keys[partition],
            rest,
            number,
            pack_args(args),
        ), partial(self._pack_source, target, args, connection, number)

    def too_long(self, target: Target, args: Sequence[bytes]) -> TooLong:
        """Return the error for arguments that do not fit into one command, where they have to."""
        return TooLong(
            f"{describe(self.name, target.keys.ident)}: {len(args)} values of "
            f"{sum(map(len, args))} bytes do not fit into one command; put fewer at once"
        )

    # parts of that

    def keys_of(self, target: Target, connection: PinnedConnection | None) -> tuple[bytes, ...]:
        """Return the number of keys of a call, and the keys; ``connection`` is needed by a script
        that writes.
        """
        keys = target.keys
        names, _ = self._guarded if target.link.guarded else self._unguarded
        declared = [
            connection.reply_key(keys.prefix)
            if name == "reply_cache" and connection
            else getattr(keys, name)
            for name in names
        ]
        return b"%d" % len(names), *declared

    def to_exception(
        self, error: ReplyError, subject: str, source: Source | None = None
    ) -> Exception:
        """Return the exception for an error reply, with file and line if the code failed there."""
        sha = re.search(_SHA, str(error))
        if source is None and sha and sha[0].encode() != self.sha:
            return to_exception(error, self.name, subject)  # it is that of another script
        return to_exception(error, self.name, subject, (source or self.expanded).locate)

    def _pack_source(
        self,
        target: Target,
        args: Sequence[bytes],
        connection: PinnedConnection | None = None,
        number: int = 0,
    ) -> bytes:
        """Return the request with the source of the script."""
        numbered = () if connection is None else (b"%012d" % number,)
        keys = self.keys_of(target, connection)
        return pack((b"EVAL", self.source, *keys, *numbered, *args))

    def pack_idempotent(self, target: Target, args: Sequence[bytes]) -> bytes:
        """Return the request of an idempotent script."""
        prefix = target.command_prefixes.get((self, len(args)))
        if prefix is None:
            prefix = self._command_prefix(target, len(args))
        return prefix[0] + pack_args(args)

    def _command_prefix(self, target: Target, args: int) -> CommandPrefix:
        """Return the prefix of calls with that many arguments, and store it with the target. Raises
        ArityError if the script takes another number: here the check costs a hot call nothing.
        """
        if args not in self._numbers_of_args:
            self.header.check_args(args)  # raises
        names, evalsha = self._guarded if target.link.guarded else self._unguarded
        keys = target.keys
        if self._writes:
            start = b"*%d\r\n%b" % (4 + len(names) + args, evalsha)
            packed = pack_args([getattr(keys, name) for name in names[1:]])
            prefix = CommandPrefix(start, keys.prefix, packed + b"$12\r\n")
        else:
            packed = pack_args([getattr(keys, name) for name in names])
            start = b"*%d\r\n%b%b" % (3 + len(names) + args, evalsha, packed)
            prefix = CommandPrefix(start, b"", b"")
        if args <= MAX_CACHED_ARGS:
            target.command_prefixes[self, args] = prefix
        return prefix


def _declared(link: Link, keys: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return what a call declares: the number of its keys, and those, with the guard of their
    partition behind them where the link has one.
    """
    if link.guarded:
        return b"%d" % (len(keys) + 1), *keys, guard(keys[0])
    return b"%d" % len(keys), *keys


def _is_unknown(reply: Reply) -> bool:
    """Return True if the server does not know the script."""
    return isinstance(reply, ReplyError) and reply.code == "NOSCRIPT"


class _WatchedCall:
    """A request that depends on what is read before it."""

    def __init__(
        self,
        script: Script,
        keys: tuple[bytes, ...],
        request: bytes,
        decide: Callable[[Reply], Sequence[bytes] | None],
        link: Link,
    ) -> None:
        self._header = script.header
        self._start = (b"EVALSHA", script.sha, *keys, request)
        self._reply_key = keys[1]
        self._request = request
        self._decide = decide
        self._link = link

    def command(self, reply: Reply) -> Command | None:
        """Return the command to run after that reply; None: nothing is to be done."""
        args = self._decide(reply)
        if args is None:
            return None
        self._header.check_args(len(args))
        return (*self._start, *args)

    def finished(self) -> Sequence[Reply] | None:
        """Return the reply, if the request was executed before the connection broke."""
        cached = self._link.execute(b"GET", self._reply_key)
        return (cached[13:],) if cached is not None and cached[:12] == self._request else None
