"""The gate: a proxy on unix sockets that lets the requests of clients pass one at a time.

It has no thread: nothing moves but in :meth:`Gate.pump`, which the explorer calls. Each client has
a door of its own. What the main thread of a client sends is held until :meth:`Gate.forward`; what
its other threads send, and what any thread sends to get going, passes at once.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import select
import shutil
import socket
import tempfile
from collections.abc import Callable

import hiredis

from multihost.wire.script import Script, source
from tests.support.faults import SETUP, Frames
from tests.support.raw import CHUNK, Endpoint

__all__ = ["HELD", "Gate", "Wire", "line_of"]

HELD = "h"
"""In the name of a connection: its requests are held."""

Command = list[bytes]

EMPTY: Command = [b""]
"""Makes a server look at its clock; it is not answered."""


class Wire:
    """One connection of a client, and ours to the server."""

    def __init__(self, owner: str, is_held: bool, client: socket.socket, server: socket.socket):
        self.owner = owner
        self.is_held = is_held
        self.client: socket.socket | None = client
        self.server: socket.socket | None = server
        self.requests: collections.deque[tuple[bytes, Command]] = collections.deque()
        self.in_flight: collections.deque[Command] = collections.deque()
        self.is_silent = False
        self.swallows = False
        self._mute = b"ON"
        self._from_client = Frames()
        self._from_server = Frames()
        self._reader = hiredis.Reader()

    def read_requests(self, data: bytes) -> None:
        for frame in self._from_client.feed(data):
            if frame.startswith(b"*"):
                self._reader.feed(frame)
                self.requests.append((frame, self._reader.gets()))
            else:
                self.requests.append((frame, EMPTY))

    def read_replies(self, data: bytes) -> None:
        for frame in self._from_server.feed(data):
            if not frame.startswith(b">"):
                self.in_flight.popleft()
            if self.client is not None and not (self.swallows or self.is_silent):
                with contextlib.suppress(OSError):
                    self.client.sendall(frame)

    def send_first(self) -> Command:
        """Send the first request that is held to the server; return it."""
        frame, command = self.requests.popleft()
        if self.is_answered(command):
            self.in_flight.append(command)
        if self.server is not None:
            with contextlib.suppress(OSError):
                self.server.sendall(frame)
        return command

    def is_answered(self, command: Command) -> bool:
        """Return whether there will be a reply, to the next request."""
        if command is EMPTY:
            return False
        if command[0].upper() == b"CLIENT" and command[1].upper() == b"REPLY":
            self._mute = command[2].upper()
            return self._mute == b"ON"
        mute = self._mute
        if mute == b"SKIP":
            self._mute = b"ON"
        return mute == b"ON"

    @property
    def is_waiting(self) -> bool:
        """Whether the server has a request that it does not answer: it blocks."""
        return not self.is_silent and any(
            command[0].upper() not in SETUP for command in self.in_flight
        )


class Gate:
    """Doors of clients to one server, and whatever else the explorer waits for."""

    def __init__(self, upstream: str) -> None:
        self._upstream = Endpoint.parse(upstream)
        self.directory = tempfile.mkdtemp(
            prefix="mhx", dir="/tmp" if os.path.isdir("/tmp") else None
        )
        self.wires: list[Wire] = []
        self.holds = False
        """Whether requests are held; until then all of them pass."""
        self._listeners: dict[str, socket.socket] = {}
        self._poll = select.poll()
        self._callbacks: dict[int, Callable[[], None]] = {}

    def close(self) -> None:
        for owner in list(self._listeners):
            self.shut_door(owner)
        for wire in list(self.wires):
            self.drop(wire)
        shutil.rmtree(self.directory, ignore_errors=True)

    # doors

    def open_door(self, owner: str, *, free: bool = False) -> str:
        """Accept connections of a client; return the URL for it. All that comes through a free one
        passes.
        """
        path = os.path.join(self.directory, owner)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(64)
        self._listeners[owner] = listener
        self.watch(listener, lambda: self._accept(owner, listener, free))
        return f"unix://{path}"

    def shut_door(self, owner: str) -> None:
        """Refuse new connections of a client."""
        listener = self._listeners.pop(owner)
        self.unwatch(listener)
        listener.close()

    def _accept(self, owner: str, listener: socket.socket, free: bool) -> None:
        client, name = listener.accept()
        is_held = not free and os.path.basename(str(name)).split(".")[1:2] == [HELD]
        try:
            server = self._upstream.connect()
        except OSError:
            client.close()
            return
        wire = Wire(owner, is_held, client, server)
        self.wires.append(wire)
        self.watch(client, lambda: self._read_client(wire))
        self.watch(server, lambda: self._read_server(wire))

    # wires

    def of(self, owner: str) -> list[Wire]:
        return [wire for wire in self.wires if wire.owner == owner and wire.client is not None]

    def next_wire(self, owner: str) -> Wire | None:
        """Return the connection of a client whose first request is held, None if there is none."""
        for wire in self.of(owner):
            if wire.is_held and wire.requests and not (wire.is_silent or wire.is_waiting):
                return wire
        return None

    def is_waiting(self, owner: str) -> bool:
        return any(wire.is_held and wire.is_waiting for wire in self.of(owner))

    def forward(self, wire: Wire) -> Command:
        """Let the first request pass."""
        command = wire.send_first()
        self._pass_setup(wire)
        return command

    def refuse(self, wire: Wire, reply: bytes) -> None:
        """Answer the first request in place of the server."""
        _, command = wire.requests.popleft()
        if wire.is_answered(command) and wire.client is not None:
            with contextlib.suppress(OSError):
                wire.client.sendall(reply)
        self._pass_setup(wire)

    def drop(self, wire: Wire) -> None:
        """Close both sides."""
        self.drop_client(wire)
        if wire.server is not None:
            self.unwatch(wire.server)
            wire.server.close()
            wire.server = None
        if wire in self.wires:
            self.wires.remove(wire)

    def drop_client(self, wire: Wire) -> None:
        """Cut the client off; what it has sent is still to be had."""
        if wire.client is not None:
            self.unwatch(wire.client)
            wire.client.close()
            wire.client = None

    def _read_client(self, wire: Wire) -> None:
        data = _receive(wire.client)
        if not data:
            self.drop(wire)
            return
        wire.read_requests(data)
        self._pass_setup(wire)

    def _pass_setup(self, wire: Wire) -> None:
        if wire.is_silent:
            return
        held = self.holds and wire.is_held
        while wire.requests:
            command = wire.requests[0][1]
            if held and command is not EMPTY and command[0].upper() not in SETUP:
                return
            wire.send_first()

    def _read_server(self, wire: Wire) -> None:
        data = _receive(wire.server)
        if data:
            wire.read_replies(data)
        elif wire.is_silent:
            self.unwatch(wire.server)
        else:
            self.drop(wire)

    # waiting

    def watch(self, sock: socket.socket, callback: Callable[[], None]) -> None:
        self._poll.register(sock, select.POLLIN)
        self._callbacks[sock.fileno()] = callback

    def unwatch(self, sock: socket.socket | None) -> None:
        if sock is not None and self._callbacks.pop(sock.fileno(), None) is not None:
            self._poll.unregister(sock)

    def pump(self, seconds: float) -> bool:
        """Wait for something to happen, and handle all that did; return whether it was any."""
        ready = self._poll.poll(max(0.0, seconds) * 1000)
        for descriptor, _ in ready:
            callback = self._callbacks.get(descriptor)
            if callback is not None:
                callback()
        return bool(ready)


def _receive(sock: socket.socket | None) -> bytes:
    assert sock is not None
    try:
        return sock.recv(CHUNK)
    except OSError:
        return b""


@functools.cache
def _names_of_scripts() -> dict[bytes, str]:
    scripts = [Script(name) for name in source.all_names()]
    return {script.sha: script.name for script in scripts} | {
        script.source: script.name for script in scripts
    }


def line_of(command: Command) -> str:
    """Return the start of a command, to be read: a script by its name."""
    words = [word[:40].decode("latin-1") for word in command[:4]]
    script = _names_of_scripts().get(command[1]) if len(command) > 3 else None
    if script is not None:
        words = [words[0], script, *(word[:40].decode("latin-1") for word in command[3:5])]
    return " ".join(repr(word)[1:-1] for word in words)
