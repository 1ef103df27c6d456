"""A proxy that understands enough RESP to break a connection exactly where a test wants it.

    with CuttingProxy(server) as proxy:
        rule = proxy.cut_after_reply(b"EVALSHA")
        ...  # the server executes the call, its reply is swallowed, both sides are cut
        assert rule.done.is_set()

A rule fires once (``times``), at the ``nth`` matching request from now on; then the proxy is
transparent again. Of several rules the one armed first goes first: two plain rules break two
attempts in a row.
Without ``match``, set-up commands are let through, see ``SETUP``, and so is what a session sends in
the background, which comes when it likes. A request without a reply (after ``CLIENT REPLY SKIP``)
is none for the faults of replies.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import hiredis

from tests.support.ports import Port
from tests.support.raw import CHUNK, Endpoint
from tests.support.requests import foreground
from tests.support.waiting import PATIENCE

__all__ = ["SETUP", "CuttingProxy", "Frames", "Rule"]

SETUP = frozenset({b"HELLO", b"AUTH", b"SELECT", b"CLIENT", b"SCRIPT", b"INFO"})
"""What a client sends to get going. A rule meets these only if ``match`` names one."""

UNKNOWN = b"*1\r\n$7\r\nUNKNOWN\r\n"

SUBSCRIBING = frozenset(
    verb + b"SUBSCRIBE" for verb in (b"", b"UN", b"P", b"PUN", b"S", b"SUN")
)  # answered by pushes, not by replies

Match = bytes | str | Callable[[list[bytes]], bool] | None


class HasUrl(Protocol):
    @property
    def url(self) -> str: ...


class Frames:
    """Cuts a byte stream into whole RESP2/RESP3 messages, however long they are."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0
        self._missing = 1  # values still to come until the message is whole

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._buffer += data
        while self._advance():
            frame = bytes(self._buffer[: self._position])
            del self._buffer[: self._position]
            self._position, self._missing = 0, 1
            yield frame

    def _advance(self) -> bool:
        while self._missing:
            end = self._buffer.find(b"\r\n", self._position)
            if end < 0:
                return False
            kind, head = chr(self._buffer[self._position]), self._buffer[self._position + 1 : end]
            end += 2
            if kind in "$=!":
                length = int(head)
                end += length + 2 if length >= 0 else 0
                if len(self._buffer) < end:
                    return False
                self._missing -= 1
            elif kind in "*~>":
                self._missing += max(0, int(head)) - 1
            elif kind == "%":
                self._missing += 2 * int(head) - 1
            elif kind == "|":
                self._missing += 2 * int(
                    head
                )  # attributes stand before the value, which still comes
            else:
                self._missing -= 1
            self._position = end
        return True


class Rule:
    """One armed fault.

    ``caught`` is set when its request is in hand, ``done`` when the fault is over. For a held
    request, ``done`` means that the server has executed and answered it.
    """

    def __init__(
        self, kind: str, match: Match, nth: int, times: int, event: threading.Event | None = None
    ) -> None:
        if nth < 1 or times < 1:
            raise ValueError("nth and times count from 1")
        self.kind = kind
        self.caught = threading.Event()
        self.done = threading.Event()
        self.event = event or threading.Event()
        self.hang_up = False
        self.args: list[bytes] = []
        """The request that was caught last."""
        self._match = match.encode().upper() if isinstance(match, str) else match
        if isinstance(self._match, bytes):
            self._match = self._match.upper()
        self._until = nth
        self._left = times

    def __repr__(self) -> str:
        return f"<Rule {self.kind} match={self._match!r} {'spent' if self.is_spent else 'armed'}>"

    @property
    def is_spent(self) -> bool:
        return not self._left

    def disarm(self) -> None:
        self._left = 0

    def counts(self, args: list[bytes]) -> bool:
        """Count a request that passes; True if the fault may be for this one."""
        if self.is_spent or not self._matches(args):
            return False
        self._until -= 1
        return self._until <= 0

    def take(self, args: list[bytes]) -> None:
        self._left -= 1
        self.args = args

    def _matches(self, args: list[bytes]) -> bool:
        name = args[0].upper()
        if isinstance(self._match, bytes):
            return name == self._match
        if name in SETUP:
            return False
        return (self._match or foreground)(args)


