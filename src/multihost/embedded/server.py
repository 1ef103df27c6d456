"""A private server: it is started, watched, and ends with the processes that hold it.

Who watches whom: the owner spawns one ``/bin/sh``, the watcher, in a session of its own, and the
watcher starts the server, so the server never exists without a process that ends it. Two pipes tie
them together:

- the *owner* pipe: the owner holds its write end, and the watcher reads the other. However the
  owner ends, the kernel closes that end; the watcher reads the end of the file and kills the
  server. A process that the owner forks by itself holds that end, too: a program that detaches
  keeps its server. Children of multiprocessing let go of it, they have a parent.
- the *liveness* pipe: the server alone holds its write end, and the owner polls the other. That
  needs no process id, so an id that was given to another process in the meantime does no harm.

The watcher also waits for the server, and removes its directory when it has ended for any reason.
Both it and the owner remove only what was made (:mod:`multihost.embedded.home`), though others may
be able to write beside it: the owner goes by a descriptor, and the directory is the current one of
the watcher and the server. Where a caller gave the path of a socket, the server's gets that as a
second name when it is ready: what stands there already is neither replaced nor removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import threading
import time
from multiprocessing import util
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from multihost.embedded.find import find_server
from multihost.embedded.home import (
    SOCKET_NAME,
    SOCKET_PATH_MAX,
    Home,
    NameTaken,
    temporary_directory,
)
from multihost.embedded.spawn import spawn_watcher, wait_eof
from multihost.errors import ServerUnfit
from multihost.pipes import close_in_children, close_pipe, fork_lock, open_pipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["EmbeddedServer"]

READY: Final = b"eady to accept connections"  # "now ready ..." up to 7.0, "Ready ..." since
READY_SECONDS: Final = 30.0
IN_USE: Final = b"ddress already in use"  # Redis and Valkey log strerror() of the C locale
STOP_SECONDS: Final = 2.0
RELEASE_SECONDS: Final = 0.5
PID_LINE: Final = b"server pid "  # what the watcher writes to the log
LOG_LINES: Final = 12
NAMES: Final = 10  # that are tried for a directory: each has 64 random bits

# Nobody administers a private server. What is sent of these commands is permitted again: 6.2 takes
# CLIENT for one of them as a whole, newer ones only LIST.
RIGHTS: Final = "~* +@all -@admin -@dangerous +info +client|id +client|list +client|reply"


class EmbeddedServer:
    """A server that this process owns, and its watcher; it accepts connections when constructed.

    Without ``listen`` it has no TCP port, only a unix socket in a new directory that no other user
    may enter. ``listen`` is ``(host, port)``, where port 0 picks a free one, or the path of a
    socket, like the addresses of ``multiprocessing.managers``. ``password_for`` gets the address,
    ``config`` are more lines of configuration. Nothing is written to disk but the socket, and the
    password is neither on disk nor on a command line.

    If the owner dies, the watcher ends the server and removes its directory some milliseconds
    later, also while children of multiprocessing live on. Processes that the owner has forked with
    ``os.fork()`` hold the server as well: it ends with the last of them.
    """

    address: str  #: where to connect: a ``unix://`` or ``redis://`` URL without credentials
    path: str  #: the socket at that address, or "" if it is a port
    local: str  #: a socket of it that only this user and root can open
    pid: int  #: of the server
    watcher_pid: int  #: of the watcher, the shell that started the server
    owner_pid: int  #: of the process that started it, and may stop it

    def __init__(
        self,
        password_for: Callable[[str], str],
        *,
        listen: tuple[str, int] | str | None = None,
        config: Sequence[str] = (),
    ) -> None:
        self.pid = self.watcher_pid = 0
        self.owner_pid = os.getpid()
        self._owner_pipe = self._log = self._liveness = -1
        self._is_released = False
        self._stopping = threading.RLock()
        self._outside = os.path.abspath(listen) if listen and isinstance(listen, str) else ""
        util.register_after_fork(self, EmbeddedServer.release)  # in children of multiprocessing
        program = find_server()
        for _ in range(NAMES):
            with contextlib.suppress(NameTaken):
                self.pid = 0
                self._start(program, password_for, listen, config)
                return
        raise ServerUnfit(f"no name for a directory beside {self._home.path} is free")

    def _start(
        self,
        program: str,
        password_for: Callable[[str], str],
        listen: tuple[str, int] | str | None,
        config: Sequence[str],
    ) -> None:
        if self._outside:  # on that file system, for the socket will have a second name there
            self._home = Home(os.path.dirname(self._outside), prefix=".")
        else:
            self._home = Home(temporary_directory())
        self.local = self._outside or self._home.socket
        if isinstance(listen, tuple):
            self.address, self.path, lines = _on_port(*listen)
        else:
            self.address, self.path, lines = _on_path(self.local)
        self._secret = password_for(self.address)
        lines += [
            f"user default on {_quoted('>' + self._secret)} {RIGHTS}",
            f"unixsocket {SOCKET_NAME}",  # the watcher has it run in its directory
            "unixsocketperm 700",
            'save ""',
            "appendonly no",
            "maxmemory-policy noeviction",
            "loglevel notice",  # the line READY is a notice
            'logfile ""',
            "daemonize no",
            "supervised no",
            *config,
        ]
        try:
            self._spawn(program, "\n".join([*lines, ""]).encode())
            self._await_ready(program)
            if self._outside:
                self._publish()
        except BaseException:
            self.stop()
            raise
        finally:
            del self._secret

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.alive() else "stopped"
        return f"<{type(self).__name__} {self.address} {state}>"

    def __del__(self) -> None:
        # Garbage, or the end of the interpreter: without this the watcher stays a zombie.
        if hasattr(self, "_home"):
            self.stop()

    def alive(self) -> bool:
        """Return True if the server process runs, also in forked children. No round trip."""
        return self._liveness >= 0 and not wait_eof(self._liveness, 0)

    def stop(self) -> None:
        """End the server, whoever holds it; wait until it and its watcher have ended and its
        directory is removed.

        A second call does nothing. A forked child only lets go of the server.
        """
        if os.getpid() != self.owner_pid:
            self.release()
            return
        with self._stopping:
            if self._is_released:
                return
            self._close("_log")
            if self._owner_pipe >= 0:
                with contextlib.suppress(OSError):  # the watcher has ended
                    os.write(self._owner_pipe, b"\n")
            self._close("_owner_pipe")
            if self._liveness >= 0:
                # The watcher kills the server, unless its reader was killed. Then it has not reaped
                # the server either, and the process id is still that of the server.
                if not wait_eof(self._liveness, STOP_SECONDS) and self.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self.pid, signal.SIGKILL)
                wait_eof(self._liveness, None)
            self._clean_up()

    def release(self) -> None:
        """Let go of the server: it ends now if no other process holds it, else with the last of
        them. In the owner, wait until it has ended, but not for long.
        """
        if os.getpid() != self.owner_pid:  # a lock may be that of a thread that is not here
            self._close("_owner_pipe")
            return
        with self._stopping:
            self._is_released = True
            self._close("_owner_pipe")
            if self._liveness >= 0 and wait_eof(self._liveness, RELEASE_SECONDS):
                self._clean_up()

    def _clean_up(self) -> None:
        """After the end of the server: wait for the watcher."""
        self._close("_liveness")
        if self.watcher_pid:
            # It is reaped already if the program ignores SIGCHLD or reaps all of its children.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.watcher_pid, 0)
            self.watcher_pid = 0
        # The watcher did this, unless it was killed or was never started.
        self._home.remove(self._outside)

    def _close(self, name: str) -> None:
        with fork_lock:
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                close_pipe(fd)

    def _spawn(self, program: str, config: bytes) -> None:
        """Start the watcher, then create the directory, whose name nobody else knows before.

        The configuration is in its pipe before the server exists, and the server reads it up to
        the end of the file, which is here. Hence the owner may be killed at any point: without a
        watcher there is nothing to clean up, and without the word that the directory was made the
        watcher starts no server.
        """
        with fork_lock:
            others: list[int] = []
            try:
                config_in, config_out = open_pipe(others)
                owner_in, self._owner_pipe = open_pipe(others)
                self._log, log_out = open_pipe(others)
                self._liveness, liveness_out = open_pipe(others)
                others[:] = config_in, config_out, owner_in, log_out, liveness_out
                close_in_children(config_out, self._log)
                os.write(config_out, config)
                self.watcher_pid = spawn_watcher(
                    [program, self._outside],
                    {1: log_out, 2: log_out, 3: config_in, 4: owner_in, 5: liveness_out},
                    {"MULTIHOST_HOME": self._home.path, "MULTIHOST_MARK": self._home.mark},
                )
                self._home.make()
                os.write(self._owner_pipe, b"made\n")
            finally:
                # stop() closes ours, if there is an error, or a signal handler raises.
                for fd in set(others) - {self._owner_pipe, self._log, self._liveness}:
                    close_pipe(fd)

    def _await_ready(self, program: str) -> None:
        """Read the log until the server reports that it listens, and close it then.

        The server ignores SIGPIPE, and errors when it writes to its log.
        """
        poll = select.poll()
        poll.register(self._log, select.POLLIN)
        deadline = time.monotonic() + READY_SECONDS
        log = b""
        while READY not in log or not self.pid:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise self._unfit(program, f"was not ready within {READY_SECONDS:.0f} seconds", log)
            piece = os.read(self._log, 65536)
            if not piece:
                if IN_USE in log and not self.path:
                    raise NameTaken(self.address)  # since this process has looked
                raise self._unfit(program, "did not start", log)
            log += piece
            for line in log.splitlines(keepends=True):
                if line.startswith(PID_LINE) and line.endswith(b"\n"):
                    self.pid = int(line[len(PID_LINE) :])
        if not self._home.has_socket():
            # A wrapper that does not pass the configuration on lets the server open its usual port.
            raise self._unfit(program, "does not read its configuration from standard input", log)
        self._home.erase_mark()
        self._close("_log")

    def _publish(self) -> None:
        """Have the socket at its address, too. Raises OSError if something is there."""
        try:
            self._home.publish(self._outside)
        except FileExistsError:
            raise _in_use(self._outside) from None

    def _unfit(self, program: str, what: str, log: bytes) -> ServerUnfit:
        # A server that rejects a line of its configuration prints that line.
        text = log.decode(errors="replace")
        for secret in (_quoted(">" + self._secret), self._secret):
            text = text.replace(secret, "***")
        lines = [
            line
            for line in text.splitlines()
            if line.strip() and not line.startswith(PID_LINE.decode())
        ]
        tail = "\n".join(f"    {line}" for line in lines[-LOG_LINES:])
        return ServerUnfit(f"{program} {what}" + (f"; the end of its log:\n{tail}" if tail else ""))


def _on_port(host: str, port: int) -> tuple[str, str, list[str]]:
    """Return the address, no socket path, and the lines of configuration for it."""
    port = _free_port(host, port)
    # The empty host means all interfaces; this host is reachable through each of them.
    shown = f"[{host}]" if ":" in host else host or "127.0.0.1"
    return f"redis://{shown}:{port}/0", "", [f"port {port}", f"bind {_quoted(host or '*')}"]


def _on_path(path: str) -> tuple[str, str, list[str]]:
    """Return the address, the socket path, and the lines of configuration for it."""
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    if os.path.lexists(path):
        raise _in_use(path)
    return f"unix://{quote(path)}", path, ["port 0"]


def _in_use(path: str) -> OSError:
    return OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)


def _free_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0. Raises OSError if it is in use."""
    import socket  # slow, and only needed here

    # The server accepts no port 0. Another program may take this one first: see NameTaken.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def _quoted(text: str) -> str:
    """Return the text quoted for the server's configuration, whatever characters it has."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in os.fsencode(text)) + '"'
