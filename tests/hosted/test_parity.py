"""Bodies that behave alike with managers of multiprocessing and of multihost."""

from __future__ import annotations

import collections
import copy
import multiprocessing
import pickle
import queue
import threading
from multiprocessing.managers import RemoteError

import pytest

from tests.hosted.hosted_classes import Adopting, Fragile, Our, Refused, Their, Unpicklable
from tests.support.waiting import PATIENCE

fork = multiprocessing.get_context("fork")


@pytest.fixture(scope="module", params=[Their, Our, Adopting], ids=lambda cls: cls.__name__)
def m(request):
    with request.param(ctx=fork) as manager:
        keeps_the_thread = manager.Counter()
        keeps_the_thread.add()
        yield manager


def test_methods_run_in_the_process_of_the_object(m):
    counter = m.Counter(5)
    assert counter.pid() == m._process.pid
    assert [counter.add(), counter.add(2), counter.add(amount=3)] == [6, 8, 11]
    assert str(counter) == "Counter(11)"
    assert repr(counter).startswith("<AutoProxy[Counter] object, typeid 'Counter' at 0x")


def test_attributes_of_a_proxy(m):
    counter, exposed = m.Counter(), m.Exposed()
    assert [name for name in ("add", "_hidden", "number") if hasattr(counter, name)] == ["add"]
    with pytest.raises(TypeError):
        len(counter)
    assert (exposed._hidden(), len(exposed), exposed.add()) == ("hidden", 7, 1)
    assert not hasattr(exposed, "pid")
    assert counter._callmethod("add", (4,)) == 4
    assert counter._callmethod("add", (), {"amount": 4}) == 8
    for name in ("_hidden", "nothing", "#NOTHING"):
        with pytest.raises(RemoteError, match=name):
            counter._callmethod(name)


def test_own_proxies(m):
    own = m.Own(1)
    assert (own.add_twice(2), len(own)) == (5, 7)
    with pytest.raises(RemoteError, match="pid"):
        own._callmethod("pid")
    attributes = m.Attributes(3)
    attributes.number = 10
    attributes.name = "namespace"
    assert (attributes.number, attributes.name, attributes.add(5)) == (10, "namespace", 15)
    del attributes.name
    with pytest.raises(AttributeError):
        print(attributes.name)


def test_errors(m):
    counter = m.Counter()
    with pytest.raises(Refused) as refused:
        counter.refuse(3)
    assert refused.value.args == (3, "because")
    with pytest.raises(KeyError) as missing:
        counter.missing()
    assert missing.value.args == ("missing",)
    with pytest.raises(queue.Empty):
        counter.get()
    with pytest.raises(RemoteError, match="not me"):
        counter.unpicklable()
    with pytest.raises(AttributeError, match="nothing"):
        counter.lose()
    assert counter.add() == 1


def test_arguments_that_cannot_be_pickled(m):
    counter = m.Counter()
    with pytest.raises(TypeError, match="not me"):
        counter.add(Unpicklable())
    with pytest.raises((AttributeError, pickle.PicklingError)):
        counter.add(lambda: 1)
    assert counter.add() == 1


def test_errors_of_creation(m):
    with pytest.raises(RemoteError, match="positional argument"):
        m.Counter(1, 2, 3)
    with pytest.raises(RemoteError):
        m.Fails(None, 3)
    m.Counter()


def test_results_that_stay_at_the_host(m):
    counter = m.Counter(1)
    assert list(counter.evens(7)) == [0, 2, 4, 6]
    child = counter.child()
    assert (child.add(), counter.add()) == (3, 2)
    total = counter.running_total()
    assert [next(total), total.send(3), total.send(4), total.throw(KeyError("x"))] == [0, 3, 7, 100]
    total.close()
    assert str(counter) == "Counter(-1)"
    with pytest.raises(StopIteration):
        next(total)
    assert list(m.squares()) == [0, 1, 4, 9, 16]
    numbers = m.Lister().numbers()
    numbers.append(4)
    assert list(numbers) == [1, 2, 3, 4]
    assert type(numbers).__name__ == "ListProxy"


