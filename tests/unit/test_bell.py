"""The bell: heard once, never missed, and nobody is held up by ringing it."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from multihost.wire.session.wakeup import WakeupPipe

SECONDS = 5.0


@pytest.fixture
def bell() -> Iterator[WakeupPipe]:
    one = WakeupPipe()
    yield one
    one.close()


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def waits(bell: WakeupPipe, seconds: float, fd: int = -1) -> tuple[bool, float]:
    started = time.monotonic()
    answer = bell.wait(seconds, fd)
    return answer, time.monotonic() - started


def test_a_wait_ends_at_its_time(bell: WakeupPipe) -> None:
    assert waits(bell, 0.05)[1] >= 0.04
    for seconds in (0, -1, float("-inf")):
        assert waits(bell, seconds)[1] < 0.04


def test_a_ring_wakes_who_waits(bell: WakeupPipe) -> None:
    took: list[float] = []
    thread = threading.Thread(target=lambda: took.append(waits(bell, SECONDS)[1]))
    thread.start()
    bell.wake()
    thread.join(SECONDS)
    assert took[0] < SECONDS / 2


def test_a_ring_before_the_wait_is_heard_once(bell: WakeupPipe) -> None:
    for _ in range(100_000):  # more than a pipe holds, if each was written
        bell.wake()
    assert waits(bell, SECONDS)[1] < 1
    assert waits(bell, 0.02)[1] >= 0.01
    bell.wake()
    assert waits(bell, SECONDS)[1] < 1


def test_no_ring_of_many_threads_is_missed(bell: WakeupPipe) -> None:
    rung = [0]

    def ring() -> None:
        for _ in range(2000):
            rung[0] += 1
            bell.wake()

    threads = [threading.Thread(target=ring) for _ in range(4)]
    for thread in threads:
        thread.start()
    heard = 0
    while heard < rung[0] or any(thread.is_alive() for thread in threads):
        before = rung[0]
        if heard < before:
            assert waits(bell, SECONDS)[1] < SECONDS
            heard = before
    for thread in threads:
        thread.join()


def test_a_connection_is_watched_too(
    bell: WakeupPipe, wire: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = wire
    assert bell.wait(0, ours.fileno()) is False
    theirs.send(b"x")
    assert bell.wait(SECONDS, ours.fileno()) is True
    bell.wake()
    assert bell.wait(SECONDS, ours.fileno()) is True, "both at once"
    assert bell.wait(0) is False, "not watched any more"
    ours.recv(10)
    assert bell.wait(0, ours.fileno()) is False
    theirs.close()
    assert bell.wait(SECONDS, ours.fileno()) is True


def test_the_connection_that_is_watched_may_change(bell: WakeupPipe) -> None:
    for _ in range(3):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert bell.wait(0, ours.fileno()) is False
            theirs.close()
            assert bell.wait(SECONDS, ours.fileno()) is True
        assert bell.wait(0) is False


def test_a_signal_handler_and_a_finalizer_may_ring(bell: WakeupPipe) -> None:
    class Thing:
        pass

    thing = Thing()
    weakref.finalize(thing, bell.wake)
    del thing
    gc.collect()
    assert waits(bell, SECONDS)[1] < 1

    before = signal.signal(signal.SIGUSR1, lambda *_: bell.wake())
    try:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        assert waits(bell, SECONDS)[1] < SECONDS / 2
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_closed_bell_is_silent_and_closes_once() -> None:
    bell = WakeupPipe()
    ends = bell._out, bell._in
    bell.close()
    with socket.socket() as taken:  # it may have got one of the numbers
        number = taken.fileno()
        bell.close()
        bell.wake()
        os.fstat(number)
    for fd in set(ends) - {number}:
        with pytest.raises(OSError):
            os.fstat(fd)


def test_a_child_closes_its_copy_alone(bell: WakeupPipe) -> None:
    pid = os.fork()
    if pid == 0:
        bell.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    bell.wake()
    assert waits(bell, SECONDS)[1] < 1
