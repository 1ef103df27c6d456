"""Starting the watcher of a server: a shell that inherits nothing but its pipes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import Final

__all__ = ["spawn_watcher", "wait_eof"]

WATCHER: Final = os.path.join(os.path.dirname(__file__), "watcher.sh")


def spawn_watcher(arguments: list[str], fds: dict[int, int], variables: dict[str, str]) -> int:
    """Run ``watcher.sh`` in a session of its own; return its process id.

    It gets the descriptors ``fds`` (its number to ours) and no others, these variables of the
    environment, which other users cannot read, beside our own, and blocks no signal.
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
        {**os.environ, **variables},
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
