"""Waits that are cut, outlive a restart, end by a signal or at their time, and many at once."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import LinkError, ObjectGone, RedisManager
from multihost.managers import SyncManager
from multihost.wire import wait as wait_module
from multihost.wire.ops.queue import receive_list
from tests.faults.calls import Call, patient
from tests.support.faults import CuttingProxy
from tests.support.procs import ROOT, kill9, send_signal, spawn_script
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

SECONDS = PATIENCE


@pytest.fixture(autouse=True)
def _long_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is patient enough for the end of one: it is not that by which a wait ends."""
    for module in (wait_module, receive_list):
        for constant in ("MAX_BLOCK", "FIRST_BLOCK"):
            monkeypatch.setattr(module, constant, 10 * PATIENCE)


class Wait:
    """One thread that waits for something of ``m``, and what ends that from ``other``."""

    typeid = ""
    args: tuple[Any, ...] = ()

    def __init__(self, m: RedisManager, other: RedisManager, name: str = "") -> None:
        name = name or f"w-{self.typeid}"
        self.mine = getattr(m, self.typeid)(name, *self.args)
        self.theirs = getattr(other, self.typeid)(name, *self.args)
        self.data = self.mine._handle.keys.data

    def hold(self) -> None:
        """See that there is something to wait for."""

    # Abstract: each of the types below has its own.

    def wait(self, timeout: float | None = None) -> Any:
        raise NotImplementedError

    def end(self) -> None:
        """What it waits for happens."""
        raise NotImplementedError

    def tidy(self) -> None:
        """After a wait that got it."""

    def is_waiting(self, server: Any) -> bool:
        fields = server.command("HKEYS", self.data)
        return any(field[:2] in (b"q:", b"z:") for field in fields) and any(
            "b" in row["flags"] for row in server.clients()
        )


class LockWait(Wait):
    typeid = "Lock"

    def hold(self) -> None:
        assert self.theirs.acquire()

    def wait(self, timeout: float | None = None) -> Any:
        return self.mine.acquire(timeout=timeout)

    def end(self) -> None:
        self.theirs.release()

    def tidy(self) -> None:
        self.mine.release()


class RLockWait(LockWait):
    """Of the main thread, which also releases it."""

    typeid = "RLock"

    def tidy(self) -> None:
        """The thread that had it is no more: only its process can."""


class SemaphoreWait(LockWait):
    typeid = "Semaphore"
    args = (1,)


class BoundedSemaphoreWait(SemaphoreWait):
    typeid = "BoundedSemaphore"


class ConditionWait(Wait):
    typeid = "Condition"

    def wait(self, timeout: float | None = None) -> Any:
        with self.mine:
            return self.mine.wait(timeout)

    def end(self) -> None:
        with self.theirs:
            self.theirs.notify()


class EventWait(Wait):
    typeid = "Event"

    def wait(self, timeout: float | None = None) -> Any:
        return self.mine.wait(timeout)

    def end(self) -> None:
        self.theirs.set()

    def is_waiting(self, server: Any) -> bool:
        return any(row["cmd"] == "brpoplpush" for row in server.clients())


class BarrierWait(Wait):
    typeid = "Barrier"
    args = (2,)

    def wait(self, timeout: float | None = None) -> Any:
        return self.mine.wait(timeout) == 0

    def end(self) -> None:
        self.theirs.wait(SECONDS)


WAITS = (LockWait, SemaphoreWait, ConditionWait, EventWait, BarrierWait)


@pytest.fixture(params=WAITS, ids=lambda cls: cls.typeid)
def waiting(request: pytest.FixtureRequest) -> type[Wait]:
    cls: type[Wait] = request.param
    return cls


@pytest.fixture
def two(server: Any, proxy: CuttingProxy) -> Iterator[tuple[RedisManager, RedisManager]]:
    """One whose connections may be cut, and one with a way of its own."""
    with RedisManager(proxy.url) as m, RedisManager(server.url) as other:
        yield m, other


def begun(each: Wait, server: Any, timeout: float | None = None) -> Call:
    """The wait, in a thread, as soon as it is blocked."""
    call = Call(lambda: each.wait(timeout))
    wait_until(lambda: each.is_waiting(server), SECONDS, f"{each.typeid} waits")
    return call


# -- connections that are cut


@pytest.mark.parametrize("timeout", [None, SECONDS])
def test_a_wait_goes_on_after_a_cut(
    waiting: type[Wait], timeout: float | None, two: Any, server: Any, proxy: CuttingProxy
) -> None:
    each = waiting(*two)
    each.hold()
    call = begun(each, server, timeout)
    for _ in range(3):
        accepted = proxy.accepted
        proxy.cut_all()
        wait_until(lambda: proxy.accepted > accepted and each.is_waiting(server), SECONDS)
    assert call.is_alive()
    each.end()
    assert call.outcome() is True
    each.tidy()


