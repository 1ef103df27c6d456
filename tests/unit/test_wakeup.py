"""The wake-up pipe: no wake-up is lost, each is seen once, and waking never blocks."""

from __future__ import annotations

import gc
import multiprocessing
import os
import select
import signal
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from multiprocessing.connection import wait

import pytest

from multihost.wire.session.wakeup import WakeupPipe

SECONDS = 50.0  # without a wake-up; with one less than half of that


@pytest.fixture
def pipe() -> Iterator[WakeupPipe]:
    one = WakeupPipe()
    yield one
    one.close()


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def timed_wait(pipe: WakeupPipe, seconds: float) -> tuple[set[int], float]:
    started = time.monotonic()
    readable = pipe.wait(seconds)
    return readable, time.monotonic() - started


def test_wait_ends_at_its_timeout(pipe: WakeupPipe) -> None:
    assert timed_wait(pipe, 0.05)[1] >= 0.04
    for seconds in (0, -1, float("-inf")):
        assert timed_wait(pipe, seconds)[1] < SECONDS / 2


def test_wake_ends_a_wait(pipe: WakeupPipe) -> None:
    took: list[float] = []
    thread = threading.Thread(target=lambda: took.append(timed_wait(pipe, SECONDS)[1]))
    thread.start()
    pipe.wake()
    thread.join(SECONDS)
    assert took[0] < SECONDS / 2


def test_wake_before_the_wait_ends_it_once(pipe: WakeupPipe) -> None:
    for _ in range(100_000):  # more than a pipe holds, if each was written
        pipe.wake()
    assert timed_wait(pipe, SECONDS)[1] < SECONDS / 2
    assert timed_wait(pipe, 0.02)[1] >= 0.01
    pipe.wake()
    assert timed_wait(pipe, SECONDS)[1] < SECONDS / 2


def test_no_wakeup_of_many_threads_is_lost(pipe: WakeupPipe) -> None:
    sent = [0]

    def send() -> None:
        for _ in range(2000):
            sent[0] += 1
            pipe.wake()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen = 0
    while seen < sent[0] or any(thread.is_alive() for thread in threads):
        if seen < sent[0]:
            assert timed_wait(pipe, SECONDS)[1] < SECONDS
            seen = sent[0]  # now, since one wait may have ended by several: none is left for them
    for thread in threads:
        thread.join()


def test_wait_watches_a_connection_too(
    pipe: WakeupPipe, connection: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = connection
    assert pipe.wait(0, frozenset({ours.fileno()})) == set()
    theirs.send(b"x")
    assert pipe.wait(SECONDS, frozenset({ours.fileno()})) == {ours.fileno()}
    pipe.wake()
    assert pipe.wait(SECONDS, frozenset({ours.fileno()})) == {ours.fileno()}, (
        "both at the same time"
    )
    assert pipe.wait(0) == set(), "not watched any more"
    ours.recv(10)
    assert pipe.wait(0, frozenset({ours.fileno()})) == set()
    theirs.close()
    assert pipe.wait(SECONDS, frozenset({ours.fileno()})) == {ours.fileno()}


def test_the_watched_connection_may_change(pipe: WakeupPipe) -> None:
    for _ in range(3):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert pipe.wait(0, frozenset({ours.fileno()})) == set()
            theirs.close()
            assert pipe.wait(SECONDS, frozenset({ours.fileno()})) == {ours.fileno()}
        assert pipe.wait(0) == set()


def test_pipe_itself_can_be_waited_for(pipe: WakeupPipe) -> None:
    def readable() -> list[list[object]]:
        return [wait([pipe], 0), select.select([pipe], [], [], 0)[0]]

    assert readable() == [[], []]
    pipe.wake()
    pipe.wake()
    assert readable() == [[pipe], [pipe]]
    pipe.drain()
    assert readable() == [[], []]
    pipe.drain()
    pipe.wake()
    assert readable() == [[pipe], [pipe]]


def test_signal_handlers_and_finalizers_may_wake(pipe: WakeupPipe) -> None:
    class Referent:
        pass

    referent = Referent()
    weakref.finalize(referent, pipe.wake)
    del referent
    gc.collect()
    assert timed_wait(pipe, SECONDS)[1] < SECONDS / 2

    before = signal.signal(signal.SIGUSR1, lambda *_: pipe.wake())
    try:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        assert timed_wait(pipe, SECONDS)[1] < SECONDS / 2
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_interrupted_wake_does_not_suppress_later_ones(
    pipe: WakeupPipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt  # of a signal handler, just before the write

    with monkeypatch.context() as patch:
        patch.setattr("multihost.wire.session.wakeup.os.write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pipe.wake()
    pipe.wait(0)
    pipe.wake()
    assert timed_wait(pipe, SECONDS)[1] < SECONDS / 2


def test_close_is_repeatable_and_wake_after_it_writes_nothing() -> None:
    pipe = WakeupPipe()
    ends = pipe._out.fileno(), pipe._in.fileno()
    pipe.close()
    assert pipe.fileno() == -1
    with socket.socket() as taken:  # it may have got one of the numbers
        number = taken.fileno()
        pipe.close()
        pipe.wake()
        os.fstat(number)
    for fd in set(ends) - {number}:
        with pytest.raises(OSError):
            os.fstat(fd)


def test_close_in_a_forked_child_leaves_the_parents_pipe_open(pipe: WakeupPipe) -> None:
    pid = os.fork()
    if pid == 0:
        pipe.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    pipe.wake()
    assert timed_wait(pipe, SECONDS)[1] < SECONDS / 2


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_sender_wakes_from_another_process(pipe: WakeupPipe, method: str) -> None:
    pipe.wake()  # what this process has pending is nothing to the child
    sender = pipe.sender()
    assert pipe.sender() is sender
    child = multiprocessing.get_context(method).Process(target=sender.wake)
    pipe.drain()
    child.start()
    assert wait([pipe], 30) == [pipe]
    child.join()
    pipe.drain()


def test_sender_never_blocks(pipe: WakeupPipe) -> None:
    sender = pipe.sender()
    for _ in range(100_000):  # more than a pipe holds
        sender.wake()
    pipe.drain()
    assert wait([pipe], 0) == []
    pipe.close()
    sender.wake()
