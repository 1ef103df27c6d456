"""What lies at places, and in in-flight lists, of objects that are there no more."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import RedisManager
from tests.lifetimes.keys import all_but_records, collect
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until
from tests.synchronisation.test_holder_crash import child


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url, lease=600.0) as manager:
        yield manager


def _of_queue(m: RedisManager) -> Any:
    return m.Queue()


def _of_lock(m: RedisManager) -> Any:
    lock = m.Lock()
    assert lock.acquire()
    return lock


def _lists(server: AnyServer) -> list[bytes]:
    return [key for key in server.keys("*}:u:*") if b":inflight:" in key or b":held:" in key]


@pytest.mark.parametrize(("make", "wait"), [(_of_queue, "get"), (_of_lock, "acquire")])
def test_what_a_waiter_is_woken_with_that_is_killed_then(
    make: Callable[[RedisManager], Any], wait: str, m: RedisManager, server: AnyServer
) -> None:
    """Its object is deleted: the token that says so moves to the list of the waiter, which never
    hears of it.
    """
    waited_for = make(m)
    with child(waited_for) as process:
        process.tell(wait)
        wait_until(lambda: any("b" in each["flags"] for each in server.clients()), what="a waiter")
        process.send(signal.SIGSTOP)
        waited_for.delete()
        lists = _lists(server)
        process.kill()
    assert lists
    collect(server)
    assert not _lists(server)
    assert not [key for key in all_but_records(server) if b":u:" in key or key.endswith(b":lists")]
