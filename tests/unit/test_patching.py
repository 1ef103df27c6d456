"""What is made anew when gevent patches the standard library; without gevent, called as by it."""

from __future__ import annotations

from importlib.metadata import entry_points

from tests.support.procs import spawn_script


def test_gevent_finds_what_to_call() -> None:
    for name in ("will_patch", "did_patch"):
        found = entry_points(group=f"gevent.plugins.monkey.{name}_all", name="multihost")
        assert [each.value for each in found] == [f"multihost_gevent:{name}"]


def test_a_program_that_does_not_use_the_package_does_not_import_it() -> None:
    program = """
import sys, multihost_gevent
multihost_gevent.will_patch(None)
multihost_gevent.did_patch(None)
assert "multihost" not in sys.modules
"""
    with spawn_script(program) as script:
        script.finish()


def test_a_session_begins_anew(url: str) -> None:
    program = """
import sys, threading, multihost_gevent
from multihost import RedisManager

def session_threads():
    return [each for each in threading.enumerate() if each.name == "multihost-session"]

manager = RedisManager(sys.argv[1])
d, lock, queue, own = manager.dict(), manager.Lock(), manager.Queue(), manager.list([1])
with lock:
    queue.put(own)
    d["queued"] = queue.get()
before = manager.runtime.session.registration.sid, session_threads()
assert len(before[1]) == 1
multihost_gevent.will_patch(None)
assert session_threads() == []
multihost_gevent.did_patch(None)
after = manager.runtime.session.registration.sid, session_threads()
assert len(after[1]) == 1 and after[0] != before[0] and after[1] != before[1]
with lock:
    queue.put(2)
    assert queue.get() == 2 and d["queued"][:] == [1]
manager.shutdown()
"""
    with spawn_script(program, args=[url]) as script:
        script.finish()
        assert not script.stderr
