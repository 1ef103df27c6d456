"""CPython's tests of locks, events, conditions, semaphores and barriers, on the shared ones."""

from __future__ import annotations

import threading
import types

import pytest

from tests.conformance.shared import factory, in_this_process
from tests.support.waiting import PATIENCE

lock_tests = pytest.importorskip(
    "test.lock_tests", reason="this interpreter has no test package", exc_type=ImportError
)


class Patient:
    """A machine may let threads stand still: what took too long is no failure, what was too quick
    is one.
    """

    def assertTimeout(self, actual, expected):
        assert actual >= expected * 0.6


class TestLock(Patient, lock_tests.LockTests):
    locktype = staticmethod(factory("Lock"))


class TestRLock(Patient, lock_tests.RLockTests):
    locktype = staticmethod(factory("RLock"))


class TestEvent(Patient, lock_tests.EventTests):
    eventtype = staticmethod(factory("Event"))


class TestCondition(Patient, lock_tests.ConditionTests):
    condtype = staticmethod(factory("Condition"))

    @pytest.fixture(autouse=True)
    def shared_lock(self, monkeypatch):
        """What they give to a condition as its lock is a shared one."""
        module = types.SimpleNamespace(**vars(threading))
        module.Lock = factory("Lock")
        monkeypatch.setattr(lock_tests, "threading", module)


class TestSemaphore(Patient, lock_tests.SemaphoreTests):
    semtype = staticmethod(factory("Semaphore"))


class TestBoundedSemaphore(Patient, lock_tests.BoundedSemaphoreTests):
    semtype = staticmethod(factory("BoundedSemaphore"))


class TestBarrier(Patient, lock_tests.BarrierTests):
    def setUp(self):
        self.barrier = self.barriertype(self.N, timeout=PATIENCE)

    @staticmethod
    def barriertype(parties, action=None, timeout=None):
        return factory("Barrier")(parties, action and in_this_process(action), timeout)
