"""The processes that are explored: the real client code, run as it is."""

from __future__ import annotations

import ast
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from tests.explore.gate import HELD

__all__ = ["Client", "Said"]

Said = tuple[Any, ...]
"""What a client reports: ("ready",), ("call", i), ("return", i, result), ("raise", i, name, text),
("done",).
"""

Work = Callable[[str, Callable[..., None], Callable[[], None]], object]
"""What a client does: with the URL of its server, a function that reports, and one that waits for
the start. What it returns is kept until the process ends.
"""


class Client:
    """A forked process, which reports over a pipe."""

    def __init__(self, letter: str, url: str, work: Work) -> None:
        self.letter = letter
        self.pipe, theirs = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            _run(theirs, url, letter, work)
        theirs.close()
        self.is_alive = True
        self.is_stopped = False
        self._text = b""

    def start(self) -> None:
        """Let it begin."""
        self.pipe.send(b"!")

    def read(self) -> list[Said]:
        """Return what it has reported; at its end ("gone",)."""
        try:
            data = self.pipe.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            return [("gone",)]
        *lines, self._text = (self._text + data).split(b"\n")
        return [ast.literal_eval(line.decode()) for line in lines]

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        self.is_stopped = True

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self.is_stopped = False

    def kill(self) -> None:
        """End it by SIGKILL, and wait until it has ended."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.is_alive = self.is_stopped = False

    def close(self) -> None:
        self.kill()
        self.pipe.close()


def _run(theirs: socket.socket, url: str, letter: str, work: Work) -> None:
    """The whole life of a forked process."""
    try:
        # What the explorer has open is no business of a client: a copy of a socket would keep it
        # from being closed.
        pipe = os.dup2(theirs.fileno(), 3)
        os.closerange(4, 4096)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # That its server is lost is no news here.
        logging.getLogger().addHandler(logging.NullHandler())
        _name_connections(os.path.dirname(url.removeprefix("unix://")), letter)

        def report(*said: object) -> None:
            os.write(pipe, repr(said).encode() + b"\n")

        def await_start() -> None:
            os.read(pipe, 1)

        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            kept = work(url, report, await_start)
            report("done")
            os.read(pipe, 1)  # until the explorer has gone, or ends this process
            del kept
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)


def _name_connections(directory: str, letter: str) -> None:
    """Give each socket a name before it connects, from which the gate sees whose it is."""
    connect = socket.socket.connect
    count = 0

    def named(self: socket.socket, address: Any) -> None:
        nonlocal count
        if self.family == socket.AF_UNIX and str(address).startswith(directory):
            count += 1
            kind = HELD if threading.current_thread() is threading.main_thread() else "free"
            self.bind(os.path.join(directory, f"{letter}{os.getpid()}.{kind}.{count}"))
        connect(self, address)

    socket.socket.connect = named  # type: ignore[method-assign]
