"""Items that a consumer cannot unpickle: the others arrive, and nothing is lost."""

from __future__ import annotations

import logging
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Any

import pytest

from multihost import BadPayload, RedisManager
from tests.support.procs import spawn_script
from tests.support.waiting import PATIENCE, wait_until

KINDS = ("Queue", "JoinableQueue", "LifoQueue", "PriorityQueue")
ALL = (*KINDS, "SimpleQueue")
SECONDS = PATIENCE
OPTIONS: list[dict[str, Any]] = [{}, {"redeliver": True}, {"redeliver": True, "max_deliveries": 3}]


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


RAISES: dict[str, Callable[[], object]] = {
    "AttributeError": lambda: None.nothing,  # type: ignore[attr-defined]
    "ModuleNotFoundError": lambda: __import__("no_such_module"),
    "ValueError": lambda: int("x"),  # becomes BadPayload, as it means damage elsewhere
    "SystemExit": lambda: sys.exit(7),
}
calls: list[Callable[[], object]] = []
"""What unpickling a :class:`Once` does, once."""


def explode(how: str) -> Any:
    RAISES[how]()
    raise AssertionError("it must have raised")


def call_once() -> str:
    if calls:
        calls.pop()()
    return "once"


class Bad:
    """Can be pickled, and not unpickled."""

    def __init__(self, how: str = "AttributeError") -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return explode, (self.how,)

    def __lt__(self, other: object) -> bool:
        return False


class Sortable(str):
    """A word that can be read at times."""

    readable = True

    def __reduce__(self) -> Any:
        return sortable, (str(self),)


def sortable(word: str) -> Sortable:
    if not Sortable.readable:
        raise ImportError
    return Sortable(word)


class Once:
    """Runs what is in ``calls`` when it is unpickled."""

    def __reduce__(self) -> Any:
        return call_once, ()


def queue_of(m: RedisManager, kind: str, items: list[Any], **options: Any) -> Any:
    """A queue with these items, in this order also where they are sorted."""
    q = getattr(m, kind)("jobs", **options)
    if kind == "PriorityQueue":
        items = list(enumerate(items))
    if kind == "LifoQueue":
        items = items[::-1]
    for item in items:
        q.put(item)
    return q


def plain(kind: str, items: list[Any]) -> list[Any]:
    return [item[1] for item in items] if kind == "PriorityQueue" else items


