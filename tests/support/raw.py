"""A bare socket that speaks RESP: no test looks at the server through the code under test."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from typing import Any, cast
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import hiredis

from tests.support.waiting import PATIENCE

__all__ = ["Endpoint", "RawClient"]

CHUNK = 1 << 16


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A server URL in parts, to be put together again with another address."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    username: str = ""
    password: str = ""
    db: int = 0
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        unix = parts.scheme == "unix"
        db = options.pop("db", "") or ("" if unix else parts.path.strip("/"))
        return cls(
            parts.scheme,
            host=parts.hostname or "",
            port=0 if unix else parts.port or 6379,
            path=unquote(parts.path) if unix else "",
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            db=int(db or 0),
            options=tuple(options.items()),
        )

    @property
    def url(self) -> str:
        login = ""
        if self.username or self.password:
            login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        options = self.options
        if self.scheme == "unix":
            options = (("db", str(self.db)), *options) if self.db else options
            start = f"unix://{login}{quote(self.path)}"
        else:
            start = f"{self.scheme}://{login}{self.host}:{self.port}/{self.db}"
        return start + (f"?{urlencode(options)}" if options else "")

    def connect(self, timeout: float | None = None) -> socket.socket:
        """A connected socket, without log-in; TLS is not verified here."""
        if self.scheme == "unix":
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.settimeout(timeout)
                sock.connect(self.path)
            except BaseException:
                sock.close()
                raise
            return sock
        sock = socket.create_connection((self.host, self.port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.scheme == "rediss":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            sock = context.wrap_socket(sock)
        return sock


class RawClient:
    """One connection; ``call("GET", "k")`` returns the reply or raises ``hiredis.ReplyError``."""

    def __init__(self, url: str, timeout: float | None = PATIENCE) -> None:
        self._endpoint, self._timeout = Endpoint.parse(url), timeout
        self._connect()

    def _connect(self) -> None:
        endpoint = self._endpoint
        self._is_in_step = True
        self._reader = hiredis.Reader()
        self.sock = endpoint.connect(self._timeout)
        try:
            if endpoint.password:
                self.call("AUTH", endpoint.username or "default", endpoint.password)
            if endpoint.db:
                self.call("SELECT", endpoint.db)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def call(self, *args: str | bytes | float) -> Any:
        return self.pipeline(args)[0]

    def pipeline(self, *commands: tuple[str | bytes | int | float, ...]) -> list[Any]:
        """Send all commands in one write and read all replies; the first error is raised."""
        if not self._is_in_step:  # who called before was interrupted: its replies are not ours
            self.close()
            self._connect()
        self._is_in_step = False
        self.send(*commands)
        replies = [self.read() for _ in commands]
        self._is_in_step = True
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise reply
        return replies

    def send(self, *commands: tuple[str | bytes | int | float, ...]) -> None:
        self.sock.sendall(
            b"".join(hiredis.pack_command(cast(Any, command)) for command in commands)
        )

    def read(self) -> Any:
        """The next reply; an error reply is returned, not raised."""
        while (reply := self._reader.gets()) is False:
            if not (data := self.sock.recv(CHUNK)):
                raise ConnectionResetError("the server closed the connection")
            self._reader.feed(data)
        return reply

    def close(self) -> None:
        self.sock.close()
