"""A server that repeats what it is sent: what it says must be shown to nobody."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from urllib.parse import quote

import hiredis

from tests.support.raw import Endpoint

__all__ = ["ANSWERS", "EchoServer"]

Answer = Callable[[bytes, list[bytes]], bytes]

HELLO = b"%1\r\n$5\r\nproto\r\n:3\r\n"


def _like_redis_5(command: bytes, heard: list[bytes]) -> bytes:
    """As Redis 5 answers a HELLO: 128 bytes of the arguments."""
    said = b""
    for arg in heard[-8:]:
        said += b"`" + arg[: max(0, 128 - len(said))] + b"`, "
    return b"-ERR unknown command `" + command + b"`, with args beginning with: " + _line(said)


def _error(code: bytes) -> Answer:
    return lambda command, heard: b"-" + code + b" " + _everything(heard)


def _everything(heard: list[bytes]) -> bytes:
    """All that was heard, as it came and encoded as in a URL."""
    said = b" ".join(heard[-40:])
    return _line(said + b" " + quote(said[-3000:]).encode())


def _line(said: bytes) -> bytes:
    return said.replace(b"\r", b" ").replace(b"\n", b" ") + b"\r\n"


def _bulk(command: bytes, heard: list[bytes]) -> bytes:
    said = _everything(heard)[:-2]
    text = b"redis_version:" + said + b"\r\nredis_mode:" + said + b"\r\nmaxmemory_policy:" + said
    return b"$%d\r\n%b\r\n" % (len(text), text)


def _password_as_code(command: bytes, heard: list[bytes]) -> bytes:
    index = heard.index(b"AUTH") if b"AUTH" in heard else -2
    return b"-" + _line(b" ".join(heard[index + 1 :][-2:][::-1]))


ANSWERS: dict[str, Answer] = {
    "as Redis 5": _like_redis_5,
    "all as an error": _error(b"ERR"),
    "the password as a code": _password_as_code,
    "all in a value": _bulk,
    **{
        code: _error(code.encode())
        for code in (
            *("WRONGPASS", "NOPERM", "NOAUTH", "DENIED", "OOM", "MISCONF", "READONLY", "LOADING"),
            *("NOSCRIPT", "EXECABORT", "WRONGTYPE", "MOVED", "NOPROTO", "ODD"),
        )
    },
    "in a script": lambda command, heard: (
        b"-ERR Error running script (call to f_0): @user_script:3: " + _everything(heard)
    ),
    "too many clients": lambda command, heard: (
        b"-ERR max number of clients reached " + _everything(heard)
    ),
    "no database": lambda command, heard: b"-ERR DB index is out of range " + _everything(heard),
}


class EchoServer:
    """Passes everything on to ``upstream`` until ``answer`` is set; then that makes the replies, of
    the command and of what was heard from all clients. ``greets``: it accepts who connects.
    """

    def __init__(self, upstream: str = "") -> None:
        self._upstream = Endpoint.parse(upstream) if upstream else None
        self.answer: Answer | None = None
        self.greets = False
        self._heard: list[bytes] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def __enter__(self) -> EchoServer:
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in (self._listener, *self._sockets):
            sock.close()

    def _start(self, target: Callable[..., object], *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        server = None
        if self._upstream is not None:
            server = socket.create_connection((self._upstream.host, self._upstream.port))
            self._sockets.append(server)
            self._start(self._pump, server, client)
        reader = hiredis.Reader()
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                reader.feed(data)
                answer = self.answer  # it may change at any time
                if answer is None and server is not None:
                    server.sendall(data)
                while (command := reader.gets()) is not False:
                    if isinstance(command, list):  # not the empty line that wakes a server
                        self._heard.extend(command)
                        if answer is not None:
                            client.sendall(self._reply(answer, command[0].upper()))
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
            if server is not None:
                server.shutdown(socket.SHUT_RDWR)

    def _reply(self, answer: Answer, command: bytes) -> bytes:
        if self.greets and command in (b"HELLO", b"AUTH", b"SELECT", b"CLIENT"):
            return HELLO if command == b"HELLO" else b"+OK\r\n"
        return answer(command, self._heard)

    def _pump(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