class CuttingProxy:
    """A proxy in front of ``upstream`` (a URL or what has one), on TCP or on a unix socket.

    ``url`` is the upstream's with the proxy's address. ``passed`` counts the requests handed to
    the server, by command: ``proxy.passed[b"EVALSHA"]``; ``accepted`` counts connections.
    """

    def __init__(self, upstream: HasUrl | str, *, unix: bool = False) -> None:
        url = upstream if isinstance(upstream, str) else upstream.url
        self.upstream = Endpoint.parse(url)
        self.passed: collections.Counter[bytes] = collections.Counter()
        self.accepted = 0
        self.answer: bytes | None = None
        """Answer every request with this, but what a server answers while it loads its data."""
        self.refusals: dict[str, str] = {}
        """What the server does not do: a command, such as ``CLIENT ID``, and its error reply."""
        self._unix = unix
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._connections: set[_Connection] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._directory = ""
        self._port: Port | None = None
        if unix:
            base = "/tmp" if os.path.isdir("/tmp") else None
            self._directory = tempfile.mkdtemp(prefix="mhp", dir=base)
            self.address: tuple[str, int] | str = os.path.join(self._directory, "s")
        else:
            self._port = Port()  # also while connections are refused
            self.address = ("127.0.0.1", self._port.number)
        self.accept()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        if isinstance(self.address, str):
            there = dataclasses.replace(self.upstream, scheme="unix", path=self.address)
        else:
            host, port = self.address
            there = dataclasses.replace(self.upstream, scheme="redis", host=host, port=port)
        return there.url

    def refusal(self, args: list[bytes]) -> str | None:
        """The error reply to this request, if it is refused."""
        words = [arg.decode("latin-1").upper() for arg in args[:2]]
        return self.refusals.get(words[0]) or self.refusals.get(" ".join(words))

    @property
    def connections(self) -> int:
        """How many are open now."""
        with self._lock:
            return len(self._connections)

    # Faults

    def cut_after_reply(self, match: Match = None, nth: int = 1, times: int = 1) -> Rule:
        """Let the server execute and answer, swallow the reply, drop both connections.

        An answer NOSCRIPT means that nothing was executed: it passes, and does not count.
        """
        return self._arm(Rule("cut_after_reply", match, nth, times))

    def cut_mid_reply(self, match: Match = None, nth: int = 1, times: int = 1) -> Rule:
        """Pass on the first half of the reply's bytes, then drop both connections."""
        return self._arm(Rule("cut_mid_reply", match, nth, times))

    def cut_before_request(self, match: Match = None, nth: int = 1, times: int = 1) -> Rule:
        """Drop both connections when the request arrives; the server never sees it."""
        return self._arm(Rule("cut_before_request", match, nth, times))

    def delay_reply(
        self, event: threading.Event, match: Match = None, nth: int = 1, times: int = 1
    ) -> Rule:
        """Hold the reply, and those behind it on its connection, until ``event`` is set."""
        return self._arm(Rule("delay_reply", match, nth, times, event))

    def hold_request(
        self,
        event: threading.Event,
        match: Match = None,
        nth: int = 1,
        times: int = 1,
        *,
        hang_up: bool = False,
    ) -> Rule:
        """Hold the request until ``event`` is set and deliver it then, even if the client has gone.

        With ``hang_up`` the client is cut off at once: it will retry, and the server meets its
        first attempt after the second.
        """
        rule = Rule("hold_request", match, nth, times, event)
        rule.hang_up = hang_up
        return self._arm(rule)

    def cut_all(self) -> None:
        """Drop every open connection now; new ones are welcome."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.drop()

    def refuse(self) -> None:
        """Refuse new connections, as a server that is down; open ones stay."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            # Closing alone wakes no accept(), and a forked child may hold the socket too.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def accept(self) -> None:
        """Take new connections again, on the same address."""
        if self._listener is not None:
            return
        if isinstance(self.address, str):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.address)
            listener = socket.socket(socket.AF_UNIX)
        else:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self.address)
        listener.listen(128)
        self._listener = listener
        self._spawn(self._serve, listener)

    def close(self) -> None:
        """Drop everything, release what is held (it is not delivered) and wait for our threads."""
        self.refuse()
        self.cut_all()
        for rule in self._rules:
            rule.event.set()
        while True:
            # A connection accepted at the last moment may still start threads.
            with self._lock:
                thread = self._threads.pop() if self._threads else None
            if thread is None:
                break
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"{thread.name} hangs"
            self.cut_all()
        if self._port is not None:
            self._port.release()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    # Machinery

    def _arm(self, rule: Rule) -> Rule:
        with self._lock:
            self._rules.append(rule)
        return rule

    def _taker(self, kinds: tuple[str, ...], args: list[bytes]) -> Rule | None:
        """The rule that takes this request.

        All rules count it; another one that was ready for it takes the next.
        """
        with self._lock:
            ready = [rule for rule in self._rules if rule.kind in kinds and rule.counts(args)]
            if not ready:
                return None
            ready[0].take(args)
            return ready[0]

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="cutting-proxy", daemon=True)
        with self._lock:
            self._threads = [t for t in self._threads if t.is_alive() or t.ident is None]
            self._threads.append(thread)
        thread.start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = self.upstream.connect()
            except OSError:
                client.close()
                continue
            if client.family != socket.AF_UNIX:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(self, client, server)
            with self._lock:
                # Refused meanwhile: whoever cuts all connections then would not find this one.
                is_refused = self._listener is not listener
                if not is_refused:
                    self.accepted += 1
                    self._connections.add(connection)
            if is_refused:
                client.close()
                server.close()
                return
            self._spawn(connection.carry_requests)
            self._spawn(connection.carry_replies)


