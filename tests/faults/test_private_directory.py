"""Starting and stopping a private server touches only what it made, whatever is put in its way."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from multihost import embedded
from multihost.embedded import EmbeddedServer
from multihost.errors import ServerUnfit
from tests.support.directories import temporary_root
from tests.support.procs import send_signal
from tests.support.strangers import NOBODY, private_names, running_as
from tests.support.waiting import wait_until

FILES = ["diary", "letters", "server.sock"]
LISTENS = ["nowhere", "path", "port"]
STARTS = 12


@pytest.fixture
def base(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A directory for temporary files to which everybody may write, as to /tmp without its bit."""
    path = temporary_root(monkeypatch, tmp_path_factory, 0o777)
    yield path
    # What a killed watcher leaves behind may be cleaning up, too.
    wait_until(lambda: shutil.rmtree(path, ignore_errors=True) or not path.exists())


@pytest.fixture
def precious() -> Iterator[Path]:
    """A directory of this user, with files, that others may not enter."""
    path = Path(tempfile.mkdtemp(prefix="precious", dir="/tmp"))
    for name in FILES:
        (path / name).write_text("precious")
    yield path
    assert sorted(os.listdir(path)) == FILES
    assert {(path / name).read_text() for name in FILES} == {"precious"}
    shutil.rmtree(path)


def start(listen: tuple[str, int] | str | None = None) -> EmbeddedServer:
    return EmbeddedServer(lambda _address: "pw", listen=listen)


def where(kind: str, base: Path) -> tuple[str, int] | str | None:
    return {"nowhere": None, "path": str(base / "chosen"), "port": ("127.0.0.1", 0)}[kind]


def home_of(server: EmbeddedServer) -> Path:
    return Path(server._home.path)


def move_away(home: str | Path, instead: Path | None) -> Path:
    """What somebody can do who may write beside the directory: rename it, and put a link there."""
    moved = Path(f"{home}-moved")
    os.rename(home, moved)
    if instead is not None:
        os.symlink(instead, home)
    return moved


class Mkdir:
    """Does something before a directory of a private server is made, and something afterwards."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        self.before: Callable[[str], object] = bool
        self.after: Callable[[str], object] = bool
        self.mkdir = os.mkdir
        monkeypatch.setattr(os, "mkdir", self._make)

    def _make(self, path: str, mode: int = 0o777, **options: int) -> None:
        os.mkdir = self.mkdir  # for what is done there
        try:
            self.made.append(path)
            self.before(path)
            os.mkdir(path, mode, **options)
            self.after(path)
        finally:
            os.mkdir = self._make  # type: ignore[assignment]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks into /proc")
@pytest.mark.parametrize("kind", LISTENS)
def test_nobody_knows_the_name_before_the_directory_exists(
    kind: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    mkdir = Mkdir(monkeypatch)
    mkdir.before = lambda path: seen.append(set(private_names()))
    server = start(where(kind, base))
    server.stop()
    assert len(mkdir.made) == 1
    assert not any(mkdir.made[0] in name for name in seen[0])


@pytest.mark.parametrize("what", ["link", "directory", "file"])
@pytest.mark.parametrize("kind", LISTENS)
def test_a_name_that_is_taken_is_left_alone(
    kind: str, what: str, base: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Mkdir(monkeypatch)

    def take(path: str) -> None:
        if len(mkdir.made) > 2:
            return
        if what == "link":
            os.symlink(precious, path)
        elif what == "directory":
            os.makedirs(os.path.join(path, "deep"))
        else:
            Path(path).touch()

    mkdir.before = take
    server = start(where(kind, base))
    assert server.alive()
    server.stop()
    assert len(mkdir.made) == 3
    assert sorted(os.listdir(base)) == sorted(map(os.path.basename, mkdir.made[:2]))


def test_one_whose_names_are_all_taken_does_not_start(
    base: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Mkdir(monkeypatch)
    mkdir.before = lambda path: os.symlink(precious, path)
    with pytest.raises(ServerUnfit, match="no name for a directory"):
        start()
    assert len(mkdir.made) == len(set(mkdir.made)) == len(os.listdir(base))


@pytest.mark.parametrize(
    "put", ["link", "link to an empty one", "nothing", "directory of another", "full directory"]
)
def test_what_is_put_in_the_place_of_the_new_directory(
    put: str, base: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making and opening it."""
    empty = base / "empty"
    empty.mkdir()
    mkdir = Mkdir(monkeypatch)
    targets = {"link": precious, "link to an empty one": empty}

    def swap(path: str) -> None:
        move_away(path, targets.get(put))
        if put == "full directory":
            shutil.copytree(precious, path)
        elif put == "directory of another":
            if os.geteuid() != 0:
                pytest.skip("needs root: a directory of another user")
            os.mkdir(path, 0o777)
            os.chown(path, NOBODY, NOBODY)

    mkdir.after = swap
    with pytest.raises(ServerUnfit, match="another user replaced the directory"):
        start()
    moved = Path(mkdir.made[0] + "-moved")
    assert os.listdir(moved) == os.listdir(empty) == []
    if put == "full directory":
        assert sorted(os.listdir(mkdir.made[0])) == FILES
    elif put == "directory of another":
        assert os.listdir(mkdir.made[0]) == []


