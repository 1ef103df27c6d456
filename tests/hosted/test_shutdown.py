"""The end of a process or thread: of the host, or of a client."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import threading

import pytest

from multihost import HostLost, LinkError, LinkLost, ManagerClosed, ObjectGone
from multihost.managers import RemoteError, SyncManager
from tests.hosted.callers import Caller
from tests.hosted.hosted_classes import Counter, Our, Remote
from tests.support.procs import is_alive, kill9, send_signal, spawn_script
from tests.support.reserve import spend_reserve
from tests.support.waiting import PATIENCE, wait_until

fork = multiprocessing.get_context("fork")
LONG = 10 * PATIENCE
"""A lease by which nobody finds out anything within a test."""


@contextlib.contextmanager
def serving(url, **how):
    manager = Our(url, ctx=fork, **how)
    manager.start()
    try:
        yield manager
    finally:
        manager.shutdown()


def test_calls_to_a_killed_host_raise_soon(url):
    with serving(url, lease=LONG) as manager, Remote(url, lease=LONG) as other:
        counter, elsewhere = manager.Counter(), other.Counter()
        callers = [Caller(counter.wait), Caller(elsewhere.wait)]
        for caller in callers:
            caller.start()
        assert counter.await_waiter() and elsewhere.await_waiter()
        kill9(manager._process)
        for caller in callers:
            caller.join(PATIENCE)
            assert isinstance(caller.error, HostLost), caller.error
            assert "ended during the call" in str(caller.error)
        with pytest.raises(HostLost, match="create another one"):
            counter.add()
        with pytest.raises(HostLost, match="the process that this manager started"):
            manager.Counter()
        with pytest.raises(HostLost, match="no process serves 'Counter'"):
            other.Counter()
        assert "failed" in str(counter)


def test_host_that_exits_normally_notifies_clients(url):
    with Remote(url, lease=LONG) as other:
        with serving(url, lease=LONG) as manager:
            counter = other.Counter()
            caller = Caller(counter.wait)
            caller.start()
            assert counter.await_waiter()
            manager.shutdown()
            caller.join(PATIENCE)
            assert isinstance(caller.error, HostLost)
            assert manager._process.exitcode == 0
        with pytest.raises(HostLost):
            counter.add()
        with pytest.raises(HostLost, match="no process serves 'Counter'"):
            other.Counter()


def test_use_after_shutdown():
    manager = Our(ctx=fork)
    manager.start()
    counter = manager.Counter()
    process, server = manager._process, manager.runtime.embedded
    manager.shutdown()
    manager.shutdown()
    assert process.exitcode == 0
    assert not server.alive()
    for use in (counter.add, manager.Counter):
        with pytest.raises(ManagerClosed):
            use()
    manager.join()
    assert manager._process is None


def test_thread_of_the_host_ends_with_its_client(url):
    with serving(url) as manager, Remote(url) as other:
        counter = manager.Counter()

        def talks():
            return [
                name for name in counter.threads() if name.startswith("multihost-") and "." in name
            ]

        caller = threading.Thread(target=counter.add)
        caller.start()
        caller.join()
        wait_until(lambda: len(talks()) == 1)  # that of the thread that asks
        copy = other.Counter()
        assert len(talks()) == 2
        killed = fork.Process(target=call_and_linger, args=(copy,))
        killed.start()
        assert copy.await_waiter()
        assert len(talks()) == 3
        kill9(killed)
        copy.open()
        del copy
        wait_until(lambda: len(talks()) == 2)
        other.shutdown()
        wait_until(lambda: len(talks()) == 1)


def call_and_linger(counter):
    counter.wait()


def test_object_without_references_is_deleted(server, url):
    with serving(url, lease=5.0) as manager, Remote(url, lease=5.0) as other:
        assert manager.Counter().add() == 1
        numbers = lambda: ask(manager, "number_of_objects")
        wait_until(lambda: numbers() == 0)
        queue_1, queue_2 = manager.get_global(), other.get_global()
        for _ in range(20):
            queue_1 = manager.get_global()  # told again before it lets go
        queue_1.put(1)
        del queue_1
        wait_until(lambda: ask(manager, "debug_info").count("refcount=1") == 1)
        assert queue_2.get() == 1
        del queue_2
        wait_until(lambda: numbers() == 0)
        # In a container, and out of it: one lease and a minute later it is gone.
        box = manager.dict(counter=manager.Counter(3))
        assert box["counter"].add() == 4
        del box["counter"]
        wait_until(lambda: spend_reserve(server) or numbers() == 0)


def test_persistent_container_keeps_a_hosted_object(url):
    with serving(url) as manager:
        box = manager.dict("box")
        box["counter"] = manager.Counter(3)
        kept = box["counter"]
        assert (kept.statistics().lease, kept.add()) == (None, 4)
        del box["counter"]
        assert box.add_new("counter", kept)
        assert kept.statistics().lease is None
        assert box.update_new(counter=manager.Counter(5), other=1) == ["other"]
        assert box["counter"].add() == 5
        del box["counter"]
        assert kept.add() == 6, "it is there as long as somebody holds it"
        box.delete()


def ask(manager, what):
    from multihost.wire.rpc import results

    session = manager.runtime.session
    return session.codec.load(results.request(session, manager._host, what)[1:])


def test_many_proxies(url):
    with serving(url) as manager:
        counters = [manager.Counter(n) for n in range(1000)]
        assert ask(manager, "number_of_objects") == 1000
        assert [each.add(0) for each in counters[::100]] == list(range(0, 1000, 100))
        del counters
        wait_until(lambda: ask(manager, "number_of_objects") == 0)


# -- names


def test_name_is_the_same_object_for_all_processes(url):
    with serving(url) as manager, Remote(url) as other:
        counter = manager.Counter(5, name="counter")
        assert counter.name == "counter"
        assert other.Counter("counter").add() == 6
        assert other.names() == ["counter"]
        assert manager.Counter(name="counter").add() == 7  # created once
        with pytest.raises(TypeError, match="'counter' is a Counter, not a list"):
            other.list("counter")
        with pytest.raises(TypeError, match="'counter' is a Counter, not a Own") as caught:
            raise_cause(lambda: other.Own("counter"))
        assert caught
        assert counter.statistics().name == "counter"
        assert manager.CounterWithName(name="Anne").whose() == "Anne"  # its own argument
        assert other.delete("counter")
        for use in (counter.add, manager.Counter(name="other").delete):
            with contextlib.suppress(ObjectGone):
                use()
        with pytest.raises(ObjectGone):
            counter.add()


def raise_cause(make):
    from multiprocessing.managers import RemoteError

    try:
        make()
    except RemoteError as error:
        raise TypeError(str(error)) from error


def test_name_of_a_dead_host_is_taken_over(url):
    with Remote(url) as client, serving(url) as second:
        with serving(url) as first:
            counter = first.Counter(5, name="counter")
            assert client.Counter("counter").add() == 6
            kill9(first._process)
            with pytest.raises(HostLost, match="ask a manager for the name again"):
                counter.add()
        old = client.Counter("counter", 100)  # the second serves it now
        assert old.pid() == second._process.pid
        assert [old.add(), second.Counter(name="counter").add()] == [101, 102]
        assert counter_of(url, "counter").add() == 103
        second.shutdown()
        with serving(url) as third:
            assert third.Counter(200, name="counter").add() == 201
            assert old.add() == 202  # an old proxy follows the name


def counter_of(url, name):
    manager = Remote(url)
    try:
        return _Kept(manager, manager.Counter(name))
    except BaseException:
        manager.shutdown()
        raise


class _Kept:
    def __init__(self, manager, counter):
        self._manager, self._counter = manager, counter

    def add(self):
        with self._manager:
            return self._counter.add()


# -- the process that started it

OWNER = """
import multiprocessing, sys
from tests.hosted.hosted_classes import Our
if __name__ == "__main__":
    manager = Our(*sys.argv[2:], ctx=multiprocessing.get_context(sys.argv[1]))
    manager.start()
    counter = manager.Counter()
    counter.add()
    print(manager._process.pid, flush=True)
    input()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("shared", [True, False])
