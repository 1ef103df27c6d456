"""A server that refuses writes for a while: calls keep their time, waits ride it out, and what
lived through it works again.

Each refusal is that of a real server, but for one that loads its data, whose answers a proxy gives.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import logging.handlers
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from multihost import (
    AccessDenied,
    InternalError,
    LinkError,
    LinkLost,
    MultihostError,
    RedisManager,
    ServerFull,
    ServerUnfit,
)
from multihost.errors import ConnectTimeout
from multihost.wire.session import heartbeat
from tests.faults.calls import late_after, patient
from tests.hosted.hosted_classes import Our, Remote
from tests.support.faults import CuttingProxy
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

NOBODY = 9  # a port at which no server listens
PASSING = 1.0  # seconds that a wait rides out
BOUND = 20.0  # seconds, for calls with a timeout of two at most; less than PATIENT
PATIENT = 10 * PATIENCE
"""A timeout of managers by which nothing ends within a test."""
LOADING = b"-LOADING Valkey is loading the dataset in memory\r\n"


class Refusal(NamedTuple):
    begin: Callable[[Server, CuttingProxy], object]
    end: Callable[[Server, CuttingProxy], object]
    errors: tuple[type[MultihostError], ...]
    passes: bool = True


def fail_to_save(server: Server, _: CuttingProxy) -> None:
    """The snapshot cannot be renamed to what is a directory: as if the disk were full."""
    os.makedirs(os.path.join(server.directory, "taken.rdb"), exist_ok=True)
    server.command("CONFIG", "SET", "save", "3600 1")
    server.command("BGSAVE")
    wait_until(lambda: server.info("persistence")["rdb_last_bgsave_status"] == "err")


def saves_again(server: Server, _: CuttingProxy) -> None:
    os.rmdir(os.path.join(server.directory, "taken.rdb"))
    server.command("BGSAVE")
    wait_until(lambda: server.info("persistence")["rdb_last_bgsave_status"] == "ok")


def setting(name: str, value: object) -> Callable[[Server, CuttingProxy], object]:
    return lambda server, _: server.command("CONFIG", "SET", name, str(value))


def rights(*rules: str) -> Callable[[Server, CuttingProxy], object]:
    return lambda server, _: server.command("ACL", "SETUSER", "default", *rules)


def answering(reply: bytes | None) -> Callable[[Server, CuttingProxy], object]:
    return lambda _, proxy: setattr(proxy, "answer", reply)


REFUSALS = {
    "NOREPLICAS": Refusal(
        setting("min-replicas-to-write", 1), setting("min-replicas-to-write", 0), (LinkError,)
    ),
    "READONLY": Refusal(
        lambda server, _: server.command("REPLICAOF", "127.0.0.1", NOBODY),
        lambda server, _: server.command("REPLICAOF", "NO", "ONE"),
        (LinkError,),
    ),
    "MISCONF": Refusal(fail_to_save, saves_again, (ServerUnfit,)),
    "LOADING": Refusal(answering(LOADING), answering(None), (LinkError,)),
    "OOM": Refusal(
        setting("maxmemory", 1), setting("maxmemory", 0), (ServerFull, queue.Empty), passes=False
    ),
    "NOPERM": Refusal(
        rights("-set", "-pexpire", "-time"),
        rights("+set", "+pexpire", "+time"),
        (AccessDenied, queue.Empty),
        passes=False,
    ),
}


@pytest.fixture(params=REFUSALS)
def refusal(request: pytest.FixtureRequest) -> Refusal:
    return REFUSALS[request.param]


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    return start_server(tcp=True, dbfilename="taken.rdb")


@pytest.fixture
def proxy(server: Server) -> Iterator[CuttingProxy]:
    with CuttingProxy(server.tcp_url) as one:
        yield one


@contextlib.contextmanager
def refusing(refusal: Refusal, server: Server, proxy: CuttingProxy) -> Iterator[None]:
    refusal.begin(server, proxy)
    try:
        yield
    finally:
        refusal.end(server, proxy)


class Call:
    """A call in a thread of its own: what came of it, and after which time."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.result: object = None
        self.seconds = 0.0
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        begun = time.monotonic()
        try:
            self.result = self._call()
        except Exception as error:
            self.result = error
        self.seconds = time.monotonic() - begun

    def has_ended(self, within: float) -> bool:
        self._thread.join(within)
        return not self._thread.is_alive()


