"""A program that forks: it has no thread then, and what it refers to or holds lives on."""

from __future__ import annotations

import pytest

from tests.support.procs import spawn_script
from tests.support.server import Server

PROGRAM = """
import multiprocessing, os, sys, threading

# Hooks run in reverse order: this is the last one before the fork.
counts = []
os.register_at_fork(before=lambda: counts.append(threading.active_count()))

from multihost import Manager, RedisManager
from multihost.wire.session import heartbeat, session

heartbeat.BEATS_PER_LEASE = 300  # ten in a second
# A fork does not wait for longer than a moment for what waits for the server: here it does.
session.PARK_SECONDS = 60.0
heartbeat.Heartbeat.park.__defaults__ = (60.0,)

def use(d, lock, queue):
    with lock:
        d["n"] += 1
    queue.put(d["n"])

url = sys.argv[1]
fork = multiprocessing.get_context("fork")
with (RedisManager(url) if url else Manager()) as m:
    d, lock, queue, held = m.dict(n=0), m.Lock(), m.Queue(), m.Lock("held")
    held.acquire()
    ours = m.runtime.session
    renew, beat, renewed, beats = ours.references.renew, ours.registration.heartbeat, [], []

    def renew_and_note():
        renewed.append(renew())
        return renewed[-1]

    def beat_and_note(presence):
        beats.append(beat(presence))
        return beats[-1]

    ours.references.renew = renew_and_note
    ours.registration.heartbeat = beat_and_note
    token, children = held.fencing_token, 0
    while children < 20 or min(len(renewed), len(beats)) < 3:
        child = fork.Process(target=use, args=(d, lock, queue))
        child.start()
        child.join()
        children += 1
        assert child.exitcode == 0
        assert queue.get() == d["n"] == children
    assert held.fencing_token == token
    held.release()
    assert "multihost-session" in [thread.name for thread in threading.enumerate()]
print(set(counts))
"""


@pytest.mark.parametrize("where", ["private", "shared"])
def test_no_thread_at_a_fork(where: str, server: Server) -> None:
    """Since 3.12 Python warns of every fork of a process that has threads. Objects and holds live
    on though the thread that keeps them alive ends at each fork.
    """
    url = server.url if where == "shared" else ""
    env = {"PYTHONWARNINGS": "error::DeprecationWarning"}
    with spawn_script(PROGRAM, env, args=[url]) as script:
        assert script.finish() == "{1}\n"
        assert script.stderr == ""
