"""CPython's tests of what a manager's objects do between processes, forked and spawned ones."""

from __future__ import annotations

import multiprocessing

import pytest

import multihost.pool
from multihost.managers import SyncManager
from tests.conformance.shared import Shared

borrowed = pytest.importorskip(
    "test._test_multiprocessing",
    reason="this interpreter has no test package",
    exc_type=ImportError,
)


class Children:
    """How the processes of the tests are started."""

    method = None

    @pytest.fixture(autouse=True)
    def start_method(self):
        before = multiprocessing.get_start_method(allow_none=True)
        multiprocessing.set_start_method(self.method, force=True)
        yield
        multiprocessing.set_start_method(before, force=True)


class SharedTypes(Children, borrowed.ManagerMixin):
    """The mixin that gives the tests their types, with those of our manager."""

    @classmethod
    def setUpClass(cls):
        cls.manager = Shared.manager

    @classmethod
    def tearDownClass(cls):
        cls.manager = None

    @pytest.fixture(autouse=True)
    def free_permits(self, monkeypatch):
        """What they find out about semaphores where they can."""
        monkeypatch.setattr(borrowed, "get_value", lambda sem: sem.statistics().permits)


def bound(name, mixin, suffix="", methods=("fork", "spawn"), **attributes):
    """The test case of this name, with its children forked, and once more with them spawned."""
    for method in methods:
        cls = type(name, (getattr(borrowed, name), mixin, borrowed.unittest.TestCase), attributes)
        cls.__name__ = cls.__qualname__ = f"{name.lstrip('_')}{suffix}{method.capitalize()}"
        cls.__module__ = __name__
        cls.method = method
        globals()[cls.__name__] = cls


for name in (
    "_TestLock",
    "_TestSemaphore",
    "_TestCondition",
    "_TestEvent",
    "_TestBarrier",
    "_TestQueue",
    "_TestPool",
):
    bound(name, SharedTypes)


class Processes(Children, borrowed.ProcessesMixin):
    """The tests of ``multiprocessing.Pool``, with ours."""

    @staticmethod
    def Pool(*args, **kwds):
        return multihost.pool.Pool(*args, manager=Shared.manager, **kwds)

    @pytest.fixture(autouse=True)
    def our_pool(self, monkeypatch):
        monkeypatch.setattr(multiprocessing, "Pool", self.Pool)


for name in ("_TestPool", "_TestPoolWorkerErrors", "_TestPoolWorkerLifetime"):
    bound(name, Processes, "OfProcesses", ("fork",))

# Its types come from a manager of its own for each test.
bound("TestSyncManagerTypes", Children, manager_class=SyncManager)
