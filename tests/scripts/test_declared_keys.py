"""Each script runs as a user who may touch only the keys and commands that its header declares."""

from __future__ import annotations

import collections
import re
import threading
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from queue import Full
from threading import BrokenBarrierError
from typing import Any

import pytest

from multihost import MultihostError, ObjectGone, RedisManager, ServerFull, ShutDown
from multihost.inspection import find_garbage, opened, remove
from multihost.pooling import messages
from multihost.pooling.client import Client
from multihost.pooling.reference import PoolReference
from multihost.serving.host import Host
from multihost.wire.address import Address
from multihost.wire.identity import new_host
from multihost.wire.keys import colocated_ident
from multihost.wire.link import Link
from multihost.wire.ops import barrier as barrier_ops
from multihost.wire.ops import condition as condition_ops
from multihost.wire.ops import object as object_ops
from multihost.wire.ops import pool as pool_ops
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.quarantine import requeue
from multihost.wire.script import Script, source
from multihost.wire.values.signing import Purpose
from tests.cli.garbage_samples import SAMPLES, hold_by_the_dead
from tests.faults import sync, test_exactly_once_queue
from tests.faults.calls import Call
from tests.faults.cases import CASES, Case, Scene
from tests.hosted.hosted_classes import Counter, Remote
from tests.scripts import acl_user
from tests.scripts.acl_user import restricted_user
from tests.scripts.test_full_server import full
from tests.support.server import Server
from tests.support.sessions import add_dead_session, settle_everywhere
from tests.support.waiting import wait_until

BY_NAME = {case.name: case for case in CASES}
SYNC_BY_NAME = {case.name: case for case in sync.CASES}


def run(case: Case, url: str) -> None:
    with RedisManager(url, authkey=case.authkey, serializer=case.serializer) as manager:  # type: ignore[arg-type]
        scene = Scene(manager)
        case.make(scene)
        assert case.run(scene) == case.result


def play(case: sync.Case, url: str, server: Server) -> None:
    with sync.staging(url, server, others_url=url) as make:
        stage = make(case)
        assert case.run(stage) == case.result
        case.calm(stage)
        case.finish(stage)


@pytest.fixture
def own_server(start_server: Callable[..., Server]) -> Server:
    return start_server()


@pytest.fixture(scope="module")
def users_server() -> Any:
    with Server() as server:
        yield server


