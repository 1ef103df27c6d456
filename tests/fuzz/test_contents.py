"""Whatever somebody writes into the keys of a namespace: who reads it gets a value or an error of
ours, and who lists the objects gets a list.

The keys are real ones, of every type, with holders and waiters, of managers that unpickle nothing
that others wrote. Each case alters some of them, and reads.
"""

from __future__ import annotations

import contextlib
import io
import logging
import queue
import re
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given

from multihost import RedisManager
from multihost.cli import run
from multihost.errors import BadPayload, MultihostError
from multihost.inspection import liveness
from tests.faults.calls import Call
from tests.support.hostile import SEED, altered, cases, within_bounds
from tests.support.server import Server, server_program
from tests.support.waiting import wait_until

pytestmark = pytest.mark.leaks_ok("managers of the module begin a thread when they hold something")

FUZZ, LISTED = cases(150), cases(30)
LONGEST = 100_000
KEY = b"a random key of thirty-two bytes"
OURS = re.compile(rb"\{[^{}]*\}:(?:r|s):")  # of the managers that read

# What a type raises that has nothing to do with what is stored.
USUAL = (
    MultihostError,
    KeyError,
    IndexError,
    queue.Empty,
    queue.Full,
    threading.BrokenBarrierError,
)
# Who asks for a name in another way than it was made is told so.
OTHERWISE = re.compile(r"is an? .*, not |released too many times")

Reading = Callable[[Any], object]


def held(proxy: Any) -> None:
    if proxy.acquire(False):
        proxy.release()


def taken(proxy: Any) -> None:
    proxy.get_nowait()
    with contextlib.suppress(AttributeError, ValueError):
        proxy.task_done()


LOCK: list[Reading] = [held, lambda p: p.locked(), lambda p: p.holder(), lambda p: p.statistics()]
SEMAPHORE: list[Reading] = [held, lambda p: p.get_value(), lambda p: p.statistics()]
QUEUE: list[Reading] = [
    taken,
    lambda p: p.qsize(),
    lambda p: p.get_many(2, timeout=0),
    lambda p: p.put_nowait(1),
    lambda p: p.statistics(),
    lambda p: p.dead_letters(),
]
READINGS: dict[str, list[Reading]] = {
    "dict": [
        lambda p: p.copy(),
        lambda p: p["a"],
        lambda p: p.keys(),
        lambda p: p.items(),
        lambda p: "a" in p,
        lambda p: p.pop("a", None),
        lambda p: p.popitem(),
        lambda p: list(p),
        lambda p: p.update(a=5, c=6),
        lambda p: p.statistics(),
    ],
    "list": [
        lambda p: p[:],
        lambda p: p[0],
        lambda p: p.pop(),
        lambda p: len(p),
        lambda p: p.append(1),
        lambda p: p.reverse(),
        lambda p: p.statistics(),
    ],
    "set": [lambda p: p.copy(), lambda p: p.pop(), lambda p: 1 in p, lambda p: p.add(5)],
    "Namespace": [lambda p: p.x, lambda p: str(p), lambda p: setattr(p, "x", 1)],
    "Value": [lambda p: p.value, lambda p: setattr(p, "value", 5), lambda p: p.add(1)],
    "Array": [lambda p: p[:], lambda p: p[0], lambda p: p.__setitem__(0, 1), lambda p: len(p)],
    "Lock": LOCK,
    "RLock": LOCK,
    "Semaphore": SEMAPHORE,
    "BoundedSemaphore": SEMAPHORE,
    "Condition": [held, lambda p: p.statistics()],
    "Event": [lambda p: p.is_set(), lambda p: p.set(), lambda p: p.clear(), lambda p: p.wait(0)],
    "Barrier": [
        lambda p: p.n_waiting,
        lambda p: p.broken,
        lambda p: p.parties,
        lambda p: p.reset(),
    ],
    "Queue": QUEUE,
    "JoinableQueue": QUEUE,
    "LifoQueue": QUEUE,
    "PriorityQueue": QUEUE,
    "SimpleQueue": [lambda p: p.get_nowait(), lambda p: p.empty(), lambda p: p.put(1)],
}
MAKE: dict[str, Callable[[RedisManager, str], Any]] = {
    "Namespace": lambda m, name: m.Namespace(name, x=1),
    "Value": lambda m, name: m.Value("i", 5, name=name),
    "Array": lambda m, name: m.Array("i", [1, 2], name=name),
    "Semaphore": lambda m, name: m.Semaphore(name, 2),
    "BoundedSemaphore": lambda m, name: m.BoundedSemaphore(name, 2),
    "Barrier": lambda m, name: m.Barrier(name, 2),
    "list": lambda m, name: m.list(name=name),
    "set": lambda m, name: m.set(name=name),
    "JoinableQueue": lambda m, name: m.JoinableQueue(name, redeliver=True, max_deliveries=3),
}
LISTINGS = [
    ["ls", "--memory"],
    ["locks"],
    ["queues"],
    ["top", "--once"],
    ["gc"],
    ["ls", "--json"],
    ["show", "--items", "5"],
]


