"""Starting the watcher of a server: its pipes, and a shell that inherits nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import threading
from typing import Final

__all__ = ["close_in_children", "close_pipe", "fork_lock", "open_pipe", "spawn_watcher", "wait_eof"]

WATCHER: Final = os.path.join(os.path.dirname(__file__), "watcher.sh")
FIRST_FD: Final = 10  # the shell gets numbers below it

# Descriptors that no forked child may keep: with one of them a child would block a server. The lock
# keeps a fork out while such a descriptor exists and is not yet in the set; it is reentrant for a
# signal handler that forks.
_owner_only: set[int] = set()
fork_lock: Final = threading.RLock()


def _close_after_fork() -> None:
    while _owner_only:
        os.close(_owner_only.pop())
    fork_lock.release()


os.register_at_fork(
    before=fork_lock.acquire,
    after_in_parent=fork_lock.release,
    after_in_child=_close_after_fork,
)


def close_in_children(*fds: int) -> None:
    """Have forked children close these descriptors. The caller has the fork lock."""
    _owner_only.update(fds)


def close_pipe(fd: int) -> None:
    """Close an end of a pipe, and forget what children would do with it. Takes the fork lock."""
    with fork_lock:
        _owner_only.discard(fd)
        os.close(fd)


def open_pipe(fds: list[int]) -> tuple[int, int]:
    """Open a pipe and append its ends to ``fds``; both above the numbers that the shell gets."""
    ends = []
    for low in os.pipe():
        try:
            ends.append(fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, FIRST_FD))
            fds.append(ends[-1])
        finally:
            os.close(low)
    return ends[0], ends[1]


def spawn_watcher(arguments: list[str], fds: dict[int, int]) -> int:
    """Run ``watcher.sh`` in a session of its own; return its process id.

    It gets the descriptors ``fds`` (its number to ours) and no others, and blocks no signal.
    """
    with open(WATCHER, encoding="utf-8") as file:
        script = file.read()
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        *((os.POSIX_SPAWN_DUP2, fd, number) for number, fd in fds.items()),
    ]
    # The server must not hold what this process inherited, or marked inheritable.
    for number in map(int, os.listdir("/dev/fd")):
        if number > max(fds):
            with contextlib.suppress(OSError):  # closed by now, like that of the directory itself
                if os.get_inheritable(number):
                    actions.append((os.POSIX_SPAWN_CLOSE, number))
    return os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", "-c", script, "multihost-watcher", *arguments],
        os.environ,
        file_actions=actions,
        setsid=True,  # Ctrl-C in the terminal is not for the server
        setsigmask=(),
        setsigdef=(signal.SIGCHLD,),  # the shell and the server wait for children of their own
    )


def wait_eof(fd: int, seconds: float | None) -> bool:
    """Wait until all write ends of a pipe are closed; return False if time is up. None: no limit.

    Nothing is ever written to that pipe.
    """
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
