"""A network that is cut between two hosts: packets vanish, and neither side is told.

The server is on host ``a``, with us, who reach it by its socket; a program on ``b`` is cut off.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from threading import BrokenBarrierError
from typing import Any

import pytest

from multihost import RedisManager
from tests.faults.calls import Call
from tests.support.hosts import Hosts
from tests.support.procs import ROOT, Script, spawn_script
from tests.support.server import Server
from tests.support.waiting import wait_until

LEASE = 3.0
NOTICED = 25.0
"""When everybody knows of a host that was cut off: its lease, a look, and a busy machine; it is
less than the lease of the others.
"""


@pytest.fixture
def server(hosts: Hosts) -> Iterator[Server]:
    with Server(
        tcp=True, host=hosts.address["a"], prefix=hosts.prefix("a"), protected_mode="no"
    ) as on_a:
        yield on_a


START = """
import json, sys, threading, time
root, url, lease = sys.argv[1:]
sys.path.insert(0, root)
from multihost import LeaseLost, RedisManager
from tests.support.waiting import wait_until
m = RedisManager(url, lease=float(lease))
link = m.runtime.session.link
link.timeout, link.reconnect_timeout = 1.0, 1.0
link.disconnect_current()

def say(name, call):
    started = time.monotonic()
    try:
        result = call()
    except BaseException as error:
        result = type(error).__name__
    line = json.dumps([name, result, time.monotonic() - started])
    print(line + "\\n", end="", flush=True)  # in one write: there are several threads

def aside(name, call):
    threading.Thread(target=say, args=(name, call), daemon=True).start()
"""

FAR = (
    START
    + """
held, wanted, gpu = m.Lock("held"), m.Lock("wanted"), m.Semaphore("gpu", 1)
condition, event, barrier = m.Condition("condition"), m.Event("event"), m.Barrier("barrier", 3)
held.acquire()
gpu.acquire()

def sleep():
    with condition:
        return condition.wait()

def want():
    wanted.acquire()
    return wanted.fencing_token

def is_lost():
    try:
        held.fencing_token
    except LeaseLost:
        return True

m.runtime.session.link.reconnect_timeout = 30.0
aside("wanted", want)
aside("condition", sleep)
aside("event", event.wait)
aside("barrier", barrier.wait)
say("fence", lambda: held.fencing_token)
sys.stdin.readline()
say("lost", lambda: wait_until(is_lost))
say("held.release", held.release)
say("gpu.release", gpu.release)
say("held.acquire", lambda: held.acquire(timeout=60) and held.fencing_token)
say("gpu.acquire", lambda: gpu.acquire(timeout=60))
sys.stdin.readline()
"""
)


def told(script: Script) -> list[Any]:
    found: list[Any] = json.loads(script.line())
    return found


def slept(condition: Any) -> bool:
    with condition:
        return bool(condition.wait(60))


def fields(server: Server, proxy: Any, start: bytes) -> int:
    found = server.command("HKEYS", proxy._handle.keys.data)
    return sum(field.startswith(start) for field in found)


def test_what_a_host_held_and_waited_for_that_was_cut_off(hosts: Hosts, server: Server) -> None:
    with RedisManager(server.url) as m:
        held, wanted, gpu = m.Lock("held"), m.Lock("wanted"), m.Semaphore("gpu", 1)
        condition, event = m.Condition("condition"), m.Event("event")
        barrier = m.Barrier("barrier", 3)
        wanted.acquire()
        argv = [str(ROOT), server.tcp_url, str(LEASE)]
        with spawn_script(FAR, args=argv, prefix=hosts.prefix("b")) as far:
            name, fence, _ = told(far)
            assert name == "fence"
            wait_until(lambda: fields(server, wanted, b"q:") == 1)
            wait_until(lambda: fields(server, condition, b"z:") == 1)
            wait_until(lambda: barrier.n_waiting == 1)
            wait_until(lambda: sum("b" in row["flags"] for row in server.clients()) == 4)

            calls = {
                "held": Call(lambda: held.acquire(timeout=60)),
                "gpu": Call(lambda: gpu.acquire(timeout=60)),
                "wanted": Call(lambda: m.Lock("wanted").acquire(timeout=60)),
                "condition": Call(lambda: slept(condition)),
                "barrier": Call(lambda: pytest.raises(BrokenBarrierError, barrier.wait)),
            }
            wait_until(lambda: sum("b" in row["flags"] for row in server.clients()) == 9)
            hosts.cut("b")
            cut = time.monotonic()
            # It is the first in both queues, and what it is given it does not hear of.
            wanted.release()
            with condition:
                condition.notify()
            event.set()
            for name, call in calls.items():
                assert call.outcome(), name
                assert call.ended - cut < NOTICED, name
            assert calls["held"].ended - cut > LEASE / 3, "only its lease could tell"
            assert held.fencing_token > fence
            newer = wanted.fencing_token

            hosts.heal("b")
            far.tell("")
            results: dict[str, Any] = {}
            while not {"lost", "held.release", "gpu.release"} <= set(results):
                name, results[name], _ = told(far)
            assert fields(server, gpu, b"p:") == 1, "it did not release ours"
            assert held._hold().is_valid()
            assert wanted._hold().is_valid()
            held.release()
            gpu.release()
            wanted.release()
            # What was notified while it was away it has missed.
            wait_until(lambda: fields(server, condition, b"z:") == 1)
            with condition:
                condition.notify_all()
            while len(results) < 9:
                name, results[name], _ = told(far)
            assert results["lost"] is True, "without asking"
            assert results["held.release"] == "LeaseLost"
            assert results["gpu.release"] == "LeaseLost"
            assert results["held.acquire"] > fence
            assert results["gpu.acquire"] is True
            assert results["wanted"] > newer
            assert results["event"] is True
            assert results["barrier"] == "BrokenBarrierError"
            assert results["condition"] is True
            far.tell("")
            far.finish()


IMPATIENT = (
    START
    + """
