"""Somebody else listens where a private server is expected: he is sent no password, and nothing of
what he says is unpickled.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import shutil
import socket
import stat
import struct
import sys
import threading
from collections.abc import Iterator
from multiprocessing import AuthenticationError, current_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import hiredis
import pytest

from multihost import LinkError, Manager
from multihost.embedded import EmbeddedServer
from multihost.errors import LinkClosed, ServerLost, ServerUnproven
from multihost.managers import SyncManager
from multihost.wire.link import instance as link_instance
from multihost.wire.link import peer, proof
from tests.support.directories import temporary_root
from tests.support.procs import kill9
from tests.support.raw import RawClient
from tests.support.strangers import (
    NOBODY,
    SOMEBODY,
    evil_pickle,
    rogue_server,
    run_as,
    running_as,
)
from tests.support.waiting import PATIENCE, wait_until

KEY = b"an authkey of the tests, long"
WHERE = ["path", "port"]
HERE = ("127.0.0.1", 0)
BROKEN = ("LinkLost", "ServerLost")
"""What a call raises whose connection has broken: whether it took effect may be unknown."""
TAKEN = (*BROKEN, "ServerUnproven")
"""The same in a process whose background thread may have looked for the server before."""
FORK, SPAWN = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")


@pytest.fixture
def base(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A directory for temporary files to which everybody may write."""
    path = temporary_root(monkeypatch, tmp_path_factory, 0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def flag(tmp_path: Path) -> Iterator[Path]:
    """A file that is there if anything was unpickled."""
    path = tmp_path / "unpickled"
    yield path
    assert not path.exists()


@pytest.fixture(autouse=True)
def _authkey() -> Iterator[None]:
    before = current_process().authkey
    current_process().authkey = KEY
    yield
    current_process().authkey = before


def heard(pipe: Connection) -> list[list[bytes]]:
    found = []
    while pipe.poll():
        found.append(pipe.recv())
    return found


def words(commands: list[list[bytes]]) -> list[bytes]:
    return [word for command in commands for word in command]


class Rogue(contextlib.ExitStack):
    """A rogue server in a thread of ours: where nobody has to be another user."""

    def __init__(self, where: Any) -> None:
        super().__init__()
        self.pipe, theirs = multiprocessing.Pipe()
        thread = threading.Thread(target=rogue_server, args=(theirs, where, b"."), daemon=True)
        thread.start()
        self.address = self.pipe.recv()


# -- a given address


def pickled_dict(where: Any) -> tuple[bytes, Any]:
    with SyncManager(where, KEY) as manager:
        return pickle.dumps(manager.dict(a=1)), manager.address


@pytest.mark.leaks_ok("the thread of a rogue server")
@pytest.mark.parametrize("kind", WHERE)
def test_connecting_to_another_user(kind: str, base: Path, flag: Path) -> None:
    where = HERE if kind == "port" else str(base / "app.sock")
    pickled, where = pickled_dict(where)
    with running_as(NOBODY, rogue_server, where, evil_pickle(flag)) as pipe:
        where = pipe.recv()
        with pytest.raises(AuthenticationError, match="did not prove") as refused:
            SyncManager(where, KEY).connect()
        assert isinstance(refused.value, ServerUnproven)
        with pytest.raises(AuthenticationError, match="did not prove"):
            pickle.loads(pickled)["a"]
        commands = heard(pipe)
        assert [command[0] for command in commands] == [b"AUTH", b"BRPOPLPUSH", b"EVALSHA"] * 2
        assert commands[0][1:] == commands[3][1:] == [b"visitor", b"-"]


def connect_and_report(pipe: Connection, where: str, pickled: bytes) -> None:
    found = []
    for call in (SyncManager(where, KEY).connect, lambda: pickle.loads(pickled)["a"]):
        try:
            found.append(repr(call()))
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    pipe.send(found)


def test_who_is_not_root_sends_nothing_to_another_user(base: Path, flag: Path) -> None:
    where = str(base / "app.sock")
    pickled, _ = pickled_dict(where)
    with running_as(NOBODY, rogue_server, where, evil_pickle(flag)) as pipe:
        pipe.recv()
        found = run_as(SOMEBODY, connect_and_report, where, pickled)
        assert [each.split(":")[0] for each in found] == ["ServerUnproven"] * 2
        assert f"user {NOBODY} listens at unix://{where}" in found[0]
        assert heard(pipe) == []


@pytest.mark.parametrize("own", [0, SOMEBODY])
@pytest.mark.parametrize("listener", [0, SOMEBODY, NOBODY])
@pytest.mark.parametrize("given", [True, False])
def test_who_may_listen(
    given: bool, listener: int, own: int, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This user and root; at a given path, where he also proves himself, anybody for root."""
    allowed = listener in (own, 0) or (given and own == 0)
    with SyncManager(str(base / "app.sock") if given else None, KEY) as manager:
        shared = manager.dict(a=1)
        monkeypatch.setattr(peer, "_uid_of_listener", lambda sock: listener)
        monkeypatch.setattr(os, "geteuid", lambda: own)
        found: list[Any] = []

        def look() -> None:
            try:
                found.append(shared["a"])
            except LinkError as error:
                found.append(type(error))

        for _ in range(2):
            thread = threading.Thread(target=look)  # which has a connection of its own
            thread.start()
            thread.join()
        lost = ServerUnproven if given else ServerLost
        assert found == ([1, 1] if allowed else [ServerUnproven, lost])
        assert shared["a"] == 1


@pytest.mark.leaks_ok("the thread of a rogue server")
@pytest.mark.parametrize("kind", WHERE)
def test_what_a_rogue_server_heard_opens_no_other(kind: str, base: Path) -> None:
    where = ("127.0.0.1", 0) if kind == "port" else str(base / "rogue.sock")
    with Rogue(where) as rogue:
        with pytest.raises(AuthenticationError):
            SyncManager(rogue.address, KEY).connect()
        captured = words(heard(rogue.pipe))
    assert captured
    for listen in (HERE, str(base / "app.sock")):
        with SyncManager(listen, KEY) as manager:
            assert not opens(manager, captured)


def opens(manager: Any, captured: list[bytes]) -> bool:
    """Whether any of these words is the password of its server."""
    url = str(manager.runtime.address).partition("?")[0]
    accepted = False
    with RawClient(url) as raw:
        for word in captured:
            with contextlib.suppress(Exception):
                raw.call("AUTH", "default", word)
                accepted = True
    return accepted


class Relay:
    """Stands before a real server, passes everything on, and keeps what each side said."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.said: list[bytes] = []
        self.answered: list[bytes] = []
        self._server = server
        self._sockets: list[socket.socket] = [socket.create_server(("127.0.0.1", 0))]
        self.address = self._sockets[0].getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._sockets[0].accept()
                server = socket.create_connection(self._server)
                self._sockets += client, server
                for pair in ((client, server, self.said), (server, client, self.answered)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, kept: list[bytes]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                kept.append(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def words(self) -> list[bytes]:
        reader = hiredis.Reader()
        reader.feed(b"".join(self.said))
        found: list[bytes] = []
        while (command := reader.gets()) is not False:
            if isinstance(command, list):
                found += command
        return found


@pytest.mark.leaks_ok("the threads of a relay")
def test_what_is_recorded_on_the_way_opens_no_other_and_no_later_server(port: int) -> None:
    """It opens that one server, while it runs: who can hear the network needs to be kept out."""
    with SyncManager(("127.0.0.1", port), KEY) as one, Relay(one.address) as relay:
        client = SyncManager(relay.address, KEY)
        client.connect()
        assert client.dict("d", a=1)["a"] == 1
        client.shutdown()
        captured = relay.words()
        assert opens(one, captured)
        with SyncManager(HERE, KEY) as other:
            assert not opens(other, captured)
        where = one.address
    with SyncManager(where, KEY) as later:
        assert later.address == where
        assert not opens(later, captured)


@pytest.mark.leaks_ok("the threads of a relay and of a server that repeats")
def test_answers_that_were_recorded_prove_nothing() -> None:
    with SyncManager(HERE, KEY) as server, Relay(server.address) as relay:
        client = SyncManager(relay.address, KEY)
        client.connect()
        client.shutdown()
        recorded = b"".join(relay.answered)
    listener = socket.create_server(HERE)
    captured: list[bytes] = []

    def repeat() -> None:
        sock, _ = listener.accept()
        with sock:
            captured.append(sock.recv(65536))
            sock.sendall(recorded)
            while data := sock.recv(65536):
                captured.append(data)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    with pytest.raises(AuthenticationError):
        SyncManager(listener.getsockname(), KEY).connect()
    thread.join(PATIENCE)
    listener.close()
    assert b"HELLO" not in b"".join(captured)


@pytest.mark.leaks_ok("the thread of a relay")
def test_a_port_does_not_prove_a_path(base: Path) -> None:
    """Who took the path may reach the port."""
    with SyncManager(HERE, KEY) as server:
        path = str(base / "app.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        said: list[bytes] = []

        def relay() -> None:
            client, _ = listener.accept()
            upstream = socket.create_connection(server.address)
            with client, upstream:
                while data := client.recv(65536):
                    said.append(data)
                    upstream.sendall(data)
                    client.sendall(upstream.recv(65536))

        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        with pytest.raises(AuthenticationError):
            SyncManager(path, KEY).connect()
        thread.join(PATIENCE)
        listener.close()
        assert b"HELLO" not in b"".join(said)


@pytest.mark.leaks_ok("the thread of a relay")
def test_who_passes_the_proof_on_cannot_have_the_password_shown() -> None:
    with SyncManager(HERE, KEY) as server, socket.create_server(HERE) as listener:
        said: list[bytes] = []

        def relay() -> None:
            client, _ = listener.accept()
            upstream = socket.create_connection(server.address)
            with client, upstream:
                upstream.sendall(client.recv(65536))
                client.sendall(upstream.recv(65536))
                said.append(client.recv(65536))
                client.sendall(b"-ERR what is " + said[0].replace(b"\r\n", b" ") + b"\r\n")

        threading.Thread(target=relay, daemon=True).start()
        with pytest.raises(LinkError) as refused:
            SyncManager(listener.getsockname(), KEY).connect()
        password = said[0].split(b"\r\n")[10].decode()
        assert len(password) == 64
        assert password[:6] not in str(refused.value)


@pytest.mark.parametrize("kind", WHERE)
@pytest.mark.parametrize(
    "command",
    [
        "ACL WHOAMI",
        "BRPOPLPUSH multihost:instance other 0",
        "CLIENT LIST",
        "CONFIG GET *",
        "DEL multihost:instance",
        "EVAL return 0",
        "GET multihost:instance",
        "INFO",
        "KEYS *",
        "LRANGE multihost:instance 0 -1",
        "MONITOR",
        "PING",
        "PUBLISH a b",
        "RPOPLPUSH other multihost:instance",
        "RPUSH multihost:instance x",
        "SCRIPT LOAD x",
        "SET multihost:instance x",
        "SUBSCRIBE a",
        "WAIT 0 0",
    ],
)
def test_visitors_may_ask_for_the_proof_and_nothing_else(
    kind: str, command: str, base: Path
) -> None:
    with SyncManager(HERE if kind == "port" else str(base / "s"), KEY) as manager:
        url = str(manager.runtime.address).partition("?")[0]
        with RawClient(url) as raw:
            raw.call("AUTH", "visitor", "-")
            with pytest.raises(Exception, match="NOPERM|can't run this command"):
                raw.call(*command.split())
            assert raw.call("BRPOPLPUSH", "multihost:instance", "multihost:instance", 1)


@pytest.mark.parametrize("kind", WHERE)
def test_clients_that_come_early_wait_for_the_proof(
    kind: str, port: int, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = link_instance.Instance.prepare
    client: list[SyncManager] = []
    server = SyncManager(("127.0.0.1", port) if kind == "port" else str(base / "s"), KEY)

    def prepare_late(instance: link_instance.Instance, path: str) -> None:
        client.append(SyncManager(server.address, KEY))
        thread = threading.Thread(target=client[0].connect)
        thread.start()
        with RawClient(f"unix://:{instance.password}@{path}") as raw:
            wait_until(lambda: "blocked_clients:1" in raw.call("INFO", "clients").decode())
        prepare(instance, path)
        thread.join(PATIENCE)

    monkeypatch.setattr(link_instance.Instance, "prepare", prepare_late)
    with server:
        assert client[0].dict("d", a=1)["a"] == 1
        client[0].shutdown()


def test_a_server_that_cannot_be_prepared_is_stopped(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        proof.Proof, "prepare", lambda self, channel, instance: channel.exchange(b"NONSENSE\r\n")
    )
    monkeypatch.setattr(proof, "_WAIT", 1)
    with pytest.raises(LinkError):
        SyncManager(str(base / "s"), KEY).start()
    assert os.listdir(base) == []


@pytest.mark.parametrize("kind", WHERE)
def test_values_are_signed_at_every_given_address(kind: str, base: Path) -> None:
    with SyncManager(HERE if kind == "port" else str(base / "s"), KEY) as manager:
        shared = manager.dict(a=1)
        url = str(manager.runtime.address).partition("?")[0]
        instance = manager.runtime.session.link.execute(
            b"LRANGE", b"multihost:instance", b"0", b"-1"
        )[0]
        password = proof.proof_for(
            bytes(manager.runtime.credentials.authkey), url.partition(":")[0]
        ).password(instance.decode())
        with RawClient(url.replace("://", f"://:{password}@")) as raw:
            field = shared._handle.codec.field("a")
            (stored,) = raw.call("HMGET", shared._handle.keys.data, field)
            assert field[:1] == stored[:1] == b"S"


# -- the socket of a Manager(), whose server has ended


def look(proxy: Any, pipe: Connection) -> None:
    """Read once, and again when told; report what came of it."""
    pipe.send(proxy["a"])
    while pipe.recv():
        try:
            pipe.send(proxy["a"])
        except Exception as error:
            pipe.send(type(error).__name__)


class Child:
    """A child that has used a proxy, and can be told to use it again."""

    def __init__(self, context: Any, proxy: Any) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = context.Process(target=look, args=(proxy, theirs))
        self.process.start()
        theirs.close()
        assert self.pipe.recv() == 1

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send(False)
        self.process.join(PATIENCE)
        self.process.close()
        self.pipe.close()

    def again(self) -> Any:
        self.pipe.send(True)
        return self.pipe.recv()


def kill_server(server: EmbeddedServer) -> str:
    """Kill it, wait until the watcher has cleaned up, and return the path of its socket."""
    kill9(server.pid)
    wait_until(lambda: not os.path.exists(server._home.path))
    return server.path


def test_another_user_takes_the_place_of_a_dead_server(base: Path, flag: Path) -> None:
    manager = Manager()
    shared = manager.dict(a=1)
    with Child(FORK, shared) as forked, Child(SPAWN, shared) as spawned:
        path = kill_server(manager.runtime.embedded)
        with running_as(NOBODY, rogue_server, path, evil_pickle(flag)) as pipe:
            pipe.recv()
            with pytest.raises(LinkClosed):
                shared["a"]
            with pytest.raises(ServerLost):
                shared["a"]
            assert forked.again() in BROKEN
            assert forked.again() == "ServerLost"
            assert spawned.again() in TAKEN
            assert spawned.again() == "ServerLost"
            assert heard(pipe) == []
    manager.shutdown()


def own_a_server(pipe: Connection, children: list[Connection]) -> None:
    shared = Manager().dict(a=1)
    for context, theirs in zip((FORK, SPAWN), children, strict=True):
        context.Process(target=look, args=(shared, theirs)).start()
    pipe.send((shared._token.origin.address, os.getpid()))
    threading.Event().wait()


def test_another_user_takes_the_place_of_a_dead_owner(base: Path, flag: Path) -> None:
    pipes = [multiprocessing.Pipe() for _ in range(2)]
    ours, theirs = multiprocessing.Pipe()
    owner = FORK.Process(target=own_a_server, args=(theirs, [pipe[1] for pipe in pipes]))
    owner.start()
    address, pid = ours.recv()
    for pipe in pipes:
        assert pipe[0].recv() == 1
    path = address.removeprefix("unix://").partition("?")[0]
    kill9(pid)
    owner.join()
    wait_until(lambda: not os.path.exists(os.path.dirname(path)))
    try:
        with running_as(NOBODY, rogue_server, path, evil_pickle(flag)) as rogue:
            rogue.recv()
            for (pipe, _), first in zip(pipes, (BROKEN, TAKEN), strict=True):
                pipe.send(True)
                assert pipe.recv() in first
                pipe.send(True)
                assert pipe.recv() == "ServerLost"
            assert heard(rogue) == []
    finally:
        for pipe in pipes:
            pipe[0].send(False)
            for end in pipe:
                end.close()
        ours.close()
        theirs.close()


@contextlib.contextmanager
def nobody_connects_to(path: str) -> Iterator[None]:
    """Listen there, as this user, where a server has ended."""
    os.mkdir(os.path.dirname(path), 0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        yield
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_server_that_was_seen_to_end_is_not_looked_for_again(base: Path) -> None:
    """Not even if it is this user who listens there by then."""
    manager = Manager()
    shared = manager.dict(a=1)
    with Child(FORK, shared) as forked, Child(SPAWN, shared) as spawned:
        path = kill_server(manager.runtime.embedded)
        for child in (spawned, forked):
            assert child.again() in BROKEN
        with pytest.raises(LinkClosed):
            shared["a"]
        with nobody_connects_to(path):
            for _ in range(2):
                assert spawned.again() == forked.again() == "ServerLost"
                with pytest.raises(ServerLost):
                    shared["a"]
    manager.shutdown()


def test_a_child_is_told_that_the_server_has_ended(base: Path) -> None:
    manager = Manager()
    shared = manager.dict(a=1)
    path = kill_server(manager.runtime.embedded)
    with pytest.raises(LinkClosed):
        shared["a"]
    with nobody_connects_to(path):
        ours, theirs = multiprocessing.Pipe()
        child = SPAWN.Process(target=look_once, args=(shared, theirs))
        child.start()
        theirs.close()
        assert ours.recv() == "ServerLost"
        child.join()
        ours.close()
    manager.shutdown()


def look_once(proxy: Any, pipe: Connection) -> None:
    try:
        pipe.send(proxy["a"])
    except Exception as error:
        pipe.send(type(error).__name__)


class OtherSystem:
    """The socket of a system on which the user is asked for in another way."""

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option, size) == (0, 1, 76)
        return struct.pack("II", 0, SOMEBODY) + bytes(68)


@pytest.mark.parametrize("system", ["darwin", "freebsd14"])
def test_who_listens_on_macos_and_bsd(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert peer._uid_of_listener(OtherSystem()) == SOMEBODY  # type: ignore[arg-type]


def test_what_derives_from_the_authkey_is_not_shown(base: Path) -> None:
    made = proof.proof_for(KEY, "unix")
    with SyncManager(str(base / "app.sock"), KEY) as manager:
        shown = repr(vars(made)) + repr(made) + repr(vars(manager)) + repr(vars(manager.runtime))
    for secret in (KEY, made._inner, made._outer):
        assert bytes(secret).decode() not in shown


def test_the_socket_at_a_given_path_is_private(base: Path) -> None:
    path = base / "app.sock"
    with SyncManager(str(path), KEY):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
