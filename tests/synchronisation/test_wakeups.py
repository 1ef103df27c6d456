"""Who waits is woken by the server: never by looking, and not by a slice that ends."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire import wait
from multihost.wire.session import janitor
from tests.support.server import Server
from tests.support.sessions import connections
from tests.support.waiting import PATIENCE, wait_until

fork = multiprocessing.get_context("fork")


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children inherit it: without a token nothing wakes a waiter within this test."""
    monkeypatch.setattr(janitor, "LOOK_INTERVAL", 600.0)
    monkeypatch.setattr(wait, "MAX_BLOCK", 600.0)
    monkeypatch.setattr(wait, "FIRST_BLOCK", 600.0)


def take_turns(held: Any, times: int, done: Any) -> None:
    for _ in range(times):
        with held:
            pass
    done.send(os.getpid())


@pytest.mark.parametrize(
    "make",
    [lambda m: m.Lock(), lambda m: m.RLock(), lambda m: m.Semaphore(2), lambda m: m.Condition()],
    ids=["Lock", "RLock", "Semaphore", "Condition"],
)
def test_the_first_contention_on_a_server_without_scripts(
    make: Callable[[RedisManager], Any], fresh_server: Server, nobody_looks: None
) -> None:
    with RedisManager(fresh_server.url) as m:
        for _ in range(3):
            held = make(m)
            fresh_server.command("SCRIPT", "FLUSH")
            reader, writer = fork.Pipe(duplex=False)
            crowd = [fork.Process(target=take_turns, args=(held, 30, writer)) for _ in range(6)]
            for process in crowd:
                process.start()
            for _ in crowd:
                assert reader.poll(PATIENCE), "somebody waits though the lock is free"
                reader.recv()
            for process in crowd:
                process.join()
            reader.close()
            writer.close()


def test_a_server_that_forgot_its_scripts_costs_no_connection(fresh_server: Server) -> None:
    with RedisManager(fresh_server.url) as m:
        condition = m.Condition(m.RLock())
        with condition:
            assert not condition.wait(0.01)
        # Among them that of the background, which may be slow.
        named = set.union(*connections(fresh_server))
        wait_until(lambda: named <= {row["id"].encode() for row in fresh_server.clients()})
        before = len(fresh_server.clients())
        fresh_server.command("SCRIPT", "FLUSH")
        with condition:
            assert not condition.wait(0.01)
        assert len(fresh_server.clients()) == before


def meet(barrier: Any, times: int, done: Any) -> None:
    places = [barrier.wait() for _ in range(times)]
    done.send(places)


def test_hundreds_of_rounds_of_a_barrier(fresh_server: Server, nobody_looks: None) -> None:
    rounds = 300
    with RedisManager(fresh_server.url) as m:
        barrier = m.Barrier(3)
        reader, writer = fork.Pipe(duplex=False)
        crowd = [fork.Process(target=meet, args=(barrier, rounds, writer)) for _ in range(3)]
        for process in crowd:
            process.start()
        found = []
        for _ in crowd:
            assert reader.poll(40), "somebody was not let through"
            found.append(reader.recv())
        for process in crowd:
            process.join()
        reader.close()
        writer.close()
        assert all(sorted(places) == [0, 1, 2] for places in zip(*found, strict=True))


def test_a_fork_after_shutdown_leaves_the_pipes_of_others_alone(url: str) -> None:
    manager = RedisManager(url)
    manager.Lock().acquire()
    manager.shutdown()
    # The numbers that the manager's own pipe had are in use again.
    pipes = [os.pipe() for _ in range(4)]
    child = os.fork()
    if child == 0:
        for reading, writing in pipes:
            os.write(writing, b"x")
            assert os.read(reading, 1) == b"x"
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for pair in pipes:
        for end in pair:
            os.close(end)
