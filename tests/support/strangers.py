"""What another user of this machine can do: processes that have his rights."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import hiredis
import pytest

__all__ = [
    "NOBODY",
    "SOMEBODY",
    "evil_pickle",
    "private_names",
    "rogue_server",
    "run_as",
    "running_as",
]

NOBODY, SOMEBODY = 65534, 12345
"""User ids: of the attacker, and of a victim that is not root."""


def _run(pipe: Connection, uid: int, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    os.umask(0)
    function(pipe, *args)


@contextlib.contextmanager
def running_as(uid: int, function: Callable[..., Any], *args: Any) -> Iterator[Connection]:
    """Run ``function(pipe, *args)`` in a process of another user, and yield our end of the pipe; it
    is killed at the end. Skips the test if that cannot be done.

    It can import nothing: the interpreter may be in a directory that it cannot enter.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root, for processes of other users")
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_run, args=(theirs, uid, function, args), daemon=True
    )
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def run_as(uid: int, function: Callable[..., Any], *args: Any) -> Any:
    """Return what ``function(pipe, *args)`` sends first."""
    with running_as(uid, function, *args) as pipe:
        return pipe.recv()


def private_names() -> Iterator[str]:
    """Yield the names of directories of private servers that any command line shows."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                for word in (entry / "cmdline").read_bytes().split(b"\0"):
                    if b"multihost-" in word and word.startswith(b"/"):
                        yield os.fsdecode(word)


class _Evil:
    def __init__(self, flag: str) -> None:
        self.flag = flag

    def __reduce__(self) -> Any:
        return open, (self.flag, "w")


def evil_pickle(flag: Path) -> bytes:
    """Return a pickle that makes a file where it is read."""
    return pickle.dumps(_Evil(str(flag)))


def rogue_server(pipe: Connection, where: str | tuple[str, int], evil: bytes) -> None:
    """Listen there, make a directory for that if need be, and agree to everything; answer what is
    read with a pickle. Sends where it listens, and then each command that it hears.
    """
    if isinstance(where, str):
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(where))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(where)
        listener.listen()
    else:
        listener = socket.create_server(where)
    pipe.send(listener.getsockname())
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_agree, args=(pipe, client, evil), daemon=True).start()


def _agree(pipe: Connection, client: socket.socket, evil: bytes) -> None:
    bulk = b"$%d\r\n%b\r\n" % (len(evil), evil)
    answers = {
        b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n",
        b"AUTH": b"+OK\r\n",
        b"HMGET": b"*2\r\n$1\r\n0\r\n" + bulk,
        b"BRPOPLPUSH": b"$32\r\n" + b"0" * 32 + b"\r\n",
    }
    reader = hiredis.Reader()
    while data := client.recv(65536):
        reader.feed(data)
        while (command := reader.gets()) is not False:
            if isinstance(command, list):
                pipe.send(command)
                client.sendall(answers.get(command[0].upper(), bulk))