def test_the_watcher_enters_no_other_directory(
    base: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening it here, and the watcher's look at its name."""
    make = embedded.home.Home.make

    def make_and_lose(home: embedded.home.Home) -> None:
        make(home)
        move_away(home.path, precious)

    monkeypatch.setattr(embedded.home.Home, "make", make_and_lose)
    with pytest.raises(ServerUnfit, match="did not start"):
        start()
    (moved,) = base.glob("*-moved")
    assert os.listdir(moved) == []


@pytest.mark.parametrize("kind", LISTENS)
@pytest.mark.parametrize("ending", ["stop", "server killed", "watcher killed"])
def test_what_is_put_in_its_place_while_it_runs(
    ending: str, kind: str, base: Path, precious: Path
) -> None:
    server = start(where(kind, base))
    moved = move_away(home_of(server), precious)
    if ending == "server killed":
        assert send_signal(server.pid, signal.SIGKILL)
        wait_until(lambda: not os.listdir(moved))
    elif ending == "watcher killed":
        assert send_signal(server.watcher_pid, signal.SIGKILL)
    server.stop()
    assert os.listdir(moved) == []
    assert not os.path.lexists(base / "chosen")


@pytest.mark.parametrize("ending", ["stop", "server killed", "watcher killed"])
def test_what_others_put_into_it_stays(ending: str, base: Path) -> None:
    server = start()
    home = home_of(server)
    (home / "deep").mkdir()
    (home / "core").write_text("of a crash")
    above = server.watcher_pid
    if ending == "server killed":
        assert send_signal(server.pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(server.path))
    elif ending == "watcher killed":
        assert send_signal(above, signal.SIGKILL)
    server.stop()
    assert sorted(os.listdir(home)) == ["core", "deep"]
    assert os.listdir(base) == [home.name]


@pytest.mark.parametrize("ending", ["stop", "server killed", "watcher killed"])
@pytest.mark.parametrize("put", ["file", "link", "socket of another server"])
def test_what_others_put_at_its_path_stays(put: str, ending: str, base: Path) -> None:
    path = base / "chosen"
    server = start(str(path))
    home = home_of(server)
    path.unlink()
    other = None
    if put == "file":
        path.write_text("mine")
    elif put == "link":
        os.symlink(base, path)
    else:
        other = start(str(path))
    if ending == "server killed":
        assert send_signal(server.pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(home))
    elif ending == "watcher killed":
        assert send_signal(server.watcher_pid, signal.SIGKILL)
    server.stop()
    assert not os.path.exists(home)
    assert os.path.lexists(path)
    if other is not None:
        other.stop()
        assert os.listdir(base) == []


def test_path_that_is_taken_while_it_starts_is_left_alone(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = base / "chosen"
    spawn = embedded.server.spawn_watcher

    def spawn_second(*args: object) -> int:
        path.write_text("I was first")
        return spawn(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(embedded.server, "spawn_watcher", spawn_second)
    with pytest.raises(OSError, match="in use"):
        start(str(path))
    assert path.read_text() == "I was first"
    assert os.listdir(base) == ["chosen"]


@pytest.mark.parametrize("umask", [0, 0o027, 0o077])
@pytest.mark.parametrize("kind", LISTENS)
def test_what_it_makes_is_private_whatever_the_umask(kind: str, umask: int, base: Path) -> None:
    before = os.umask(umask)
    try:
        server = start(where(kind, base))
    finally:
        os.umask(before)
    found = os.stat(home_of(server))
    assert stat.S_IMODE(found.st_mode) == 0o700
    assert stat.S_IMODE(os.stat(server.local).st_mode) == 0o700
    server.stop()
    assert os.listdir(base) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
def test_the_server_does_not_inherit_what_the_watcher_is_told(base: Path) -> None:
    server = start()
    assert b"MULTIHOST_HOME" not in Path(f"/proc/{server.pid}/environ").read_bytes()
    server.stop()


def plant_links(pipe: Connection, base: str, target: str) -> None:
    """Put a link at each name that shows up before its directory is there."""
    pipe.send("ready")
    planted: set[str] = set()
    while True:
        for name in private_names():
            if os.path.dirname(name) == base and name not in planted:
                try:
                    os.symlink(target, name)
                except OSError:
                    continue
                planted.add(name)


@pytest.mark.skipif(sys.platform != "linux", reason="the attacker looks into /proc")
def test_another_user_races_with_the_start(base: Path, precious: Path) -> None:
    with running_as(NOBODY, plant_links, str(base), str(precious)) as pipe:
        pipe.recv()
        for _ in range(STARTS):
            server = start()
            assert server.alive()
            server.stop()
    assert os.listdir(base) == []
