"""Server-side operations: Lua files with a checked header, sent by digest.

``python -m multihost.wire.script.check`` checks every file and exits with 1 if one breaks its
contract.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from multihost.wire.keys import Keys
from multihost.wire.link import (
    Command,
    Link,
    PinnedConnection,
    Reply,
    pack,
    pack_args,
    transaction,
    watch_and_execute,
)
from multihost.wire.replies import ReplyError, to_exception

__all__ = ["BadScript", "Header", "Script", "Target", "all_names", "check", "parse", "source_of"]

T = TypeVar("T")

_LUA = Path(__file__).parents[1] / "lua"
_INCLUDE = re.compile(r"^( *)-- @include (lib/\w+)$")
_SECTION = re.compile(r"^-- ([A-Z]{3,})\b(.*)$")
_ENTRY = re.compile(r"^--   (\S+)\s")
_BINDING = re.compile(r"^local ([\w, ]+) = ((?:KEYS|ARGV)\[\d+\](?:, (?:KEYS|ARGV)\[\d+\])*)$")
MAX_CACHED_ARGS = 6  # arguments: commands with more have no fixed number of them
MAX_ARGS = 400_000  # Redis 6.2 closes a connection that sends 2 ** 20
MAX_BYTES = 256 * 1024 * 1024  # and every server one that sends a gigabyte
CHUNK_ARGS = 20_000
# Goes in front of a script whose arguments went ahead. Once executed they are gone: a repeat finds
# its answer.
_STAGED = b"""local sent, request = ARGV[1], ARGV[2]
local ARGV = redis.call('LRANGE', KEYS[1] .. ':args', '0', '-1')
if #ARGV ~= tonumber(sent) then
  local last = redis.call('GET', KEYS[1]) or ''
  if last == request then return '.' end
  if string.sub(last, 1, 12) == request then return string.sub(last, 14) end
  return redis.error_reply('STAGED the arguments were not received once each')
end
redis.call('UNLINK', KEYS[1] .. ':args')
"""
_SECTIONS = ("KEYS", "ARGV", "RETURNS", "ERRORS")


class BadScript(Exception):
    """A Lua file breaks the contract of its header."""


class Header(NamedTuple):
    """What a script says of itself."""

    summary: str
    keys: tuple[str, ...]
    args: tuple[str, ...]

    @property
    def writes(self) -> bool:
        """Whether a repeat must be recognised: the first key is the caller's record, the first
        argument its number.
        """
        return self.keys[:1] == ("record",)


def all_names() -> list[str]:
    """The names of all scripts, such as ``dict/set``."""
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.lua')}"
        for folder in _LUA.iterdir()
        if folder.is_dir() and folder.name != "lib"
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    )


def source_of(name: str) -> str:
    """The text of a script with its includes, each once, and without comments.

    An include inside a block costs nothing where the block is not entered.
    """
    seen: list[str] = []

    def expand(name: str, stack: tuple[str, ...]) -> Iterator[str]:
        stack = (*stack, name)
        for line in _read(name).splitlines():
            if match := _INCLUDE.match(line):
                if match[2] in stack:
                    raise BadScript(f"includes go in a circle: {' -> '.join((*stack, match[2]))}")
                # Inside a block the fragment exists for that block alone.
                if match[1] or match[2] not in seen:
                    if not match[1]:
                        seen.append(match[2])
                    yield from expand(match[2], stack)
            elif not line.lstrip().startswith("--") and line.strip():
                yield line

    return "\n".join(expand(name, ())) + "\n"


def _read(name: str) -> str:
    return (_LUA / f"{name}.lua").read_text("utf-8")


def parse(name: str, text: str, source: str = "") -> Header:
    """Read the header of a script and compare it with the bindings below it.

    ``source`` is the script with its includes, to see which keys it derives.
    """
    comment: list[str] = []
    code: list[str] = []
    for line in text.splitlines():
        (code if code or not line.startswith("--") else comment).append(line)
    try:
        header = _header(f"-- {name}: ", comment)
        _check_bindings(header, code)
        _check_derived(header, source)
    except BadScript as problem:
        raise BadScript(f"{name}.lua: {problem}") from None
    return header


def check(name: str) -> Header:
    """Return the header of a script; raise :class:`BadScript` if it breaks its contract."""
    return parse(name, _read(name), source_of(name))


def _header(start: str, comment: list[str]) -> Header:
    if not comment or not comment[0].startswith(start):
        raise BadScript(f"the first line must start with {start!r}")
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in comment[1:]:
        if match := _SECTION.match(line):
            current = sections.setdefault(match[1], [])
        elif current is not None and (match := _ENTRY.match(line + " ")):
            current.append(match[1])
    for section in _SECTIONS:
        if section not in sections:
            raise BadScript(f"the header has no {section}")
    if tuple(section for section in sections if section in _SECTIONS) != _SECTIONS:
        raise BadScript(f"the sections of the header are in the order {' '.join(_SECTIONS)}")
    return Header(comment[0].removeprefix(start), tuple(sections["KEYS"]), tuple(sections["ARGV"]))


def _check_bindings(header: Header, code: list[str]) -> None:
    bound: dict[str, list[str]] = {"KEYS": [], "ARGV": []}
    body = []
    for line in code:
        match = _BINDING.match(line)
        if not match:
            body.append(line)
            continue
        for local, value in zip(match[1].split(", "), match[2].split(", "), strict=True):
            kind, index = value[:4], int(value[5:-1])
            if index != len(bound[kind]) + 1:
                raise BadScript(f"{value} is bound out of order")
            bound[kind].append(local)
    for kind, listed in (("KEYS", header.keys), ("ARGV", header.args)):
        wanted = [entry for entry in listed if "..." not in entry and ":" not in entry]
        if bound[kind] != wanted:
            raise BadScript(f"the header names {kind} {wanted}, the code binds {bound[kind]}")
        if not any("..." in entry for entry in listed):
            for line in body:
                if re.search(rf"\b{kind}\b", line):
                    raise BadScript(f"{kind} stands outside the bindings: {line.strip()!r}")
    if ("record" in header.keys) != ("request" in header.args) or (
        header.writes and header.args[:1] != ("request",)
    ):
        raise BadScript("record and request go together, as the first key and the first argument")


def _check_derived(header: Header, source: str) -> None:
    """A key that is derived from another one is named in the header as ``data:suffix``."""
    for suffix in re.findall(r"data \.\. '(:\w+)'", source):
        if not any(entry.endswith(suffix) for entry in header.keys):
            raise BadScript(f"it touches data{suffix}, which the header does not name")


def _chunks(args: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Arguments in runs of a size that a server takes easily."""
    start, size = 0, 0
    for index, arg in enumerate(args):
        size += len(arg)
        if index > start and (size > MAX_BYTES or index - start >= CHUNK_ARGS):
            yield args[start:index]
            start, size = index, len(arg)
    yield args[start:]