CALLS: dict[str, tuple[Callable[[RedisManager], Any], Callable[[Any], object]]] = {
    "get_nowait": (lambda m: m.Queue("q"), lambda q: q.get_nowait()),
    "get(timeout)": (lambda m: m.Queue("q"), lambda q: q.get(timeout=1)),
    "get_many(timeout)": (lambda m: m.Queue("q"), lambda q: q.get_many(3, timeout=1)),
    "put_nowait": (lambda m: m.Queue("q"), lambda q: q.put_nowait(1)),
    "put(timeout) where it is full": (lambda m: m.Queue("full", 1), lambda q: q.put(2, timeout=1)),
    "get(timeout) by priority": (lambda m: m.PriorityQueue("p"), lambda q: q.get(timeout=1)),
    "acquire(False)": (lambda m: m.Lock("l"), lambda lock: lock.acquire(False)),
    "acquire(timeout)": (lambda m: m.Lock("l"), lambda lock: lock.acquire(timeout=1)),
    "acquire(timeout) of a held one": (
        lambda m: m.Lock("held"),
        lambda lock: lock.acquire(timeout=1),
    ),
    "RLock.acquire(timeout)": (lambda m: m.RLock("r"), lambda lock: lock.acquire(timeout=1)),
    "Semaphore.acquire(False)": (lambda m: m.Semaphore("s"), lambda s: s.acquire(False)),
    "Semaphore.acquire(timeout)": (lambda m: m.Semaphore("s0", 0), lambda s: s.acquire(timeout=1)),
    "Event.wait(timeout)": (lambda m: m.Event("e"), lambda e: e.wait(1)),
    "Barrier.wait(timeout)": (lambda m: m.Barrier("b", 2), lambda b: b.wait(1)),
}


@pytest.mark.parametrize("registered", [False, True], ids=["first", "later"])
def test_a_call_keeps_its_time(
    refusal: Refusal, registered: bool, server: Server, proxy: CuttingProxy
) -> None:
    """Every call at the same time, each by a manager and in a namespace of its own."""
    with contextlib.ExitStack() as stack:
        scenes = {
            call: stack.enter_context(staged(call, registered, server, proxy)) for call in CALLS
        }
        with refusing(refusal, server, proxy):
            made = {
                call: Call(functools.partial(CALLS[call][1], scene.shared))
                for call, scene in scenes.items()
            }
            ended = {call: each.has_ended(BOUND) for call, each in made.items()}
        for call, each in made.items():
            assert each.has_ended(PATIENCE), call
            assert ended[call], f"{call} took {each.seconds:.1f} s: {each.result!r}"
            assert not isinstance(each.result, InternalError), (call, each.result)
            if isinstance(each.result, Exception):
                # A second may be too short for a machine that is busy with other things.
                slow = (ConnectTimeout, LinkLost)
                expected = (*refusal.errors, *slow, queue.Full)
                assert isinstance(each.result, expected), (call, each.result)
        for _, other, manager in scenes.values():
            other.Lock("held").release()
            # All of it works again.
            with manager.Lock("held"), manager.Semaphore("after"):
                manager.Queue("q").put(1)
                assert 1 in manager.Queue("q").get_many(5, timeout=PATIENCE)


class Staged(NamedTuple):
    shared: Any
    other: RedisManager
    manager: RedisManager


@contextlib.contextmanager
def staged(call: str, registered: bool, server: Server, proxy: CuttingProxy) -> Iterator[Staged]:
    """What a call needs: another client that holds something, and its own, which knows nobody yet
    or has talked with the server before.
    """
    namespace = f"call-{list(CALLS).index(call)}"
    with (
        RedisManager(server.url, namespace=namespace) as other,
        RedisManager(proxy.url, namespace=namespace, timeout=PATIENT) as manager,
    ):
        other.Queue("full", 1).put(1)
        assert other.Lock("held").acquire()
        if registered:
            manager.Lock("another").acquire()
            assert manager.Queue("q").empty()
            with manager.Semaphore("s"):
                pass
        yield Staged(CALLS[call][0](manager), other, manager)


def test_a_condition_keeps_its_time(refusal: Refusal, server: Server, proxy: CuttingProxy) -> None:
    with RedisManager(proxy.url) as manager:
        condition = manager.Condition()
        assert condition.acquire()
        patient(manager, 1.0)
        with refusing(refusal, server, proxy):
            made = Call(lambda: condition.wait(1))
            ended = made.has_ended(2 * BOUND)
        assert ended
        assert isinstance(made.result, (bool, *refusal.errors, RuntimeError)), made.result


