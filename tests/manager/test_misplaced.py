"""What somebody can do who may write to the server and has no key: put signed bytes elsewhere.

Every attack works on bytes that holders of the key wrote, and that the attacker has read or saved.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import multiprocessing.pool
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multihost import BadPayload, LinkLost, RedisManager
from multihost.managers import SyncManager
from multihost.serving import host as host_module
from multihost.wire.keys import partition
from multihost.wire.ops import pool as pool_ops
from multihost.wire.values.signing import Purpose
from tests.support.waiting import wait_until

FORK = multiprocessing.get_context("fork")
KEY = b"a key of the tests, of 32 bytes."
TAG = 64  # bytes at the end of a task


class Account:
    """What is hosted."""

    def __init__(self) -> None:
        self.balance = 1000

    def withdraw(self, amount: int) -> int:
        self.balance -= amount
        return self.balance

    def echo(self, *args: Any) -> Any:
        return args


class Bank(SyncManager):
    """Serves accounts."""


class Client(RedisManager):
    """Uses them."""


Bank.register("Account", Account)
Client.register("Account", Account)


class Attacker:
    """Reads and writes the keys of a server, and saw what went over a connection."""

    def __init__(self, server: Any, proxy: Any) -> None:
        self.run = server.command
        self.seen: list[tuple[bytes, bytes]] = []
        self.scripts: list[list[bytes]] = []
        proxy.cut_before_request(self._note)

    def _note(self, args: list[bytes]) -> bool:
        if args[0].upper() == b"LPUSH" and (b":req:" in args[1] or b":res:" in args[1]):
            self.seen.append((args[1], args[2]))
        elif args[0].upper() == b"EVALSHA":
            self.scripts.append(args)
        return False  # cut nothing

    @property
    def requests(self) -> list[tuple[bytes, bytes]]:
        """The frames that clients sent: key and bytes."""
        return [(key, frame) for key, frame in self.seen if b":req:" in key and frame[:1] == b"="]

    @property
    def answers(self) -> list[tuple[bytes, bytes]]:
        """The frames that hosts sent."""
        return [(key, frame) for key, frame in self.seen if b":res:" in key]

    def hosts(self) -> list[bytes]:
        """What the keys of the hosts start with."""
        return sorted(k for k in self.run("KEYS", "*}:h:*") if k.count(b":") == 3)

    def open(self, host: bytes, channel: bytes) -> None:
        """Open a channel to a host."""
        self.run("SADD", host + b":channels", channel)
        self.run("RPUSH", host + b":tokens", b"")

    def send(self, host: bytes, channel: bytes, frame: bytes) -> None:
        """Send a frame over it, and wait until the host has replied, or rejected the channel."""
        replies = host + b":res:" + channel
        before = self.run("LLEN", replies)
        self.run("LPUSH", host + b":req:" + channel, frame)
        wait_until(
            lambda: (
                self.run("LLEN", replies) > before
                or not self.run("SISMEMBER", host + b":channels", channel)
            ),
            20,
        )


@pytest.fixture
def attacker(server: Any, proxy: Any) -> Iterator[Attacker]:
    attacker = Attacker(server, proxy)
    yield attacker
    for key in (*attacker.run("KEYS", "*:req:*"), *attacker.run("KEYS", "*:res:*")):
        attacker.run("DEL", key)


@pytest.fixture
def bank(proxy: Any, attacker: Attacker) -> Iterator[Bank]:
    with Bank(proxy.url, authkey=KEY, ctx=FORK) as manager:
        yield manager


@pytest.fixture
def client(bank: Bank, proxy: Any) -> Iterator[Any]:
    with Client(proxy.url, authkey=KEY) as manager:
        yield manager


def balance(account: Any) -> int:
    """Return the balance, over a new channel if the attack ended the old one."""
    with contextlib.suppress(LinkLost, BadPayload):
        account.withdraw(0)
    return account.withdraw(0)  # type: ignore[no-any-return]


def only_value(attacker: Attacker, manager: Any, value: object) -> bytes:
    """Have an application store a value, and return its bytes."""
    mailbox = manager.dict("mailbox", {"key": value})
    data = attacker.run("HVALS", mailbox._handle.keys.data)
    manager.delete("mailbox")
    (stored,) = [each for each in data if not each.isdigit()]
    return stored  # type: ignore[no-any-return]


# -- calls


STORED_CALLS: dict[str, tuple[Any, ...]] = {
    "a call": ("n:main", "withdraw", (500,)),
    "an end": ("", "shutdown", (), {}),
}


@pytest.mark.parametrize("value", STORED_CALLS.values(), ids=STORED_CALLS)
@pytest.mark.parametrize("number", [1, 2])
def test_a_stored_value_is_no_call(
    value: tuple[Any, ...], number: int, attacker: Attacker, client: Any, bank: Any
) -> None:
    account = client.Account(name="main")
    stored = only_value(attacker, client, value)
    (host,) = attacker.hosts()
    frame = b"=%012d" % number + stored
    attacker.open(host, b"Mallory.1")
    attacker.send(host, b"Mallory.1", frame)
    assert bank._process.is_alive()
    assert balance(account) == 1000
    # And over a channel that is open.
    key, _ = attacker.requests[-1]
    channel = key.rpartition(b":")[2]
    attacker.send(host, channel, b"=%012d" % 900 + stored)
    assert balance(account) == 1000


def test_a_call_is_not_repeated(attacker: Attacker, client: Any) -> None:
    account = client.Account(name="main")
    assert account.withdraw(100) == 900
    (host,) = attacker.hosts()
    said = list(attacker.requests)
    channel = said[-1][0].rpartition(b":")[2]
    # As it was, on a channel of the attacker.
    attacker.open(host, b"Mallory.1")
    for _, frame in said:
        attacker.send(host, b"Mallory.1", frame)
    # With the next number, on the channel of the client.
    attacker.send(host, channel, b"=%012d" % (len(said) + 1) + said[-1][1][13:])
    assert balance(account) == 900
    assert client.Account(name="main").withdraw(0) == 900


def test_a_whole_conversation_is_not_repeated(
    attacker: Attacker, proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor with a host that has forgotten the channel: it remembers the last thousands."""
    monkeypatch.setattr(host_module, "MAX_CLOSED", 0)  # the process that serves is forked
    with Bank(proxy.url, authkey=KEY, ctx=FORK), Client(proxy.url, authkey=KEY) as second:
        with Client(proxy.url, authkey=KEY) as first:
            assert first.Account(name="main").withdraw(100) == 900
            said = list(attacker.requests)
        (host,) = attacker.hosts()
        channel = said[-1][0].rpartition(b":")[2]
        assert all(key.endswith(channel) for key, _ in said)
        wait_until(lambda: not attacker.run("SISMEMBER", host + b":channels", channel), 20)
        for name in (channel, channel + b"1", b"Mallory.1"):
            attacker.open(host, name)
            for _, frame in said:
                attacker.send(host, name, frame)
        assert balance(second.Account(name="main")) == 900


