"""Proxy types that programs derived from the standard library's do the same for both managers."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from multiprocessing import managers

import pytest

import multihost.managers
from tests.hosted import stdlib_proxies
from tests.hosted.stdlib_proxies import Thing, register
from tests.support.waiting import PATIENCE

fork = multiprocessing.get_context("fork")


class Their(managers.SyncManager):
    pass


class Our(multihost.managers.SyncManager):
    pass


register(Their)
register(Our)


@pytest.fixture(scope="module", params=[Their, Our], ids=lambda cls: cls.__name__)
def m(request):
    with request.param(ctx=fork) as manager:
        keeps_the_thread = manager.Auto()
        keeps_the_thread.next()
        yield manager


@pytest.fixture(scope="module")
def ours():
    with Our(ctx=fork) as manager:
        keeps_the_thread = manager.Auto()
        keeps_the_thread.next()
        yield manager


def test_methods_of_the_base_by_its_name(m):
    proxy = m.ByName(4)
    assert (proxy.next(), proxy.value().number) == (5, 5)
    with pytest.raises(KeyError, match="thing"):
        proxy.fail()
    assert proxy.name == "an attribute of the proxy"
    assert (proxy._id, proxy._token.typeid) == (proxy._token.id, "ByName")


def test_methods_of_the_base_by_super(m):
    proxy = m.BySuper(4)
    assert (proxy.next(), str(proxy), proxy.calls) == (5, "Thing 5", 2)
    another = proxy.another()
    assert (type(another).__name__, str(another), another.next()) == ("BySuper", "Thing 6", 7)
    assert list(proxy.parts()) == [5]


def test_attributes_of_the_object(m):
    proxy = m.ByAttribute(4)
    proxy.name = "changed"
    proxy.delete, proxy.statistics = 1, 2
    assert (proxy.number, proxy.name, proxy.delete, proxy.statistics) == (4, "changed", 1, 2)
    assert (proxy.next(), proxy.number) == (5, 5)
    del proxy.name
    with pytest.raises(AttributeError, match="name"):
        print(proxy.name)


def test_types_that_are_made(m):
    made, derived = m.Made(1), m.Derived(2)
    assert (made.next(), repr(made), derived.twice()) == (2, "Thing 2", 4)
    assert not hasattr(derived, "fail")


def test_other_callables(m):
    assert m.Auto(1).next() == 2
    assert m.Partial(1).next() == 4


@pytest.mark.parametrize("typeid", ["ByName", "BySuper", "ByAttribute", "Made", "Derived"])
def test_classes(m, typeid):
    proxy = getattr(m, typeid)()
    registered = getattr(stdlib_proxies, typeid)
    assert isinstance(proxy, (registered, managers.BaseProxy))
    assert type(proxy).__name__ == typeid
    assert type(proxy).__module__ == registered.__module__
    assert managers.BaseProxy.__repr__(proxy).startswith(f"<{typeid} object, typeid '{typeid}' at ")
    assert copy.copy(proxy).next() == 1
    assert type(copy.deepcopy(proxy)) is Thing


def _use(proxies, results):
    for typeid, proxy in proxies.items():
        results.append([typeid, proxy.next(), str(proxy)])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_other_processes(m, method):
    typeids = ["ByName", "BySuper", "ByAttribute", "Derived", "Auto"]
    proxies, results = {typeid: getattr(m, typeid)() for typeid in typeids}, m.list()
    child = multiprocessing.get_context(method).Process(target=_use, args=(proxies, results))
    child.start()
    child.join(PATIENCE)
    assert list(results) == [[typeid, 1, "Thing 1"] for typeid in typeids]
    assert [proxy.next() for proxy in proxies.values()] == [2] * len(typeids)


def test_in_a_container(m):
    d = m.dict()
    for typeid in ("ByName", "BySuper", "ByAttribute", "Derived", "Auto"):
        d[typeid] = getattr(m, typeid)()
        assert d[typeid].next() == 1


class TheirPlain(managers.BaseProxy):
    pass


class OurPlain(multihost.managers.BaseProxy):
    pass


Their.register("Plain", Thing, TheirPlain)
Our.register("Plain", Thing, OurPlain)


def test_without_a_list_the_public_methods_are_exposed(m):
    assert m.Plain()._callmethod("next") == 1


# more than the standard library


def _another(proxy, results):
    made = proxy.another()
    results.append([type(made).__name__, str(made), str(proxy.parts())])


def test_a_result_that_is_an_object_in_a_forked_child(ours):
    proxy, results = ours.BySuper(), ours.list()
    child = fork.Process(target=_another, args=(proxy, results))
    child.start()
    child.join(PATIENCE)
    assert list(results) == [["BySuper", "Thing 1", "[0]"]]


def test_a_type_that_was_made_is_pickled(ours):
    proxy = pickle.loads(pickle.dumps(ours.Made(1)))
    assert (proxy.next(), type(proxy).__name__) == (2, "Made")


def test_what_all_proxies_have(ours):
    proxy = ours.BySuper(name="by its name")
    assert isinstance(proxy, multihost.managers.BaseProxy)
    assert proxy._name == "by its name"
    proxy._delete()
    assert "by its name" not in ours.names()
