"""Frames, tasks and results that are altered on their way: who receives them goes on, and a caller
gets an answer or an error of ours.

With an authkey, so that nobody runs what was altered. The bytes are real ones.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given

from multihost.managers import SyncManager
from multihost.pooling.messages import Result
from multihost.wire import keys as key_names
from multihost.wire.rpc.frames import NUMBERED_HEAD, Endpoint
from tests.support.hostile import SEED, altered, cases
from tests.support.procs import send_signal
from tests.support.server import Server, server_program
from tests.support.waiting import wait_until

FORK = multiprocessing.get_context("fork")
FUZZ = cases(25)
AT_ONCE = 20  # altered bytes in each case
LONGEST = 100_000
KEY = b"a random key of thirty-two bytes"
SECONDS = 30.0


class Counter:
    """What is hosted."""

    def __init__(self) -> None:
        self.number = 0

    def add(self, amount: int) -> int:
        self.number += amount
        return self.number

    def pid(self) -> int:
        return os.getpid()


class Hosting(SyncManager):
    """Serves it."""


Hosting.register("Counter", Counter)


def double(number: int) -> int:
    return 2 * number


def pid(_: object) -> int:
    return os.getpid()


class Stage:
    """A host and a pool, and what was said to them and by them."""

    def __init__(self, server: Server, manager: Any, pool: Any) -> None:
        self.server, self.manager, self.pool = server, manager, pool
        self.frames: list[bytes] = []
        self.results: list[bytes] = []
        with pytest.MonkeyPatch.context() as patch:
            exchange, unpack = Endpoint._exchange, Result.unpack.__func__  # type: ignore[attr-defined]

            def noted(endpoint: Any, frame: bytes) -> Any:
                payload = exchange(endpoint, frame)
                self.frames.extend(filter(None, (frame, payload and NUMBERED_HEAD % 5 + payload)))
                return payload

            def unpacked(cls: Any, *args: Any) -> Any:
                self.results.extend(each for each in args if type(each) is bytes)
                return unpack(cls, *args)

            patch.setattr(Endpoint, "_exchange", noted)
            patch.setattr(Result, "unpack", classmethod(unpacked))
            self.counter = manager.Counter()
            self.host = self.counter.pid()
            for number in range(3):
                self.counter.add(number)
            with pytest.raises(TypeError):
                self.counter.add("text")
            self.worker = pool.apply(pid, (0,))
            assert pool.map(double, range(4)) == [0, 2, 4, 6]
        keys = pool._reference.handle().keys
        assert send_signal(self.worker, signal.SIGSTOP)
        pending = [pool.apply_async(double, (n,)) for n in range(6)]
        wait_until(lambda: len(server.command("LRANGE", keys.items, 0, -1)) >= 4)
        self.tasks = server.command("LRANGE", keys.items, 0, -1)
        assert send_signal(self.worker, signal.SIGCONT)
        assert [each.get(SECONDS) for each in pending] == [2 * n for n in range(6)]
        assert self.frames and self.results and self.tasks


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with (
        Server(tcp=True, program=server_program()) as server,
        Hosting(server.url, ctx=FORK, authkey=KEY) as manager,
        manager.Pool(1, context=FORK) as pool,
    ):
        yield Stage(server, manager, pool)


def in_a_thread(call: Any) -> Any:
    """What a new thread gets, which has a conversation of its own."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(call()), daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert answers, "no answer"
    return answers[0]


@FUZZ
@given(SEED)
def test_a_host_goes_on(stage: Stage, seed: int) -> None:
    chance, server = Random(seed), stage.server
    keys = stage.manager.runtime.session.handle(_host(stage)).keys
    requests = [keys.channel(b"req", b"ghost.%d" % number) for number in range(3)]
    for _ in range(AT_ONCE):
        frame = altered(stage.frames, chance)[:LONGEST]
        server.commands(
            ("RPUSH", chance.choice(requests), frame),
            (
                "SADD",
                keys.channels,
                chance.choice([b"ghost.0", b"ghost.1", b"ghost.2", frame[:40]]),
            ),
            ("SADD", keys.released, frame[:60]),
        )
    server.command("RPUSH", keys.tokens, "")  # it looks at once
    assert stage.counter.pid() == stage.host
    assert in_a_thread(stage.counter.pid) == stage.host
    server.command("DEL", *requests)


def _host(stage: Stage) -> str:
    [ident] = stage.server.command("HKEYS", key_names.hosts("multihost"))
    return ident.decode()


@FUZZ
@given(SEED)
def test_workers_and_clients_go_on(stage: Stage, seed: int) -> None:
    chance, server, pool = Random(seed), stage.server, stage.pool
    tasks = pool._reference.handle().keys.items
    results = pool._client._results.keys.items
    for _ in range(AT_ONCE):
        task, result = altered(stage.tasks, chance), altered(stage.results, chance)
        if task:  # an empty one is the end marker
            server.command("RPUSH", tasks, task[:LONGEST])
        if result:
            server.command("RPUSH", results, result[:LONGEST])
    assert pool.apply_async(double, (4,)).get(SECONDS) == 8
    assert pool.apply_async(pid, (0,)).get(SECONDS) == stage.worker, "it was the same one"