def test_what_happens_while_the_connection_is_gone_is_not_missed(
    waiting: type[Wait], two: Any, server: Any, proxy: CuttingProxy
) -> None:
    each = waiting(*two)
    each.hold()
    call = begun(each, server, SECONDS)
    proxy.refuse()
    proxy.cut_all()
    ender = Call(each.end)  # at a barrier it waits for the others to hear of it
    if waiting is not BarrierWait:
        ender.outcome()
    proxy.accept()
    assert call.outcome() is True
    ender.outcome()
    each.tidy()


def test_a_holder_whose_connections_are_cut_is_not_taken_for_dead(
    two: Any, server: Any, proxy: CuttingProxy
) -> None:
    """Neither by those who wait, nor where it waits itself."""
    m, other = two
    lock, theirs = m.Lock("held"), other.Lock("held")
    assert lock.acquire()
    fence = lock.fencing_token
    call = Call(lambda: theirs.acquire(timeout=2.0))
    wait_until(lambda: server.command("HGET", lock._handle.keys.data, "w") == b"1", SECONDS)
    until = time.monotonic() + 1.6
    while time.monotonic() < until:
        accepted = proxy.accepted
        proxy.cut_all()
        wait_until(lambda: proxy.accepted > accepted, SECONDS)
    assert call.outcome() is False
    assert lock.fencing_token == fence
    lock.release()


