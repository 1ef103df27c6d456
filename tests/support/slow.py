"""A relay to a far server: what passes takes a while each way, and links can be cut."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import time

__all__ = ["SlowLink"]

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: end with RST


class SlowLink:
    """A relay to a unix socket on which each byte takes ``delay`` seconds, one way."""

    def __init__(self, path: str, delay: float) -> None:
        self.delay = delay
        self.is_deaf = False
        """Do not pass on that a connection has ended: the other end is half open then."""
        self.sent = 0
        """How many pieces have come from clients: many calls in one write are one piece."""
        self._path = path
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._start(self._accept)

    def __enter__(self) -> SlowLink:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()

    def reset(self) -> None:
        """Cut all connections at once; new ones are welcome."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    if end.family == socket.AF_INET:
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    @staticmethod
    def _start(target: object, *args: object) -> None:
        threading.Thread(target=target, args=args, daemon=True).start()  # type: ignore[arg-type]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                server.connect(self._path)
                with self._lock:
                    self._pairs.append((client, server))
                for source, target in ((client, server), (server, client)):
                    arrived: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                    self._start(self._receive, source, arrived)
                    self._start(self._send, target, arrived)

    def _receive(
        self, source: socket.socket, arrived: queue.SimpleQueue[tuple[float, bytes]]
    ) -> None:
        data = b"."
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            with self._lock:
                self.sent += source.family == socket.AF_INET
            arrived.put((time.monotonic() + self.delay, data))

    def _send(self, target: socket.socket, arrived: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        while True:
            due, data = arrived.get()
            time.sleep(max(due - time.monotonic(), 0.0))  # that is the distance
            try:
                if not data:
                    if self.is_deaf:
                        return
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)
            except OSError:
                return
