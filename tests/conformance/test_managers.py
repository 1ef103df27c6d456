"""CPython's tests of managers that users customise, connect to, restart and initialise."""

from __future__ import annotations

import multiprocessing
import multiprocessing.managers

import pytest

import multihost
from multihost.managers import BaseManager, SyncManager

borrowed = pytest.importorskip(
    "test._test_multiprocessing",
    reason="this interpreter has no test package",
    exc_type=ImportError,
)


def customised(theirs):
    """Return a manager of ours with the types, and so the proxies, of one of theirs."""
    ours = type(theirs.__name__, (BaseManager,), {"__module__": __name__})
    for typeid, (factory, exposed, results, proxytype) in vars(theirs)["_registry"].items():
        ours.register(typeid, factory, proxytype, exposed, results)
    return ours


# Their tests find the managers among the globals of their module, in spawned children, too.
for name in ("MyManager", "QueueManager", "QueueManager2"):
    globals()[name] = customised(getattr(borrowed, name))
    setattr(borrowed, name, globals()[name])


class Children:
    """How the processes of the tests are started, and what they are made of."""

    method = None
    TYPE = "manager"
    Process = multiprocessing.Process

    @pytest.fixture(autouse=True)
    def start_method(self):
        before = multiprocessing.get_start_method(allow_none=True)
        multiprocessing.set_start_method(self.method, force=True)
        yield
        multiprocessing.set_start_method(before, force=True)

    @pytest.fixture(autouse=True)
    def managers(self, monkeypatch, port):
        monkeypatch.setattr(multiprocessing, "Manager", multihost.Manager)
        monkeypatch.setattr(multiprocessing.managers, "SyncManager", SyncManager)
        monkeypatch.setattr(borrowed.socket_helper, "find_unused_port", lambda: port)


for name in ("_TestMyManager", "_TestRemoteManager", "_TestManagerRestart", "TestInitializers"):
    for method in ("fork", "spawn"):
        base = getattr(borrowed, name)
        bases = (Children, base) if issubclass(base, borrowed.unittest.TestCase) else None
        cls = type(name, bases or (Children, base, borrowed.unittest.TestCase), {"method": method})
        cls.__name__ = cls.__qualname__ = f"{name.lstrip('_')}{method.capitalize()}"
        cls.__module__ = __name__
        globals()[cls.__name__] = cls
del cls, base, bases
