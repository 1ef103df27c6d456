"""The least rights that docs/operations.md names: they suffice, and none is too many."""

from __future__ import annotations

import multiprocessing
import re
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest
import redis

import multihost.wire
from multihost import Manager, RedisManager
from multihost.inspection import permissions
from multihost.managers import BaseManager, IteratorProxy
from multihost.wire.script.source import all_names, expand
from tests.objects.bodies import BODIES
from tests.support.procs import ROOT
from tests.support.raw import RawClient
from tests.support.server import Server
from tests.support.waiting import wait_until

PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
[BLOCK] = re.findall(r"```sh\nredis-cli ACL SETUSER (.*?)```", PAGE, re.DOTALL)
NAME, *RULES = shlex.split(BLOCK.replace("\\\n", " "))
GRANTED = {rule[1:] for rule in RULES if rule[0] == "+"}
WITHOUT = PAGE.split("| without |")[1].partition("\n\n")[0]
DISPENSABLE = re.findall(r"^\| (`[^\n]*?`) \| [^\n]*$", WITHOUT, re.MULTILINE)

FORK = multiprocessing.get_context("fork")


class Counting(BaseManager):
    """It has a process that hosts an object."""


Counting.register("count", lambda: iter(range(2)), IteratorProxy)

WITHOUT_PERMISSION = {"auth", "hello"}  # always allowed


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as own:
        own.command("ACL", "SETUSER", NAME, *RULES)
        yield own


def used() -> set[str]:
    """The commands that occur in the code."""
    found = {
        command
        for name in all_names()
        for command in re.findall(r"'([A-Z]{3,})'", expand(name).code)
    }
    for module in Path(multihost.wire.__file__).parent.rglob("*.py"):
        found |= set(re.findall(r'\bb"([A-Z]{3,})"', module.read_text("utf-8")))
    return {command.lower() for command in found}


def test_they_are_what_occurs_in_the_code(server: Server) -> None:
    commands = {row[0].decode() for row in server.command("COMMAND")}
    granted = {command.partition("|")[0] for command in GRANTED}
    others = WITHOUT_PERMISSION | {command.lower() for command in permissions.OF_TOOLS}
    assert granted == used() & commands - others, "change docs/operations.md, too"


def tour(url: str) -> None:
    """Something of every type, with a wait and a holder."""
    with RedisManager(url) as m, RedisManager(url) as other:
        for body in BODIES:
            body(m)
        lock = m.Lock("lock")
        assert lock.acquire()
        waits = threading.Thread(target=lambda: other.Lock("lock").acquire() and lock.release())
        waits.start()
        wait_until(lambda: lock.statistics().waiters)
        lock.release()
        waits.join()
        with m.RLock() as held, m.Semaphore(2) as permit:
            assert held
            assert permit
        condition, event, barrier = m.Condition(), m.Event(), m.Barrier(1)
        with condition:
            condition.notify()
            assert not condition.wait(0)
        event.set()
        assert event.wait(1)
        event.clear()
        assert not event.wait(0.01)
        assert barrier.wait() == 0
        for queue in (m.Queue(2), m.LifoQueue(), m.SimpleQueue(), m.Queue(redeliver=True)):
            queue.put(1)
            assert queue.get() == 1
        ranked = m.PriorityQueue()
        ranked.put_many([3, 1])
        assert ranked.get_many(2) == [1, 3]
        m.delete("lock")
        with m.Pool(1, context=FORK, name="pool") as pool:
            assert pool.map(abs, [-1, -2], 1) == [1, 2]
            pool.delete()
        with Counting(url, ctx=FORK) as serving:
            assert list(serving.count(name="two")) == [0, 1]
            serving.delete("two")


def test_a_tour_of_every_type_needs_no_more(server: Server) -> None:
    server.command("ACL", "LOG", "RESET")
    tour(server.url_for(NAME, "PASSWORD"))
    assert [entry[7] for entry in server.command("ACL", "LOG")] == []


def test_a_connection_of_redis_py_needs_no_more(server: Server) -> None:
    server.command("ACL", "LOG", "RESET")
    client = redis.Redis.from_url(server.url_for(NAME, "PASSWORD"))
    with RedisManager(client=client) as manager:
        queue = manager.Queue()
        queue.put(manager.dict(a=1))
        assert queue.get().copy() == {"a": 1}
    refused = {entry[7] for entry in server.command("ACL", "LOG")}
    assert refused <= {b"client|setinfo", b"client"}  # as Redis 6.2 calls it


def test_the_rights_on_a_private_server_are_enough() -> None:
    with Manager() as manager:
        session = manager.runtime.session
        found = permissions.permissions(session.link, session.namespace)
        # It closes only connections of its own, but the right to that is one to close all.
        optional = ("CLIENT KILL",)
        assert found == permissions.Permissions((), optional, keys_refused=False, is_known=True)
        manager.Queue().put(manager.dict(a=1))


def test_nothing_outside_the_namespace_is_within_reach(server: Server) -> None:
    with pytest.raises(multihost.AccessDenied):
        RedisManager(server.url_for(NAME, "PASSWORD"), namespace="billing")


def test_a_user_of_one_namespace_does_not_reach_its_neighbours(server: Server) -> None:
    [keys] = re.findall(
        r"`(~\{billing[^`]*)` and\n`RedisManager\(url, namespace=\"billing\"\)`", PAGE
    )
    [own] = [rule for rule in RULES if rule[0] == "~"]
    assert own == keys.replace("billing", "multihost")
    rules = [keys if rule == own else rule for rule in RULES]
    server.command("ACL", "SETUSER", "clerk", *rules)
    url = server.url_for("clerk", "PASSWORD")
    with RedisManager(url, namespace="billing") as manager:
        manager.dict("accounts", ada=1)
        assert manager.dict("accounts").copy() == {"ada": 1}
        manager.delete("accounts")
    for other in ("billing-eu", "billin", "multihost"):
        with pytest.raises(multihost.AccessDenied):
            RedisManager(url, namespace=other)
    with pytest.raises(ValueError, match="without any of :"):
        RedisManager(url, namespace="billing:eu")
    # As an earlier release would have stored it.
    key = "{billing:eu:07}:n:accounts"
    server.command("HSET", key, "ada", "1")
    with RawClient(url) as clerk:
        for command in (("HGETALL", key), ("HSET", key, "ada", "999"), ("DEL", key)):
            with pytest.raises(hiredis.ReplyError, match="NOPERM"):
                clerk.call(*command)
    assert server.command("HGETALL", key) == [b"ada", b"1"]
    server.command("DEL", key)


def test_what_is_said_to_be_dispensable_is(server: Server) -> None:
    names = [name for cell in DISPENSABLE for name in re.findall(r"`(.*?)`", cell)]
    rights = {name.replace("\\", "") for name in names}
    assert rights < GRANTED
    kept = [rule for rule in RULES if rule[1:] not in rights]
    server.command("ACL", "SETUSER", "fewer", *kept)
    tour(server.url_for("fewer", "PASSWORD"))