def test_a_call_to_one_host_is_none_to_another(
    attacker: Attacker, client: Any, bank: Any, proxy: Any
) -> None:
    """As it comes when a process that serves was restarted, and serves the same names."""
    account = client.Account(name="main")
    assert account.withdraw(100) == 900
    (first,) = attacker.hosts()
    said = list(attacker.requests)
    with Bank(proxy.url, authkey=KEY, ctx=FORK) as second:
        account.delete()
        (other,) = set(attacker.hosts()) - {first}
        again = second.Account(name="main")
        assert again._token.parameters.encode() in other
        for name in (said[-1][0].rpartition(b":")[2], b"Mallory.1"):
            attacker.open(other, name)
            for _, frame in said:
                attacker.send(other, name, frame)
        assert balance(again) == 1000


ALTERATIONS: dict[str, Callable[[bytes], bytes]] = {
    "as it was": lambda payload: payload,
    "as an error": lambda payload: payload.replace(b".", b":", 1),
    "no object": lambda payload: b"-",
}


@pytest.mark.parametrize("altered", ALTERATIONS.values(), ids=ALTERATIONS)
def test_an_old_answer_answers_no_other_call(
    altered: Callable[[bytes], bytes], attacker: Attacker, client: Any, bank: Any
) -> None:
    account = client.Account(name="main")
    assert account.echo(2, "forged") == (2, "forged")
    _, frame = wait_until(lambda: attacker.answers and attacker.answers[-1], 20)
    outcome: list[Any] = []
    is_open, host_is_paused = threading.Event(), threading.Event()

    def call() -> None:
        account.echo("on a channel of this thread")
        is_open.set()
        host_is_paused.wait(20)
        try:
            outcome.append(account.echo("other"))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert is_open.wait(20)
    before = len(attacker.requests)
    os.kill(bank._process.pid, signal.SIGSTOP)  # so that the attacker is the first to answer
    try:
        os.waitpid(bank._process.pid, os.WUNTRACED)
        host_is_paused.set()
        key, sent = wait_until(lambda: attacker.requests[before:], 20)[0]
        replies = key.replace(b":req:", b":res:")
        attacker.run("LPUSH", replies, sent[:13] + altered(frame[13:]))
        wait_until(lambda: not attacker.run("LLEN", replies), 20)
    finally:
        os.kill(bank._process.pid, signal.SIGCONT)
    thread.join(20)
    assert isinstance(outcome[0], BadPayload), outcome