# -- one bad item


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("how", RAISES)
@pytest.mark.parametrize("kind", KINDS)
def test_get_many_returns_the_others(
    kind: str, how: str, options: dict[str, Any], m: RedisManager, caplog: Any
) -> None:
    q = queue_of(m, kind, ["a", Bad(how), "b", 3, "c"], **options)
    with caplog.at_level(logging.WARNING, "multihost"):
        assert plain(kind, q.get_many(10)) == ["a", "b", 3, "c"]
    (record,) = caplog.records
    said = record.getMessage()
    assert "get_many() of" in said and "'jobs'" in said and "dead letter" in said
    assert {"ValueError": "BadPayload"}.get(how, how) in said
    for _ in range(4):
        q.task_done()
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()
    q.join()  # the bad one is done
    wait_until(lambda: not q.statistics().in_flight)
    assert q.statistics()[2:7] == (0, 0, 0, 0, 1)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("prefetch", [0, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_get_raises_for_the_bad_one_alone(
    kind: str, prefetch: int, options: dict[str, Any], m: RedisManager
) -> None:
    q = queue_of(m, kind, ["a", Bad(), "b", Bad(), "c"], **options)
    q.prefetch = prefetch
    got = []
    for _ in range(5):
        try:
            got.append(q.get_nowait())
        except AttributeError as error:
            assert "get() of" in error.__notes__[0] and "'jobs'" in error.__notes__[0]
        else:
            q.task_done()
    assert plain(kind, got) == ["a", "b", "c"]
    with pytest.raises(Empty):
        q.get_nowait()
    q.join()
    wait_until(lambda: not q.statistics().in_flight)
    assert len(q.dead_letters()) == 2


@pytest.mark.parametrize("how", RAISES)
@pytest.mark.parametrize("method", ["get", "get_nowait", "get_many"])
def test_if_there_are_only_bad_ones_the_error_is_raised(
    method: str, how: str, m: RedisManager
) -> None:
    q = queue_of(m, "Queue", [Bad(how)] * 2)
    expected = {"ValueError": "BadPayload"}.get(how, how)
    with pytest.raises(BaseException) as caught:
        getattr(q, method)(*(2,) if method == "get_many" else ())
    assert type(caught.value).__name__ == expected
    said = "\n".join((str(caught.value), *getattr(caught.value, "__notes__", ())))
    if how != "SystemExit":
        assert "'jobs'" in said and "dead letter" in said
    assert q.statistics().dead_letters == (2 if method == "get_many" else 1)


def test_damaged_bytes_are_a_BadPayload_that_names_queue_and_method(m: RedisManager) -> None:
    q = queue_of(m, "Queue", [Bad("ValueError")])
    with pytest.raises(
        BadPayload, match=r"get\(\) of Queue 'jobs': an item of \d+ bytes"
    ) as caught:
        q.get()
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_simple_queue_has_dead_letters_too(m: RedisManager) -> None:
    q = queue_of(m, "SimpleQueue", [Bad(), "a"])
    with pytest.raises(AttributeError):
        q.get()
    assert q.get() == "a"
    assert q.requeue_dead_letters() == 1
    with pytest.raises(AttributeError):
        q.get()
    assert q.purge_dead_letters() == 1


def test_room_is_made_for_those_who_wait(m: RedisManager, url: str) -> None:
    q = queue_of(m, "Queue", [Bad()], maxsize=1)
    with RedisManager(url) as other:
        put = threading.Thread(target=lambda: other.Queue("jobs").put("next"))
        put.start()
        wait_until(lambda: q.statistics().waiters == 1)
        with pytest.raises(AttributeError):
            q.get()
        assert q.get(timeout=SECONDS) == "next"
        put.join()


def test_an_item_with_proxies_keeps_them_while_it_is_a_dead_letter(m: RedisManager) -> None:
    inner = m.list([1])
    q = queue_of(m, "Queue", [(inner, Once()), "a"])
    inner_again = m.list()  # whatever is created: the other must live by the queue
    del inner
    calls.append(lambda: None.nothing)  # type: ignore[attr-defined]
    calls.append(lambda: None.nothing)  # type: ignore[attr-defined]
    assert q.get_many(2) == ["a"]
    (letter,) = q.dead_letters()
    assert letter[0].copy() == [1]
    assert q.requeue_dead_letters() == 1
    assert q.get()[0].copy() == [1]
    del inner_again


@pytest.mark.parametrize("bad", [1, 20, 60])
def test_a_priority_queue_orders_what_it_can_compare(bad: int, m: RedisManager) -> None:
    """Also where only Python can compare, and items that it cannot read are anywhere between."""
    q = m.PriorityQueue("jobs")
    order = random.Random(bad)
    items = [f"{n:02}" for n in range(40)]
    items += [Sortable(f"{order.randrange(40):02}") for _ in range(bad)]
    order.shuffle(items)
    Sortable.readable = True
    for item in items:
        q.put(item)
    Sortable.readable = False
    q.put("19½")
    got = q.get_many(len(items) + 1)
    assert got == sorted([*(f"{n:02}" for n in range(40)), "19½"])
    assert q.statistics().dead_letters == bad


# -- dead letters


@pytest.mark.parametrize("how", RAISES)
def test_a_dead_letter_that_cannot_be_read_says_why(how: str, m: RedisManager) -> None:
    q = queue_of(m, "Queue", ["a", Bad(how), "b"], redeliver=True, max_deliveries=1)
    with RedisManager(m.address) as leaves:
        assert leaves.Queue("jobs").get_many(3) == ["a", "b"]
    letters = q.dead_letters()
    assert sorted(str(each) for each in letters if not isinstance(each, Exception)) == ["a", "b"]
    (bad,) = (each for each in letters if isinstance(each, Exception))
    assert isinstance(bad, BadPayload)
    assert "dead_letters() of Queue 'jobs': letter" in str(bad)
    assert {"ValueError": "BadPayload"}.get(how, how) in str(bad)
    assert q.requeue_dead_letters() == 3
    assert q.get_many(3) != []
    assert q.statistics().dead_letters == 1


# -- what comes from outside while a batch is unpickled


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("act", "kind_of_error"), [(interrupt, KeyboardInterrupt), (lambda: sys.exit(3), SystemExit)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_interruption_gives_the_whole_batch_back(
    kind: str, act: Any, kind_of_error: Any, options: dict[str, Any], m: RedisManager
) -> None:
    """The second is that of a signal handler: no item raises it again."""
    q = queue_of(m, kind, ["a", Once(), "b"], **options)
    calls.append(act)
    with pytest.raises(kind_of_error):
        q.get_many(3)
    wait_until(lambda: not q.statistics().in_flight)
    assert q.statistics()[2:7] == (3, 0, 3, 0, 0)
    assert plain(kind, q.get_many(3)) == ["a", "once", "b"]
    assert q.deliveries == 1, "they were not delivered before"


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_interrupted_get_gives_its_item_back(kind: str, prefetch: int, m: RedisManager) -> None:
    q = queue_of(m, kind, [Once(), "a", "b"])
    if kind != "SimpleQueue":
        q.prefetch = prefetch
    calls.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        q.get()
    found = plain(kind, [q.get(timeout=SECONDS) for _ in range(3)])
    assert sorted(found) == ["a", "b", "once"]
    with pytest.raises(Empty):
        q.get_nowait()


# -- as programs meet it

PRODUCER = """
import sys
from multihost import RedisManager

class Task:
    pass

with RedisManager(sys.argv[1]) as m:
    m.Queue("jobs").put_many([0, 1, Task(), *range(3, 10)])
"""
OTHER_VERSION = """
import sys
from multihost import RedisManager

class Task:
    pass

with RedisManager(sys.argv[1]) as m:
    q = m.Queue("jobs")
    assert q.requeue_dead_letters() == 1
    print(type(q.get()).__name__)
"""


def test_a_class_that_only_other_programs_have(m: RedisManager, url: str) -> None:
    with spawn_script(PRODUCER, args=[url]) as producer:
        producer.finish()
    q = m.Queue("jobs")
    assert q.get_many(10) == [0, 1, *range(3, 10)]
    (letter,) = q.dead_letters()
    assert "Task" in str(letter)
    with spawn_script(OTHER_VERSION, args=[url]) as other:
        assert other.finish().split() == ["Task"]
    assert q.dead_letters() == []