@pytest.mark.parametrize("name", BY_NAME)
def test_an_operation_needs_what_its_scripts_declare(
    name: str, users_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with restricted_user(users_server, monkeypatch) as (limits, url):
        run(BY_NAME[name], url)
        assert limits.seen
    users_server.command("FLUSHALL")


@pytest.mark.parametrize("name", SYNC_BY_NAME)
def test_an_operation_of_a_lock_and_its_kin_does_too(
    name: str, users_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with restricted_user(users_server, monkeypatch) as (limits, url):
        play(SYNC_BY_NAME[name], url, users_server)
        assert limits.seen
    users_server.command("FLUSHALL")


@pytest.mark.parametrize("name", test_exactly_once_queue.CASES)
def test_an_operation_of_a_queue_does_too(
    name: str, users_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with restricted_user(users_server, monkeypatch) as (limits, url):
        test_exactly_once_queue.run(test_exactly_once_queue.CASES[name], url, users_server, None)
        assert limits.seen
    users_server.command("FLUSHALL")


def use_queues(server: Server, url: str, seen: set[str]) -> None:
    """What no case does."""
    with RedisManager(server.url) as theirs, RedisManager(url) as m:
        q = m.Queue("q", 2, redeliver=True, max_deliveries=1)
        q.put_many([m.list([1]), m.list([2])])
        with pytest.raises(Full):
            q.put(3, timeout=0.02)
        with RedisManager(url) as leaves:
            leaves.Queue("q").get_many(2)
        q.requeue_dead_letters()
        q.get()
        q.task_done()
        q.shutdown()
        q.get()
        with pytest.raises(ShutDown):
            q.get()
        linked = m.Queue("linked")
        linked.put(m.list([1]))
        linked.get()
        few = m.Queue("few", 1)
        few.put(1)
        waits = threading.Thread(target=lambda: theirs.Queue("few").put(2))
        waits.start()
        wait_until(lambda: few.statistics().waiters)
        assert [few.get(), few.get()] == [1, 2]
        waits.join()
        call = Call(few.get)
        wait_until(lambda: "queue/reap" in seen, what="a look at those who wait")
        theirs.Queue("few").put(3)
        assert call.outcome() == 3
        many = m.Queue(redeliver=True)
        many.put_many(range(500))
        many.get_many(400)
        ranked = m.PriorityQueue("ranked")
        for item in (1, 2.5, Fraction(3, 2)):
            ranked.put(item)
        places = Consumer.of(ranked._handle, ranked._settings)
        left = Hand()
        requeue(ranked._handle, places.take_list(left).name, delivered=False)
        places.leave(left)
        assert ranked.get() == 1


def host_objects(server: Server, url: str) -> None:
    """The process that hosts is this one, so that its commands are limited, too."""
    with RedisManager(url) as serving, Remote(url) as client:
        registry = {"Counter": (Counter, None, None, None)}
        host = Host(serving.runtime.session, new_host(), registry, {}, threading.Event())
        host.start()
        clients = serving.runtime.session.handle(host.ident).keys.channels
        server.command("SADD", clients, "ghost.1")
        assert client.Counter("counter").add() == 1
        unnamed = client.Counter()
        wait_until(lambda: not server.command("SISMEMBER", clients, "ghost.1"))
        del unnamed
        wait_until(lambda: len(host.objects) == 1)
        host.stop()


def use_pools(url: str) -> None:
    """A client, and a worker in the same process."""
    with RedisManager(url) as m:
        for name in (None, "p"):
            ticket = PoolReference(
                m.runtime.session, colocated_ident("u:") if name is None else f"n:{name}"
            )
            handle = ticket.handle()
            pool_ops.create(handle)
            pool_ops.get_or_set_settings(handle, b"")
            client = Client(ticket, dict.fromkeys(range(4)), "p", 1, lambda: None)
            for number in range(4):
                client.submit((number, 0, len, (m.list(),), {}))
            assert client.waits(3, take=False)
            assert client.waits(3, take=True)
            places = Consumer.of(handle, pool_ops.SETTINGS)
            item = pool_ops.next_task(handle, places, None, more=True)
            assert item is not None
            tag = messages.TaskTrailer.unpack(item.value[-messages.TRAILER_SIZE :])
            codec = pool_ops.codec_of(handle, Purpose.RESULT)
            result = messages.Result(tag.job, tag.number, True, m.list()).pack(codec, tag, "p")
            assert pool_ops.put_part(handle, item.in_flight, tag, result)
            done = pool_ops.TaskOutcome(
                item.in_flight, item.value[-messages.TRAILER_SIZE :], result
            )
            item = pool_ops.next_task(handle, places, done, more=True)
            assert item is not None
            pool_ops.reap_worker(handle, m.runtime.session.registration.sid)
            assert pool_ops.statistics(handle).waiting == 1
            settle_everywhere(m.runtime.session)
            client.close()
            assert pool_ops.next_task(handle, places, None, more=True) is None
            object_ops.delete(handle)
            with pytest.raises(ObjectGone):
                pool_ops.next_task(handle, places, None, more=True)


def settle(url: str) -> None:
    with RedisManager(url) as manager:
        lock, semaphore, plain = manager.Lock(), manager.Semaphore(2), manager.Queue()
        plain.put_many(range(3))
        plain.get()
        plain.task_done()
        again = manager.Queue(redeliver=True)
        again.put(manager.list())
        again.get()
        barrier, condition = manager.Barrier(2), manager.Condition()
        arrival = barrier_ops.arrive(barrier._handle)
        condition_ops.enqueue(condition._handle)
        assert lock.acquire()
        assert semaphore.acquire()
        settle_everywhere(manager.runtime.session)
        lock.release()
        semaphore.release()
        barrier_ops.abort(barrier._handle, arrival)
        condition_ops.cancel(condition._handle)


def hold_and_let_go(server: Server, url: str) -> None:
    with RedisManager(url, lease=60) as manager:
        outer = manager.dict(inner=manager.list([1]), other=manager.set([2]))
        manager.runtime.session.references.renew()
        dropped = manager.list([1])
        keys = dropped._handle.keys
        del dropped
        wait_until(lambda: not server.command("EXISTS", keys.data))
        assert len(outer["inner"]) == 1
        given = manager.Lock()
        keys = given._handle.keys
        manager.runtime.session.references.give(keys.ident)
        del given
        wait_until(lambda: server.command("EXISTS", keys.data + b":given"))


def hold_much(server: Server, url: str) -> None:
    """More permits than should lie at one place, and what a full server still gives."""
    with RedisManager(url) as manager:
        permits = manager.Semaphore(100)
        for _ in range(70):
            assert permits.acquire()
        lock = manager.Lock()
        assert lock.acquire()
        waits = Call(lock.acquire)
        wait_until(lambda: lock.statistics().waiters == 1)
        with full(server):
            lock.release()
            assert waits.outcome() is True
        lock.release()
    with pytest.MonkeyPatch.context() as patch, RedisManager(url) as manager:
        patch.setattr(Address, "may_fail_over", True)  # then a script draws each token
        with manager.Lock():
            pass


def read_without_multi(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a full server that refuses even reads in a transaction."""
    pipeline = Link.pipeline

    def refused(self: Link, commands: Any) -> Any:
        if commands[0] == (b"MULTI",):
            raise ServerFull
        return pipeline(self, commands)

    with RedisManager(url) as manager, monkeypatch.context() as patch:
        d = manager.dict(a=1)
        patch.setattr(Link, "pipeline", refused)
        assert d.copy() == {"a": 1}


def collect_much(url: str) -> None:
    """In pieces, and with a consumer of a queue that does not exist any more."""
    with RedisManager(url) as manager:
        queue = manager.Queue("q")
        queue.put(1)
        assert queue.get() == 1
        d = manager.dict("d", {"x": manager.list([manager.list() for _ in range(110)])})
        assert manager.runtime.session.references.renew()
        assert manager.runtime.session.collector.collect().finished
        assert len(d["x"]) == 110


def wait_for_the_dead(server: Server, url: str) -> None:
    """What holds each object, or waits for it, is a session without a connection."""
    with RedisManager(url) as manager:

        def hold_or_wait(proxy: Any, **fields: str) -> Any:
            keys = proxy._handle.keys
            add_dead_session(server, keys.sessions, "ghost")
            if fields:
                server.command("HSET", keys.data, *[e for pair in fields.items() for e in pair])
            else:
                hold_by_the_dead(server, proxy)
            return proxy

        waits = [
            hold_or_wait(manager.Lock()).acquire,
            hold_or_wait(manager.Semaphore(1)).acquire,
        ]
        barrier = manager.Barrier(3)
        generation = server.command("HGET", barrier._handle.keys.data, "g").decode()
        hold_or_wait(barrier, c="1", **{"q:ghost.0.MainThread": generation})
        waits.append(lambda: pytest.raises(BrokenBarrierError, barrier.wait))
        condition = manager.Condition()

        def wait_after_the_dead() -> None:
            with condition:
                hold_or_wait(condition, **{"z:ghost.0.MainThread": "0", "c:0": "1", "n:0": "1"})
                condition.wait()

        waits.append(wait_after_the_dead)
        calls = [Call(wait) for wait in waits]
        for call in calls:
            call.outcome()
        lock, semaphore = manager.Lock(), manager.Semaphore(1)
        semaphore.acquire()
        lock.delete()
        with pytest.raises(ObjectGone):
            lock.acquire()
        manager.runtime.session.holds.clear()


def collect_garbage(server: Server, url: str) -> None:
    with RedisManager(server.url) as manager:
        for kind in SAMPLES.values():
            for leave in kind:
                leave(server, manager)
        with opened(url) as session:
            for _ in range(3):
                list(remove(session, find_garbage(session)))
            assert not find_garbage(session)


def test_what_gc_does(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with restricted_user(own_server, monkeypatch) as (limits, url):
        collect_garbage(own_server, url)
        assert {
            "object/sweep",
            "collect/sweep",
            "queue/requeue_orphaned",
        } <= limits.seen


def test_what_the_background_thread_does(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with restricted_user(own_server, monkeypatch) as (limits, url):
        hold_and_let_go(own_server, url)
        settle(url)
        collect_much(url)
        wait_for_the_dead(own_server, url)
        assert {"object/renew", "object/drop", "session/bury", "hold/reap"} <= limits.seen


def test_so_do_pools(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with restricted_user(own_server, monkeypatch) as (limits, url):
        use_pools(url)
        assert {
            "pool/next",
            "pool/part",
            "pool/reap",
            "pool/settle",
            "pool/withdraw",
        } <= limits.seen


WORDS = collections.Counter(
    word for name in source.all_names() for word in set(re.split("[/_]", name))
)


def likeness(name: str, script: str) -> float:
    """Return how much of a script's name is in that of a case: a rare word is much."""
    words = tuple(re.findall(r"[^\W_]+", name.lower()))
    return sum(1 / WORDS[word] for word in re.split("[/_]", script) if word.startswith(words))


OTHERWISE_CALLED = ("get_many with one that cannot be read",)
"""Cases with scripts whose names say something else."""


def run_every_script(
    server: Server, url: str, seen: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Call operations until every script is among the ``seen``: of the cases those first that are
    called as what is missing.
    """
    queues = test_exactly_once_queue
    use_queues(server, url, seen)
    server.command("FLUSHALL")
    use_pools(url)
    hold_and_let_go(server, url)
    hold_much(server, url)
    collect_much(url)
    settle(url)
    wait_for_the_dead(server, url)
    host_objects(server, url)
    read_without_multi(url, monkeypatch)
    server.command("FLUSHALL")
    collect_garbage(server, url)
    left: dict[str, Callable[[], object]] = {
        **{case.name: partial(run, case, url) for case in CASES},
        **{case.name: partial(play, case, url, server) for case in sync.CASES},
        **{
            name: partial(queues.run, case, url, server, None)
            for name, case in queues.CASES.items()
        },
    }
    order = list(OTHERWISE_CALLED)
    while left and (missing := set(source.all_names()) - seen):
        server.command("FLUSHALL")
        like = max(left, key=lambda name: max(likeness(name, each) for each in missing))
        left.pop(order.pop() if order else like)()
    assert seen == set(source.all_names())


def test_no_script_is_left_out(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cases are run above, each by itself: here as many as it takes to see every script."""
    with restricted_user(own_server, monkeypatch) as (limits, url):
        run_every_script(own_server, url, limits.seen, monkeypatch)


def test_these_tests_would_notice_another_key(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = source._read
    monkeypatch.setattr(
        source,
        "_read",
        # Not in others, which may be read for the first time just now, and are kept.
        lambda name: real(name).replace(
            *(("local done", "redis.call('GET', 'x')\nlocal done") if name == "dict/pop" else "..")
        ),
    )
    monkeypatch.setattr(acl_user, "scripts_by_digest", acl_user.scripts_by_digest.__wrapped__)
    from multihost.wire.ops import dict as ops

    script = Script("dict/pop")
    monkeypatch.setattr(ops, "_pop", script)
    with restricted_user(own_server, monkeypatch) as (_, url), RedisManager(url) as manager:
        d = manager.dict(a=1)
        with pytest.raises(MultihostError):
            d.pop("a")
        assert d.copy() == {"a": 1}


def test_a_missing_permission_inside_a_script_is_told(own_server: Server) -> None:
    """The one of a script, not only that of a plain command."""
    from multihost import AccessDenied

    rules = ["on", ">pw", "~*", "+@all", "-zadd"]
    own_server.command("ACL", "SETUSER", "less", *rules)
    with RedisManager(own_server.url_for("less", "pw")) as manager:
        with pytest.raises(AccessDenied, match="(?i)permi|can't run"):
            manager.dict(a=1)
        own_server.command("FLUSHALL")  # a script that dies half-way is not rolled back
        l = manager.list([1])
        own_server.command("ACL", "SETUSER", "less", "-rpush", "-rpushx")
        with pytest.raises(AccessDenied):
            l.append(2)
        own_server.command("ACL", "SETUSER", "less", "-lrange")
        with pytest.raises(AccessDenied):
            l.copy()
        own_server.command("ACL", "SETUSER", "less", "+@all")
        assert l.copy() == [1]