def test_host_ends_with_its_parent(url, method, shared, tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    from tests.support.procs import ROOT

    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    with spawn_script(script, {"PYTHONPATH": path}, args=[method, url][: 1 + shared]) as owner:
        pid = int(owner.line())
        owner.kill()
        owner.wait()
        wait_until(lambda: not is_alive(pid))
    if shared:
        with Remote(url) as other, pytest.raises(HostLost):
            other.Counter()


def test_host_that_does_not_exit_is_terminated():
    manager = Our(ctx=fork, shutdown_timeout=0.05)
    manager.start()
    process = manager._process
    pause(process)
    manager.shutdown()
    assert process.exitcode == -signal.SIGKILL


def test_connected_manager_deletes_the_objects_that_it_created(url):
    with serving(url) as manager:
        with Remote(url) as other:
            counter = other.Counter()
            kept = manager.Counter(name="kept")
            assert ask(manager, "number_of_objects") == 2
            manager.dict("box")["kept"] = kept
            pickle.dumps(counter)
        wait_until(lambda: ask(manager, "number_of_objects") == 1)
        manager.delete("box")


def test_release_after_the_end_of_the_host_leaves_no_keys(url, server):
    with Remote(url) as other, serving(url) as manager:
        counters = [other.Counter() for _ in range(3)]
        host = manager.runtime.session.handle(manager._host).keys
        collect(other, counters.pop())
        wait_until(lambda: ask(manager, "number_of_objects") == 2)
        manager.shutdown()
        collect(other, counters.pop())
        assert not server.command("EXISTS", host.data, host.released, host.tokens)
    assert not server.command("EXISTS", host.released, host.tokens)


def collect(manager, proxy):
    """Collect a proxy, and wait until the background thread has released it."""
    session, key = manager.runtime.session, proxy._id
    del proxy
    gc.collect()
    wait_until(lambda: key not in session.references)
    behind = threading.Event()
    session.heartbeat.call_soon(behind.set)
    assert behind.wait(PATIENCE)


def test_host_ignores_sigint():
    with Our(ctx=fork) as manager:
        assert send_signal(manager._process, signal.SIGINT)
        assert manager.Counter().add() == 1


def test_killed_private_server():
    manager = Our(ctx=fork)
    manager.start()
    counter = manager.Counter()
    caller = Caller(counter.wait)
    caller.start()
    assert counter.await_waiter()
    kill9(manager.runtime.embedded.pid)
    caller.join(PATIENCE)
    assert isinstance(caller.error, LinkError)
    with pytest.raises(LinkError):
        counter.add()
    manager._process.join(PATIENCE)
    assert manager._process.exitcode == 0
    manager.shutdown()


def test_native_types_start_no_process():
    with SyncManager() as manager:
        assert manager._process is None
        assert manager._number_of_objects() == 0
        l = manager.list([1])
        assert manager._number_of_objects() == 1
        assert "list" in manager._debug_info()
        del l


def in_child(counter, results):
    results.append(counter.add())


def test_fork_with_calls_in_flight(url):
    with serving(url) as manager:
        counter, results = manager.Counter(), manager.list()
        callers = [Caller(counter.wait) for _ in range(3)]
        for caller in callers:
            caller.start()
            assert counter.await_waiter()
        child = fork.Process(target=in_child, args=(counter, results))
        child.start()
        child.join(PATIENCE)
        assert results[:] == [1]
        assert counter.add() == 2
        counter.open()
        for caller in callers:
            caller.join(PATIENCE)
            assert caller.error is None


def test_initializer(url):
    started = fork.Value("i", 0)

    def note(n):
        started.value = n + os.getpid()

    manager = Our(url, ctx=fork)
    with pytest.raises(TypeError):
        manager.start(1)
    manager.start(note, (1,))
    assert started.value == 1 + manager._process.pid
    manager.shutdown()
    failing = Our(ctx=fork)
    with pytest.raises(EOFError, match="ended before it was ready") as info:
        failing.start(Counter.missing, (None,))
    assert isinstance(info.value.__cause__, KeyError)
    assert "in missing" in info.value.__cause__.__notes__[0]
    failing.shutdown()


def pause_between(url, results):
    with Remote(url, lease=0.9) as manager:
        counter = manager.Counter("counter")
        results.append(counter.add())
        os.kill(os.getpid(), signal.SIGSTOP)
        results.append(counter.add())


def pause(process):
    """Stop a child, and wait until it is stopped."""
    assert send_signal(process, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


def test_client_suspended_for_longer_than_its_lease(url):
    with serving(url, lease=2.0) as manager:
        results = manager.list(name="results")  # which has no lease
        child = fork.Process(target=pause_between, args=(url, results))
        child.start()
        wait_until(lambda: results[:] == [1])
        clients = manager.runtime.session.handle(manager._host).keys.channels
        link = manager.runtime.session.link
        count = link.execute(b"SCARD", clients)
        wait_until(lambda: link.execute(b"SCARD", clients) < count)  # it was taken for dead
        assert send_signal(child, signal.SIGCONT)
        child.join(PATIENCE)
        assert results[:] == [1, 2]
        counter = manager.Counter(name="counter")
        pause(manager._process)
        with pytest.raises(HostLost):
            counter.add()
        assert send_signal(manager._process, signal.SIGCONT)
        assert manager.Counter(name="counter").add() in (3, 4)  # the lost call may be carried out
        manager.delete("results")


def test_exception_whose_pickling_exits(url):
    with serving(url) as manager:
        counter = manager.Counter()
        with pytest.raises(RemoteError, match="Unserializable message"):
            counter.refuse_and_exit()
        assert counter.add() == 1


def test_client_for_whom_no_thread_can_be_started(url, monkeypatch):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("multihost-") and "." in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)  # in the child, too
        manager = Our(url, ctx=fork)
        manager.start()
    try:
        with Remote(url) as other, pytest.raises(LinkLost, match="no thread"):
            other.Counter()
    finally:
        manager.shutdown()
