"""How programs end: what is on stderr then is what it is with the standard library."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import pytest
import redis

from multihost import ManagerClosed, RedisManager
from tests.support.procs import send_signal, spawn_script
from tests.support.server import Server

SERVING = """
import sys, threading
from {package} import BaseManager

class Own(BaseManager): pass
class Client(BaseManager): pass
objects = {{}}
Own.register("get", callable=lambda: objects)
Client.register("get")
server = Own(address=("127.0.0.1", 0), authkey=b"a key of the tests").get_server()
thread = threading.Thread(target=server.serve_forever, daemon=True)
thread.start()
client = Client(address=server.address, authkey=b"a key of the tests")
client.connect()
proxy = client.get()
proxy.update(a=1)
assert objects == dict(a=1)
{end}
"""

ENDS = {
    "end of file": "",
    "stop_event": "server.stop_event.set(); thread.join(20); assert not thread.is_alive()",
    "sys.exit": "sys.exit(7)",
    "exception": "raise KeyError('mine')",
}


def run(program: str) -> tuple[int, str]:
    with spawn_script(program) as script:
        return script.wait(), script_errors(script)


def script_errors(script: Any) -> str:
    script.close()
    return str(script.stderr)


@pytest.mark.parametrize("end", ENDS)
def test_server_in_a_daemon_thread(end: str) -> None:
    expected = run(SERVING.format(package="multiprocessing.managers", end=ENDS[end]))
    assert run(SERVING.format(package="multihost.managers", end=ENDS[end])) == expected
    assert ("KeyError" in expected[1]) == (end == "exception")


INTERRUPTED = """
import multiprocessing, time
from {package} import Manager

def work(d, own, number):
    try:
        with own: pass
        d[number] = "at work"
        time.sleep(60)
    except KeyboardInterrupt:
        while True:  # until the server is gone, which does not wait for this process
            try: len(d)
            except Exception: return

fork = multiprocessing.get_context("fork")
manager = Manager()
d, lock, queue = manager.dict(), manager.Lock(), manager.Queue()
queue.put(1)
queue.get()
children = [fork.Process(target=work, args=(d, lock, i)) for i in range({children})]
for each in children: each.start()
while len(d) < len(children): time.sleep(0.01)
print("ready", flush=True); time.sleep(60)
"""


@pytest.mark.parametrize("children", [0, 2])
def test_ctrl_c(children: int) -> None:
    """Nothing but the KeyboardInterrupt: that a private server is gone then is on purpose."""
    errors = []
    for package in ("multiprocessing", "multihost"):
        program = INTERRUPTED.format(package=package, children=children)
        with spawn_script(program, prefix=["setsid"]) as script:
            assert script.line() == "ready"
            assert send_signal(script.pid, signal.SIGINT, group=True)
            script.wait()
            errors.append(script_errors(script))
    assert errors[1] == errors[0]
    assert errors[0].endswith("\nKeyboardInterrupt\n")


GOES_ON = """
import multiprocessing, os, sys, time
from multihost import Manager

def work(d, mine):
    # The parent ends: it does not wait for this process.
    session = d._handle.session
    while True:
        try: len(d)
        except ConnectionError: break
    registration = session.registration
    def beat():
        for each in registration.at_work(): registration.heartbeat(each)
    for action in session.references.renew, beat, session.janitor.run:
        session.heartbeat._try(action)  # as its thread does when the lease is due

if __name__ == "__main__":
    from multihost import SyncManager
    manager = SyncManager()
    manager.start()
    d, lock = manager.dict(), manager.Lock()
    child = multiprocessing.get_context("fork").Process(target=work, args=(d, lock))
    child.start()
"""


def test_child_that_goes_on_without_the_server() -> None:
    assert run(GOES_ON) == (0, "")


def waiting_calls(manager: Any) -> list[Any]:
    held, full = manager.Lock(), manager.Queue(1)
    held.acquire()
    full.put(1)
    joined = manager.JoinableQueue()
    joined.put(1)
    condition, busy = manager.Condition(), manager.Queue()

    def wait() -> None:
        with condition:
            condition.wait()

    def put_and_get() -> None:
        while True:
            busy.put(1)
            busy.get()

    return [
        manager.Queue().get,
        manager.PriorityQueue().get,
        lambda: full.put(2),
        joined.join,
        held.acquire,
        manager.Semaphore(0).acquire,
        manager.Event().wait,
        manager.Barrier(3).wait,
        wait,
        put_and_get,
    ]


@pytest.mark.parametrize("how", ["url", "client"])
def test_waiters_get_manager_closed(how: str, server: Server) -> None:
    """Whoever waits while the manager is shut down is told so, in one traceback."""
    for turn in range(3):
        if how == "url":
            manager = RedisManager(server.url)
        else:
            with redis.Redis.from_url(server.url) as client:
                manager = RedisManager(client=client)
        calls, errors = waiting_calls(manager), []

        def call(function: Any, errors: list[BaseException] = errors) -> None:
            try:
                function()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=call, args=(each,)) for each in calls * 2]
        for thread in threads:
            thread.start()
        time.sleep(0.2 * turn)  # at any moment, also before they wait
        manager.shutdown()
        for thread in threads:
            thread.join(20)
        assert {type(error) for error in errors} == {ManagerClosed}, errors
        assert len(errors) == len(threads)
        chained = [each for each in errors if each.__cause__ or not each.__suppress_context__]
        assert not [each for each in chained if each.__context__]


def test_what_was_left_is_told_if_there_was_something(start_server: Any) -> None:
    program = """
import sys
from multihost import RedisManager
manager = RedisManager(sys.argv[1])
d = manager.dict("named", a=1)
{more}
print("ready", flush=True)
input()
"""
    for more, told in (
        ("", None),
        ("unnamed = manager.list()", "unnamed objects at"),
        ("lock = manager.Lock('lock'); lock.acquire()", "what is held at"),
    ):
        server = start_server(tcp=True)
        with spawn_script(program.format(more=more), args=[server.url]) as script:
            assert script.line() == "ready"
            server.kill()
            script.tell("")
            assert script.wait() == 0
            errors = script_errors(script)
        left = [line for line in errors.splitlines() if "left to expire" in line]
        if told is None:
            assert left == []
        else:
            assert len(left) == 1
            assert left[0].startswith(told)
