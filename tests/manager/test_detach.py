"""Programs that detach by two forks after they made their manager: they keep it."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.procs import is_alive, send_signal, spawn_script
from tests.support.waiting import wait_until

PROGRAM = """
import multiprocessing, os, signal, sys
from multihost.managers import BaseManager
from multihost import Manager, SyncManager

class Counter:
    def __init__(self): self.n = 0
    def add(self): self.n += 1; return self.n

class Own(SyncManager): pass
Own.register("Counter", Counter)

def work(d): d["child"] = "of the daemon"

manager = {manager}
{more}
d, lock = manager.dict(a=1), manager.Lock("lock")
server = manager.runtime.embedded
print(server.pid, os.path.dirname(server.path), flush=True)
for _ in range(2):
    if os.fork():
        {leave}
    os.setsid()
sys.stdin.readline()  # the others are gone
with lock:
    d["a"] += 1
child = multiprocessing.get_context("fork").Process(target=work, args=(d,))
child.start(); child.join()
print(d["a"], d["child"], manager.list([5])[0], os.getpid(), flush=True)
sys.stdin.readline()
{end}
"""


@pytest.mark.parametrize("end", ["", "manager.shutdown(); sys.stdin.readline()", "SIGKILL"])
@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit()"])
def test_private_server_stays_with_the_daemon(leave: str, end: str) -> None:
    text = PROGRAM.format(
        manager="Manager()", more="", leave=leave, end=end if end != "SIGKILL" else "signal.pause()"
    )
    with spawn_script(text) as script:
        server, home = script.line().split()
        assert script.wait() == 0
        assert is_alive(int(server))
        script.tell("go on")
        *told, daemon = script.line().split()
        assert told == ["2", "of", "the", "daemon", "5"]
        assert is_alive(int(server))
        script.tell("end")
        if end == "SIGKILL":
            assert send_signal(int(daemon), signal.SIGKILL)
        wait_until(lambda: not is_alive(int(server)) and not os.path.exists(home))
        if "shutdown" in end:
            assert is_alive(int(daemon))
            script.tell("end")
        wait_until(lambda: not is_alive(int(daemon)))


def test_objects_in_a_process_stay_with_the_daemon() -> None:
    text = PROGRAM.format(
        manager="Own(); manager.start()",
        more="counter = manager.Counter(); counter.add()",
        leave="os._exit(0)",
        end="print(counter.add(), manager._process.pid, flush=True)",
    )
    with spawn_script(text) as script:
        server, _ = script.line().split()
        assert script.wait() == 0
        script.tell("go on")
        *_, daemon = script.line().split()
        script.tell("end")
        count, host = script.line().split()
        assert count == "2"
        wait_until(lambda: not any(is_alive(int(each)) for each in (server, host, daemon)))


def test_shutdown_ends_the_server_of_all() -> None:
    """Also while a process that was forked holds it."""
    text = """
import os, sys
from multihost import Manager
manager = Manager()
reader, writer = os.pipe()
if not (child := os.fork()):
    os.close(writer)
    os.read(reader, 1)
    os._exit(0)
print(manager.runtime.embedded.pid, flush=True)
sys.stdin.readline()
manager.shutdown()
print("down", os.waitpid(child, os.WNOHANG)[0], flush=True)
sys.stdin.readline()
"""
    with spawn_script(text) as script:
        server = int(script.line())
        assert is_alive(server)
        script.tell("shut down")
        assert script.line() == "down 0"
        assert not is_alive(server)
