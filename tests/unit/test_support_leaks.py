"""The leak check reports a leak: each test makes one, looks for it, and clears it away."""

from __future__ import annotations

import os
import subprocess
import threading
import zlib
from collections.abc import Callable

import pytest

from multihost import RedisManager
from tests.support import leaks
from tests.support.procs import ROOT
from tests.support.raw import RawClient
from tests.support.server import Server

pytest_plugins = ["pytester"]


@pytest.fixture
def server(fresh_server: Server) -> Server:
    """Not the shared one: here we leave things behind on purpose."""
    return fresh_server


@pytest.fixture
def before(server: Server) -> leaks.Snapshot:
    return leaks.Snapshot.take(server)


def leaks_of(before: leaks.Snapshot, server: Server) -> list[str]:
    """Return what is left over, which does not go: it is not waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaks, "SECONDS", 0.0)
        return leaks.check(before, server)


def test_nothing_is_no_leak(before: leaks.Snapshot, server: Server) -> None:
    assert leaks.check(before, server) == []


def test_an_exception_that_is_still_handled_is_reported(
    before: leaks.Snapshot, server: Server
) -> None:
    try:
        raise ValueError("left over")
    except ValueError:
        found = leaks.find_leaks(before, server)
    assert found == ["a context for all later exceptions: ValueError('left over')"]


def test_a_thread_is_reported(before: leaks.Snapshot, server: Server) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="left-over")
    thread.start()
    try:
        assert leaks_of(before, server) == ["thread 'left-over'"]
    finally:
        end.set()
        thread.join()


def test_a_child_and_its_child_are_reported(before: leaks.Snapshot, server: Server) -> None:
    with subprocess.Popen(
        ["sh", "-c", "sh -c 'echo up; read _'; true"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        found = leaks_of(before, server)
        child.communicate()
    assert len(found) == 2
    assert all(line.startswith("child process") and "read _" in line for line in found)


def test_a_child_that_nobody_waited_for_is_reported(before: leaks.Snapshot, server: Server) -> None:
    with subprocess.Popen("true") as child:
        (found,) = leaks_of(before, server)
        assert str(child.pid) in found
    assert leaks.check(before, server) == []


def test_a_connection_is_reported(before: leaks.Snapshot, server: Server) -> None:
    with RawClient(server.url) as client:
        client.call("CLIENT", "SETNAME", "mine")
        (found,) = leaks_of(before, server)
        assert found.startswith("connection ")
        assert "mine" in found
    assert leaks.check(before, server) == []


def test_the_first_connection_of_a_thread_of_an_older_manager_is_none(server: Server) -> None:
    with RedisManager(server.url) as manager:
        manager.dict()
        before = leaks.Snapshot.take(server)
        asked, end = threading.Event(), threading.Event()

        def ask() -> None:
            manager.names()
            asked.set()
            end.wait()

        thread = threading.Thread(target=ask, name="multihost-session")
        thread.start()
        asked.wait()
        connections = {each["id"] for each in server.clients()}
        assert connections > before.clients
        assert before.new_clients(server) == []
        end.set()
        thread.join()


def test_a_connection_that_is_only_renewed_is_none(server: Server) -> None:
    with RawClient(server.url):
        before = leaks.Snapshot.take(server)
    with RawClient(server.url):
        assert leaks.check(before, server) == []


def key(tail: str) -> str:
    """The key of an object or of the names beside it, in its partition."""
    kind, _, ident = tail.partition(":")
    number = zlib.crc32(ident.encode()) % 64
    suffix = {"data": ident, "contains": f"{ident}:contains", "names": "names"}[kind]
    return f"{{ns:{number:02}}}:{suffix}"


@pytest.mark.parametrize(
    ("commands", "leaking"),
    [
        pytest.param(["SET {ns:05}:r:caller 1"], ["{ns:05}:r:caller"], id="record-without-ttl"),
        pytest.param(["SET {ns:05}:r:caller 1 EX 60"], [], id="record"),
        pytest.param(["SET foreign 1"], ["foreign"], id="not-ours"),
        pytest.param(["SET data:n:d v"], ["data:n:d"], id="name-not-registered"),
        pytest.param(["HSET names:n:d d dict", "SET data:n:d v"], [], id="named"),
        pytest.param(["SET data:u:x v"], ["data:u:x"], id="unnamed"),
        pytest.param(["SET data:u:x v EX 30"], [], id="leased"),
        pytest.param(
            [
                "HSET names:n:d d dict",
                "HSET contains:n:d u:y 1",
                "HSET contains:u:y u:x 1",
                "SET data:u:x v",
            ],
            [],
            id="contained",
        ),
        pytest.param(
            ["HSET contains:u:x u:y 1", "HSET contains:u:y u:x 1"],
            ["contains:u:x", "contains:u:y"],
            id="contained-in-each-other-only",
        ),
    ],
)
def test_keys_without_owner_or_ttl_are_reported(
    before: leaks.Snapshot, server: Server, commands: list[str], leaking: list[str]
) -> None:
    def in_full(word: str) -> str:
        return key(word) if word.startswith(("data:", "names:", "contains:")) else word

    for command in commands:
        verb, target, *rest = command.split()
        server.command(verb, in_full(target), *rest)
    found = leaks_of(before, server)
    server.command("FLUSHALL")
    wanted = sorted(in_full(word).encode() for word in leaking)
    assert found == [f"key {name!r} in db 0 without a TTL" for name in wanted]


def test_other_databases_are_looked_at_too(before: leaks.Snapshot, server: Server) -> None:
    with server.connect(db=7) as client:
        client.call("SET", "k", "v")
    found = leaks_of(before, server)
    server.command("FLUSHALL")
    assert found == ["key b'k' in db 7 without a TTL"]


def test_a_server_of_the_tests_own_is_looked_at_for_our_keys_only(
    start_server: Callable[..., Server],
) -> None:
    server = start_server()
    server.command("SET", "filler", "x")
    assert leaks.ownerless_keys(server, leaks.ANY_NAMESPACE) == []
    server.command("SET", "{ns:05}:r:caller", "x")
    assert len(leaks.ownerless_keys(server, leaks.ANY_NAMESPACE)) == 1
    server.command("FLUSHALL")


@pytest.mark.parametrize("external", [False, True])
def test_the_fixture_fails_a_leaking_test_and_empties_the_server(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    fresh_server: Server,
    external: bool,
) -> None:
    if external:
        monkeypatch.setenv("MULTIHOST_TEST_URL", fresh_server.tcp_url)
        fresh_server.command("SET", "theirs", "v")
    else:
        monkeypatch.delenv("MULTIHOST_TEST_URL", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "src")]))
    pytester.makeconftest(
        "from tests.conftest import *\nfrom tests.support import leaks\nleaks.SECONDS = 0.05\n"
    )
    pytester.makepyfile(
        """
        import pytest

        def test_leaks(server):
            server.command("SET", "{multihost:00}:k", "v")

        def test_next_one_finds_nothing(server):
            assert server.keys("{*") == []

        @pytest.mark.leaks_ok("to show that it may")
        def test_excused(server):
            server.command("SET", "{multihost:00}:k", "v")

        @pytest.mark.leaks_ok
        def test_without_a_reason():
            pass

        def test_failing_is_reported_once(server):
            server.command("SET", "{multihost:00}:k", "v")
            raise ValueError

        def test_own_server(fresh_server):
            fresh_server.command("SET", "{ns:00}:r:caller", "v")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rA")
    result.assert_outcomes(passed=5, failed=1, errors=3)
    result.stdout.fnmatch_lines(
        [
            "*the test leaves behind:*",
            "*key b'{multihost:00}:k' in db 0 without a TTL*",
            "*leaks_ok needs a reason*",
        ]
    )
    if external:
        assert fresh_server.keys() == [b"theirs"]
