"""start(), connect() and shutdown(), as in multiprocessing.managers."""

from __future__ import annotations

import multiprocessing.managers
import os
import random
import signal
import sys
import threading
from multiprocessing import ProcessError
from typing import Any

import pytest

from multihost import LinkError, Manager, ManagerClosed, RedisManager, SyncManager
from tests.support.faults import CuttingProxy
from tests.support.procs import is_alive


@pytest.fixture(params=["standard library", "multihost"])
def kind(request: pytest.FixtureRequest) -> Any:
    """The same manager class of both."""
    return multiprocessing.managers.SyncManager if request.param[0] == "s" else SyncManager


def test_before_start(kind: Any) -> None:
    manager = kind()
    for factory in (manager.dict, manager.list, manager.Namespace):
        with pytest.raises(AssertionError, match="^server not yet started$"):
            factory()
    with pytest.raises(AssertionError, match="^server not yet started$"):
        manager.Value("i", 1)
    assert manager.address is None


def test_second_start(kind: Any) -> None:
    manager = kind()
    manager.start()
    try:
        with pytest.raises(ProcessError, match="^Already started server$"):
            manager.start()
        assert manager.list([1])[0] == 1
    finally:
        manager.shutdown()
    with pytest.raises(ProcessError, match="^Manager has shut down$"):
        manager.start()
    manager.shutdown()


def test_with_starts_and_shuts_down(kind: Any) -> None:
    manager = kind()
    with manager as entered:
        assert entered is manager
        assert manager.dict(a=1)["a"] == 1
        with manager:
            pass
    for again in (manager.__enter__, manager.start):
        with pytest.raises(ProcessError, match="^Manager has shut down$"):
            again()


def test_exception_in_the_block_is_passed_on(kind: Any) -> None:
    with pytest.raises(KeyError, match="mine"), kind() as manager:
        d = manager.dict()
        raise KeyError("mine")
    with pytest.raises(Exception):  # noqa: B017 - the two differ here
        d.copy()


