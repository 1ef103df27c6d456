"""Objects in use while the slots that they are in move, and while masters change: nothing is lost,
nothing happens twice.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import RedisManager
from tests.faults.calls import Call
from tests.support.cluster import Cluster, slot_of
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

fork = multiprocessing.get_context("fork")

NAMESPACE = "moving"
ROUNDS = 4


class Load:
    """Threads that use a counter, a lock, a queue and a dict for as long as they are wanted."""

    def __init__(self, url: str) -> None:
        self.manager = RedisManager(url, namespace=NAMESPACE)
        self._over = threading.Event()
        self.turns = dict.fromkeys(("add", "lock", "put", "get", "dict"), 0)
        self._received: list[int] = []
        m = self.manager
        self._counter, self._lock = m.Value("i", 0, name="counter"), m.Lock("lock")
        self._items, self._shared = m.Queue("items"), m.dict("shared")
        self._unguarded, self._inside, self.clashes = 0, 0, 0
        steps = (self._add, self._hold, self._hold, self._put, self._store)
        self._calls = [Call(lambda step=step: self._repeat(step)) for step in steps]
        self._getter = Call(self._get)

    @property
    def keys(self) -> list[bytes]:
        """One key of each object."""
        return [each._handle.keys.data for each in (self._counter, self._lock, self._items)]

    def await_turns(self, count: int = 5) -> None:
        """Wait until everybody has done more."""
        before = dict(self.turns)
        calls = (*self._calls, self._getter)
        wait_until(
            lambda: (
                all(self.turns[name] >= before[name] + count for name in before)
                or not all(call.is_alive() for call in calls)
            ),
            what="everybody goes on",
        )
        for call in calls:
            if not call.is_alive():
                call.outcome()

    def check(self) -> None:
        """End it; nothing is missing, and nothing there twice."""
        self._over.set()
        for call in self._calls:
            call.outcome()
        self._items.put(None)
        self._getter.outcome()
        assert self._counter.value == self.turns["add"]
        assert self.clashes == 0
        assert self._unguarded == self.turns["lock"]
        assert self._received == list(range(self.turns["put"])), "each once, in their order"
        assert dict(self._shared.items()) == {n: str(n) for n in range(self.turns["dict"])}

    def close(self) -> None:
        self._over.set()
        self.manager.shutdown()

    def _repeat(self, step: Callable[[], None]) -> None:
        while not self._over.is_set():
            step()

    def _add(self) -> None:
        self._counter.add(1)
        self.turns["add"] += 1

    def _hold(self) -> None:
        with self._lock:
            self._inside += 1
            self.clashes += self._inside != 1
            self._unguarded += 1
            self.turns["lock"] += 1
            self._inside -= 1

    def _put(self) -> None:
        self._items.put(self.turns["put"])
        self.turns["put"] += 1

    def _get(self) -> None:
        while (item := self._items.get()) is not None:
            self._received.append(item)
            self.turns["get"] += 1

    def _store(self) -> None:
        number = self.turns["dict"]
        self._shared[number] = str(number)
        assert self._shared[number] == str(number)
        self.turns["dict"] += 1


@pytest.fixture
def load(cluster: Cluster) -> Iterator[Load]:
    made = Load(cluster.url)
    homes = {slot_of(key): cluster.master_of(key) for key in made.keys}
    yield made
    made.close()
    cluster.forget()
    for slot, home in homes.items():
        if cluster.node(cluster.node_of(slot)) is not home:
            cluster.move_slot(slot, home)


def test_slots_move_key_by_key(cluster: Cluster, load: Load) -> None:
    masters = cluster.masters
    for round_ in range(ROUNDS):
        for number, key in enumerate(load.keys):
            load.await_turns()
            home = cluster.master_of(key)
            others = [each for each in masters if each is not home]
            cluster.move_slot(slot_of(key), others[(round_ + number) % len(others)])
    load.await_turns()
    load.check()


def test_a_slot_moves_while_its_objects_are_used(cluster: Cluster, load: Load) -> None:
    """The keys of an open slot go one after the other, with calls between any two of them."""
    for key in load.keys:
        load.await_turns()
        home = cluster.master_of(key)
        target = next(each for each in cluster.masters if each is not home)
        slot = slot_of(key)
        cluster.begin_move(slot, target)
        disconnects = load.manager.runtime.session.link.disconnects
        while found := home.command("CLUSTER", "GETKEYSINSLOT", slot, 1):
            home.command("MIGRATE", "127.0.0.1", target.port, found[0], 0, 20_000)
            more = load.manager.runtime.session.link.disconnects
            wait_until(lambda more=more: load.manager.runtime.session.link.disconnects > more)
        assert load.manager.runtime.session.link.disconnects > disconnects
        cluster.end_move(slot, target)
    load.await_turns()
    load.check()


# -- masters that change


@pytest.fixture(scope="module")
def replicated() -> Iterator[Cluster]:
    with Cluster(3, replicas=1) as own:
        yield own


@pytest.mark.leaks_ok(reason="the cluster is that of the module")
def test_a_planned_failover(replicated: Cluster) -> None:
    load = Load(replicated.url)
    try:
        for key in load.keys:
            load.await_turns()
            replicated.await_replicas(3)
            replicated.fail_over(replicated.master_of(key))
        load.await_turns()
        load.check()
    finally:
        load.close()


def hold_and_say(url: str, pipe: Any) -> None:
    manager = RedisManager(url, namespace=NAMESPACE)
    with manager.Lock("held"):
        pipe.send("held")
        pipe.recv()
    manager.shutdown()


@pytest.mark.leaks_ok(reason="the cluster is that of the module")
def test_the_death_of_a_master(replicated: Cluster) -> None:
    """Who holds a lock there holds it; who waits for it waits on, and gets it."""
    replicated.await_replicas(3)
    manager = RedisManager(replicated.url, namespace=NAMESPACE)
    lock, counter = manager.Lock("held"), manager.Value("i", 0, name="other")
    ours, theirs = fork.Pipe()
    holder = fork.Process(target=hold_and_say, args=(replicated.url, theirs))
    holder.start()
    assert ours.recv() == "held"
    waiter = Call(lambda: lock.acquire(timeout=2 * PATIENCE))
    master = replicated.master_of(lock._handle.keys.data)
    wait_until(lambda: _blocked(master), what="it waits")
    # What was written in the last moment may not have reached the replica: that is not shown here.
    master.command("WAIT", 1, 10_000)
    (replica,) = replicated.replicas_of(master)
    master.kill()
    replicated.await_master(replica)
    wait_until(lambda: _blocked(replica), what="it waits there")
    assert waiter.is_alive()
    counter.add(1)
    ours.send("let go")
    assert waiter.outcome() is True
    holder.join(PATIENCE)
    assert holder.exitcode == 0
    lock.release()
    assert counter.value == 1
    manager.shutdown()
    master.restart(empty=False, save=False)


def _blocked(server: Server) -> bool:
    return server.info("clients")["blocked_clients"] != "0"
