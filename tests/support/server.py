"""Real servers for tests. Each dies with the process that started it, even if that is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.ports import Port
from tests.support.procs import send_signal
from tests.support.raw import Endpoint, RawClient
from tests.support.waiting import PATIENCE

__all__ = [
    "WATCHER",
    "Commands",
    "ExternalServer",
    "Server",
    "server_program",
    "server_version",
]

URL_VARIABLE = "MULTIHOST_TEST_URL"
CLUSTER_VARIABLE = "MULTIHOST_TEST_CLUSTER"
"""A number of masters: the server that tests share is a cluster of so many."""

ADMIN = (
    "support"  # our own user: commands of the test layer work whatever the test does to the others
)

# The watcher holds the reading end of a pipe. When the last writer is gone it kills the server.
WATCHER = 'read _; kill -9 "$1"; rm -rf "$2"'

_running: weakref.WeakSet[Server] = weakref.WeakSet()


def server_program() -> str:
    """What ``Manager()`` would start; ``MULTIHOST_SERVER`` chooses another."""
    from multihost.embedded import find_server

    return find_server()


def server_version(program: str) -> str:
    """Such as ``Valkey 9.1.2``."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"(\w+) server v=(\S+)", said)
    return f"{found[1]} {found[2]}" if found else said.strip()


class Commands:
    """What one can ask of a server, from any thread and after a fork too."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        # One for each database, kept open: a connection that was closed just now may still be
        # listed, and the leak check would take it for the test's.
        self._controls: dict[int, RawClient] = {}
        self._control_ids: set[str] = set()
        self._control_owner = 0
        self._lock = threading.Lock()

    def connect(self, db: int | None = None, timeout: float | None = PATIENCE) -> RawClient:
        """A new connection with full rights, for the caller to close."""
        endpoint = Endpoint.parse(self._admin_url)
        return RawClient((endpoint if db is None else replace(endpoint, db=db)).url, timeout)

    def command(self, *args: str | bytes | float, db: int | None = None) -> Any:
        """One call on a connection of the test layer's own."""
        return self.commands(args, db=db)[0]

    def commands(
        self, *commands: tuple[str | bytes | int | float, ...], db: int | None = None
    ) -> list[Any]:
        """Several calls in one write."""
        db = Endpoint.parse(self._admin_url).db if db is None else db
        if self._control_owner != os.getpid():
            # In a forked child sockets and lock are the parent's: leave them alone.
            self._lock, self._controls, self._control_owner = threading.Lock(), {}, os.getpid()
        with self._lock:
            if db not in self._controls:
                client = self.connect(db)
                self._controls[db] = client
                self._control_ids.add(str(client.call("CLIENT", "ID")))
            try:
                return self._controls[db].pipeline(*commands)
            except OSError:
                self.drop_controls()
                raise

    def keys(self, pattern: str = "*", db: int | None = None) -> list[bytes]:
        """All keys of one database, sorted."""
        found: set[bytes] = set()
        cursor: bytes = b"0"
        while True:
            cursor, page = self.command("SCAN", cursor, "MATCH", pattern, "COUNT", 1000, db=db)
            found.update(page)
            if cursor == b"0":
                return sorted(found)

    def databases(self) -> list[int]:
        """The numbers of the databases that hold keys."""
        return [
            int(n)
            for n in re.findall(rb"^db(\d+):", self.command("INFO", "keyspace"), re.MULTILINE)
        ]

    def clients(self) -> list[dict[str, str]]:
        """``CLIENT LIST``, without the connections of the test layer itself."""
        rows = [
            dict(field.partition("=")[::2] for field in line.split(" ") if "=" in field)
            for line in self.command("CLIENT", "LIST").decode().splitlines()
        ]
        return [row for row in rows if row["id"] not in self._control_ids]

    def info(self, section: str = "server") -> dict[str, str]:
        lines = self.command("INFO", section).decode().splitlines()
        return dict(line.partition(":")[::2] for line in lines if ":" in line)

    def calls(self) -> Counter[str]:
        """How often each command was executed since the server started, by scripts too.

        Others have used the shared server before: ``server.calls() - before`` is one's own part.
        """
        found = re.findall(rb"cmdstat_(\S+?):calls=(\d+)", self.command("INFO", "commandstats"))
        return Counter({name.decode(): int(count) for name, count in found})

    def drop_controls(self) -> None:
        """Close the connections of this layer."""
        for client in self._controls.values():
            client.close()
        self._controls.clear()