@pytest.mark.parametrize("name", [name for name, each in REFUSALS.items() if each.passes])
def test_who_waits_rides_out_what_passes(name: str, server: Server, proxy: CuttingProxy) -> None:
    refusal = REFUSALS[name]
    with (
        RedisManager(server.url) as other,
        RedisManager(proxy.url, timeout=PATIENT) as manager,
    ):
        assert other.Lock("held").acquire()
        jobs, lock, event = manager.Queue("q"), manager.Lock("held"), manager.Event("e")
        ranked = manager.PriorityQueue("p")
        calls = [Call(jobs.get), Call(lock.acquire), Call(event.wait), Call(ranked.get)]
        wait_until(lambda: sum(row["flags"].count("b") for row in server.clients()) >= len(calls))
        with refusing(refusal, server, proxy):
            threading.Event().wait(PASSING)
            assert not any(call.has_ended(0.0) for call in calls), [c.result for c in calls]
        other.Queue("q").put("item")
        other.PriorityQueue("p").put(7)
        other.Lock("held").release()
        other.Event("e").set()
        assert all(call.has_ended(PATIENCE) for call in calls)
        assert [call.result for call in calls] == ["item", True, True, 7]


@pytest.mark.parametrize("name", ["NOREPLICAS", "READONLY", "MISCONF"])
def test_an_outage_is_one_line_of_the_log(
    name: str,
    server: Server,
    proxy: CuttingProxy,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "multihost")

    def lines(level: int) -> list[str]:
        return [each.getMessage() for each in caplog.records if each.levelno == level]

    with RedisManager(proxy.url, lease=3.0) as manager:
        monkeypatch.setattr(heartbeat, "BEATS_PER_LEASE", 30)
        jobs = manager.Queue("q")
        manager.list([1])
        assert Call(lambda: jobs.get(timeout=0.1)).has_ended(BOUND)
        with refusing(REFUSALS[name], server, proxy):
            wait_until(lambda: lines(logging.WARNING), what="it has begun")
            for _ in range(5):
                assert Call(lambda: jobs.get(timeout=0.3)).has_ended(BOUND)
            threading.Event().wait(PASSING)  # several heartbeats
            assert len(lines(logging.WARNING)) == 1, lines(logging.WARNING)
            assert not lines(logging.INFO)
        wait_until(lambda: lines(logging.INFO), what="it is over")
        assert len(lines(logging.WARNING)) == 1


@pytest.mark.parametrize("name", ["NOREPLICAS", "LOADING"])
def test_a_hosted_call_ends(name: str, server: Server, proxy: CuttingProxy) -> None:
    with Our(server.url), Remote(proxy.url) as other:
        counter = other.Counter()
        assert counter.add() == 1
        patient(other, 2.0)
        with refusing(REFUSALS[name], server, proxy):
            made = Call(counter.add)
            assert made.has_ended(2 * BOUND)
        assert isinstance(made.result, LinkError), made.result
        patient(other, PATIENCE / 2)
        assert counter.add() >= 2


def test_a_pool_works_again(server: Server, proxy: CuttingProxy) -> None:
    refusal = REFUSALS["READONLY"]
    with RedisManager(server.url, timeout=4.0) as manager, manager.Pool(2) as pool:
        assert pool.apply(abs, (-1,)) == 1
        with refusing(refusal, server, proxy):
            lost = pool.apply_async(abs, (-2,))
            with pytest.raises(LinkError, match="replica"):
                lost.get(2 * BOUND)
            threading.Event().wait(5 * PASSING)  # longer than the workers have patience
        assert pool.map(abs, [-3, -4], 1) == [3, 4]
        assert pool.apply_async(abs, (-5,)).get(PATIENCE) == 5


def test_a_pool_that_waits_rides_it_out(server: Server, proxy: CuttingProxy) -> None:
    with RedisManager(server.url, timeout=PATIENT) as manager, manager.Pool(1) as pool:
        assert pool.apply(abs, (-1,)) == 1
        with refusing(REFUSALS["NOREPLICAS"], server, proxy):
            made = Call(lambda: pool.apply(abs, (-2,)))
            assert not made.has_ended(PASSING)
        assert made.has_ended(PATIENCE)
        assert made.result == 2


def test_threads_wait_for_a_place_among_the_clients(server: Server) -> None:
    """Of eight threads that need a connection each, four find none."""
    with RedisManager(server.url) as manager:
        shared = manager.dict("d")
        shared["x"] = 1
        server.command("CONFIG", "SET", "maxclients", len(server.clients()) + 1 + 4)
        together = threading.Barrier(8)

        def work() -> object:
            together.wait()
            return shared["x"]

        calls = [Call(work) for _ in range(8)]
        assert all(call.has_ended(2 * BOUND) for call in calls)
        assert [call.result for call in calls] == [1] * 8