def test_scripts_that_are_forgotten_during_a_wait(
    waiting: type[Wait],
    two: Any,
    server: Any,
    proxy: CuttingProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the decision, and before the next round."""
    monkeypatch.setattr(wait_module, "MAX_BLOCK", 0.2)
    each = waiting(*two)
    each.hold()
    call = begun(each, server)
    for _ in range(2):
        server.command("SCRIPT", "FLUSH")
        pops = proxy.passed[b"BLPOP"] + proxy.passed[b"BRPOPLPUSH"]
        wait_until(lambda: proxy.passed[b"BLPOP"] + proxy.passed[b"BRPOPLPUSH"] > pops + 1, SECONDS)
    wait_until(lambda: each.is_waiting(server), SECONDS)
    assert call.is_alive()
    server.command("SCRIPT", "FLUSH")
    each.end()
    assert call.outcome() is True
    each.tidy()


# -- servers that are restarted


@pytest.mark.leaks_ok("the server was killed with its connections")
def test_waits_and_holds_outlive_a_server_that_kept_its_data(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(tcp=True, appendonly="yes", appendfsync="always")
    with RedisManager(server.tcp_url) as m, RedisManager(server.url) as other:
        held = other.Lock("held")
        assert held.acquire()
        fence = held.fencing_token
        gpu = other.Semaphore("gpu", 2)
        assert gpu.acquire()
        waits = [cls(m, other) for cls in WAITS]
        for each in waits:
            each.hold()
        calls = [begun(each, server, SECONDS) for each in waits]
        late = Call(lambda: m.Lock("held").acquire(timeout=1.0))
        started = time.monotonic()
        for _ in range(2):
            server.restart(empty=False)
            for each in waits:
                wait_until(lambda: each.is_waiting(server), SECONDS, "it waits again")
        assert all(call.is_alive() for call in calls)
        with contextlib.suppress(LinkError):  # if the server was away at its time
            assert late.outcome() is False
        assert 1.0 <= late.ended - started + 0.1
        for each, call in zip(waits, calls, strict=True):
            each.end()
            assert call.outcome() is True, each.typeid
            each.tidy()
        assert held.fencing_token == fence
        held.release()
        gpu.release()
        assert m.Semaphore("gpu").statistics().permits == 2
        assert m.Lock("held").acquire(False)


@pytest.mark.leaks_ok("the server forgot the objects")
def test_waits_and_holds_at_a_server_that_lost_its_data(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(tcp=True)
    with RedisManager(server.tcp_url) as m, RedisManager(server.url) as other:
        held = other.Lock("held")
        assert held.acquire()
        fence = held.fencing_token
        waits = [cls(m, other) for cls in WAITS]
        for each in waits:
            each.hold()
        calls = [begun(each, server) for each in waits]
        server.restart()
        for call in calls:
            with pytest.raises(ObjectGone):
                call.outcome()
        with pytest.raises(ObjectGone):
            held.release()
        again = m.Lock("held")
        assert again.acquire(False)
        assert again.fencing_token > fence, "also over a loss of all data"
        again.release()
        assert not server.keys("*:w-*")


@pytest.mark.leaks_ok("the server was killed with its connections")
def test_a_wait_for_a_server_that_stays_away_ends(start_server: Callable[..., Server]) -> None:
    server = start_server(tcp=True)
    with RedisManager(server.tcp_url) as m, RedisManager(server.url) as other:
        waits = [cls(m, other) for cls in WAITS]
        for each in waits:
            each.hold()
        calls = [
            begun(each, server, 10 * PATIENCE if index % 2 else None)
            for index, each in enumerate(waits)
        ]
        patient(m, 0.4)
        patient(other, 0.0)
        server.kill()
        for call in calls:
            with pytest.raises(LinkError):
                call.outcome()


@pytest.mark.leaks_ok("its server was killed")
def test_waits_at_an_embedded_server_that_is_killed() -> None:
    with SyncManager(timeout=10 * PATIENCE) as m:
        lock, event, barrier = m.Lock(), m.Event(), m.Barrier(2)
        lock.acquire()
        calls = [Call(lock.acquire), Call(event.wait), Call(lambda: barrier.wait(SECONDS))]
        wait_until(lambda: barrier.n_waiting == 1 and lock.statistics().waiters == 1, SECONDS)
        kill9(m.runtime.embedded.pid)
        for call in calls:
            with pytest.raises(LinkError, match="cannot reach|broke"):
                call.outcome()
        with pytest.raises(LinkError):
            lock.release()


# -- timeouts


@pytest.mark.parametrize("cls", [*WAITS, RLockWait, BoundedSemaphoreWait], ids=lambda c: c.typeid)
def test_timeouts_are_honoured(cls: type[Wait], two: Any) -> None:
    """Never early; and late by little, once at least: others may share the cores."""
    each = cls(*two)
    each.hold()
    if cls is not BarrierWait:
        each.wait(0.001)  # the first call opens connections
    for timeout in (0, 0.001, 0.05, 0.3):
        lateness = []
        for _ in range(100):
            if cls is BarrierWait:
                each.theirs.reset()
            started = time.monotonic()
            try:
                assert each.wait(timeout) is False
            except threading.BrokenBarrierError:
                assert cls is BarrierWait
            took = time.monotonic() - started
            assert took >= timeout
            lateness.append(took - timeout)
            if lateness[-1] < 0.15:
                break
        assert min(lateness) < 0.15, (timeout, lateness)
    if cls is BarrierWait:
        each.theirs.reset()
    elif hasattr(each.theirs, "release") and cls is not ConditionWait:
        each.theirs.release()


def test_a_timeout_of_more_than_a_second_and_more_than_a_slice(
    two: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait_module, "MAX_BLOCK", 0.5)
    calls = []
    for cls in WAITS:
        each = cls(*two)
        each.hold()
        each.mine.wait(0.001) if cls is EventWait else None
        calls.append((time.monotonic(), Call(lambda: each.wait(1.2)), each))
    for started, call, each in calls:
        try:
            assert call.outcome() is False
        except threading.BrokenBarrierError:
            assert type(each) is BarrierWait
        assert 1.2 <= call.ended - started
        if type(each) in (LockWait, SemaphoreWait):
            each.end()


@pytest.mark.parametrize("timeout", [threading.TIMEOUT_MAX, 1e8, None])
def test_huge_timeouts(timeout: float | None, two: Any, server: Any) -> None:
    for cls in WAITS:
        each = cls(*two)
        each.hold()
        call = begun(each, server, timeout)
        each.end()
        assert call.outcome() is True
        each.tidy()
    lock = two[0].Lock()
    with pytest.raises(OverflowError):
        lock.acquire(timeout=threading.TIMEOUT_MAX * 2)
    assert lock.acquire(False)
    lock.release()


# -- signals


INTERRUPTED = """
import os, signal, sys, threading
sys.path.insert(0, os.environ["ROOT"])
from multihost import RedisManager
from tests.faults.test_waiting import ALL

def leave(number, frame):
    raise SystemExit(3)

signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGINT, signal.default_int_handler)
m = RedisManager(os.environ["URL"])
for cls in ALL:
    each = cls(m, m)
    try:
        print("waiting", flush=True)
        each.wait()
    except (KeyboardInterrupt, SystemExit) as error:
        held = sum(hold.count for hold in m.runtime.session.holds.values())
        print(type(error).__name__, held, flush=True)
    sys.stdin.readline()
