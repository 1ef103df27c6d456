"""Whatever one key holds, those who live go on: hosts, workers, clients of pools, consumers, those
who wait, and the threads that keep sessions alive.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import Empty, MultihostError, RedisManager
from multihost.managers import SyncManager
from multihost.serving import host as serving_host
from multihost.wire import keys as key_names
from multihost.wire.keys import Keys
from multihost.wire.script import Script
from tests.damage.harm import OTHER_TYPES, VALUES, with_key
from tests.support.waiting import PATIENCE, wait_until

fork = multiprocessing.get_context("fork")

NAMESPACE = "multihost-lives"
SOON = PATIENCE  # seconds; all of it takes milliseconds on a machine that is not busy
HARMS = [*VALUES.values(), b"ghost.1", b"u:0123456789012345678901 ghost x"]

Command = tuple[str | bytes | int, ...]


class Thing:
    """A registered class."""

    def pid(self) -> int:
        return os.getpid()


class Serving(SyncManager):
    """Serves it."""


Serving.register("Thing", Thing)


def in_a_thread(call: Callable[[], Any]) -> Any:
    """What a new thread gets, which has a conversation of its own."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call()), daemon=True)
    thread.start()
    thread.join(3 * SOON)
    assert answers, "no answer"
    return answers[0]


def answered(call: Callable[[], Any]) -> Any:
    """What a call returns; None while the keys that it needs are damaged, which it says."""
    try:
        return call()
    except MultihostError:
        return None


def as_others(key: bytes, kind: str) -> Iterator[list[Command]]:
    """The key, as one of each other type."""
    for other, command in OTHER_TYPES.items():
        if other != kind:
            yield [("DEL", key), with_key(command, key)]


@pytest.fixture
def manager(url: str) -> Iterator[RedisManager]:
    with RedisManager(url, namespace=NAMESPACE, lease=60) as manager:
        yield manager


# -- hosts


def harms_of_a_host(keys: Keys, hosts: bytes) -> Iterator[list[Command]]:
    for value in HARMS:
        yield [("SADD", keys.channels, value), ("SADD", keys.released, value)]
        yield [("HSET", keys.data, value, value)]
        yield [("HSET", hosts, value, value), ("HSET", hosts, b"h:" + b"x" * 22, value)]
        channel = b"ghost.7"
        requests, replies = (keys.channel(side, channel) for side in (b"req", b"res"))
        yield [
            ("RPUSH", requests, value),
            ("RPUSH", replies, value),
            ("SADD", keys.channels, channel),
        ]
        # As one whose request is damaged, and of whom the host does not know that he is dead.
    for key, kind in (
        (keys.channels, "set"),
        (keys.released, "set"),
        (keys.tokens, "list"),
        (keys.data, "hash"),
    ):
        yield from as_others(key, kind)
    yield [("DEL", keys.data)]
    yield [("DEL", keys.channels)]
    for value in VALUES.values():
        yield [("HSET", keys.data, "s", value)]


