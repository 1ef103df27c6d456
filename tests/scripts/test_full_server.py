"""A server at its ``maxmemory``: what grows is refused whole, what shrinks works whole."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import partial
from queue import Empty

import pytest

from multihost import RedisManager, ServerFull, ShutDown
from tests.chaos.invariants import blocked
from tests.cli.garbage_samples import hold_by_the_dead
from tests.faults import sync
from tests.faults.calls import Call
from tests.faults.cases import CASES, Case
from tests.faults.test_exactly_once import check, left, staged
from tests.support.server import Server
from tests.support.sessions import add_dead_session, beat
from tests.support.waiting import PATIENCE, wait_until

# What takes something away, and so must work when nothing else does. Not here: list.remove(), which
# only Python can decide, needs a transaction, and a full server refuses those.
SHRINKING = [
    "dict delitem",
    "dict pop",
    "dict popitem",
    "dict clear",
    "list delitem",
    "list pop",
    "list pop first",
    "list pop middle",
    "list slice delete",
    "list slice delete extended",
    "list *= 0",
    "list clear",
    "set discard",
    "set discard absent",
    "set remove",
    "set pop",
    "set &=",
    "set -=",
    "set clear",
    "Namespace delete",
    "signed dict pop",
    "JSON list pop",
    *[case.name for case in CASES if case.name.startswith(("delete ", "attach "))],
    "holding dict delitem",
    "holding dict pop",
    "holding dict popitem",
    "holding dict clear",
    "holding dict delete",
    "holding list pop",
    "holding list slice delete",
    "holding list slice delete extended",
    "holding list clear",
    "holding Namespace delete",
    "holding unnamed list pop",
]


# What makes something new, and so must not pass a full server because of what it does first.
GROWING = [
    *[case.name for case in CASES if case.name.startswith(("create ", "holding create "))],
    "dict setitem new",
    "dict setdefault new",
    "dict add_new",
    "dict add_new respelled",
    "dict update_new",
    "dict update",
    "dict update, one respelled",
    "dict increment new",
    "dict |=",
    "list append",
    "list extend",
    "list insert first",
    "list insert middle",
    "list insert last",
    "list *=",
    "list +=",
    "set add",
    "set add respelled",
    "set add_new",
    "set update_new",
    "set update",
    "set |=",
    "Namespace set new",
    "Array slice assign",
    "holding dict setitem new",
    "holding list append",
    "holding list insert",
    "holding Namespace set new",
]


@pytest.fixture(scope="module")
def small_server() -> Iterator[Server]:
    with Server(tcp=True) as server:
        yield server


@pytest.fixture
def small(small_server: Server) -> Iterator[Server]:
    """Empty for each test."""
    yield small_server
    small_server.command("FLUSHALL")


@contextlib.contextmanager
def full(server: Server) -> Iterator[None]:
    server.command("CONFIG", "SET", "maxmemory", 1)
    try:
        yield
    finally:
        server.command("CONFIG", "SET", "maxmemory", 0)


SINGLE = [case for case in CASES if case.name != "circle stored meanwhile"]  # two calls


@pytest.mark.parametrize("case", SINGLE, ids=lambda case: case.name)
def test_a_call_on_a_full_server(case: Case, small: Server) -> None:
    with staged(case, small.url, small) as scene:
        case.run(scene)
        expected = left(small, scene)
    with staged(case, small.url, small) as scene:
        before = left(small, scene)
        with full(small):
            try:
                result = case.run(scene)
            except ServerFull as error:
                assert case.name not in SHRINKING, "taking away must work"
                assert "nothing was changed" in str(error)
                assert left(small, scene) == before
            else:
                assert case.name not in GROWING, "a full server does not grow"
                assert left(small, scene) == expected
                if case.state is not None:
                    check(case, scene, result)


def test_reads_and_lookups_work_on_a_full_server(small: Server) -> None:
    with RedisManager(small.url) as manager:
        d, l, s = manager.dict(a=1), manager.list([1]), manager.set([1])
        with full(small):
            assert d.copy() == {"a": 1}
            assert l[0] == 1
            assert 1 in s
            with pytest.raises(KeyError):
                d.pop("none")
            with pytest.raises(KeyError):
                s.remove(2)
            with pytest.raises(IndexError):
                l.pop(7)
            assert d.setdefault("a", 5) == 1
            manager.runtime.session.references.renew()


def test_a_manager_opens_and_closes_on_a_full_server(small: Server) -> None:
    manager = RedisManager(small.url)
    d, l = manager.dict(a=1), manager.list([1])
    with full(small):
        with RedisManager(small.url) as other:
            assert other.names() == []
        manager.shutdown()
        assert small.keys() == []
    del d, l


# -- locks and their kin

# What gives something back, ends a wait or wakes others.
RELIEVING = [
    case.name
    for case in sync.CASES
    if re.search(r" (release|notify|set|clear|abort|reset)\b|^(attach|delete) ", case.name)
]

# What takes or makes something.
TAKING = [
    case.name
    for case in sync.CASES
    if re.search(
        r"^[^g]\\w* acquire( not blocking| in time| crowded)?$|^create |^Barrier wait", case.name
    )
]

# What two do, one of whom takes something, and may be refused.
OF_TWO = [
    case.name
    for case in sync.CASES
    if re.search(
        r" in turn$|^(Condition|Event) wait$|^Barrier wait first|notify (one|all)|release for one",
        case.name,
    )
]


@pytest.mark.parametrize(
    "case",
    # What a dead holder had becomes free, whoever may take it then.
    [c for c in sync.CASES if c.name not in (*OF_TWO, "Lock acquire of a dead holder")],
    ids=lambda case: case.name,
)
def test_an_operation_of_a_lock_on_a_full_server(case: sync.Case, small: Server) -> None:
    with sync.staging(small.url, small) as make:
        stage = make(case)
        case.run(stage)
        case.calm(stage)
        expected = sync.facts(stage)
        case.finish(stage)
        stage = make(case)
        before = sync.facts(stage)
        with full(small):
            result = case.run(stage)
            if result is not ServerFull:
                case.calm(stage)
        if result is ServerFull:
            assert case.name not in RELIEVING, "giving back must work"
            assert sync.facts(stage) == before
        else:
            assert case.name not in TAKING, "a full server does not grow"
            assert result == case.result
            assert sync.facts(stage) == expected
            case.finish(stage)


def wait_for_theirs(stage: sync.Stage, seconds: float) -> bool:
    return bool(stage.theirs.acquire() and stage.ours.acquire(timeout=seconds))


def wait_on_condition(stage: sync.Stage, seconds: float) -> None:
    stage.ours.acquire()
    stage.ours.wait(seconds)


ENDING_WAITS = {
    "Lock": wait_for_theirs,
    "Semaphore": wait_for_theirs,
    "Condition": wait_on_condition,
    "Barrier": lambda stage, seconds: stage.ours.wait(seconds),
}


@pytest.mark.parametrize("typeid", ENDING_WAITS)
def test_a_wait_that_ends_on_a_full_server_leaves_nothing(typeid: str, small: Server) -> None:
    args = (1,) if typeid == "Semaphore" else ()
    seconds = 0.05
    case = sync.Case(
        "",
        lambda stage: stage.make(typeid, *args),
        lambda stage: ENDING_WAITS[typeid](stage, seconds),
        None,
    )
    with sync.staging(small.url, small) as make:
        stage = make(case)
        expected = Call(lambda: case.run(stage)).outcome(), sync.facts(stage)
        is_blocked = False
        while not is_blocked:  # at least as long as this machine needs to have the server full
            seconds *= 4
            assert seconds < 60
            stage = make(case)
            call = Call(lambda: case.run(stage))
            wait_until(lambda: blocked(small) or not call.is_alive(), seconds + PATIENCE)
            with full(small):
                is_blocked = blocked(small) == 1
                # A server that hears something looks at its clock: it ends the wait as early as it
                # may, and what is left then is no reason to ask again.
                while call.is_alive():
                    small.command("PING")
                result = call.outcome(seconds + PATIENCE)
        if typeid != "Condition":
            assert (result, sync.facts(stage)) == expected
            return
        assert result is ServerFull, "it could not take the lock again"
        assert stage.fields(b"z:") == stage.fields(b"q:") == []
        assert stage.theirs.acquire(False)
        stage.theirs.release()


def test_a_session_lives_on_a_full_server(small: Server) -> None:
    """Its key is renewed, and set in other partitions."""
    with RedisManager(small.url, lease=600) as manager, RedisManager(small.url) as other:
        lock, theirs = manager.Lock("x"), other.Lock("x")
        assert lock.acquire()
        more = [manager.Semaphore(f"s{number}", 0) for number in range(5)]
        session = manager.runtime.session
        [record] = session.registration.session_keys.values()
        with full(small):
            small.command("PEXPIRE", record, 300_000)
            assert session.heartbeat._try(partial(beat, session))
            assert small.command("PTTL", record) > 300_000
            for semaphore in more:
                assert semaphore.acquire(False) is False
            assert len(session.registration.session_keys) > 1
            assert lock._hold().is_valid()
            lock.release()
            with pytest.raises(ServerFull):
                lock.acquire()
        assert theirs.acquire(False)
        theirs.release()


def test_the_dead_are_found_on_a_full_server(small: Server) -> None:
    with RedisManager(small.url) as manager:
        lock, semaphore = manager.Lock("x"), manager.Semaphore("y", 1)
        for proxy in (lock, semaphore):
            keys = proxy._handle.keys
            add_dead_session(small, keys.sessions, "ghost")
            hold_by_the_dead(small, proxy)
        calls = [Call(lock.acquire), Call(semaphore.acquire)]
        for proxy in (lock, semaphore):
            wait_until(lambda: proxy.statistics().waiters == 1)
        with full(small):
            assert [call.outcome() for call in calls] == [True, True]
        lock.release()
        semaphore.release()


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
@pytest.mark.parametrize("redeliver", [False, True])
def test_a_full_server_lets_consumers_take(kind: str, redeliver: bool, small: Server) -> None:
    with RedisManager(small.url) as manager:
        q = getattr(manager, kind)("q", redeliver=redeliver)
        order = [3, 2, 1] if kind == "LifoQueue" else [1, 2, 3]
        q.put_many([1, 2, 3])
        q.put(9)
        first = q.get()
        assert first == (9 if kind == "LifoQueue" else 1)
        if redeliver:
            q.task_done()
        with full(small):
            with pytest.raises(ServerFull):
                q.put(4)
            with pytest.raises(ServerFull):
                q.put_many([4, 5])
            rest = [q.get(), *q.get_many(5)]
            if redeliver:
                for _ in rest:
                    q.task_done()
            with pytest.raises(Empty):
                q.get_nowait()
            with pytest.raises(Empty):
                q.get(timeout=0.02)
        assert sorted([first, *rest]) == sorted([*order, 9])
        assert q.statistics().in_flight == 0 or not redeliver
        q.put(7)
        assert q.get() == 7


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_consumer_hears_of_the_end_on_a_full_server(kind: str, small: Server) -> None:
    with RedisManager(small.url) as manager:
        q = getattr(manager, kind)("q")
        q.put_many([1, 1])
        q.get()
        q.shutdown()
        with full(small):
            assert q.get() == 1
            for act in (q.get, q.get_nowait, lambda: q.get(timeout=1), lambda: q.get_many(2)):
                with pytest.raises(ShutDown):
                    act()