"""

ALL = (*WAITS, RLockWait, BoundedSemaphoreWait)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SystemExit"])
def test_a_signal_ends_a_wait_at_once_without_a_trace(
    number: signal.Signals, url: str, server: Any
) -> None:
    expected = "KeyboardInterrupt" if number == signal.SIGINT else "SystemExit"
    with (
        RedisManager(url) as m,
        spawn_script(INTERRUPTED, {"URL": url, "ROOT": str(ROOT)}) as child,
    ):
        objects = [cls(m, m) for cls in ALL]
        for each in objects:
            each.hold()
        for each in objects:
            assert child.line() == "waiting"
            wait_until(lambda: each.is_waiting(server), SECONDS, each.typeid)
            assert send_signal(child, number)
            name, held = child.line().split()
            assert name == expected
            assert held == "0"
            assert waiters(each, server) == []
            check_usable(each, m)
            child.tell("")
        child.finish()


def waiters(each: Wait, server: Any) -> list[bytes]:
    """Every trace of one who waits."""
    found = server.command("HGETALL", each.data)
    fields = dict(zip(found[::2], found[1::2], strict=True))
    assert fields.get(b"w", b"0") == b"0"
    assert sum(int(count) for f, count in fields.items() if f[:2] in (b"c:", b"n:", b"l:")) == 0
    return [field for field in fields if field[:2] in (b"q:", b"z:")]


def check_usable(each: Wait, m: RedisManager) -> None:
    """Another process, which is we, has it at once."""
    if isinstance(each, LockWait):
        each.theirs.release()
        assert each.theirs.acquire(False)
        each.theirs.release()
    elif isinstance(each, ConditionWait):
        assert each.theirs.acquire(False)
        each.theirs.release()
    elif isinstance(each, BarrierWait):
        assert each.theirs.broken, "as after a party that failed"
        each.theirs.reset()
    elif isinstance(each, EventWait):
        each.theirs.set()
        assert each.theirs.wait(0)


RANDOM = """
import os, random, signal, sys, time
sys.path.insert(0, os.environ["ROOT"])
from multihost import RedisManager

def interrupt(number, frame):
    if armed:
        raise KeyboardInterrupt

armed = False
signal.signal(signal.SIGALRM, interrupt)
m = RedisManager(os.environ["URL"])
thing = getattr(m, sys.argv[1])("thing")
interrupted = lost = 0
thing.acquire()  # Thread.start() of CPython does not bear a signal: the background thread is there
thing.release()

def held():
    return sum(hold.count for hold in m.runtime.session.holds.values())

turns, enough, most = map(int, sys.argv[2:])
longest = 0.0008  # for the first turn; then about as long as the last one took
while turns > 0 or (interrupted < enough and most > 0):
    turns, most = turns - 1, most - 1
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00002, longest))
    try:
        armed = True
        thing.acquire()
        armed = False
    except KeyboardInterrupt:
        interrupted += 1
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
    if held():  # as with a lock of threading: the signal may come when it has been taken
        thing.release()
    began = time.monotonic()
    if not thing.acquire(timeout=60):
        lost += 1
        break
    longest = max(1.2 * (time.monotonic() - began), 0.0001)
    thing.release()
print(interrupted, lost, held(), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("typeid", ["Lock", "Semaphore"])
def test_a_signal_at_any_moment_of_an_acquire_leaves_no_hold(
    typeid: str, url: str, server: Any
) -> None:
    """Of a free one: a signal may come before, while and after the server gives it."""
    with RedisManager(url) as m:
        thing = getattr(m, typeid)("thing", *(() if typeid == "Lock" else (1,)))
        args = [typeid, "200", "20", "10000"]
        with spawn_script(RANDOM, {"URL": url, "ROOT": str(ROOT)}, args=args) as child:
            interrupted, lost, held = map(int, child.line(PATIENCE).split())
            assert interrupted >= 20
            assert (lost, held) == (0, 0)
            assert thing.acquire(timeout=60)
            thing.release()
            child.finish()


# -- many


def test_a_hundred_threads_wait_at_once(fresh_server: Server) -> None:
    with RedisManager(fresh_server.url) as m:
        lock, event = m.Lock(), m.Event()
        counter = m.Value("i", 0)
        before = len(fresh_server.clients())
        inside: list[int] = []

        def work() -> bool:
            event.wait()
            with lock:
                inside.append(1)
                assert len(inside) == 1
                counter.value = counter.value + 1
                inside.pop()
            return True

        calls = [Call(work) for _ in range(100)]

        def blocked() -> int:
            return sum("b" in row["flags"] for row in fresh_server.clients())

        wait_until(lambda: blocked() == 100, SECONDS)
        # One for each thread, and one for that in the background.
        assert len(fresh_server.clients()) <= before + 100 + 1
        event.set()
        assert all(call.outcome() for call in calls)
        assert counter.value == 100
        assert lock.statistics().waiters == 0
        del calls
        wait_until(lambda: len(fresh_server.clients()) <= before + 1, SECONDS)