def test_a_host_goes_on(server: Any, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversations that it has, and new ones, and new objects."""
    monkeypatch.setattr(serving_host, "SWEEPS_PER_LEASE", 120)  # it is forked
    with Serving(url, namespace=NAMESPACE, ctx=fork, lease=60) as host:
        thing = host.Thing()
        pid = thing.pid()
        assert pid != os.getpid()
        hosts = key_names.hosts(NAMESPACE)
        [ident] = server.command("HKEYS", hosts)
        keys = Keys(NAMESPACE, ident.decode())
        for commands in harms_of_a_host(keys, hosts):
            server.commands(*commands)
            kind = server.command("TYPE", keys.tokens)
            if kind in (b"list", b"none", "list", "none"):
                server.command("RPUSH", keys.tokens, "")  # it looks at once
            assert thing.pid() == pid, commands
            wait_until(lambda: in_a_thread(lambda: answered(thing.pid)) == pid, SOON)
            wait_until(
                lambda: in_a_thread(lambda: answered(lambda: host.Thing().pid())) == pid, SOON
            )
            server.command(
                "DEL", keys.channel(b"req", b"ghost.7"), keys.channel(b"res", b"ghost.7")
            )
        assert thing.pid() == pid


# -- pools


def double(number: int) -> int:
    return 2 * number


def pid(_: object = None) -> int:
    return os.getpid()


@pytest.mark.parametrize("name", [None, "pool"])
def test_workers_and_clients_go_on(server: Any, manager: RedisManager, name: str | None) -> None:
    with manager.Pool(1, context=fork, name=name) as pool:
        worker = pool.apply(pid)
        keys = pool._reference.handle().keys
        results = pool._client._results.keys
        trailer = pool._client.ident.encode() + b"p" + b"00001" + b"0" * 17 + b"7" + b"0" * 18
        tasks = [*HARMS, trailer, trailer[:30], b"\x80\x05." + trailer, b"*x;" + trailer]
        tasks += [b"*9;" + trailer, b"*9;" + b"x" * 64, b"*" + b"9" * 400 + b";" + trailer]
        for task in filter(None, tasks):  # an empty one is the end marker
            server.command("RPUSH", keys.items, task)
            assert pool.apply(double, (4,)) == 8, task
        results_of_others = [*HARMS, b"!x" + b"0" * 36, b"!" + b"9" * 400 + b"0" * 36, b"x" * 36]
        for result in filter(None, results_of_others):
            server.command("RPUSH", results.items, result)
            assert pool.apply(double, (4,)) == 8, result
        for value in VALUES.values():
            server.command("HSET", keys.refs, b"f:ghost", value, b"n:" + value, value)
            assert pool.apply(double, (4,)) == 8, value
            assert answered(pool.statistics) is not None
        assert pool.apply(pid) == worker, "it was the same one"
        assert pool.map(double, range(100)) == [2 * n for n in range(100)]


# -- queues


QUEUES = ["Queue", "JoinableQueue", "LifoQueue", "PriorityQueue"]


@pytest.mark.parametrize(
    ("typeid", "redeliver"),
    [*itertools.product(QUEUES, [False, True]), ("SimpleQueue", False)],
)
def test_consumers_go_on(server: Any, manager: RedisManager, typeid: str, redeliver: bool) -> None:
    """What is no item becomes a dead letter; the others come, and nothing stays in flight."""
    how = {"redeliver": True} if redeliver else {}
    queue: Any = getattr(manager, typeid)("queue", **how)
    keys = queue._handle.keys
    items = [value for value in HARMS if value and not value.strip(b"-9").isdigit()]
    items += [b"*x;", b"*" + b"9" * 400 + b";I1\n.", b"*1;"]
    for number, item in enumerate(items):
        queue.put(number)
        if typeid == "PriorityQueue":
            server.command("ZADD", keys.items, 0.5, item)
        else:
            server.command("RPUSH", keys.items, item)
    found = []
    for _ in range(3 * len(items)):
        try:
            found.append(queue.get_nowait())
        except Empty:
            break
        except Exception as error:
            notes = getattr(error, "__notes__", [])
            assert any("a dead letter now" in note for note in (str(error), *notes)), error
        else:
            if redeliver:
                queue.task_done()
    assert set(range(len(items))) <= {each for each in found if type(each) is int}
    assert queue.statistics().in_flight == 0
    assert queue.statistics().dead_letters > 0
    assert len(queue.dead_letters()) == queue.statistics().dead_letters


# -- those who wait, and the thread that keeps a session alive


def hold_and_die(url: str, name: str) -> None:
    manager = RedisManager(url, namespace=NAMESPACE, lease=60)
    manager.Lock(name).acquire()
    os.kill(os.getpid(), signal.SIGKILL)


KINDS = ["Lock", "Semaphore", "Barrier", "Condition", "Queue", "Pool"]


@pytest.mark.parametrize("typeid", KINDS)
def test_a_damaged_object_stops_no_waiter_of_another(
    server: Any, url: str, manager: RedisManager, typeid: str
) -> None:
    """The janitor of a process that waits for both goes on to the well one."""
    session = manager.runtime.session
    number = key_names.partition("n:lock")
    name = next(f"ill{n}" for n in range(10**6) if key_names.partition(f"n:ill{n}") == number)
    keys = Keys(NAMESPACE, f"n:{name}")
    reaps = {"Lock": "hold", "Semaphore": "hold", "Queue": "queue", "Pool": "pool"}
    reap = Script(f"{reaps.get(typeid, typeid.lower())}/reap")
    for harm in (
        [("SET", keys.data, "x")],
        [("HSET", keys.data, *[p for f in "hfwgoncvxrujit" for p in (f, b"\xff")])],
        [("HSET", keys.data, "g", "1", "o", "f", "f", "1"), ("SET", keys.refs, "x")],
    ):
        server.commands(("DEL", keys.data, keys.refs), *harm)
        watched = session.janitor.watched(keys, reap)
        watched.waiters.add(threading.get_ident())
        lock = manager.Lock("lock")
        killed = fork.Process(target=hold_and_die, args=(url, "lock"))
        killed.start()
        killed.join()
        assert lock.acquire(timeout=SOON)
        lock.release()
        watched.waiters.clear()
    server.command("DEL", keys.data, keys.refs)


@pytest.mark.parametrize(("newest", "oldest"), [("1e15", "0"), ("1e999", "0"), ("0", "-1e15")])
def test_a_condition_is_not_looked_through_for_ever(
    server: Any, manager: RedisManager, newest: str, oldest: str
) -> None:
    """Whatever number another program wrote: the server answers others meanwhile."""
    condition = manager.Condition()
    keys = condition._handle.keys
    begun = time.monotonic()
    with condition:
        server.command("HSET", keys.data, "g", newest, "o", oldest)
        for call in (condition.notify, lambda: condition.wait(timeout=0.01)):
            with contextlib.suppress(MultihostError):
                call()
    assert server.command("PING") in (b"PONG", "PONG", "OK")
    assert time.monotonic() - begun < SOON / 2, "the server was occupied"


SESSIONS = [*VALUES.values(), b"x 0123456789012345678901234567890123456789 1 host"]


def test_damaged_sessions_hide_no_death(server: Any, url: str, manager: RedisManager) -> None:
    """A session whose record is damaged waits for the same lock, whose holder is killed."""
    server_id = dict(
        line.split(":", 1)
        for line in server.command("INFO", "server").decode().splitlines()
        if ":" in line
    )["run_id"]
    lock = manager.Lock("lock")
    lock.acquire()
    keys = lock._handle.keys
    for number, record in enumerate([*SESSIONS, f"x {server_id} 1 host".encode()]):
        server.command("SET", keys.sessions + b":ghost%d" % number, record, "PX", 60_000)
        server.command("HSET", keys.data, f"q:ghost{number}.1.x", "")
    server.command("RPUSH", keys.sessions + b":ghost", "x")
    server.command("HSET", keys.data, "q:ghost.1.x", "")
    lock.release()
    killed = fork.Process(target=hold_and_die, args=(url, "lock"))
    killed.start()
    killed.join()
    assert lock.acquire(timeout=SOON)
    lock.release()
    server.command("DEL", keys.sessions + b":ghost")


def test_unnamed_objects_stay_beside_a_damaged_one(server: Any, url: str) -> None:
    """They are renewed together, two hundred in a script."""
    with RedisManager(url, namespace=NAMESPACE, lease=600) as manager:
        lists = [manager.list([n]) for n in range(150)]
        inner = manager.dict()
        lists[0].append(inner)
        ill = lists[::3][1:]
        for number, each in enumerate(ill):
            keys, value = each._handle.keys, HARMS[number % len(HARMS)]
            if number % 2:
                server.command("HSET", keys.refs, b"n:" + value, value, b"f:" + value, value)
            else:
                server.command("SET", keys.refs, value)
            server.command("PEXPIRE", keys.refs, 60_000)
        well = [each for each in lists if each not in ill]
        data = [each._handle.keys.data for each in well]
        server.commands(*(("PEXPIRE", key, 300_000) for key in data))  # half of a lease
        session = manager.runtime.session
        session.heartbeat._try(session.references.renew)
        assert min(server.commands(*(("PTTL", key) for key in data))) > 300_000
        assert all(len(each) >= 1 for each in well)
        inner["still"] = "there"
        for each in ill:
            server.command("DEL", each._handle.keys.refs, each._handle.keys.data)
