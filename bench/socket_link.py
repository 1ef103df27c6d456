"""The floor: a unix socket, hiredis for the protocol, and nothing in between."""

from __future__ import annotations

import socket
from typing import Any

__all__ = ["SocketLink"]

CHUNK = 1 << 16


class SocketLink:
    """One connection to a Redis server, speaking RESP2."""

    def __init__(self, path: str, password: str | None = None) -> None:
        import hiredis

        self.pack = hiredis.pack_command
        self.reader = hiredis.Reader()
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        if password is not None:
            self.call("AUTH", password)

    def call(self, *command: bytes | str | int) -> Any:
        """Send one command, return its reply."""
        self.socket.sendall(self.pack(command))
        return self.receive()

    def transaction(self, *commands: tuple[bytes | str | int, ...]) -> list[Any]:
        """Send commands as one transaction in one round trip, return their replies."""
        pack = self.pack
        self.socket.sendall(b"".join(map(pack, (("MULTI",), *commands, ("EXEC",)))))
        for _ in range(len(commands) + 1):
            self.receive()
        replies: list[Any] = self.receive()
        return replies

    def receive(self) -> Any:
        """Read the next reply."""
        reader = self.reader
        while (reply := reader.gets()) is False:
            if not (chunk := self.socket.recv(CHUNK)):
                raise ConnectionError("the server closed the connection")
            reader.feed(chunk)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()
