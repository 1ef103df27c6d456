"""A server at its ``maxmemory``: what grows is refused whole, what shrinks works whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from multihost import RedisManager, ServerFull
from tests.faults.cases import CASES, Case
from tests.faults.test_exactly_once import check, left, staged
from tests.support.server import Server

# What takes something away, and so must work when nothing else does. Not here: list.remove(), which
# only Python can decide, needs a transaction, and a full server refuses those.
SHRINKING = [
    "dict delitem",
    "dict pop",
    "dict popitem",
    "dict clear",
    "list delitem",
    "list pop",
    "list pop first",
    "list pop middle",
    "list slice delete",
    "list slice delete extended",
    "list *= 0",
    "list clear",
    "set discard",
    "set discard absent",
    "set remove",
    "set pop",
    "set &=",
    "set -=",
    "set clear",
    "Namespace delete",
    "signed dict pop",
    "JSON list pop",
    *[case.name for case in CASES if case.name.startswith(("delete ", "attach "))],
    "holding dict delitem",
    "holding dict pop",
    "holding dict popitem",
    "holding dict clear",
    "holding dict delete",
    "holding list pop",
    "holding list slice delete",
    "holding list slice delete extended",
    "holding list clear",
    "holding Namespace delete",
    "holding unnamed list pop",
]


# What makes something new, and so must not pass a full server because of what it does first.
GROWING = [
    *[case.name for case in CASES if case.name.startswith(("create ", "holding create "))],
    "dict setitem new",
    "dict setdefault new",
    "dict update",
    "dict increment new",
    "dict |=",
    "list append",
    "list extend",
    "list insert first",
    "list insert middle",
    "list insert last",
    "list *=",
    "list +=",
    "set add",
    "set add respelled",
    "set update",
    "set |=",
    "Namespace set new",
    "Array slice assign",
    "holding dict setitem new",
    "holding list append",
    "holding list insert",
    "holding Namespace set new",
]


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    with Server(tcp=True) as server:
        yield server


@contextlib.contextmanager
def full(server: Server) -> Iterator[None]:
    server.command("CONFIG", "SET", "maxmemory", 1)
    try:
        yield
    finally:
        server.command("CONFIG", "SET", "maxmemory", 0)


SINGLE = [case for case in CASES if case.name != "circle stored meanwhile"]  # two calls


@pytest.mark.parametrize("case", SINGLE, ids=lambda case: case.name)
def test_a_call_on_a_full_server(case: Case, small: Server) -> None:
    with staged(case, small.url, small) as scene:
        case.run(scene)
        expected = left(small, scene)
    with staged(case, small.url, small) as scene:
        before = left(small, scene)
        with full(small):
            try:
                result = case.run(scene)
            except ServerFull as error:
                assert case.name not in SHRINKING, "taking away must work"
                assert "nothing was changed" in str(error)
                assert left(small, scene) == before
            else:
                assert case.name not in GROWING, "a full server does not grow"
                assert left(small, scene) == expected
                if case.state is not None:
                    check(case, scene, result)
    small.command("FLUSHALL")


def test_reads_and_lookups_work_on_a_full_server(small: Server) -> None:
    with RedisManager(small.url) as manager:
        d, l, s = manager.dict(a=1), manager.list([1]), manager.set([1])
        with full(small):
            assert d.copy() == {"a": 1}
            assert l[0] == 1
            assert 1 in s
            with pytest.raises(KeyError):
                d.pop("none")
            with pytest.raises(KeyError):
                s.remove(2)
            with pytest.raises(IndexError):
                l.pop(7)
            assert d.setdefault("a", 5) == 1
            manager._session.renew()


def test_a_manager_opens_and_closes_on_a_full_server(small: Server) -> None:
    manager = RedisManager(small.url)
    d, l = manager.dict(a=1), manager.list([1])
    with full(small):
        with RedisManager(small.url) as other:
            assert other.names() == []
        manager.shutdown()
        assert small.keys() == []
    del d, l
