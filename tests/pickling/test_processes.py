"""Proxies in child processes: by every start method, and in every way they can get there."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multihost import Manager, RedisManager, SyncManager
from tests.pickling.tasks import (
    USED,
    check,
    make_and_send,
    one_of_each,
    pass_on,
    read_nested,
    use,
    use_from_bytes,
    use_from_queue,
    use_one,
)
from tests.support.procs import run_all
from tests.support.server import Server
from tests.support.waiting import PATIENCE

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture(params=["embedded", "url", "signed", "own key"])
def m(request: pytest.FixtureRequest, url: str) -> Iterator[SyncManager]:
    """A manager of each kind."""
    made: dict[str, Callable[[], SyncManager]] = {
        "embedded": Manager,
        "url": lambda: RedisManager(url),
        "signed": lambda: RedisManager(url, authkey=b"a key only for us"),
        "own key": lambda: SyncManager(authkey=b"not that of the process"),
    }
    with made[request.param]() as manager:
        yield manager


@pytest.mark.parametrize("method", METHODS)
def test_as_arguments_of_a_process(m: SyncManager, method: str) -> None:
    shared = one_of_each(m)
    ctx = multiprocessing.get_context(method)
    marks = ["one", "two"]
    assert run_all(ctx, use, [(shared, mark) for mark in marks]) == [USED] * 2
    check(shared, *marks)


@pytest.mark.parametrize("method", METHODS)
def test_through_a_queue_a_pool_and_bytes(url: str, method: str) -> None:
    ctx = multiprocessing.get_context(method)
    with RedisManager(url) as m:
        shared = one_of_each(m)
        inbox, outbox = ctx.Queue(), ctx.Queue()
        process = ctx.Process(target=use_from_queue, args=(inbox, outbox))
        process.start()
        inbox.put(shared)
        used, by_queue = outbox.get(timeout=PATIENCE)
        process.join(PATIENCE)
        process.close()
        for each in (inbox, outbox):
            each.close()
            each.join_thread()
        assert used == USED
        with ctx.Pool(1) as pool:
            answers = pool.map(use_one, list(shared.items()))
            used, by_bytes = pool.apply(use_from_bytes, (pickle.dumps(shared),))
            pool.close()
            pool.join()
        assert [answer[:2] for answer in answers] == [
            ("dict", 2),
            ("list", 1),
            ("set", True),
            ("Namespace", 1),
            ("Value", 2),
            ("Array", 1),
        ]
        assert used == USED
        check(shared, str(by_queue), str(by_bytes))


@pytest.mark.parametrize("method", METHODS)
def test_from_a_child_to_its_parent(url: str, method: str) -> None:
    ctx = multiprocessing.get_context(method)
    with RedisManager(url):
        outbox, go = ctx.Queue(), ctx.Event()
        process = ctx.Process(target=make_and_send, args=(url, outbox, go))
        process.start()
        shared = outbox.get(timeout=PATIENCE)
        assert use(shared, "parent") == USED
        go.set()
        process.join(PATIENCE)
        assert process.exitcode == 0
        process.close()
        outbox.close()
        outbox.join_thread()


def test_through_a_file(url: str, tmp_path: Path) -> None:
    path = tmp_path / "proxies"
    with RedisManager(url) as m:
        shared = one_of_each(m)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            path.write_bytes(pickle.dumps(shared, protocol))
            assert use(pickle.loads(path.read_bytes()), f"protocol {protocol}") == USED
        assert use(copy.copy(shared), "copied") == USED
        assert use({name: copy.copy(proxy) for name, proxy in shared.items()}, "copies") == USED


@pytest.mark.parametrize("method", METHODS)
def test_what_is_inside_is_read_in_a_child(m: SyncManager, method: str) -> None:
    outer = m.dict(level=3)
    for level in (2, 1):
        outer = m.dict(level=level, inner=outer)
    gc.collect()
    ctx = multiprocessing.get_context(method)
    assert run_all(ctx, read_nested, [(outer,)]) == [
        [[1, ["inner", "level"]], [2, ["inner", "level"]], [3, ["level"]]]
    ]


@pytest.mark.parametrize(
    "methods",
    [["fork", "fork"], ["spawn", "fork"], ["fork", "spawn"], ["spawn", "spawn", "forkserver"]],
    ids=" ".join,
)
def test_to_grandchildren(methods: list[str]) -> None:
    with Manager() as m:
        shared = one_of_each(m)
        answers = pass_on(methods, shared)
        assert answers == [USED] * (1 + len(methods))
        assert shared["Value"].value == 2 + len(methods)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_to_grandchildren_with_a_password(
    method: str, start_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MULTIHOST_URL", raising=False)
    server = start_server(password="open sesame", tcp=True)
    with RedisManager(server.tcp_url, authkey=b"these are signed too") as m:
        shared = one_of_each(m)
        assert pass_on([method, "fork", "spawn"], shared) == [USED] * 4


# Forks that multiprocessing knows nothing of


def in_fork(function: Callable[[], Any]) -> bytes:
    """What ``function`` returns in a child made by os.fork alone."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.write(theirs, repr(function()).encode())
            status = 0
        except BaseException as error:
            os.write(theirs, repr(error).encode())
        finally:
            os._exit(status)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        said = answer.read()
    assert os.waitpid(pid, 0)[1] == 0, said
    return said