lock, gpu, event = m.Lock("lock"), m.Semaphore("gpu", 1), m.Event("event")
condition, barrier = m.Condition("condition"), m.Barrier("barrier", 2)

def sleep():
    with condition:
        return condition.wait(1)

print("ready", flush=True)
sys.stdin.readline()
aside("lock", lambda: lock.acquire(timeout=1))
aside("gpu", lambda: gpu.acquire(timeout=1))
aside("event", lambda: event.wait(1))
aside("condition", sleep)
aside("barrier", lambda: barrier.wait(1))
sys.stdin.readline()
"""
)


def test_a_wait_with_a_timeout_behind_a_cut_ends(hosts: Hosts, server: Server) -> None:
    """At its time and what it takes to see that the server does not answer."""
    with RedisManager(server.url) as m:
        lock, gpu = m.Lock("lock"), m.Semaphore("gpu", 1)
        lock.acquire()
        gpu.acquire()
        argv = [str(ROOT), server.tcp_url, str(LEASE)]
        with spawn_script(IMPATIENT, args=argv, prefix=hosts.prefix("b")) as far:
            assert far.line() == "ready"
            far.tell("")
            # All are blocked, or those of a slow machine cut off on their way.
            with contextlib.suppress(AssertionError):
                wait_until(lambda: sum("b" in row["flags"] for row in server.clients()) == 5, 0.8)
            hosts.cut("b")
            for _ in range(5):
                name, result, took = told(far)
                assert 1 <= took < 40, (name, took)
                assert result in (
                    False,
                    "LinkLost",
                    "LinkError",
                    "ConnectTimeout",
                    "BrokenBarrierError",
                ), name
            hosts.heal("b")
            lock.release()
            gpu.release()
            # What it did not get must not be taken, also later.
            assert lock.acquire(timeout=60)
            assert gpu.acquire(timeout=60)
            far.tell("")
            far.finish()


CONSUMER = (
    START
    + """
jobs, again = m.Queue("jobs"), m.JoinableQueue("again", redeliver=True)
m.runtime.session.link.reconnect_timeout = 30.0
say("got", again.get)
aside("waited", jobs.get)
sys.stdin.readline()
say("task_done", again.task_done)
say("again", lambda: again.get(timeout=60))
say("done", again.task_done)
sys.stdin.readline()
"""
)


def test_what_a_consumer_had_that_was_cut_off(hosts: Hosts, server: Server) -> None:
    with RedisManager(server.url) as m:
        jobs, again = m.Queue("jobs"), m.JoinableQueue("again", redeliver=True)
        again.put("a")
        argv = [str(ROOT), server.tcp_url, str(LEASE)]
        with spawn_script(CONSUMER, args=argv, prefix=hosts.prefix("b")) as far:
            assert told(far)[:2] == ["got", "a"]
            wait_until(lambda: sum("b" in row["flags"] for row in server.clients()) == 1)
            hosts.cut("b")
            cut = time.monotonic()
            jobs.put("first")  # is sent to who does not hear of it
            ours = Call(lambda: jobs.get(timeout=60))
            theirs = Call(lambda: again.get(timeout=60))
            assert ours.outcome() == "first"
            assert theirs.outcome() == "a"
            assert max(ours.ended, theirs.ended) - cut < NOTICED
            jobs.put("second")
            hosts.heal("b")
            far.tell("")
            results: dict[str, Any] = {}
            while "task_done" not in results or "waited" not in results:
                name, results[name], _ = told(far)
            assert results["task_done"] == "LeaseLost"
            assert results["waited"] == "second", "what others got is not delivered again"
            again.put("b")
            while "done" not in results:
                name, results[name], _ = told(far)
            assert results["again"] == "b"
            assert results["done"] is None
            far.tell("")
            far.finish()
        assert again.statistics().unfinished == 1, "ours is not done yet"
