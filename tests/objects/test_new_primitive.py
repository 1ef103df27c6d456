"""A new primitive takes its own files, a row in the table of types, and a factory.

``tests/objects/latch`` has what one would add. Nothing else is changed here: ``ls``, ``show``,
``locks``, ``queues``, ``top``, ``gc`` and ``delete()`` do what its row says.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multihost import ObjectGone, RedisManager
from multihost.cli import run
from multihost.wire import wait
from multihost.wire.ops import kinds
from multihost.wire.script import header, source
from multihost.wire.session import janitor
from tests.objects.latch import ops
from tests.objects.latch.kind import LATCH
from tests.objects.latch.proxy import LatchProxy
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

LUA = Path(__file__).parent / "latch" / "lua"


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add the row, and the Lua files."""
    monkeypatch.setitem(kinds.KINDS, "Latch", LATCH)
    kinds.stored.cache_clear()
    read = source._read

    def read_there(name: str) -> str:
        return (LUA / f"{name}.lua").read_text() if "latch" in name else read(name)

    monkeypatch.setattr(source, "_read", read_there)
    yield
    kinds.stored.cache_clear()


def latch(manager: RedisManager, count: int, name: str | None = None) -> LatchProxy:
    """Create a latch, or attach to one: the factory of a manager."""
    return manager._create_object(LatchProxy, name, lambda handle: ops.create(handle, count))


@pytest.fixture
def manager(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


@pytest.fixture
def ask(url: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def ask(command: str, *args: str) -> Any:
        assert run([command, "--url", url, "--json", *args]) == 0
        return json.loads(capsys.readouterr().out)

    return ask


class Waiter(threading.Thread):
    """A thread that waits for a latch."""

    def __init__(self, proxy: LatchProxy) -> None:
        super().__init__(name="waiter")
        self.proxy = proxy
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self.proxy.wait()
        except Exception as error:
            self.outcome = type(error)


@pytest.mark.parametrize("name", [path.stem for path in (LUA / "latch").iterdir()])
def test_its_scripts_keep_the_contract(name: str) -> None:
    header.check(f"latch/{name}")


def test_it_works(manager: RedisManager) -> None:
    proxy = latch(manager, 2)
    waiters = [Waiter(proxy) for _ in range(3)]
    proxy.count_down()
    assert not proxy.wait(0.05)
    proxy.count_down()
    for waiter in waiters:
        waiter.join()
        assert waiter.outcome is True
    assert proxy.wait()


def test_it_is_listed_and_shown(manager: RedisManager, ask: Any) -> None:
    named, unnamed = latch(manager, 2, "named"), latch(manager, 1)
    waiter = Waiter(named)
    assert wait_until(lambda: ask("show", "named")["waiters"])
    listed = {info["ident"]: (info["typeid"], info["state"]) for info in ask("ls")}
    assert listed == {
        "n:named": ("Latch", "2 to go"),
        unnamed._token.ident: ("Latch", "1 to go"),
    }
    assert [info["ident"] for info in ask("locks")] == list(listed)
    assert [info["ident"] for info in ask("ls", "--type", "Latch")] == list(listed)
    assert ask("queues") == []
    now = ask("top", "--once")
    assert (now["types"], len(now["locks"])) == ({"Latch": 2}, 2)
    shown = ask("show", "named")
    assert [each["thread"] for each in shown["waiters"]] == ["waiter"]
    assert (shown["typeid"], shown["parameters"], shown["entries"]) == ("Latch", "2", [])
    named.count_down()
    named.count_down()
    waiter.join()


@pytest.mark.parametrize("name", ["named", None])
def test_its_deletion_wakes_its_waiters(
    name: str | None, manager: RedisManager, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, constant in ((janitor, "LOOK_INTERVAL"), (wait, "MAX_BLOCK")):
        monkeypatch.setattr(module, constant, 600.0)  # without a token nothing wakes a waiter
    proxy = latch(manager, 1, name)
    waiters = [Waiter(proxy) for _ in range(3)]
    assert wait_until(
        lambda: (
            len(ask("show", proxy._token.ident[2:] if name else proxy._token.ident)["waiters"]) == 3
        )
    )
    proxy.delete()
    for waiter in waiters:
        waiter.join(PATIENCE)
        assert waiter.outcome is ObjectGone
    assert ask("ls") == []


def test_its_garbage_is_collected(server: Server, manager: RedisManager, ask: Any) -> None:
    proxy = latch(manager, 1, "haunted")
    server.command("HSET", proxy._handle.keys.data, "q:ghost.0.MainThread", "1")
    [found] = ask("gc")
    assert (found["kind"], found["detail"]) == ("dead session", "0 holders, 1 waiters")
    assert [each["removed"] for each in ask("gc", "--yes")] == [True]
    assert ask("show", "haunted")["waiters"] == []
    server.command("DEL", proxy._handle.keys.data)
    [found] = ask("gc", "--yes")
    assert (found["kind"], found["removed"]) == ("orphaned name", True)
    assert manager.names() == []