def test_os_fork_alone(m: SyncManager) -> None:
    shared = one_of_each(m)
    assert in_fork(lambda: use(shared, "child")) == repr(USED).encode()
    # The manager works there too; what it makes there is left to expire.
    assert in_fork(lambda: m.dict({"made": "there"}).copy()) == b"{'made': 'there'}"
    # A child in a child, while both and the parent go on.
    assert in_fork(lambda: (in_fork(lambda: use(shared, "second")), use(shared, "first"))[1])
    assert use(shared, "parent") == USED
    check(shared, "child", "first", "second", "parent")


def test_replies_never_go_to_the_other_side_of_a_fork(url: str) -> None:
    with RedisManager(url) as m:
        d = m.dict({"parent": "p" * 50_000, "child": "c" * 40_000})
        for _ in range(10):
            assert d["parent"] == "p" * 50_000
            ours, theirs = os.pipe()
            pid = os.fork()
            if not pid:
                right = all(d["child"] == "c" * 40_000 for _ in range(20))
                os.write(theirs, b"right" if right else b"wrong")
                os._exit(0)
            os.close(theirs)
            assert all(d["parent"] == "p" * 50_000 for _ in range(20))
            with os.fdopen(ours, "rb") as answer:
                assert answer.read() == b"right"
            os.waitpid(pid, 0)


def test_a_fork_while_threads_are_in_the_middle_of_calls(url: str) -> None:
    with RedisManager(url) as m:
        d, stop = m.dict(), threading.Event()
        counts: list[int] = []

        def hammer(number: int) -> None:
            done = 0
            while not stop.is_set():
                done += 1
                assert d.increment(number) == done
                d["big", number] = "x" * 10_000
                assert d["big", number] == "x" * 10_000
            counts.append(done)

        threads = [threading.Thread(target=hammer, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for child in range(10):
                said = in_fork(lambda: [d.increment("children") for _ in range(20)][-1])
                assert said == str(20 * (child + 1)).encode()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert sorted(counts) == sorted(d[number] for number in range(3))
        assert d["children"] == 200


def test_a_thread_of_a_child_has_a_connection_of_its_own(url: str) -> None:
    with RedisManager(url) as m:
        d = m.dict(n=0)

        def in_threads() -> int:
            threads = [threading.Thread(target=d.increment, args=("n",)) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return int(d["n"])

        assert in_fork(in_threads) == b"5"
        assert in_threads() == 10


# Managers


def test_managers_stay_where_they_are(m: SyncManager) -> None:
    with pytest.raises(TypeError, match="a manager cannot be pickled: pass its proxies"):
        pickle.dumps(m)
    with pytest.raises(TypeError, match="a manager cannot be pickled"):
        copy.copy(m)
    proxy = m.dict()
    assert b"SyncManager" not in pickle.dumps(proxy)


def test_two_managers_for_one_server(url: str) -> None:
    with RedisManager(url) as one, RedisManager(url) as other:
        mine, theirs = one.dict("d", a=1), other.dict("d")
        theirs["b"] = mine
        assert mine["b"]["a"] == 1
        unnamed = one.list([1])
        theirs["unnamed"] = unnamed
        assert pickle.loads(pickle.dumps(unnamed))[:] == [1]
        assert mine["unnamed"][:] == theirs["unnamed"][:] == [1]
        inside = mine["unnamed"]
        other.shutdown()
        # The first one's proxies go on, also those that were read while both were there.
        assert mine["a"] == 1
        assert mine["unnamed"][:] == [1]
        assert unnamed[:] == [1]
        with pytest.raises(ConnectionError):
            theirs["a"]
        assert inside[:] == [1]


def test_two_managers_that_encode_differently(url: str) -> None:
    with (
        RedisManager(url, authkey=b"a key of the tests") as signed,
        RedisManager(url, serializer="json") as json,
        RedisManager(url) as plain,
    ):
        proxies = [signed.dict(a="s"), json.dict(a="j"), plain.dict(a="p")]
        assert [pickle.loads(pickle.dumps(proxy))["a"] for proxy in proxies] == ["s", "j", "p"]


def test_two_namespaces_do_not_meet(url: str) -> None:
    with (
        RedisManager(url, namespace="multihost-one") as one,
        RedisManager(url, namespace="multihost-two") as two,
    ):
        one.dict("d", a=1)
        two.dict("d", b=2)
        assert (one.dict("d").copy(), two.dict("d").copy()) == ({"a": 1}, {"b": 2})
        assert one.delete("d")
        assert (one.names(), two.names()) == ([], ["d"])
        # A proxy of the one in a container of the other still leads back to the one.
        inner = one.list([1])
        two.dict("d")["inner"] = pickle.dumps(inner)
        assert pickle.loads(two.dict("d")["inner"])[:] == [1]
        assert (
            run_all(multiprocessing.get_context("fork"), use_one, [(("list", inner),)])[0][1] == 1
        )


def test_a_proxy_of_another_namespace_cannot_be_kept_here(url: str) -> None:
    with (
        RedisManager(url, namespace="multihost-one") as one,
        RedisManager(url, namespace="multihost-two") as two,
    ):
        inner = one.list([1])
        outer = two.dict("outer")
        outer.update(x=1)
        two_inner = two.list([2])
        outer["mine"] = two_inner
        try:
            outer["foreign"] = inner
        except Exception as error:
            # Nothing there can keep it alive: better refused than lost.
            assert "foreign" not in outer, error
        else:
            assert outer["foreign"][:] == [1]
        assert outer["mine"][:] == [2]
