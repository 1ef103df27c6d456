"""A server that answers whatever a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

import hiredis

__all__ = ["OddServer", "bulk", "info"]


class OddServer:
    """Answers each command with what ``answer`` says."""

    def __init__(self, answer: Callable[[list[bytes]], bytes]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> OddServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    reader = hiredis.Reader()
                    while data := client.recv(65536):
                        reader.feed(data)
                        while (command := reader.gets()) is not False:
                            client.sendall(self._answer(command))


def bulk(text: str) -> bytes:
    data = text.encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def info(**facts: str) -> bytes:
    return bulk("# Server\r\n" + "".join(f"{name}:{value}\r\n" for name, value in facts.items()))
