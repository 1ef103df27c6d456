"""CPython's tests of what a manager's objects do between processes, forked ones and others.

A child imports this module to find its task here, so it leaves pytest out, which takes long.
"""

from __future__ import annotations

import multiprocessing
from unittest import SkipTest

import multihost.pool
from multihost.managers import SyncManager
from tests.conformance.shared import Shared

try:
    from test import _test_multiprocessing as borrowed
except ImportError as error:
    raise SkipTest("this interpreter has no test package") from error


class Children:
    """How the processes of the tests are started."""

    method = None

    @classmethod
    def setUpClass(cls):
        before = multiprocessing.get_start_method(allow_none=True)
        multiprocessing.set_start_method(cls.method, force=True)
        cls.addClassCleanup(multiprocessing.set_start_method, before, force=True)
        super().setUpClass()


class SharedTypes(borrowed.ManagerMixin):
    """The mixin that gives the tests their types, with those of our manager."""

    @classmethod
    def setUpClass(cls):
        cls.manager = Shared.manager

    @classmethod
    def tearDownClass(cls):
        cls.manager = None


class Processes(borrowed.ProcessesMixin):
    """The tests of ``multiprocessing.Pool``, with ours."""

    @staticmethod
    def Pool(*args, **kwds):
        return multihost.pool.Pool(*args, manager=Shared.manager, **kwds)

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(setattr, multiprocessing, "Pool", multiprocessing.Pool)
        multiprocessing.Pool = cls.Pool
        super().setUpClass()


def bound(name, *mixins, suffix="", methods=("fork", "spawn"), **attributes):
    """The test case of this name, once for each way to start its children."""
    for method in methods:
        bases = Children, getattr(borrowed, name), *mixins, borrowed.unittest.TestCase
        cls = type(name, bases, attributes)
        cls.__name__ = cls.__qualname__ = f"{name.lstrip('_')}{suffix}{method.capitalize()}"
        cls.__module__ = __name__
        cls.method = method
        globals()[cls.__name__] = cls


for name in ("_TestLock", "_TestSemaphore"):
    bound(name, SharedTypes, methods=["fork"])  # they start no children
for name in ("_TestQueue", "_TestPool"):
    bound(name, SharedTypes)
# Spawned children use one of each of these in TestSyncManagerTypes, below; what else these show is
# the same however a child was started, and each of them starts up to six interpreters.
for name in ("_TestCondition", "_TestEvent"):
    bound(name, SharedTypes, methods=["fork"])
bound("_TestBarrier", SharedTypes, methods=["fork"], defaultTimeout=60.0)
for name in ("_TestPool", "_TestPoolWorkerErrors", "_TestPoolWorkerLifetime"):
    bound(name, Processes, suffix="OfProcesses", methods=["fork"])

# Its types come from a manager of its own for each test.
bound("TestSyncManagerTypes", manager_class=SyncManager)