class Target(Protocol):
    """What a script that writes works on."""

    @property
    def link(self) -> Link: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def command_prefixes(
        self,
    ) -> dict[tuple[Script, int], tuple[PinnedConnection | None, bytes]]: ...


class _Cached(Generic[T]):
    """A property that is computed once, as :func:`functools.cached_property`, which before Python
    3.12 has a lock: a forked process may inherit it locked.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute

    def __get__(self, instance: Any, owner: object = None) -> T:
        value = instance.__dict__[self._compute.__name__] = self._compute(instance)
        return value


class Script:
    """One operation on the server. Read and checked at its first call.

    The keys that a header names are those of the subject: record, names, data, sessions.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @_Cached
    def _checked(self) -> tuple[bytes, Header]:
        source = source_of(self.name)
        return source.encode(), parse(self.name, _read(self.name), source)

    @_Cached
    def source(self) -> bytes:
        return self._checked[0]

    @_Cached
    def header(self) -> Header:
        return self._checked[1]

    @_Cached
    def sha(self) -> bytes:
        return hashlib.sha1(self.source).hexdigest().encode()

    @_Cached
    def _writes(self) -> bool:
        return self.header.writes

    def run_readonly(self, link: Link, keys: Sequence[bytes], *args: bytes) -> Reply:
        """Run a script that may be repeated: it changes nothing, or the same when it runs again."""
        source = self.source
        count = b"%d" % len(keys)
        try:
            try:
                return link.execute_raw(b"EVALSHA", self.sha, count, *keys, *args)
            except ReplyError as error:
                if error.code != "NOSCRIPT":
                    raise
                return link.execute_raw(b"EVAL", source, count, *keys, *args)
        except ReplyError as error:
            raise to_exception(error, self.name, keys[0].decode("utf-8", "replace")) from None

    def run_once(self, subject: Target, *args: bytes) -> Reply:
        """Run a script once and only once, whatever happens to the connection."""
        if len(args) > MAX_CACHED_ARGS and (
            len(args) > MAX_ARGS or sum(map(len, args)) > MAX_BYTES
        ):
            return self._run_staged(subject, args)
        caller = subject.link.checkout()
        request, unknown = self.pack_request(subject, caller, args)
        try:
            return subject.link.exchange(caller, request, unknown)
        except ReplyError as error:
            return self.handle_error(subject, args, error)

    def handle_error(
        self,
        subject: Target,
        args: Sequence[bytes],  # noqa: ARG002 - for a subclass
        error: ReplyError,
    ) -> Reply:
        """Raise the exception for an error reply to :meth:`run_once`; a subclass may run it
        again.
        """
        raise to_exception(error, self.name, subject.keys.ident) from None

    def pack_request(
        self, subject: Target, connection: PinnedConnection, args: Sequence[bytes]
    ) -> tuple[bytes, Callable[[], bytes]]:
        """A new request of ``caller``: what to send, and what instead to a server that forgot the
        script. The number stays the same, for it may have been executed.
        """
        if not self._writes:

            def source() -> bytes:
                keys = self._keys(subject, None)
                return pack((b"EVAL", self.source, b"%d" % len(keys), *keys, *args))

            return self._pack_idempotent(subject, args), source
        connection.sequence = number = connection.sequence + 1
        head = subject.command_prefixes.get((self, len(args)))
        if head is None or head[0] is not connection:
            head = self._command_prefix(subject, connection, len(args))

        def unknown() -> bytes:
            keys = self._keys(subject, connection)
            count = b"%d" % len(keys)
            return pack((b"EVAL", self.source, count, *keys, b"%012d" % number, *args))

        return b"%b$12\r\n%012d\r\n%b" % (head[1], number, pack_args(args)), unknown

    def run_idempotent(self, subject: Target, *args: bytes) -> Reply:
        """Run a script on an object that may be repeated: it has the same effect when it runs
        again.
        """
        link = subject.link
        try:
            try:
                return link.exchange(link.checkout(), self._pack_idempotent(subject, args))
            except ReplyError as error:
                if error.code != "NOSCRIPT":
                    raise
                keys = self._keys(subject, None)
                return link.execute_raw(b"EVAL", self.source, b"%d" % len(keys), *keys, *args)
        except ReplyError as error:
            raise to_exception(error, self.name, subject.keys.ident) from None

    def _pack_idempotent(self, subject: Target, args: Sequence[bytes]) -> bytes:
        head = subject.command_prefixes.get((self, len(args)))
        if head is None:
            head = self._command_prefix(subject, None, len(args))
        return head[1] + pack_args(args)

    def _run_staged(self, subject: Target, args: Sequence[bytes]) -> Reply:
        """The same for more arguments than a server takes at once: they go ahead in parts.

        The parts wait in a list beside the caller's record, for a minute at most.
        """
        link = subject.link
        source = _STAGED + self.source
        while True:
            caller = link.checkout()
            caller.sequence = number = caller.sequence + 1
            keys = self._keys(subject, caller)
            waiting = keys[0] + b":args"
            everything = (b"%012d" % number, *args)
            try:
                link.execute(b"UNLINK", waiting)
                for part in _chunks(everything):
                    transaction(link, (b"RPUSH", waiting, *part), (b"PEXPIRE", waiting, b"60000"))
            except BaseException:
                link.recycle(caller)
                raise
            # Each part was sent at least once; the script refuses if one was sent twice.
            sent = b"%d" % len(everything)
            command = (b"EVAL", source, b"%d" % len(keys), *keys, sent, everything[0])
            try:
                return link.exchange(caller, pack(command))
            except ReplyError as error:
                if error.code != "STAGED":
                    return self.handle_error(subject, args, error)

    def run_watching(
        self, subject: Target, read: Command, decide: Callable[[Reply], Sequence[bytes] | None]
    ) -> Reply:
        """Read, let ``decide`` tell the arguments, and run the script once if nothing changed
        meanwhile.

        None if ``decide`` returns None; what it raises is passed on and nothing is changed.
        """
        link, source = subject.link, self.source
        while True:
            caller = link.checkout()
            caller.sequence = caller.sequence + 1
            keys = self._keys(subject, caller)
            attempt = _WatchedCall(self.sha, keys, b"%012d" % caller.sequence, decide, link)
            try:
                return watch_and_execute(
                    link, caller, subject.keys.data, read, attempt.command, attempt.finished
                )
            except ReplyError as error:
                if error.code != "NOSCRIPT":
                    raise to_exception(error, self.name, subject.keys.ident) from None
                link.execute(b"SCRIPT", b"LOAD", source)

    def _keys(self, subject: Target, connection: PinnedConnection | None) -> tuple[bytes, ...]:
        keys = subject.keys
        return tuple(
            connection.reply_key(keys.prefix)
            if name == "record" and connection
            else getattr(keys, name)
            for name in self.header.keys
            if ":" not in name
        )

    def _command_prefix(
        self, subject: Target, connection: PinnedConnection | None, args: int
    ) -> tuple[PinnedConnection | None, bytes]:
        """What a command starts with. It is the same for every call of a thread on an object: kept
        with that.
        """
        keys = self._keys(subject, connection)
        start = pack_args((b"EVALSHA", self.sha, b"%d" % len(keys), *keys))
        head = connection, b"*%d\r\n%b" % (3 + len(keys) + args + (connection is not None), start)
        if args <= MAX_CACHED_ARGS:
            subject.command_prefixes[self, args] = head
        return head


class _WatchedCall:
    """A request that depends on what is read before it."""

    def __init__(
        self,
        sha: bytes,
        keys: tuple[bytes, ...],
        request: bytes,
        decide: Callable[[Reply], Sequence[bytes] | None],
        link: Link,
    ) -> None:
        self._start = (b"EVALSHA", sha, b"%d" % len(keys), *keys, request)
        self._record = keys[0]
        self._request = request
        self._decide = decide
        self._link = link

    def command(self, reply: Reply) -> Command | None:
        args = self._decide(reply)
        return None if args is None else (*self._start, *args)

    def finished(self) -> Sequence[Reply] | None:
        """The answer, if the request was executed before the connection broke."""
        record = self._link.execute(b"GET", self._record)
        return (record[13:],) if record is not None and record[:12] == self._request else None
