"""CPython's tests of what a manager's objects do between processes, forked ones and others.

A child imports this module to find its task here, so it leaves pytest out, which takes long.
"""

from __future__ import annotations

import multiprocessing
from unittest import SkipTest

from multihost.managers import SyncManager
from tests.conformance.shared import Shared

try:
    from test import _test_multiprocessing as borrowed
except ImportError as error:
    raise SkipTest("this interpreter has no test package") from error


class Children:
    """How the processes of the tests are started."""

    method = None

    def setUp(self):
        before = multiprocessing.get_start_method(allow_none=True)
        multiprocessing.set_start_method(self.method, force=True)
        self.addCleanup(multiprocessing.set_start_method, before, force=True)
        super().setUp()


class SharedTypes(Children, borrowed.ManagerMixin):
    """The mixin that gives the tests their types, with those of our manager."""

    @classmethod
    def setUpClass(cls):
        cls.manager = Shared.manager

    @classmethod
    def tearDownClass(cls):
        cls.manager = None

    def setUp(self):
        # What they find out about semaphores where they can.
        self.addCleanup(setattr, borrowed, "get_value", borrowed.get_value)
        borrowed.get_value = lambda sem: sem.statistics().permits
        super().setUp()


def bound(name, mixin, methods, **attributes):
    """The test case of this name, once for each way to start its children."""
    for method in methods:
        cls = type(name, (mixin, getattr(borrowed, name), borrowed.unittest.TestCase), attributes)
        cls.__name__ = cls.__qualname__ = f"{name.lstrip('_')}{method.capitalize()}"
        cls.__module__ = __name__
        cls.method = method
        globals()[cls.__name__] = cls


# Those that start many children for each test get them from a fork server: like spawned ones they
# inherit nothing, and they are there at once. Those without children run once.
for name, methods in {
    "_TestLock": ["fork"],
    "_TestSemaphore": ["fork"],
    "_TestCondition": ["fork", "forkserver"],
    "_TestEvent": ["fork", "spawn"],
    "_TestBarrier": ["fork", "forkserver"],
    "_TestQueue": ["fork", "spawn"],
}.items():
    bound(name, SharedTypes, methods)

# Its types come from a manager of its own for each test.
bound(
    "TestSyncManagerTypes",
    Children,
    ["fork", "spawn"],
    manager_class=SyncManager,
    test_pool=None,  # until it exists
)
