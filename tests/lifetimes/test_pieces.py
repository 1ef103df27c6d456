"""No script does more than a piece: while it runs the server hears nobody else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from multihost import RedisManager
from multihost.wire import keys as key_names
from multihost.wire.keys import Keys, partition
from multihost.wire.script import Script
from tests.lifetimes.keys import SHORT_MS, ident, let_go_long_ago
from tests.support.faults import CuttingProxy
from tests.support.leaks import AnyServer
from tests.support.requests import script_of

FULL = 100  # so much is told of one container, along with others
TOLD = 1000  # and so much in all
CONTAINERS = 12


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url, lease=600.0) as manager:
        yield manager


@contextlib.contextmanager
def of_one_partition(m: RedisManager) -> Iterator[None]:
    """All objects made meanwhile are in the same partition."""
    references = m.runtime.session.references
    with pytest.MonkeyPatch.context() as patch:
        idents = iter(references.new_ident, None)
        patch.setattr(references, "new_ident", lambda: next(i for i in idents if partition(i) == 7))
        yield


@pytest.fixture
def full(m: RedisManager) -> list[Any]:
    """Containers of one partition, which contain more than a script tells."""
    with of_one_partition(m):
        found = [m.list() for _ in range(CONTAINERS)]
    for each in found:
        each.extend([m.list() for _ in range(FULL)])
    return found


def ttls(server: AnyServer, proxies: Iterable[Any]) -> set[int]:
    keys = [Keys("multihost", ident(each)).data for each in proxies]
    return set(server.commands(*(("PTTL", key) for key in keys)))


def run(m: RedisManager, script: str, containers: list[Any], *args: bytes) -> Any:
    keys = [Keys("multihost", ident(each)).data for each in containers]
    return Script(script).run_readonly(m.runtime.session.link, keys, *args)


def test_a_renewal_tells_so_much_and_renews_all(
    m: RedisManager, server: AnyServer, full: list[Any]
) -> None:
    told = run(m, "object/renew", full, b"600000")
    asked = [each for each in told if each.startswith(b"+")]
    assert len(told) - len(asked) == TOLD
    assert asked == [b"+" + ident(each).encode() for each in full[TOLD // FULL :]]
    inside = [proxy for each in full for proxy in each]
    keys = [Keys("multihost", ident(each)).data for each in inside]
    server.commands(*(("PEXPIRE", key, SHORT_MS) for key in keys))
    m.runtime.session.references.renew()
    assert min(ttls(server, inside)) > SHORT_MS


def test_keeping_tells_so_much_and_keeps_all(
    m: RedisManager, server: AnyServer, full: list[Any]
) -> None:
    m.list("l").extend(full)
    assert ttls(server, [*full, *(proxy for each in full for proxy in each)]) == {-1}
    with of_one_partition(m):
        others = [m.list() for _ in range(CONTAINERS)]
    for each, old in zip(others, full, strict=True):
        each.extend(old[:])
    _, *found = run(m, "object/keep", others, b"0", b"600000")
    assert [len(each) for each in found[: TOLD // FULL]] == [FULL] * (TOLD // FULL)
    assert found[TOLD // FULL :] == [[b"+"]] * (CONTAINERS - TOLD // FULL)


def test_of_named_containers_so_much_is_told(m: RedisManager, server: AnyServer) -> None:
    inside = [m.list() for _ in range(FULL)]
    names = (name for name in map(str, range(10_000)) if partition(f"n:{name}") == 7)
    for _ in range(CONTAINERS):
        m.list(next(names)).extend(inside)
    names_key = key_names.names("multihost", 7)
    _, *found = Script("collect/tops").run_readonly(m.runtime.session.link, [names_key], b"0")
    assert len(found) <= CONTAINERS
    assert sum(len(each) - 1 for each in found if each[1:] != [b"+"]) <= TOLD
    assert m.runtime.session.collector.collect() == (0, True)
    assert ttls(server, inside) == {-1}


def test_what_is_let_go_at_once_takes_a_few_commands(m: RedisManager, server: AnyServer) -> None:
    """However much it is: an entry each, or an object that contains it from then on."""
    inside = [m.list() for _ in range(1100)]
    for size in (1000, 1100):
        d = m.dict("d")
        d.update(dict(enumerate(inside[:size])))
        before = _executed(server)
        d.clear()
        assert _executed(server) - before < 200
        let_go_long_ago(server)


def _executed(server: AnyServer) -> int:
    """How many commands the server has executed, those within scripts among them."""
    text = server.command("INFO", "commandstats").decode()
    return sum(int(row.split("calls=")[1].split(",")[0]) for row in text.splitlines()[1:] if row)


def test_no_script_is_given_much(proxy: CuttingProxy, server: AnyServer) -> None:
    given: dict[str, int] = {}

    def note(args: list[bytes]) -> bool:
        name = script_of(args)
        given[name] = max(given.get(name, 0), len(args))
        return False

    proxy.cut_before_request(match=note)
    with RedisManager(proxy.url, lease=600.0) as m:
        with of_one_partition(m):
            inside = [m.list() for _ in range(250)]
        m.dict("d")["x"] = m.list(inside)
        assert m.runtime.session.collector.collect() == (0, True)
        assert ttls(server, inside) == {-1}
    for name, most in {"object/keep": 100, "object/whole": 100, "object/renew": 200}.items():
        assert given.get(name, 0) <= most + 6
    assert given["object/keep"] > 100
    assert 200 < given["collect/step"] <= 200 + 10 + 6