def test_result_that_is_the_object_itself(m):
    queue_1, queue_2 = m.get_global(), m.get_global()
    queue_1.put("x")
    assert queue_2.get() == "x"
    assert queue_1._id == queue_2._id
    del queue_1
    queue_2.put("y")
    assert m.get_global().get() == "y"
    counter = m.Counter(4)
    same = counter.myself()
    assert (same._id, same.add()) == (counter._id, 5)


def test_registered_containers(m):
    d = m.defaultdict(int, {"a": 1})
    assert (d["b"], d["a"], len(d), sorted(d.keys())) == (0, 1, 2, ["a", "b"])
    d["c"] = 5
    assert d.copy() == {"a": 1, "b": 0, "c": 5}
    assert type(d._getvalue()) is collections.defaultdict
    assert type(copy.deepcopy(d)) is collections.defaultdict
    assert sorted(d) == ["a", "b", "c"]
    with pytest.raises(KeyError):
        del d["missing"]
    letters = m.deque("ab", maxlen=2)
    letters.append("c")
    assert (len(letters), str(letters)) == (2, "deque(['b', 'c'], maxlen=2)")


def test_blocking_methods(m):
    lock, event = m.HostedLock(), m.HostedEvent()
    with lock:
        assert not lock.acquire(False)
    assert lock.acquire(True, 1)
    lock.release()
    waits = threading.Thread(target=event.wait)
    waits.start()
    assert not event.wait(0.01)
    event.set()
    waits.join(PATIENCE)
    assert not waits.is_alive()


def test_blocked_call_does_not_block_others(m):
    counter = m.Counter()
    waits = [threading.Thread(target=counter.wait, args=(n,)) for n in range(4)]
    for each in waits:
        each.start()
    for _ in waits:
        assert counter.await_waiter()
    assert counter.add() == 1
    for n in range(4):
        counter.open(n)
    for each in waits:
        each.join(PATIENCE)


def test_proxies_as_arguments_and_results(m):
    counter, other = m.Counter(), m.Counter(5)
    assert counter.call(other) == 15
    ((same,), _) = counter.echo(other)
    assert same.add() == 16
    d, numbers = m.dict(), m.list([1])
    d["counter"], d["numbers"] = counter, numbers
    assert d["counter"].add() == 1
    (found, _) = counter.echo(numbers)
    found[0].append(2)
    assert list(numbers) == [1, 2]
    assert copy.copy(counter).add() == 2


def _use(counter, own, attributes, iterator, d, results):
    results.append(
        [counter.add(), own.add_twice(1), attributes.add(1), next(iterator), d["a"], str(counter)]
    )


def test_in_other_processes(m):
    parts = m.Counter(), m.Own(), m.Attributes(), m.squares(), m.defaultdict(int, a=3), m.list()
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=_use, args=parts)
        child.start()
        child.join(PATIENCE)
    assert list(parts[-1]) == [
        [1, 2, 1, 0, 3, "Counter(1)"],
        [2, 4, 2, 1, 3, "Counter(2)"],
    ]


def test_unregistered_types_and_methods(m):
    with pytest.raises(RemoteError, match="Without callable"):
        m.Bare()
    with pytest.raises(RemoteError, match="KeyError"):
        m._create("Nothing")
    assert m.Bare(["x"]).count("x") == 1


def test_proxy_made_by_hand(m):
    token, exposed = m._create("Counter", 3)
    proxy = type(m.Own())(token, "pickle", manager=m, authkey=m._authkey, exposed=exposed)
    assert (proxy.add_twice(1), token.typeid, "add" in exposed) == (5, "Counter", True)
    assert proxy._id == token.id


def test_proxies_can_be_hashed_and_compared(m):
    counter = m.Counter()
    assert counter == counter and counter != copy.copy(counter)
    assert {counter: 1}[counter] == 1


def test_fragile_exceptions_arrive_in_some_form(m):
    with pytest.raises((TypeError, RemoteError)):
        m.Counter().refuse_fragile()
    assert Fragile(1, 2).args == (1,)