def test_who_has_another_key_is_told_so(client: Any, url: str) -> None:
    client.Account(name="main")
    for key in (b"another key of the tests, as long", None):
        with Client(url, authkey=key) as other:
            with pytest.raises(BadPayload, match="authkey"):
                other.Account(name="main")


def test_a_host_without_the_key_is_refused(url: str) -> None:
    with Bank(url, ctx=FORK), Client(url, authkey=KEY) as client:
        with pytest.raises(BadPayload, match="authkey"):
            client.Account(name="main")


# -- tasks and results


def allowed(who: str) -> bool:
    return who == "root"


def pay(path: str) -> None:
    with open(path, "a") as file:
        file.write("paid\n")


def waiting(attacker: Attacker, name: bytes, count: int) -> tuple[bytes, list[bytes]]:
    """Return the key of a pool's tasks, and the tasks once there are so many."""
    [key] = wait_until(lambda: attacker.run("KEYS", b"*:n:" + name + b":items"), 20)
    wait_until(lambda: attacker.run("LLEN", key) == count, 20)
    return key, attacker.run("LRANGE", key, 0, -1)


def queue_of(task: bytes, tasks: bytes) -> bytes:
    """Return where the client of a task waits for its result, by the key of the tasks."""
    return tasks.partition(b":n:")[0] + b":u:" + task[-TAG:][:22] + b":items"


def numbers_of(task: bytes) -> tuple[int, int]:
    """Return the job and the number of a task."""
    return int(task[-36:-18]), int(task[-18:])


