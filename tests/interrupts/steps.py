"""Trying the bytecodes of a call: how many of them, and what is looked at behind each."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from multihost import RedisManager
from tests.support.interrupts import Outcome, every_bytecode, interrupt
from tests.support.leaks import AnyServer
from tests.support.waiting import PATIENCE

__all__ = ["ALL", "SECONDS", "STEP", "WIDE_STEP", "explore", "open_channels", "until_blocked"]

#: All variants of a scene, and each of so many bytecodes; else a sample that costs seconds.
ALL = os.environ.get("MULTIHOST_INTERRUPTS", "")

#: Each of so many bytecodes is tried.
STEP = int(ALL or 37)
WIDE_STEP = int(ALL or 113)  # where each costs more

#: For what comes at once, and would not come at all if something was lost.
SECONDS = float(os.environ.get("MULTIHOST_INTERRUPTS_SECONDS", PATIENCE))

POOL = "pool/reap"
MOST = 12  # failures that are told


def explore(
    mine: RedisManager,
    call: Callable[[], object],
    after: Callable[[Outcome], None],
    renew: Callable[[], None],
    before: Callable[[], None] = lambda: None,
    meanwhile: Callable[[threading.Event], None] | None = None,
    at_once: Callable[[], None] = lambda: None,
    last: int = 0,
) -> None:
    """Interrupt a call of ``mine`` at each bytecode, and look ``after`` each.

    ``before`` prepares it. ``meanwhile`` is what another thread does during the call; the event
    says that this has ended, and that ``at_once`` was done behind it. Of the ``last`` bytecodes,
    where a call hands over, each is tried. Each failure names its bytecode. With all bytecodes they
    are told together: ``renew`` is called behind one, for what is broken stays so.
    """
    failures: list[str] = []

    def act(at: int) -> Outcome:
        before()
        with _beside(meanwhile):
            outcome = interrupt(call, at)
            at_once()
        try:
            must_be_sound(mine)
            after(outcome)
        except Exception as error:
            if not ALL:
                raise AssertionError(f"interrupted at {outcome.place}: {error}") from error
            failures.append(f"{outcome.place}: {type(error).__name__}: {error}"[:400])
            print(failures[-1], flush=True)
            if len(failures) >= MOST:
                pytest.fail("\n".join(failures))
            renew()
        return outcome

    act(0)  # never interrupted: scripts are read at the first call
    count = sum(1 for _ in every_bytecode(WIDE_STEP, act))
    if not ALL and last:
        end = (count - 2) * WIDE_STEP + 1  # there are as many at least
        count += sum(1 for _ in every_bytecode(1, act, max(end - last, 1)))
    print(f"{count} bytecodes", flush=True)
    assert not failures, "\n".join(failures)


@contextmanager
def _beside(work: Callable[[threading.Event], None] | None) -> Iterator[None]:
    if work is None:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=work, args=(ended,))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def until_blocked(server: AnyServer) -> Callable[[threading.Event], bool]:
    """Return what waits until a client is blocked on the server, or the call has ended."""

    def wait(ended: threading.Event) -> bool:
        while not any("b" in row["flags"] for row in server.clients()):
            if ended.wait(0.001):
                return False
        return True

    return wait


def must_be_sound(manager: RedisManager) -> None:
    """Fail if this thread has a connection twice, or seems to wait."""
    session = manager.runtime.session
    free = session.link._threads.free
    assert len(free) == len(set(free)), "a connection was given back twice"
    me = threading.get_ident()
    # A client of a pool waits as long as there are tasks.
    watched = [each for key, each in list(session.janitor._watched.items()) if key[1] != POOL]
    assert not [each for each in watched if me in each.waiters], "nobody waits any more"
    assert session.link.patience[0] is None, "this thread has no patience any more"


def open_channels(manager: RedisManager) -> int:
    """Return how many connections of this process are open."""
    gc.collect()
    link = manager.runtime.session.link
    return sum(connection.channel is not None for connection in list(link._connections))