class Server(Commands):
    """A server of our own, running as soon as it is made.

        with Server(tcp=True, password="secret", maxmemory="5mb") as server:
            RedisManager(server.tcp_url)

    ``users`` maps names to ACL rules (``{"limited": "on >pw ~k +get"}``); further keywords are
    options of the server's configuration file, ``_`` for ``-``. ``prefix`` stands before the
    program: ``Hosts.prefix("a")``.
    """

    def __init__(
        self,
        *,
        tcp: bool = False,
        host: str = "127.0.0.1",
        password: str = "",
        users: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        program: str = "",
        **options: object,
    ) -> None:
        # Short, for a socket path has at most about 100 characters; TMPDIR may be long.
        base = "/tmp" if os.path.isdir("/tmp") else None
        self.directory = tempfile.mkdtemp(prefix="mht", dir=base)
        self.socket = os.path.join(self.directory, "s")
        self._admin_password = secrets.token_hex(16)
        admin = Endpoint("unix", path=self.socket, username=ADMIN, password=self._admin_password)
        super().__init__(admin.url)
        self.program = program or server_program()
        self.password = password
        self.host = host
        self.port = 0
        self._port: Port | None = None
        self.log = ""
        self._tcp = tcp
        self._users = dict(users or {})
        self._prefix = list(prefix)
        self._options = {name.replace("_", "-"): str(value) for name, value in options.items()}
        self._owner = os.getpid()
        self._is_paused = False
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        try:
            self._first_start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Server {self.unix_url} {'up' if self.is_running else 'down'}>"

    # Addresses

    @property
    def url(self) -> str:
        """The unix socket, as the default user."""
        return self.unix_url

    @property
    def unix_url(self) -> str:
        return self.url_for()

    @property
    def tcp_url(self) -> str:
        if not self._tcp:
            raise ValueError("this server has no port: start it with tcp=True")
        return self.url_for(tcp=True)

    def url_for(
        self, username: str = "", password: str = "", *, tcp: bool = False, db: int = 0
    ) -> str:
        """The URL for another user or database."""
        place = (
            Endpoint("redis", host=self.host, port=self.port)
            if tcp
            else Endpoint("unix", path=self.socket)
        )
        password = password or self.password
        return replace(place, username=username, password=password, db=db).url

    # Life

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is down"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_answering(self) -> bool:
        return self.is_running and not self._is_paused

    def kill(self) -> None:
        """SIGKILL, and wait until it is dead; ``restart`` starts it again on the same address."""
        self.drop_controls()
        self._control_ids.clear()  # the next one counts from the beginning
        self._is_paused = False
        process, self._process = self._process, None
        # The watcher goes first: once the server is reaped its number may belong to somebody else.
        self._stop_watcher()
        if process is not None:
            process.kill()
            self._drain(process)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def restart(self, *, empty: bool = True, save: bool = True) -> None:
        """Kill and start again on the same address, without data or with it.

        Data comes back from the append-only file if ``appendonly="yes"``, else from a snapshot
        taken now, or without ``save`` from one that a test took before.
        """
        if not empty and save and self._options.get("appendonly", "no") == "no":
            if not self.is_running:
                raise ValueError("a killed server keeps its data only with appendonly='yes'")
            self.command("SAVE")
        self.kill()
        if empty:
            self._forget_data()
        self._start()

    def go_back(self) -> None:
        """Kill, and start again with the data of the last ``SAVE``: what came since is lost."""
        self.kill()
        self._start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        assert send_signal(self.pid, signal.SIGSTOP)
        self._is_paused = True

    def resume(self) -> None:
        assert send_signal(self.pid, signal.SIGCONT)
        self._is_paused = False

    def close(self) -> None:
        """Kill it and remove its directory. In a forked child: nothing."""
        if os.getpid() != self._owner:
            return
        self.kill()
        if self._port is not None:
            self._port.release()
        _running.discard(self)
        shutil.rmtree(self.directory, ignore_errors=True)

    def tail(self) -> str:
        """The end of what the server has printed; asked after each test, lest its pipe fill."""
        if self._process is not None:
            self._drain(self._process)
        return self.log

    def _first_start(self) -> None:
        attempts = 5 if self._tcp else 1
        for attempt in range(attempts):
            if self._tcp:
                # On another host we cannot look.
                self._port = Port(self.host, look=not self._prefix)
                self.port = self._port.number
            self._write_configuration()
            try:
                self._start()
            except RuntimeError:
                # Somebody who reserves nothing may have taken the port since.
                if attempt + 1 == attempts or "ddress already in use" not in self.log:
                    raise
                self.kill()
                assert self._port is not None
                self._port.release()
            else:
                return

    def _write_configuration(self) -> None:
        options = {
            "port": str(self.port),
            "bind": self.host,
            "unixsocket": self.socket,
            "unixsocketperm": "700",
            "dir": self.directory,
            "save": "",
            "requirepass": self.password,
        } | self._options
        lines = [f"{name} {_quoted(value)}" for name, value in options.items()]
        users = {ADMIN: f"on >{self._admin_password} ~* &* +@all"} | self._users
        lines += [f"user {name} {rules}" for name, rules in users.items()]
        path = Path(self.directory, "conf")
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")

    def _start(self) -> None:
        argv = [*self._prefix, self.program, os.path.join(self.directory, "conf")]
        # A session of its own: Ctrl-C in the terminal is for pytest, which then closes us in order.
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._watcher = subprocess.Popen(
            ["sh", "-c", WATCHER, "sh", str(self._process.pid), self.directory],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        _running.add(self)
        self.log = ""
        self._await_readiness(self._process)

    def _await_readiness(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        fd = process.stdout.fileno()
        # Nobody reads the pipe all the time, and a server that cannot log stands still.
        with contextlib.suppress(AttributeError, OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 1 << 20)
        deadline = time.monotonic() + PATIENCE
        while "eady to accept connections" not in self.log:
            readable, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(fd, 1 << 16) if readable else b""
            if not chunk:
                raise RuntimeError(f"the server did not start: {process.args!r}\n{self.log}")
            self.log += chunk.decode(errors="replace")

    def _drain(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        fd = process.stdout.fileno()
        while select.select([fd], [], [], 0)[0] and (chunk := os.read(fd, 1 << 16)):
            self.log = (self.log + chunk.decode(errors="replace"))[-10_000:]

    def _forget_data(self) -> None:
        keep = {"conf"}
        for path in Path(self.directory).iterdir():
            if path.name in keep:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _stop_watcher(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            assert watcher.stdin is not None
            watcher.kill()
            watcher.wait()
            watcher.stdin.close()


class ExternalServer(Commands):
    """The server at ``MULTIHOST_TEST_URL``: not ours, so it is neither killed nor emptied.

    Parallel workers take one database each.
    """

    def __init__(self, url: str) -> None:
        endpoint = Endpoint.parse(url)
        worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
        self.db = endpoint.db + int(worker)
        self.url = replace(endpoint, db=self.db).url
        super().__init__(self.url)
        self._scheme = endpoint.scheme
        self.is_running = True

    def __repr__(self) -> str:
        endpoint = Endpoint.parse(self.url)
        return f"<ExternalServer {endpoint.host or endpoint.path}>"

    @property
    def unix_url(self) -> str:
        return self._only("unix")

    @property
    def tcp_url(self) -> str:
        return self._only("redis")

    def databases(self) -> list[int]:
        return [self.db]

    def clients(self) -> list[dict[str, str]]:
        return [row for row in super().clients() if row["db"] == str(self.db)]

    def tail(self) -> str:
        return ""

    def close(self) -> None:
        self.drop_controls()

    def _only(self, scheme: str) -> str:
        if self._scheme != scheme:
            import pytest  # not for the processes that tests start

            pytest.skip(f"needs a {scheme}:// address; {URL_VARIABLE} has another")
        return self.url


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _let_go_in_child() -> None:
    # A forked child that outlives pytest must not keep the servers alive.
    for server in list(_running):
        if server._watcher is not None and server._watcher.stdin is not None:
            server._watcher.stdin.close()


os.register_at_fork(after_in_child=_let_go_in_child)
