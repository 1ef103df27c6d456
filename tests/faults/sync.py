"""Every operation of the synchronisation types, with its result and what it leaves behind.

On each stage there are two processes, as far as the server can tell: ``ours`` does what is to be
tested, over a connection that may be broken; ``theirs`` has a way of its own. What runs in the
background of either is not counted among the requests.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
import threading
from collections.abc import Callable, Iterator
from threading import BrokenBarrierError
from typing import Any

from multihost import ObjectGone, RedisManager
from multihost.proxies.barrier import BarrierProxy
from multihost.proxies.event import EventProxy
from multihost.wire.places import places_of
from multihost.wire.session.blocked import BlockedThreads
from tests.cli.garbage_samples import hold_by_the_dead
from tests.faults.calls import impatient
from tests.support.waiting import PATIENCE, wait_until

__all__ = ["CASES", "TYPES", "Case", "Stage", "facts", "staging"]

SECONDS = PATIENCE
SOON = 0.05
"""A timeout that runs out."""

TYPES: dict[str, tuple[Any, ...]] = {
    "Lock": (),
    "RLock": (),
    "Semaphore": (2,),
    "BoundedSemaphore": (2,),
    "Condition": (),
    "Event": (),
    "Barrier": (2,),
}

NAME = "x"
MEANT = (EventProxy, BarrierProxy)
"""Types whose tokens say something; those of the others are hints."""
POPS = ("blpop", "blmove", "brpoplpush")
HINTS = (b"f:", b"x:", b"h:", b"@:")
"""Fields that say who had what, and how many places a session may use."""
_namespaces = itertools.count()


# -- stages


class Stage:
    """An object of ours, the same one of theirs, and threads of both."""

    def __init__(self, manager: RedisManager, other: RedisManager, server: Any) -> None:
        self.manager, self.other, self.server = manager, other, server
        self.ours: Any = None
        self.theirs: Any = None
        self._threads: list[threading.Thread] = []
        self.results: list[Any] = []
        """What the threads returned, or raised."""

    def make(self, typeid: str, *args: Any) -> None:
        args = args or TYPES[typeid]
        self.ours = getattr(self.manager, typeid)(NAME, *args)
        self.theirs = getattr(self.other, typeid)(NAME, *args)

    def aside(self, act: Callable[[], Any]) -> None:
        """Do something in another thread, as long as the operation lasts or longer."""

        def run() -> None:
            try:
                result = act()
            except Exception as error:
                result = type(error)
            self.results.append(result)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def settle(self, count: int | None = None) -> None:
        """Wait until so many threads, or all, have ended."""
        if count is not None:
            wait_until(lambda: len(self.results) >= count, SECONDS, f"{count} have ended")
            return
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive(), "a thread hangs"
        self._threads.clear()

    @property
    def data(self) -> bytes:
        key: bytes = self.ours._handle.keys.data
        return key

    def fields(self, start: bytes = b"") -> list[bytes]:
        return [f for f in self.server.command("HKEYS", self.data) if f.startswith(start)]

    def await_waiters(self, count: int = 1) -> None:
        """Until so many wait, in whatever way the type counts them."""
        wait_until(
            lambda: len(self.fields(b"q:") + self.fields(b"z:")) >= count, SECONDS, "they wait"
        )

    def await_blocked(self, count: int = 1) -> None:
        """Until so many connections are blocked on the object."""

        def blocked() -> bool:
            rows = self.server.clients()
            return sum(row["cmd"] in POPS and "b" in row["flags"] for row in rows) >= count

        wait_until(blocked, SECONDS, "they are blocked")

    def forget(self) -> None:
        """Before the next stage: what the ones before have left in this process."""
        for manager in (self.manager, self.other):
            session = manager.runtime.session
            session.holds.clear()
            session.places.clear()
            session.blocked = BlockedThreads(session.link, session.janitor)
            with session.janitor._lock:
                session.janitor._deferred.clear()
                session.janitor._timers.clear()


@contextlib.contextmanager
def staging(
    url: str, server: Any, others_url: str = "", *, late: float | None = None, **options: Any
) -> Iterator[Any]:
    """Make stages, one after the other, in a namespace of their own."""
    namespace = f"multihost-{next(_namespaces):06d}-sync"
    theirs = others_url or server.url
    with (
        RedisManager(url, namespace=namespace, **options) as manager,
        RedisManager(theirs, namespace=namespace) as other,
        # Until then: a manager that closes asks once, and a machine may need longer to answer.
        contextlib.nullcontext() if late is None else impatient(manager, late, PATIENCE / 2),
    ):

        def make(case: Case) -> Stage:
            stage = Stage(manager, other, server)
            stage.forget()
            found = server.keys(f"{{{namespace}:*")
            keys = [key for key in found if not _is_private(key)]
            if keys:
                server.command("UNLINK", *keys)
            case.make(stage)
            return stage

        yield make


OF_THE_COLLECTOR = b"epoch leases collector lists kept held cut tops partial".split()


def _is_private(key: bytes) -> bool:
    """The records of callers, and what sessions say of themselves."""
    return key.partition(b"}:")[2].startswith((b"r:", b"s:", b"ring:", *OF_THE_COLLECTOR))


def facts(stage: Stage) -> dict[str, Any]:
    """Everything on the server that has a meaning, with ``us`` and ``them`` for the sessions.

    Not fencing tokens, of which a lost reply costs one, nor the hints for who waits.
    """
    server, namespace = stage.server, stage.manager.runtime.settings.namespace
    sessions = {
        b"<us>": stage.manager.runtime.session.registration.sid,
        b"<them>": stage.other.runtime.session.registration.sid,
    }

    def plain(thing: bytes) -> bytes:
        for label, sid in sessions.items():
            thing = thing.replace(sid, label)
        thing = re.sub(rb"u:[\w-]{22}", b"<unnamed>", thing)
        thing = re.sub(rb"((?:held|-):<\w+>)~\d+\.\d+$", rb"\1", thing)
        # A generation of a barrier.
        thing = re.sub(rb"\b\d{13}(\d{3})$", rb"<millisecond>\1", thing)
        return re.sub(rb"(<\w+>)~\d+\.\d+\.[^.]*(\.\d{16}|\.<millisecond>\d{3})?$", rb"\1", thing)

    found: dict[str, Any] = {}
    for key in server.keys(f"{{{namespace}:*"):
        tail = key.partition(b"}:")[2]
        if _is_private(key) or (b":tokens" in tail and not isinstance(stage.ours, MEANT)):
            continue
        lease = "kept" if server.command("PTTL", key) == -1 else "leased"
        kind = server.command("TYPE", key)
        if kind == b"hash":
            flat = server.command("HGETALL", key)
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            # What is a microsecond: fencing tokens, and when an event was set.
            times = (b"n", b"b") if fields.get(b"t", b"")[:6] == b"Event " else (b"f",)
            content = sorted(
                (plain(field), plain(value))
                for field, value in fields.items()
                if field not in times
                and field[:2] not in HINTS
                and (field, value) != (b"w", b"0")
                and (field[:2], value) != (b"q:", b"")  # told late that it waits, or does not
            )
        elif kind == b"list":
            content = server.command("LRANGE", key, 0, -1)
            if b":held:" in tail:  # it does not matter how many places have it
                content = found.get(plain(tail).decode(), ([], ""))[0] + content
        else:
            assert kind == b"none", "it was taken just now"
            continue
        if content or tail.endswith(NAME.encode()):
            found[plain(tail).decode()] = (content, lease)
    return found


# -- the cases


@dataclasses.dataclass(frozen=True)
class Case:
    """``act`` is the operation under test and ``result`` what it returns, or raises.

    ``calm`` waits until what it caused is over. ``then`` shows that the object is of use, and ends
    with nothing held. ``aside`` is what the threads return, if there are any, in any order.
    """

    name: str
    make: Callable[[Stage], None]
    act: Callable[[Stage], Any]
    result: Any
    then: Callable[[Stage], None] = lambda stage: None
    aside: tuple[Any, ...] = ()
    calm: Callable[[Stage], None] = Stage.settle

    def run(self, stage: Stage) -> Any:
        try:
            return self.act(stage)
        except Exception as error:
            return type(error)

    def finish(self, stage: Stage) -> None:
        """Use the object, and look at the threads."""
        self.then(stage)
        stage.settle()
        assert sorted(map(repr, stage.results)) == sorted(map(repr, self.aside))


def _fresh(typeid: str, *args: Any) -> Callable[[Stage], None]:
    return lambda stage: stage.make(typeid, *args)


def _ours_held(typeid: str, *args: Any) -> Callable[[Stage], None]:
    def make(stage: Stage) -> None:
        stage.make(typeid, *args)
        assert stage.ours.acquire(timeout=SECONDS)

    return make


def _theirs_held(typeid: str, *args: Any) -> Callable[[Stage], None]:
    def make(stage: Stage) -> None:
        stage.make(typeid, *args)
        assert stage.theirs.acquire(timeout=SECONDS)

    return make


def _call(method: str, *args: Any, **kwds: Any) -> Callable[[Stage], Any]:
    return lambda stage: getattr(stage.ours, method)(*args, **kwds)


def _held_by_us(stage: Stage) -> None:
    """Exactly once: nobody else gets it before we release it, and everybody afterwards."""
    fence = stage.ours.fencing_token
    assert stage.theirs.acquire(False) is False
    assert stage.ours.release() is None
    assert stage.theirs.acquire(False) is True
    assert stage.theirs.fencing_token > fence
    stage.theirs.release()


def _free(stage: Stage) -> None:
    assert stage.theirs.acquire(False) is True
    stage.theirs.release()
    assert stage.ours.acquire(False) is True
    stage.ours.release()


def _held_by_them(stage: Stage) -> None:
    assert stage.ours.acquire(False) is False
    stage.theirs.release()
    _free(stage)


# Lock and RLock


def _in_turn(stage: Stage) -> bool:
    """They release it as soon as we wait."""

    def release() -> None:
        stage.await_waiters()
        stage.theirs.release()

    stage.aside(release)
    return bool(stage.ours.acquire(timeout=SECONDS))


def _crowded(make: Callable[[Stage], None]) -> Callable[[Stage], None]:
    """As if we had had to wait for it last time: then we join those who wait at once."""

    def made(stage: Stage) -> None:
        make(stage)
        places_of(stage.ours._handle).contended = True

    return made


def _they_wait(make: Callable[[Stage], None]) -> Callable[[Stage], None]:
    """They wait for what we hold, in a thread, and release it as soon as they have it."""

    def made(stage: Stage) -> None:
        make(stage)
        stage.aside(lambda: stage.theirs.acquire(timeout=SECONDS))
        stage.await_blocked()

    return made


def _got_by_them(stage: Stage) -> None:
    stage.settle()
    assert stage.ours.acquire(False) is False
    stage.theirs.release()
    _free(stage)


def _dead_holder(stage: Stage) -> None:
    """The lock is held by a session that is no more."""
    stage.make("Lock")
    hold_by_the_dead(stage.server, stage.ours)


CASES = [
    Case("Lock acquire", _fresh("Lock"), _call("acquire"), True, _held_by_us),
    Case("Lock acquire not blocking", _fresh("Lock"), _call("acquire", False), True, _held_by_us),
    Case(
        "Lock acquire in time", _fresh("Lock"), _call("acquire", True, SECONDS), True, _held_by_us
    ),
    Case("Lock acquire in turn", _theirs_held("Lock"), _in_turn, True, _held_by_us, (None,)),
    Case("Lock acquire of a dead holder", _dead_holder, _call("acquire", 0), True, _held_by_us),
    Case(
        "Lock acquire and delete",
        _fresh("Lock"),
        _call("acquire"),
        True,
        lambda stage: stage.theirs.delete(),
    ),
    Case("Lock acquire refused", _theirs_held("Lock"), _call("acquire", 0), False, _held_by_them),
    Case(
        "Lock acquire too late",
        _theirs_held("Lock"),
        _call("acquire", timeout=SOON),
        False,
        _held_by_them,
    ),
    Case("Lock acquire crowded", _crowded(_fresh("Lock")), _call("acquire"), True, _held_by_us),
    Case(
        "Lock acquire crowded, in turn",
        _crowded(_theirs_held("Lock")),
        _in_turn,
        True,
        _held_by_us,
        (None,),
    ),
    Case(
        "Lock acquire crowded, too late",
        _crowded(_theirs_held("Lock")),
        _call("acquire", timeout=SOON),
        False,
        _held_by_them,
    ),
    Case("Lock release", _ours_held("Lock"), _call("release"), None, _free),
    Case(
        "Lock release to who waits",
        _they_wait(_ours_held("Lock")),
        _call("release"),
        None,
        _got_by_them,
        (True,),
    ),
    Case("Lock release of theirs", _theirs_held("Lock"), _call("release"), None, _free),
    Case("Lock release unlocked", _fresh("Lock"), _call("release"), RuntimeError, _free),
    Case("RLock acquire", _fresh("RLock"), _call("acquire"), True, _held_by_us),
    Case("RLock release", _ours_held("RLock"), _call("release"), None, _free),
]


# Semaphores


def _permits(stage: Stage, free: int) -> None:
    """Exactly so many can be had by others, who give them back."""
    assert stage.ours.locked() is (free == 0)
    got = 0
    while stage.theirs.acquire(False):
        got += 1
        assert got <= free, "too many permits"
    assert got == free
    if got:
        stage.theirs.release(got)


def _taken(free: int) -> Callable[[Stage], None]:
    def then(stage: Stage) -> None:
        _permits(stage, free)
        stage.ours.release()
        _permits(stage, free + 1)

    return then


def _left(free: int) -> Callable[[Stage], None]:
    return lambda stage: _permits(stage, free)


def _one_of_theirs_back(free: int) -> Callable[[Stage], None]:
    def then(stage: Stage) -> None:
        _permits(stage, free)
        stage.theirs.release()
        _permits(stage, free + 1)

    return then


def _two_wait(stage: Stage) -> None:
    stage.make("Semaphore", 0)
    for _ in range(2):
        stage.aside(lambda: stage.theirs.acquire(timeout=SECONDS))
    stage.await_blocked(2)


def _one_has_it(stage: Stage) -> None:
    stage.settle(1)
    stage.await_blocked(1)


def _one_got_it(stage: Stage) -> None:
    """A permit for one of two: the other one goes on waiting."""
    assert len(stage.results) == 1
    stage.theirs.release()
    stage.settle()


def _both_got_it(free: int) -> Callable[[Stage], None]:
    def then(stage: Stage) -> None:
        stage.settle()
        _permits(stage, free)

    return then


def _ours_held_twice(typeid: str) -> Callable[[Stage], None]:
    """Both permits, at one place."""

    def make(stage: Stage) -> None:
        _ours_held(typeid)(stage)
        assert stage.ours.acquire(timeout=SECONDS)

    return make


for _type in ("Semaphore", "BoundedSemaphore"):
    CASES += [
        Case(f"{_type} release one", _ours_held_twice(_type), _call("release"), None, _taken(1)),
        Case(f"{_type} acquire", _fresh(_type), _call("acquire"), True, _taken(1)),
        Case(f"{_type} release", _ours_held(_type), _call("release"), None, _left(2)),
    ]
CASES += [
    Case(
        "Semaphore acquire not blocking",
        _fresh("Semaphore"),
        _call("acquire", False),
        True,
        _taken(1),
    ),
    Case(
        "Semaphore acquire in turn",
        _theirs_held("Semaphore", 1),
        _in_turn,
        True,
        _taken(0),
        (None,),
    ),
    Case(
        "Semaphore acquire refused",
        _theirs_held("Semaphore", 1),
        _call("acquire", False),
        False,
        _one_of_theirs_back(0),
    ),
    Case(
        "Semaphore acquire too late",
        _theirs_held("Semaphore", 1),
        _call("acquire", timeout=SOON),
        False,
        _one_of_theirs_back(0),
    ),
    Case("Semaphore release of a new one", _fresh("Semaphore"), _call("release"), None, _left(3)),
    Case(
        "Semaphore release of three", _ours_held("Semaphore"), _call("release", 3), None, _left(4)
    ),
    Case(
        "Semaphore release for one",
        _two_wait,
        _call("release"),
        None,
        _one_got_it,
        (True, True),
        _one_has_it,
    ),
    Case(
        "Semaphore release for both",
        _two_wait,
        _call("release", 3),
        None,
        _both_got_it(1),
        (True, True),
    ),
    Case(
        "Semaphore release of theirs",
        _theirs_held("Semaphore", 1),
        _call("release"),
        None,
        _left(1),
    ),
    Case(
        "BoundedSemaphore release too often",
        _fresh("BoundedSemaphore"),
        _call("release"),
        ValueError,
        _left(2),
    ),
]


# Condition


def _sleepers(count: int) -> Callable[[Stage], None]:
    """We hold the lock, and some of theirs wait for a notification."""

    def sleep(stage: Stage) -> bool:
        with stage.theirs:
            return bool(stage.theirs.wait(SECONDS))

    def make(stage: Stage) -> None:
        stage.make("Condition")
        for _ in range(count):
            stage.aside(lambda: sleep(stage))
        stage.await_blocked(count)
        assert stage.ours.acquire(timeout=SECONDS)

    return make


def _notified(stage: Stage) -> bool:
    """They notify us as soon as we wait."""

    def notify() -> None:
        stage.await_waiters()
        with stage.theirs:
            stage.theirs.notify()

    stage.aside(notify)
    return bool(stage.ours.wait(SECONDS))


def _awake(count: int, of: int) -> Callable[[Stage], None]:
    """Exactly so many are awake, and wait for the lock, which we hold."""

    def calm(stage: Stage) -> None:
        wait_until(lambda: len(stage.fields(b"q:")) == count, SECONDS, "they are awake")
        stage.await_blocked(of)
        assert len(stage.fields(b"z:")) == of - count

    return calm


def _wake_the_others(stage: Stage) -> None:
    stage.ours.release()
    with stage.theirs:
        stage.theirs.notify_all()
    stage.settle()
    _free(stage)


CASES += [
    Case("Condition acquire", _fresh("Condition"), _call("acquire"), True, _held_by_us),
    Case("Condition release", _ours_held("Condition"), _call("release"), None, _free),
    Case("Condition wait", _ours_held("Condition"), _notified, True, _held_by_us, (None,)),
    Case(
        "Condition wait too late",
        _ours_held("Condition"),
        _call("wait", SOON),
        False,
        _held_by_us,
    ),
    Case(
        "Condition notify one",
        _sleepers(2),
        _call("notify"),
        None,
        _wake_the_others,
        (True, True),
        _awake(1, 2),
    ),
    Case(
        "Condition notify all",
        _sleepers(2),
        _call("notify_all"),
        None,
        _wake_the_others,
        (True, True),
        _awake(2, 2),
    ),
    Case("Condition notify nobody", _ours_held("Condition"), _call("notify"), None, _held_by_us),
]


# Event


def _event_with_waiter(stage: Stage) -> None:
    stage.make("Event")
    stage.aside(lambda: stage.theirs.wait(SECONDS))
    stage.await_blocked()


def _event_set(stage: Stage) -> None:
    stage.make("Event")
    stage.theirs.set()


def _set_meanwhile(stage: Stage) -> bool:
    def set_() -> None:
        stage.await_blocked()
        stage.theirs.set()

    stage.aside(set_)
    return bool(stage.ours.wait(SECONDS))


def _is_set(stage: Stage) -> None:
    stage.settle()
    assert stage.theirs.wait(0) is True
    assert stage.theirs.is_set() is True
    stage.theirs.clear()
    assert stage.ours.wait(SOON) is False


def _is_clear(stage: Stage) -> None:
    assert stage.theirs.is_set() is False
    assert stage.theirs.wait(SOON) is False
    stage.theirs.set()
    assert stage.ours.wait(SECONDS) is True


CASES += [
    Case("Event set", _fresh("Event"), _call("set"), None, _is_set),
    Case("Event set for who waits", _event_with_waiter, _call("set"), None, _is_set, (True,)),
    Case("Event clear", _event_set, _call("clear"), None, _is_clear),
    Case("Event wait", _fresh("Event"), _set_meanwhile, True, _is_set, (None,)),
    Case("Event wait for one that is set", _event_set, _call("wait"), True, _is_set),
    Case("Event wait too late", _fresh("Event"), _call("wait", SOON), False, _is_clear),
]


# Barrier


def _barrier(parties: int, waiting: int, action: Any = None) -> Callable[[Stage], None]:
    def make(stage: Stage) -> None:
        stage.ours = stage.manager.Barrier(NAME, parties, action)
        stage.theirs = stage.other.Barrier(NAME, parties)
        for _ in range(waiting):
            stage.aside(lambda: min(stage.theirs.wait(SECONDS), 0))
        if waiting:
            stage.await_blocked(waiting)

    return make


def _they_arrive(stage: Stage) -> int:
    def arrive() -> int:
        stage.await_waiters()
        return int(stage.theirs.wait(SECONDS))

    stage.aside(arrive)
    return int(stage.ours.wait(SECONDS))


def _stands(stage: Stage) -> None:
    """All are through, and the barrier can be used again."""
    stage.settle()
    assert (stage.ours.n_waiting, stage.ours.broken) == (0, False)
    _all_pass(stage)


def _all_pass(stage: Stage) -> None:
    places: list[int] = []
    threads = [
        threading.Thread(target=lambda: places.append(stage.theirs.wait(SECONDS)), daemon=True)
        for _ in range(stage.ours.parties)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert sorted(places) == list(range(stage.ours.parties))


def _is_broken(stage: Stage) -> None:
    stage.settle()
    assert (stage.theirs.n_waiting, stage.theirs.broken) == (0, True)
    stage.theirs.reset()
    _all_pass(stage)


def nothing() -> None:
    """An action, which must be found by its name."""


BROKEN = (BrokenBarrierError,)

CASES += [
    Case("Barrier wait first", _barrier(2, 0), _they_arrive, 0, _stands, (1,)),
    Case("Barrier wait last", _barrier(2, 1), _call("wait"), 1, _stands, (0,)),
    Case("Barrier wait last of three", _barrier(3, 2), _call("wait"), 2, _stands, (0, 0)),
    Case("Barrier wait alone", _barrier(1, 0), _call("wait"), 0, _stands),
    Case("Barrier wait with an action", _barrier(2, 1, nothing), _call("wait"), 1, _stands, (0,)),
    Case(
        "Barrier wait too late",
        _barrier(2, 0),
        _call("wait", SOON),
        BrokenBarrierError,
        _is_broken,
    ),
    Case("Barrier abort", _barrier(2, 0), _call("abort"), None, _is_broken),
    Case(
        "Barrier abort of who waits", _barrier(3, 2), _call("abort"), None, _is_broken, BROKEN * 2
    ),
    Case("Barrier reset", _barrier(2, 0), _call("reset"), None, _stands),
    Case("Barrier reset of who waits", _barrier(3, 2), _call("reset"), None, _stands, BROKEN * 2),
]


# Creating, attaching and deleting


def _nothing(stage: Stage) -> None:
    pass


def _create(typeid: str, *named: str) -> Callable[[Stage], Any]:
    def act(stage: Stage) -> None:
        stage.ours = getattr(stage.manager, typeid)(*named, *TYPES[typeid])

    return act


for _type in TYPES:
    CASES += [
        Case(f"create {_type}", _nothing, _create(_type), None),
        Case(f"create named {_type}", _nothing, _create(_type, NAME), None),
        Case(f"attach to {_type}", _fresh(_type), _create(_type, NAME), None),
        Case(f"delete {_type}", _fresh(_type), _call("delete"), None),
    ]


def _gone(typeid: str) -> Callable[[Stage], None]:
    """Somebody deletes what we know."""

    def make(stage: Stage) -> None:
        stage.make(typeid)
        if typeid == "Condition":
            stage.ours.acquire()
        stage.theirs.delete()

    return make


for _type, _method, _args in (
    ("Lock", "acquire", ()),
    ("Lock", "acquire", (False,)),
    ("Lock", "release", ()),
    ("RLock", "acquire", ()),
    ("Semaphore", "acquire", ()),
    ("Semaphore", "release", ()),
    ("Condition", "wait", (SOON,)),
    ("Condition", "notify", ()),
    ("Event", "set", ()),
    ("Event", "clear", ()),
    ("Event", "wait", (SOON,)),
    ("Barrier", "wait", (SOON,)),
    ("Barrier", "abort", ()),
):
    _name = f"{_type} {_method}{' not blocking' if _args == (False,) else ''}"
    CASES.append(Case(f"gone {_name}", _gone(_type), _call(_method, *_args), ObjectGone))
CASES += [
    Case(
        "create Condition on a lock",
        _nothing,
        lambda stage: setattr(stage, "ours", stage.manager.Condition(NAME, stage.manager.RLock())),
        None,
    ),
]