def test_a_server_without_room_for_a_client_is_said_to_be(server: Server) -> None:
    server.command("CONFIG", "SET", "maxclients", len(server.clients()) + 1)
    with pytest.raises(LinkError, match="as many clients as it may have; raise its maxclients"):
        RedisManager(server.tcp_url, timeout=1.0)


# -- one patience


def test_a_lost_server_is_an_error_within_the_timeout(fresh_server: Server) -> None:
    with RedisManager(fresh_server.tcp_url, timeout=5.0) as manager:
        jobs, shared = manager.Queue(), manager.dict(a=1)
        calls = [Call(jobs.get), Call(lambda: manager.Lock().acquire())]
        assert calls[1].has_ended(PATIENCE)
        assert calls[1].result is True
        late_after(manager, 1.0)
        patient(manager, 2.0)
        fresh_server.pause()
        try:
            read = Call(lambda: shared["a"])
            assert read.has_ended(BOUND)
            assert isinstance(read.result, LinkError)
            assert calls[0].has_ended(PATIENCE), "who waits hears of it, too"
            assert isinstance(calls[0].result, LinkError)
        finally:
            fresh_server.resume()


@pytest.mark.parametrize("how", ["killed", "silent"])
def test_a_block_may_have_less_patience(fresh_server: Server, how: str) -> None:
    with RedisManager(fresh_server.tcp_url, timeout=PATIENT) as manager:
        shared = manager.dict(a=1)

        def is_healthy() -> bool:
            try:
                with manager.timeout(0.5):
                    return shared["a"] == 1
            except LinkError:
                return False

        wait_until(is_healthy)
        (fresh_server.kill if how == "killed" else fresh_server.pause)()
        try:
            asked = Call(is_healthy)
            assert asked.has_ended(BOUND)
            assert asked.result is False
        finally:
            if how == "silent":
                fresh_server.resume()


def test_calls_that_do_not_wait_raise_at_once(fresh_server: Server) -> None:
    with RedisManager(fresh_server.tcp_url, timeout=PATIENT) as manager:
        jobs, lock, permits = manager.Queue(), manager.Lock(), manager.Semaphore(1)
        jobs.put(1)
        fresh_server.kill()
        for call in (
            lambda: jobs.put_nowait(2),
            lambda: jobs.get_nowait(),
            lambda: lock.acquire(False),
            lambda: permits.acquire(False),
        ):
            made = [Call(call) for _ in range(20)]
            for each in made:
                assert each.has_ended(BOUND)
                assert isinstance(each.result, LinkError), each.result


class LogHandler(logging.handlers.QueueHandler):
    """Sends records through a shared queue, and counts them."""

    def __init__(self, records: Any) -> None:
        super().__init__(records)
        self.threads: list[str] = []
        self.block = threading.Event()

    def enqueue(self, record: logging.LogRecord) -> None:
        self.threads.append(threading.current_thread().name)
        self.block.wait(PATIENCE)
        try:
            super().enqueue(record)
        except LinkError:
            pass  # as handleError() would say on stderr


def test_the_session_does_not_wait_for_a_log_handler(fresh_server: Server) -> None:
    logger = logging.getLogger("multihost")
    with (
        RedisManager(fresh_server.tcp_url, lease=3.0) as manager,
        RedisManager(fresh_server.tcp_url) as other,
    ):
        handler = LogHandler(manager.Queue("log"))
        logger.addHandler(handler)
        try:
            lock = manager.Lock("l")
            assert lock.acquire()
            fresh_server.command("CONFIG", "SET", "min-replicas-to-write", 1)
            wait_until(lambda: handler.threads, what="the outage is logged")
            fresh_server.command("CONFIG", "SET", "min-replicas-to-write", 0)
            # The handler still waits, and the lease is renewed.
            wait_until(
                lambda: any(b":s:" in key for key in fresh_server.keys()), what="it is renewed"
            )
            assert not handler.block.is_set()
            assert other.Queue("log").empty()
            handler.block.set()
            record = other.Queue("log").get(timeout=PATIENCE)
            assert "not renewed" in record.getMessage()
            assert not any("session" in name for name in handler.threads)
        finally:
            handler.block.set()
            logger.removeHandler(handler)
