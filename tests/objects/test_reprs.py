"""What proxies and managers print: names and servers, no password, and never an exception."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from multihost import Manager, RedisManager, SyncManager
from multihost.managers import AutoProxy, BaseManager, BaseProxy, IteratorProxy, MakeProxyType
from multihost.proxies.native import NativeProxy
from tests.support.leaks import AnyServer
from tests.support.procs import kill9
from tests.support.server import Server

TYPES = sorted(SyncManager._registry)
ARGS: dict[str, tuple[Any, ...]] = {
    "Array": ("i", [1]),
    "Value": ("i", 1),
    "Barrier": (2,),
}
# What str() shows: the plain value of a container, the state of everything else.
SHOWN = {
    "Array": "array('i', [1])",
    "Value": "Value('i', 1)",
    "Namespace": "Namespace()",
    "dict": "{}",
    "list": "[]",
    "set": "set()",
    "Lock": "<unlocked Lock {label}>",
    "RLock": "<unlocked RLock {label}>",
    "Condition": "<Condition(<unlocked RLock {label}>, 0)>",
    "Semaphore": "<Semaphore {label}: value=1>",
    "BoundedSemaphore": "<BoundedSemaphore {label}: value=1/1>",
    "Event": "<Event {label}: unset>",
    "Barrier": "<Barrier {label}: waiters=0/2>",
    **{
        kind: f"<{kind} {{label}}: size=0>"
        for kind in ("Queue", "JoinableQueue", "LifoQueue", "PriorityQueue", "SimpleQueue")
    },
}


def made(m: Any, typeid: str, name: str | None) -> Any:
    return getattr(m, typeid)(*ARGS.get(typeid, ()), name=name)


@pytest.fixture
def m(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


def delete(proxy: Any) -> None:
    (proxy._delete if proxy._token.typeid == "Namespace" else proxy.delete)()


@pytest.mark.parametrize("name", ["it's", None])
@pytest.mark.parametrize("typeid", TYPES)
def test_a_proxy_shows_its_name_and_its_state(
    typeid: str, name: str | None, m: RedisManager
) -> None:
    if typeid == "dict" and name is not None:
        proxy = m.dict(name)  # keywords are entries
    elif typeid in ("dict", "Namespace"):
        proxy = getattr(m, typeid)(*filter(None, [name]))
    else:
        proxy = made(m, typeid, name)
    kind = type(proxy).__name__
    shown = "" if name is None else f" {name!r}"
    assert re.fullmatch(
        rf"<{kind} object{re.escape(shown)}, typeid '{typeid}' at 0x[0-9a-f]+>", repr(proxy)
    )
    label = proxy._token.ident if name is None else repr(name)
    assert str(proxy) == f"{proxy}" == SHOWN[typeid].replace("{label}", label)
    delete(proxy)
    assert str(proxy) == repr(proxy)[:-1] + "; '__str__()' failed>"


def test_a_queue_shows_how_full_it_is(m: RedisManager) -> None:
    q = m.Queue("jobs", 100)
    q.put_many("abc")
    assert str(q) == "<Queue 'jobs': size=3/100>"


def one_of_each(m: Any) -> list[Any]:
    return [
        m.dict()
        if typeid == "dict"
        else m.Namespace()
        if typeid == "Namespace"
        else made(m, typeid, None)
        for typeid in TYPES
    ]


def test_nothing_raises_after_the_end_of_the_manager() -> None:
    manager = Manager()
    proxies = one_of_each(manager)
    manager.shutdown()
    for proxy in proxies:
        assert "object, typeid" in repr(proxy)
        assert str(proxy).endswith("; '__str__()' failed>")
    assert "shut down" in repr(manager)


def test_nothing_raises_without_the_server() -> None:
    manager = Manager()
    proxies = one_of_each(manager)
    kill9(manager.runtime.embedded.pid)  # type: ignore[union-attr]
    for proxy in proxies:
        assert "object, typeid" in repr(proxy)
        assert str(proxy).endswith("; '__str__()' failed>")
    assert str(manager.address) in repr(manager)
    manager.shutdown()


# -- objects in a process


class Thing:
    def __repr__(self) -> str:
        return "a thing"

    def fail(self) -> None: ...

    def __iter__(self) -> Iterator[int]:
        return iter([1])


class Unprintable(Thing):
    def __repr__(self) -> str:
        raise ValueError


class ThingProxy(BaseProxy):
    _exposed_ = ("__iter__",)
    _method_to_typeid_ = {"__iter__": "Iterator"}

    def __iter__(self) -> Any:
        return self._callmethod("__iter__")


class Hosting(SyncManager):
    """Registered types, for each way to have a proxy."""


Hosting.register("Auto", Thing)
Hosting.register("Made", Thing, MakeProxyType("MadeProxy", ("fail",)))
Hosting.register("Own", Thing, ThingProxy)
Hosting.register("Bad", Unprintable)
NATIVE = {typeid: entry[-1] for typeid, entry in SyncManager._registry.items()}
for _typeid, _proxytype in NATIVE.items():
    Hosting.register(f"hosted_{_typeid}", Thing, _proxytype, exposed=("fail",))


def test_proxies_of_hosted_objects() -> None:
    with Hosting() as manager:
        found = {}
        for typeid in ("Auto", "Made", "Own", *(f"hosted_{each}" for each in NATIVE)):
            for name in (None, f"the {typeid}"):
                proxy = getattr(manager, typeid)(**({} if name is None else {"name": name}))
                found[typeid] = proxy
                shown = "" if name is None else f" {name!r}"
                assert f" object{shown}, typeid {typeid!r} at 0x" in repr(proxy)
                assert str(proxy) == "a thing"
        iterator = iter(found["Own"])
        assert isinstance(iterator, IteratorProxy)
        assert repr(iterator).startswith("<IteratorProxy object, typeid 'Iterator' at 0x")
        assert "iterator object at 0x" in str(iterator)
        assert str(manager.Bad()).endswith("; '__str__()' failed>")
        kill9(manager._process.pid)
        for proxy in found.values():
            assert "object 'the " in repr(proxy)
            assert str(proxy).endswith("; '__str__()' failed>")


def all_subclasses(cls: type) -> set[type]:
    return {cls}.union(*(all_subclasses(each) for each in cls.__subclasses__()))


def test_no_proxy_type_prints_itself_in_another_way() -> None:
    """So what is tested of some holds for all."""
    ours = {cls for cls in all_subclasses(BaseProxy) if cls.__module__.startswith("multihost.")}
    assert NativeProxy in ours and len(ours) > len(TYPES)
    for cls in ours:
        assert cls.__repr__ is BaseProxy.__repr__
        assert cls.__str__ is BaseProxy.__str__
    assert AutoProxy is not None


@pytest.mark.parametrize("cls", [BaseProxy, ThingProxy, *(NATIVE[typeid] for typeid in NATIVE)])
def test_a_proxy_that_was_never_made_can_be_printed(cls: Any) -> None:
    proxy = cls.__new__(cls)
    assert cls.__name__ in repr(proxy)
    assert cls.__name__ in str(proxy)


# -- managers


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with Server(tcp=True, password="hush") as server:
        yield server


def test_a_manager_names_its_server_without_the_password(guarded: Server) -> None:
    url = f"redis://:hush@127.0.0.1:{guarded.port}/0"
    with RedisManager(url, namespace="ns") as manager:
        assert re.fullmatch(
            rf"<RedisManager object, server 'redis://127.0.0.1:{guarded.port}/0', "
            r"namespace 'ns', started at 0x[0-9a-f]+>",
            repr(manager),
        )
        assert str(manager) == repr(manager)
    assert ", shut down at 0x" in repr(manager)
    assert str(guarded.port) in repr(manager)


def test_managers_of_every_state(server: AnyServer) -> None:
    assert "no server" in repr(SyncManager()) and "not started" in repr(SyncManager())
    assert "BaseManager object" in repr(BaseManager(("127.0.0.1", 0)))
    assert server.url.partition("?")[0] in repr(BaseManager(server.url))
    with Manager() as manager:
        assert f"server {str(manager.address)!r}" in repr(manager)
    half_made = SyncManager.__new__(SyncManager)
    assert "SyncManager" in repr(half_made)


def test_a_pool_shows_its_name(m: RedisManager) -> None:
    with m.Pool(0, name="render") as pool:
        assert repr(pool).endswith("ManagedPool 'render' state=RUN pool_size=0>")
        m.delete("render")
    with m.Pool(1) as unnamed:
        assert repr(unnamed).endswith("ManagedPool state=RUN pool_size=1>")