class _Connection:
    """A client's connection and ours to the server, with one thread for each direction."""

    def __init__(self, proxy: CuttingProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._lock = threading.Lock()
        self._working = 2
        self._awaited: collections.deque[tuple[list[bytes], Rule | None]] = collections.deque()
        self._has_subscribed = False
        self._mute = b"ON"  # ``CLIENT REPLY``: OFF, or SKIP for one request

    def drop(self) -> None:
        _shut(self._client)
        _shut(self._server)

    def carry_requests(self) -> None:
        reader = hiredis.Reader()
        try:
            for frame in _frames(self._client):
                if not frame.startswith(b"*"):
                    args = frame.split()  # an inline command
                else:
                    reader.feed(frame)
                    args = reader.gets()
                if args and not self._pass_request(frame, args):
                    break
        except OSError:
            pass  # one of the two sides is gone
        # What was sent is still answered and executed; the server closes when it has read it all.
        _shut(self._server, socket.SHUT_WR)
        self._leave()

    def _pass_request(self, frame: bytes, args: list[bytes]) -> bool:
        proxy = self._proxy
        rule = proxy._taker(("cut_before_request", "hold_request"), args)
        if rule is not None and rule.kind == "cut_before_request":
            rule.caught.set()
            self.drop()
            rule.done.set()
            return False
        if rule is not None:
            rule.caught.set()
            if rule.hang_up:
                _shut(self._client)
            rule.event.wait()
        name = args[0].upper()
        if proxy.answer is not None and name not in SETUP | {b"TIME", b"PING"}:
            self._to_client(proxy.answer)
            return True
        if name in SUBSCRIBING:
            self._has_subscribed = True
        elif self._is_answered(name, args):
            self._awaited.append((args, rule))
        with proxy._lock:
            proxy.passed[name] += 1
        # What no server knows takes the place of the request: it counts in transactions, too.
        self._server.sendall(frame if proxy.refusal(args) is None else UNKNOWN)
        return True

    def _is_answered(self, name: bytes, args: list[bytes]) -> bool:
        if name == b"CLIENT" and args[1].upper() == b"REPLY" and not self._proxy.refusal(args):
            self._mute = args[2].upper()
            return self._mute == b"ON"
        mute = self._mute
        if mute == b"SKIP":
            self._mute = b"ON"
        return mute == b"ON"

    def carry_replies(self) -> None:
        with contextlib.suppress(OSError):
            for frame in _frames(self._server):
                if frame.startswith(b">") or (self._has_subscribed and frame.startswith(b"*")):
                    self._to_client(frame)
                elif not self._pass_reply(frame):
                    break
        _shut(self._client)
        self._leave()

    def _pass_reply(self, frame: bytes) -> bool:
        args, held = self._awaited.popleft()
        rule = None
        if (refusal := self._proxy.refusal(args)) is not None:
            frame = b"-%b\r\n" % refusal.encode()
        # Nobody hears what is answered to a client that has left: a fault there is none.
        if not frame.startswith(b"-NOSCRIPT") and not _is_closed(self._client):
            kinds = ("cut_after_reply", "cut_mid_reply", "delay_reply")
            rule = self._proxy._taker(kinds, args)
        if rule is not None:
            rule.caught.set()
            if rule.kind == "delay_reply":
                rule.event.wait()
            else:
                if rule.kind == "cut_mid_reply":
                    self._to_client(frame[: len(frame) // 2])
                self.drop()
                rule.done.set()
                return False
        self._to_client(frame)
        for over in (rule, held):
            if over is not None:
                over.done.set()
        return True

    def _to_client(self, data: bytes) -> None:
        # A client that has gone does not stop us from hearing what the server has done.
        with contextlib.suppress(OSError):
            self._client.sendall(data)

    def _leave(self) -> None:
        with self._lock:
            self._working -= 1
            if self._working:
                return
        self.drop()
        self._client.close()
        self._server.close()
        with self._proxy._lock:
            self._proxy._connections.discard(self)


def _frames(sock: socket.socket) -> Iterator[bytes]:
    frames = Frames()
    while data := sock.recv(CHUNK):
        yield from frames.feed(data)


def _is_closed(client: socket.socket) -> bool:
    """Return whether the client has closed its side, read or not by the thread that reads."""
    try:
        return not client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _shut(sock: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    # Not close(): if a process forked meanwhile holds the socket too, the peer learns nothing.
    with contextlib.suppress(OSError):
        sock.shutdown(how)