def number_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number the next job as the first one of a process."""
    monkeypatch.setattr(multiprocessing.pool, "job_counter", itertools.count())


class Pools:
    """Clients of pools, each with a manager of its own: the numbers of all start with 0."""

    def __init__(self, url: str, attacker: Attacker, stack: contextlib.ExitStack) -> None:
        self.url, self.attacker, self.stack = url, attacker, stack
        self.names: set[str] = set()

    def client(self, name: str, workers: int = 0) -> Any:
        manager = self.stack.enter_context(RedisManager(self.url, authkey=KEY))
        self.names.add(name)
        return self.stack.enter_context(manager.Pool(workers, name=name, context=FORK))


@pytest.fixture
def pools(proxy: Any, attacker: Attacker) -> Iterator[Pools]:
    with contextlib.ExitStack() as stack:
        pools = Pools(proxy.url, attacker, stack)
        yield pools
        with RedisManager(proxy.url, authkey=KEY) as manager:
            for name in pools.names:
                manager.delete(name)


def test_a_task_of_one_client_is_none_of_another(
    attacker: Attacker, pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, eve = pools.client("ours"), pools.client("ours")
    number_from_zero(monkeypatch)
    root.apply_async(allowed, ("root",))
    key, (of_root,) = waiting(attacker, b"ours", 1)
    number_from_zero(monkeypatch)
    asked = eve.apply_async(allowed, ("eve",))
    _, tasks = waiting(attacker, b"ours", 2)
    (of_eve,) = [task for task in tasks if task != of_root]
    assert of_root[-36:] == of_eve[-36:], "they have the same numbers"
    forged = of_root[:-TAG] + of_eve[-TAG:]
    attacker.run("DEL", key)
    attacker.run("RPUSH", key, forged)
    pools.client("ours", workers=1)
    with pytest.raises(BadPayload):
        pytest.fail(f"eve is told {asked.get(30)}")


def test_a_result_of_one_client_is_none_of_another(
    attacker: Attacker, pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, eve = pools.client("ours"), pools.client("ours")
    number_from_zero(monkeypatch)
    asked = eve.apply_async(allowed, ("eve",))
    key, (of_eve,) = waiting(attacker, b"ours", 1)
    attacker.run("DEL", key)
    number_from_zero(monkeypatch)
    told = root.apply_async(allowed, ("root",))
    _, (of_root,) = waiting(attacker, b"ours", 1)
    assert of_root[-36:] == of_eve[-36:], "they have the same numbers"
    pools.client("ours", workers=1)
    assert told.get(30) is True
    tag = of_root[-TAG:]
    [result] = wait_until(
        lambda: [
            args[args.index(tag) + 1]
            for args in attacker.scripts
            if tag in args[:-1] and args[args.index(tag) + 1]
        ],
        20,
    )
    assert result[-36:] == tag[-36:]
    attacker.run("RPUSH", queue_of(of_eve, key), result)
    with pytest.raises(BadPayload):
        pytest.fail(f"eve is told {asked.get(30)}")


def test_a_stored_value_is_no_result(attacker: Attacker, pools: Pools) -> None:
    pool = pools.client("ours")
    asked = pool.apply_async(allowed, ("eve",))
    key, (task,) = waiting(attacker, b"ours", 1)
    with RedisManager(pools.url, authkey=KEY) as manager:
        stored = only_value(attacker, manager, (*numbers_of(task), True, "forged"))
    attacker.run("RPUSH", queue_of(task, key), stored + task[-36:])
    with pytest.raises(BadPayload):
        pytest.fail(f"the client is told {asked.get(30)}")


def test_a_stored_value_is_no_task(attacker: Attacker, pools: Pools, tmp_path: Path) -> None:
    paid = tmp_path / "paid"
    pool = pools.client("ours")
    asked = pool.apply_async(allowed, ("eve",))
    key, (task,) = waiting(attacker, b"ours", 1)
    with RedisManager(pools.url, authkey=KEY) as manager:
        stored = only_value(attacker, manager, (*numbers_of(task), pay, (str(paid),), {}))
    attacker.run("DEL", key)
    attacker.run("RPUSH", key, stored + task[-TAG:])
    pools.client("ours", workers=1)
    with pytest.raises(BadPayload):
        pytest.fail(f"the client is told {asked.get(30)}")
    assert not paid.exists()


def test_a_task_is_not_run_in_another_pool(
    attacker: Attacker, pools: Pools, tmp_path: Path
) -> None:
    paid = tmp_path / "paid"
    ours = partition("n:ours")
    other = next(f"pool{n}" for n in range(10_000) if partition(f"n:pool{n}") == ours)
    pool = pools.client("ours")
    asked = pool.apply_async(pay, (str(paid),))
    key, (task,) = waiting(attacker, b"ours", 1)
    workers = pools.client(other, workers=1)
    attacker.run("DEL", key)
    attacker.run("RPUSH", key.replace(b"ours", other.encode()), task)
    with pytest.raises(BadPayload):
        pytest.fail(f"the client is told {asked.get(30)}")
    assert not paid.exists()
    assert workers.apply(allowed, ("root",)) is True


def test_a_setup_is_that_of_its_pool(attacker: Attacker, pools: Pools, tmp_path: Path) -> None:
    """An initializer of another pool, or a value that looks like one, is not called."""
    paid = tmp_path / "paid"
    with RedisManager(pools.url, authkey=KEY) as manager:
        stored = only_value(attacker, manager, (pay, (str(paid),), None))
        with manager.Pool(
            1, name="theirs", context=FORK, initializer=pay, initargs=(str(paid),)
        ) as theirs:
            pools.names.add("theirs")
            assert theirs.apply(allowed, ("root",)) is True
            [key] = attacker.run("KEYS", b"*:n:theirs")
            setup = attacker.run("HGET", key, "init")
    paid.unlink()
    pools.client("ours")
    [ours] = attacker.run("KEYS", b"*:n:ours")
    for forged in (stored, setup):
        attacker.run("HSET", ours, "init", forged)
        session = RedisManager(pools.url, authkey=KEY)
        with session as manager:
            handle = manager.runtime.session.handle("n:ours")
            packed = pool_ops.get_or_set_settings(handle)
            with pytest.raises(BadPayload):
                pool_ops.codec_of(handle, Purpose.SETUP).load(packed)
    assert not paid.exists()


# -- values and keys


def test_values_stay_in_their_fields(attacker: Attacker, url: str) -> None:
    with RedisManager(url, authkey=KEY) as manager:
        rights = manager.dict("rights", {"admin": "rw", "user": "ro"})
        data, codec = rights._handle.keys.data, rights._handle.codec
        admin, user = codec.field("admin"), codec.field("user")
        attacker.run("HSET", data, user, attacker.run("HGET", data, admin))
        assert rights["admin"] == "rw"
        reads: list[Callable[[], Any]] = [
            lambda: rights["user"],
            lambda: rights.get("user"),
            rights.copy,
            rights.values,
            rights.items,
            lambda: rights.setdefault("user", 1),
            lambda: rights.increment("user"),
            lambda: rights.pop("user"),
            rights.popitem,
        ]
        for read in reads:
            with pytest.raises(BadPayload):
                pytest.fail(f"it is {read()!r}")
        space = manager.Namespace("space", admin="rw", user="ro")
        data = space._handle.keys.data
        attacker.run("HSET", data, ".user", attacker.run("HGET", data, ".admin"))
        attacker.run("HSET", data, ".root", attacker.run("HGET", data, ".admin"))
        for read in (lambda: space.user, lambda: space.root, space._getvalue):
            with pytest.raises(BadPayload):
                pytest.fail(f"it is {read()!r}")
        manager.delete("rights")
        manager.delete("space")


def test_original_keys_stay_in_their_fields(attacker: Attacker, url: str) -> None:
    with RedisManager(url, authkey=KEY) as manager:
        d = manager.dict("d", {1.0: "one", 2.0: "two", "x": 3})
        originals, codec = d._handle.keys.originals, d._handle.codec
        of_one = attacker.run("HGET", originals, codec.field(1))
        for field in (codec.field(2), codec.field("x")):
            attacker.run("HSET", originals, field, of_one)
            for read in (d.keys, d.copy, d.items):
                with pytest.raises(BadPayload):
                    pytest.fail(f"it is {read()!r}")
            attacker.run("HDEL", originals, field)
        manager.delete("d")


def test_values_stay_in_their_objects(attacker: Attacker, url: str) -> None:
    with RedisManager(url, authkey=KEY) as manager:
        queue, mails = manager.Queue("queue"), manager.list("list", ["mine"])
        d, other = manager.dict("d", {"key": "mine"}), manager.dict("other", {"key": "yours"})
        value, members = manager.Value("i", 5, name="value"), manager.set("members", ["member"])
        run, key = attacker.run, "key"
        element = run("LINDEX", mails._handle.keys.data, 1)
        in_dict = run("HGET", d._handle.keys.data, d._handle.codec.field(key))
        (member,) = [each for each in run("SMEMBERS", members._handle.keys.data) if each]
        # A value of a dict in a list, an element in a queue, a key as a value, and so on.
        for forged in (in_dict, member, d._handle.codec.field(key)):
            run("LSET", mails._handle.keys.data, 1, forged)
            for read in (mails.copy, lambda: mails[0], mails.pop):
                with pytest.raises(BadPayload):
                    pytest.fail(f"it is {read()!r}")
        run("RPUSH", queue._handle.keys.items, element)
        with pytest.raises(BadPayload):
            pytest.fail(f"it is {queue.get()!r}")
        with pytest.raises(BadPayload):
            other_field = other._handle.codec.field(key)
            run("HSET", other._handle.keys.data, other_field, in_dict)
            pytest.fail(f"it is {other['key']!r}")
        for forged in (in_dict, element, member):
            run("HSET", value._handle.keys.data, "v", forged)
            with pytest.raises(BadPayload):
                pytest.fail(f"it is {value.get()!r}")
        # And a value as a key or a member, or those of another object.
        for forged in (element, in_dict, d._handle.codec.field(key)):
            run("SADD", members._handle.keys.data, forged)
            with pytest.raises(BadPayload):
                pytest.fail(f"it is {members.copy()!r}")
            run("SREM", members._handle.keys.data, forged)
        for forged in (in_dict, member):
            run("HSET", d._handle.keys.data, forged, in_dict)
            run("ZADD", d._handle.keys.index, 9, forged)
            with pytest.raises(BadPayload):
                pytest.fail(f"it is {d.keys()!r}")
        for name in ("queue", "list", "d", "other", "value", "members"):
            manager.delete(name)


def test_namespaces_do_not_mix(attacker: Attacker, url: str) -> None:
    with (
        RedisManager(url, authkey=KEY, namespace="multihost-one") as one,
        RedisManager(url, authkey=KEY, namespace="multihost-two") as two,
    ):
        ours, theirs = one.dict("d", {"key": "one"}), two.dict("d", {"key": "two"})
        keys, foreign = ours._handle.keys, theirs._handle.keys
        attacker.run("COPY", keys.data, foreign.data, "REPLACE")
        attacker.run("COPY", keys.index, foreign.index, "REPLACE")
        for read in (theirs.copy, theirs.keys, theirs.values):
            with pytest.raises(BadPayload):
                pytest.fail(f"it is {read()!r}")
        assert "key" not in theirs, "the same key has other bytes there"
        attacker.run("DEL", keys.originals, foreign.originals)
        one.delete("d")
        two.delete("d")


def shout() -> None:
    raise AssertionError("this was not the action")


def test_an_action_is_that_of_its_barrier(attacker: Attacker, url: str) -> None:
    with RedisManager(url, authkey=KEY) as manager:
        stored = only_value(attacker, manager, shout)
        barrier = manager.Barrier("barrier", 1, print)
        fields = attacker.run("HGETALL", barrier._handle.keys.data)
        (action,) = [f for f, v in zip(fields[::2], fields[1::2], strict=True) if v[:1] == b"S"]
        attacker.run("HSET", barrier._handle.keys.data, action, stored)
        with pytest.raises(BadPayload):
            barrier.wait()
        manager.delete("barrier")


def test_an_older_value_can_be_put_back(attacker: Attacker, url: str) -> None:
    """This is what remains: the page on the authkey says so."""
    with RedisManager(url, authkey=KEY) as manager:
        d = manager.dict("d", {"limit": 1000})
        data, field = d._handle.keys.data, d._handle.codec.field("limit")
        older = attacker.run("HGET", data, field)
        d["limit"] = 10
        attacker.run("HSET", data, field, older)
        assert d["limit"] == 1000
        manager.delete("d")