def initialise(notes: Any, *args: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["INITIALISED"] = "1"
    notes.append((os.getpid(), args))


def fail(*args: Any) -> None:
    raise RuntimeError(*args)


class Odd(Exception):
    """Can be pickled, and not be made again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def fail_oddly() -> None:
    raise Odd(1, 2)


def test_initializer(kind: Any) -> None:
    with multiprocessing.managers.SyncManager() as others:
        notes = others.list()
        manager = kind()
        with pytest.raises(TypeError, match="^initializer must be a callable$"):
            manager.start(initializer=5)
        manager.start(initialise, (notes, 1, 2))
        try:
            assert manager.list([1])[0] == 1
            ((pid, args),) = notes
            assert args == (1, 2)
            assert pid != os.getpid()
        finally:
            manager.shutdown()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_initializer_does_nothing_to_this_process(method: str) -> None:
    """It runs in a process of its own, which has ended when start() returns."""
    handler = signal.getsignal(signal.SIGINT)
    with SyncManager() as others:
        notes = others.list()
        manager = SyncManager(ctx=multiprocessing.get_context(method))
        manager.start(initialise, (notes, method))
        try:
            ((pid, args),) = notes.copy()
            assert args == (method,)
            assert pid != os.getpid()
            assert not is_alive(pid)
            assert signal.getsignal(signal.SIGINT) is handler
            assert "INITIALISED" not in os.environ
            assert manager.list([1]).copy() == [1]
        finally:
            manager.shutdown()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_initializer_that_fails(method: str, capfd: pytest.CaptureFixture[str]) -> None:
    manager = SyncManager(ctx=multiprocessing.get_context(method))
    with pytest.raises(EOFError, match=r"ended before it was ready: RuntimeError\('no'\)") as info:
        manager.start(fail, ("no",))
    assert isinstance(info.value.__cause__, RuntimeError)
    assert "in fail" in info.value.__cause__.__notes__[0]
    with pytest.raises(EOFError, match="1 and 2") as info:
        manager.start(fail_oddly)
    assert isinstance(info.value.__cause__, multiprocessing.managers.RemoteError)
    with pytest.raises(EOFError, match="exit code 7 before it was ready"):
        manager.start(os._exit, (7,))
    with pytest.raises(EOFError, match=r"SystemExit\(3\)"):
        manager.start(sys.exit, (3,))
    assert manager.address is None, "nothing was started"
    manager.start()  # it can be tried again
    manager.shutdown()
    assert capfd.readouterr() == ("", "")


def test_join_returns_without_a_process(kind: Any) -> None:
    manager = kind()
    manager.start()
    manager.join(0)
    manager.shutdown()
    manager.join()


# -- beyond the standard library


def test_connect(server: Any) -> None:
    manager = SyncManager(server.url)
    assert manager.address is not None
    with pytest.raises(AssertionError, match="^server not yet started$"):
        manager.dict()
    manager.connect()
    assert manager.dict(a=1).copy() == {"a": 1}
    for again in (manager.connect, manager.start):
        with pytest.raises(ProcessError, match="^Already started server$"):
            again()
    manager.shutdown()
    for again in (manager.connect, manager.start):
        with pytest.raises(ProcessError, match="^Manager has shut down$"):
            again()
    with pytest.raises(ManagerClosed):
        manager.dict()


def test_start_with_a_url_connects(server: Any) -> None:
    manager = SyncManager(server.url)
    manager.start()
    assert manager.address == server.url
    manager.shutdown()
    assert server.command("PING") == b"PONG", "it is not ours to stop"


def test_connect_needs_an_address() -> None:
    with pytest.raises(ValueError, match="address"):
        SyncManager().connect()


def test_failed_connect_can_be_repeated(server: Any) -> None:
    from tests.support.faults import CuttingProxy

    with CuttingProxy(server) as proxy:
        manager = SyncManager(proxy.url)
        proxy.refuse()
        for _ in range(2):
            with pytest.raises(LinkError):
                manager.connect()
        with pytest.raises(AssertionError, match="^server not yet started$"):
            manager.dict()
        proxy.accept()
        manager.connect()
        assert manager.list([1]).copy() == [1]
        manager.shutdown()


def test_ready_made_managers_are_started(server: Any) -> None:
    for manager in (Manager(), RedisManager(server.url)):
        with pytest.raises(ProcessError, match="^Already started server$"):
            manager.start()
        with pytest.raises(ProcessError, match="^Already started server$"):
            manager.connect()
        manager.shutdown()
        manager.shutdown()


def test_shutdown_before_start_does_nothing() -> None:
    manager = SyncManager()
    manager.shutdown()
    manager.start()
    manager.shutdown()


@pytest.mark.leaks_ok("what a named object contained is for the next collection")
def test_shutdown_keeps_named_objects_only(server: Any) -> None:
    manager = RedisManager(server.url)
    manager.dict("d", a=1)
    kept = [manager.list([1]), manager.set([1]), manager.dict(x=manager.list([2]))]
    manager.list("l", [kept[0]])
    manager.shutdown()
    what = {key.partition(b"}:")[2].split(b":")[0] for key in server.keys()}
    noted = {b"kept", b"held", b"cut", b"tops", b"epoch", b"lists", b"leases", b"collector"}
    assert what <= {b"names", b"n", b"u"} | noted
    with RedisManager(server.url) as again:
        assert again.names() == ["d", "l"]
        assert again.list("l")[0].copy() == [1]
        again.delete("l")
        again.delete("d")
    # What "l" contained is for the next collection, whoever makes it.
    lasting = {key for key in server.keys() if server.command("PTTL", key) == -1}
    assert {key.partition(b"}:")[2].split(b":")[0] for key in lasting} <= noted | {b"u"}


def test_manager_cannot_be_pickled(server: Any) -> None:
    import pickle

    with RedisManager(server.url) as manager, pytest.raises(TypeError, match="pass its proxies"):
        pickle.dumps(manager)


def test_generator_of_the_program_is_left_alone(proxy: CuttingProxy) -> None:
    """A program that seeds ``random`` stays reproducible, whatever the background thread does."""
    with RedisManager(proxy.url) as manager, RedisManager(proxy.url) as other:
        lock, theirs = manager.Lock("lock"), other.Lock("lock")
        state = random.getstate()
        with lock:
            waiter = threading.Thread(target=theirs.acquire, args=(True, 1.0))
            waiter.start()  # the background thread checks the holder meanwhile
            proxy.cut_all()  # and connections come back, after a pause
            waiter.join()
        assert random.getstate() == state
