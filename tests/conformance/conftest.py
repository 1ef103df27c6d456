"""The manager behind CPython's tests, their deviations, and the count at the end."""

from __future__ import annotations

import builtins
import contextlib
import itertools
import multiprocessing
import sys

import pytest

from multihost import Manager
from tests.conformance.known_differences import KNOWN_DIFFERENCES
from tests.conformance.shared import Shared
from tests.support.waiting import PATIENCE

with contextlib.suppress(ImportError):
    from test import support

    # How long they wait for what has to come; before their modules are imported.
    support.SHORT_TIMEOUT = max(support.SHORT_TIMEOUT, PATIENCE)

HERE = "tests/conformance/"
# For all fork servers that tests start: their children have what the tests between processes need.
multiprocessing.set_forkserver_preload(["tests.conformance.test_between_processes"])

BORROWED = frozenset({"test.seq_tests", "test.list_tests", "test.mapping_tests", "test.test_set"})


def test_id(nodeid):
    """``TestList::test_copy``, which is the same in every module."""
    return nodeid.split("::", 1)[-1]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    for item in items:
        reason = KNOWN_DIFFERENCES.get(test_id(item.nodeid)) if HERE in item.nodeid else None
        if reason is not None:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture(scope="session", autouse=True)
def shared_manager():
    """One for all tests, started before the first of them looks for leaks."""
    with Manager() as manager:
        keeps_the_thread = manager.list()
        Shared.manager = manager
        yield
        Shared.manager = None
        del keeps_the_thread


@pytest.fixture(autouse=True)
def importable_classes(monkeypatch):
    """A class that a test defines within itself can be pickled: it gets a name in its module."""
    build, numbers = builtins.__build_class__, itertools.count()

    def build_class(function, name, *bases, **kwds):
        cls = build(function, name, *bases, **kwds)
        if isinstance(cls, type) and cls.__module__ in BORROWED and "<locals>" in cls.__qualname__:
            cls.__qualname__ = f"_local_{next(numbers)}_{name}"
            module = sys.modules[cls.__module__]
            monkeypatch.setattr(module, cls.__qualname__, cls, raising=False)
        return cls

    monkeypatch.setattr(builtins, "__build_class__", build_class)


@pytest.fixture(autouse=True)
def depth_of_python(monkeypatch):
    """Tests of deep nesting go beyond the limit of C code; for proxies it is Python's."""
    limit = sys.getrecursionlimit() + 100
    for name in BORROWED & set(sys.modules):
        module = sys.modules[name]
        if hasattr(module, "C_RECURSION_LIMIT"):
            monkeypatch.setattr(module, "C_RECURSION_LIMIT", limit)
        if hasattr(module, "get_c_recursion_limit"):
            monkeypatch.setattr(module, "get_c_recursion_limit", lambda: limit)
