"""A pool whose workers, hosts of workers and other clients are killed while it maps."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from multihost import RedisManager, WorkerLost
from multihost.pool import Pool, serve
from tests.chaos.invariants import connected, nothing_left
from tests.chaos.killers import FORK, ProcessGroup
from tests.chaos.sizes import LONG_LEASE, sample
from tests.pool import work
from tests.support.procs import is_alive, send_signal
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

NAME = "torn"
TASKS = sample(10_000, 1_500)
LEASE = LONG_LEASE
ATTEMPTS = 50
MANY = sample(20, 10)  # kills at least, whoever is hit
EVERY = 0.05, 0.15  # seconds between two kills
HIT = {"worker": 6, "host": 1, "client": 1}


def be_host(_: int, url: str) -> None:
    """Somebody else's workers."""
    serve(RedisManager(url, lease=LEASE), NAME, 2, context=FORK)


def be_client(_: int, url: str, attempts: int) -> None:
    """Another client, with a worker of its own, that has a part in all this until it is killed."""
    with (
        RedisManager(url, lease=LEASE) as m,
        Pool(1, manager=m, name=NAME, context=FORK, attempts=attempts) as pool,
    ):
        while True:
            found = list(outcomes(pool, 200))
            assert right(found) and len(found) == 200
            assert attempts == 1 or None not in found


def outcomes(pool: Any, count: int) -> Iterator[int | None]:
    """What became of each task; None if it is lost."""
    results = pool.imap(work.double, range(count))
    while True:
        try:
            yield results.next(PATIENCE)
        except StopIteration:
            return
        except WorkerLost:
            yield None


def right(found: list[int | None]) -> bool:
    return all(value in (None, 2 * index) for index, value in enumerate(found))


class Torment:
    """Kills somebody who has to do with a pool, again and again."""

    def __init__(self, pool: Any, hosts: ProcessGroup, clients: ProcessGroup) -> None:
        self.pool, self.groups = pool, {"host": hosts, "client": clients}
        self.hit = dict.fromkeys(HIT, 0)
        self.seen: set[int] = {*hosts.pids, *clients.pids}
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Torment:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stop.wait(random.uniform(*EVERY)):
                (whom,) = random.choices(list(HIT), list(HIT.values()))
                self._kill(whom)
        except BaseException as error:
            self._error = error

    def _kill(self, whom: str) -> None:
        workers = [worker.pid for worker in self.pool.statistics().workers]
        self.seen.update(workers)
        if whom != "worker":
            group = self.groups[whom]
            group.kill([0])
            group.replace([0])
            self.seen.update(group.pids)
        elif workers:
            if not send_signal(random.choice(workers), signal.SIGKILL):
                return  # it is known for a second longer than it lives
        self.hit[whom] += 1


@pytest.mark.parametrize("attempts", [1, ATTEMPTS])
def test_every_result_comes_once_whoever_is_killed(attempts: int, fresh_server: Server) -> None:
    url = fresh_server.url
    with (
        ProcessGroup(1, be_host, url) as hosts,
        ProcessGroup(1, be_client, url, attempts) as clients,
        RedisManager(url, lease=LEASE) as m,
    ):
        with (
            Pool(1, manager=m, name=NAME, context=FORK, attempts=attempts) as pool,
            Torment(pool, hosts, clients) as torment,
        ):
            found: list[int | None] = []
            while sum(torment.hit.values()) < MANY or not all(torment.hit.values()):
                found = list(outcomes(pool, TASKS))
                assert len(found) == TASKS
                assert right(found)
                # A task is lost with its worker, and a worker has one.
                assert found.count(None) <= sum(torment.hit.values()) * (attempts == 1)
            torment.seen.update(worker.pid for worker in pool.statistics().workers)
        for group in hosts, clients:
            group.kill([0])
        wait_until(lambda: not any(map(is_alive, torment.seen)), what="all processes have ended")
        assert m.delete(NAME)
    wait_until(lambda: not connected(fresh_server))
    nothing_left(fresh_server, LEASE)