def made(m: RedisManager, typeid: str) -> Any:
    """Return the object of that type: its name is its type."""
    return MAKE.get(typeid, lambda m, name: getattr(m, name)(name))(m, typeid)


class Room:
    """A namespace of a server with an object of each type, as it is when many use them."""

    def __init__(self, server: Server, **how: Any) -> None:
        self.server = server
        self.namespace = f"multihost-{len(how)}"
        with RedisManager(server.url, namespace=self.namespace, **how) as m:
            self._use(m)
        self.manager = RedisManager(server.url, namespace=self.namespace, **how)
        self.args = ["--url", server.url, "--namespace", self.namespace]

    def _use(self, m: RedisManager) -> None:
        shared = {typeid: made(m, typeid) for typeid in READINGS}
        inner = m.list([1]) if m.runtime.session.codec.serializer is None else None
        shared["dict"].update({"a": 1, "b": "two", 3: [4, 5.5], "inner": inner})
        shared["list"].extend([1, "two", [3], inner])
        shared["set"].update([1, "two"])
        for typeid in ("Queue", "JoinableQueue", "LifoQueue", "PriorityQueue", "SimpleQueue"):
            for item in (1, 2, 3):
                shared[typeid].put(item)
        shared["JoinableQueue"].get()
        calls = []
        for typeid in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
            shared[typeid].acquire()
            if "Semaphore" in typeid:
                shared[typeid].acquire()
            calls.append(Call(lambda each=shared[typeid]: each.acquire() and each.release()))
        calls.append(Call(shared["Event"].wait))
        calls.append(Call(shared["Barrier"].wait))

        def wait() -> None:
            with shared["Condition"]:
                shared["Condition"].wait()

        calls.append(Call(wait))
        m.runtime.session.ensure_registered(shared["Lock"]._handle.keys)
        clients = self.server.clients
        wait_until(lambda: sum("b" in row["flags"] for row in clients()) == len(calls))
        pattern = "{" + self.namespace + ":*"
        self.keys = [key for key in self.server.keys(pattern) if b"}:r:" not in key]
        dumps = self.server.commands(*(("DUMP", key) for key in self.keys))
        self.dumps = dict(zip(self.keys, dumps, strict=True))
        self.contents = {key: self._content(key) for key in self.keys}
        for typeid in ("Lock", "RLock", "Semaphore", "BoundedSemaphore"):
            shared[typeid].release()
        shared["Event"].set()
        shared["Barrier"].wait()
        with shared["Condition"]:
            shared["Condition"].notify()
        for call in calls:
            call.outcome()
        shared["JoinableQueue"].task_done()

    def _content(self, key: bytes) -> tuple[bytes, list[bytes]]:
        kind = self.server.command("TYPE", key)
        kind = kind.encode() if isinstance(kind, str) else kind
        read: tuple[Any, ...] = {
            b"string": ("GET", key),
            b"hash": ("HGETALL", key),
            b"list": ("LRANGE", key, 0, -1),
            b"set": ("SMEMBERS", key),
            b"zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
        }[kind]
        found = self.server.command(*read)
        return kind, [found] if isinstance(found, bytes) else list(found)

    def restore(self) -> None:
        """Put every key back as it was."""
        more = [k for k in self.server.keys("{" + self.namespace + ":*") if not OURS.match(k)]
        self.server.commands(
            *(("DEL", key) for key in more if key not in self.dumps),
            *(("RESTORE", key, 0, dump, "REPLACE") for key, dump in self.dumps.items()),
        )

    def write(self, key: bytes, kind: bytes, parts: list[bytes]) -> None:
        """Store ``parts`` under a key, as this type of the server."""
        even = parts[: len(parts) // 2 * 2]
        flat = [b"1" if not re.fullmatch(rb"-?\d{1,15}", s) else s for s in even[1::2]]
        write: dict[bytes, tuple[Any, ...]] = {
            b"string": ("SET", key, b"".join(parts)),
            b"hash": ("HSET", key, *even),
            b"list": ("RPUSH", key, *parts),
            b"set": ("SADD", key, *parts),
            b"zset": (
                "ZADD",
                key,
                *(x for pair in zip(flat, even[0::2], strict=True) for x in pair),
            ),
        }
        self.server.command("DEL", key)
        if len(write[kind]) > 2:
            self.server.command(*write[kind])

    def close(self) -> None:
        self.manager.shutdown()


class Failures(logging.Handler):
    """What was logged with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(repr(record.exc_info[1]))


@pytest.fixture(scope="module")
def rooms() -> Iterator[dict[str, Room]]:
    with (
        pytest.MonkeyPatch.context() as patch,
        Server(tcp=True, program=server_program()) as server,
    ):
        patch.setattr(liveness, "LONGEST_WAIT", 0.0)  # forged sessions have no connection
        found = {
            "json": Room(server, serializer="json"),
            "signed": Room(server, authkey=KEY, timeout=10.0),
        }
        failures = Failures()
        logging.getLogger("multihost").addHandler(failures)
        yield found
        logging.getLogger("multihost").removeHandler(failures)
        for room in found.values():
            room.close()
        assert not failures.found, (
            "the thread that keeps sessions alive met what it does not expect"
        )


def alter(room: Room, typeid: str, chance: Random) -> int:
    """Alter some keys of an object, or of those that all share; return how many bytes are there."""
    ident = re.escape(f"n:{typeid}".encode())
    own = [key for key in room.keys if re.search(rb"\}:%b(:|$)" % ident, key)]
    common = [key for key in room.keys if not re.search(rb"\}:[nu]:", key)]
    size = 0
    for _ in range(chance.randrange(1, 4)):
        key = chance.choice(own if own and chance.random() < 0.75 else common)
        kind, parts = room.contents[key]
        way = chance.choice(("edit",) * 8 + ("delete", "string", "hash", "list", "set", "zset"))
        if way == "delete":
            room.server.command("DEL", key)
            continue
        parts = list(parts)
        number = chance.randrange(len(parts))
        parts[number] = altered([parts[number]] * 3 + parts, chance)[:LONGEST]
        size += sum(map(len, parts))
        room.write(key, kind if way == "edit" else way.encode(), parts)
    return size


def read(reading: Reading, subject: Any) -> None:
    """Read; what is stored may be an error of ours, and no other one."""
    try:
        reading(subject)
    except USUAL:
        pass
    except AttributeError as error:
        assert error.name or "no attribute" in str(error) or "has no" in str(error), repr(error)
    except (TypeError, ValueError) as error:
        if not OTHERWISE.search(str(error)):
            raise


@pytest.mark.parametrize("codec", ["json", "signed"])
@FUZZ
@given(SEED)
def test_altered_objects(codec: str, rooms: dict[str, Room], seed: int) -> None:
    chance, room = Random(seed), rooms[codec]
    room.restore()
    typeid = chance.choice(sorted(READINGS))
    before = made(room.manager, typeid)
    size = alter(room, typeid, chance)
    with within_bounds(size):
        for reading in chance.sample(READINGS[typeid], min(4, len(READINGS[typeid]))):
            read(reading, before)
        read(lambda m: READINGS[typeid][0](made(m, typeid)), room.manager)
        read(lambda m: m.names(), room.manager)


@pytest.mark.parametrize("codec", ["json", "signed"])
@LISTED
@given(SEED)
def test_altered_objects_are_listed(codec: str, rooms: dict[str, Room], seed: int) -> None:
    chance, room = Random(seed), rooms[codec]
    room.restore()
    typeid, command = chance.choice(sorted(READINGS)), chance.choice(LISTINGS)
    size = alter(room, typeid, chance)
    args = [*command, *room.args, *([typeid] if command[0] == "show" else [])]
    said = io.StringIO()
    with within_bounds(size), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run(args)
    assert code in (0, 1), said.getvalue()
    assert "\x1b" not in said.getvalue()


@pytest.mark.parametrize("more", [b" 5", b" x", b"\xff"])
def test_the_entry_of_a_barrier(more: bytes, url: str, server: Server) -> None:
    with RedisManager(url) as m:
        names = m.Barrier("b", 2, timeout=1.5)._handle.keys.names
        entry = server.command("HGET", names, "b")
        server.command("HSET", names, "b", entry + more)
        with pytest.raises(BadPayload, match="the entry of its name"):
            m.Barrier("b", 2)
        server.command("HSET", names, "b", entry)
        assert m.Barrier("b", 2).parties == 2
        assert m.delete("b")
