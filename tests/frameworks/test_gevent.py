"""A process that gevent patches, before or after it has made shared objects."""

from __future__ import annotations

import signal

import pytest

from tests.frameworks.conftest import need
from tests.support.procs import send_signal, spawn_script
from tests.support.server import Server

PATCH = "from gevent import monkey; monkey.patch_all()\n"
MAKE = """
import os, sys, time
from multihost import Empty, RedisManager
manager = RedisManager(sys.argv[1], timeout=0.5)
manager.runtime.session.link.reconnect_timeout = 0.2
lock, permits, counts = manager.Lock(), manager.Semaphore(2), manager.dict()
box, own = manager.Queue(), manager.list([[1]])
with lock, permits:
    box.put(own)
    assert box.get()[0] == [1]
"""
# Each greenlet waits for something that another one does.
USE = """
import gevent
def wait():
    for _ in range(5):
        with lock, permits:
            counts["n"] = counts.get("n", 0) + 1
    item = box.get(timeout=30)
    box.put(item + 1)
    return item
waiting = [gevent.spawn(wait) for _ in range(20)]
gevent.spawn(box.put, 0)
gevent.joinall(waiting, timeout=40)
assert sorted(each.value for each in waiting) == list(range(20))
assert counts["n"] == 100 and own[0] == [1] and box.get() == 20
"""
END = """
manager.shutdown()
"""
ORDERS = pytest.mark.parametrize(
    "begin", [PATCH + MAKE, MAKE + PATCH], ids=["patched first", "patched last"]
)


def _run(source: str, *args: str) -> str:
    need("gevent")
    with spawn_script(source, args=args) as program:
        said = program.finish()
        assert not program.stderr
    return said


@ORDERS
def test_greenlets_wait_for_each_other(begin: str, url: str) -> None:
    _run(begin + USE + END, url)  # and leave nothing behind


@ORDERS
def test_a_child_goes_on(begin: str, url: str) -> None:
    fork = """
pid = os.fork()
if pid:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    counts.clear()
"""
    leave = """
if not pid:
    try:
        box.get_nowait()  # tells the server that the item before has arrived
    except Empty:
        sys.stderr.flush()
        os._exit(0)
"""
    _run(begin + USE + "counts.clear()\n" + fork + USE + leave + END, url)


@ORDERS
def test_a_silent_server_is_given_up(begin: str, fresh_server: Server) -> None:
    lost = """
import logging, signal
from multihost import LinkLost
logging.getLogger("multihost").setLevel(logging.ERROR)  # it warns that leases are not renewed
counts["n"] = 1
os.kill(int(sys.argv[2]), signal.SIGSTOP)
try:
    with gevent.Timeout(20):
        counts["n"] = 2
except LinkLost:
    print("lost")
finally:
    os.kill(int(sys.argv[2]), signal.SIGCONT)
"""
    source = begin + "import gevent\n" + lost + END
    assert _run(source, fresh_server.url, str(fresh_server.pid)) == "lost\n"


HOST = """
import sys
from multihost.managers import BaseManager

class Greeter:
    def greet(self, name):
        return "hello " + name

class Manager(BaseManager):
    pass

Manager.register("Greeter", Greeter)
server = Manager(address=sys.argv[1]).get_server()
print("serves", flush=True)
server.serve_forever()
"""
IMPORT = """
import sys
from operator import neg
from multihost import Executor, Pool
"""
CALL = """
import gevent
from multihost.managers import BaseManager

class Manager(BaseManager):
    pass

Manager.register("Greeter")
other = Manager(address=sys.argv[1])
other.connect()
greeter = other.Greeter()
calls = [gevent.spawn(greeter.greet, str(i)) for i in range(10)]
gevent.joinall(calls, timeout=40)
assert [each.value for each in calls] == ["hello " + str(i) for i in range(10)]
del calls, greeter
with Executor(0, url=sys.argv[1], name="p") as executor:
    assert list(executor.map(neg, range(10))) == [-i for i in range(10)]
with Pool(0, url=sys.argv[1], name="p") as pool:
    assert pool.map(neg, range(10)) == [-i for i in range(10)]
    assert pool.apply_async(neg, (3,)).get(30) == -3
"""


@pytest.mark.parametrize("begin", [PATCH + IMPORT, IMPORT + PATCH], ids=["first", "last"])
def test_other_processes_serve_greenlets(begin: str, fresh_server: Server) -> None:
    need("gevent", "click")
    url = fresh_server.url
    worker = "import sys; from multihost.__main__ import main; sys.exit(main())"
    args = ["worker", "--pool", "p", "--processes", "2", "--url", url]
    with spawn_script(worker, args=args) as workers, spawn_script(HOST, args=[url]) as host:
        assert host.line() == "serves"
        _run(begin + CALL, url)
        assert send_signal(workers, signal.SIGTERM)
        workers.finish()
        host.kill()


POOLS = """
import os, sys
from operator import neg
from multihost import Executor, Manager, Pool

def use():
    import gevent
    calls = [gevent.spawn(pool.apply, neg, (i,)) for i in range(5)]
    calls += [gevent.spawn(executor.submit(neg, i).result) for i in range(5)]
    gevent.joinall(calls, timeout=40)
    assert [each.value for each in calls] == [-i for i in range(5)] * 2
    assert list(executor.map(neg, range(3))) == pool.map(neg, range(3)) == [0, -1, -2]

def end():
    executor.shutdown()
    pool.close()
    pool.join()
"""
START = """
executor, pool = Executor(2), Pool(2)
"""


def test_pools_of_a_child_that_is_patched() -> None:
    fork = """
pid = os.fork()
if not pid:
    from gevent import monkey; monkey.patch_all()
    use()
    end()
    sys.stderr.flush()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert pool.map(neg, range(3)) == list(executor.map(neg, range(3))) == [0, -1, -2]
end()
"""
    _run(POOLS + START + fork)


@pytest.mark.parametrize("kind", ["executor", "pool"])
def test_a_pool_that_runs_refuses_the_patch(kind: str) -> None:
    refused = f"""
del {"pool" if kind == "executor" else "executor"}
import gc; gc.collect()
from gevent import monkey
try:
    monkey.patch_all()
except RuntimeError as error:
    assert "Pool" in str(error) and "patch_all() first" in str(error), error
    assert not monkey.is_module_patched("threading")
    print("refused")
assert {kind}.{"submit(neg, 1).result()" if kind == "executor" else "apply(neg, (1,))"} == -1
"""
    assert _run(POOLS + START + refused) == "refused\n"
