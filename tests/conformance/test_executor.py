"""CPython's tests of process pools of ``concurrent.futures``, on our executor.

A child imports this module to find its task here, so it leaves pytest out, which takes long.
"""

from __future__ import annotations

import functools
import importlib
from concurrent import futures
from unittest import SkipTest, TestCase

import multihost
from tests.conformance.shared import Shared

PACKAGE = "test.test_concurrent_futures"


def borrowed(name):
    """A class of theirs, and the module that it is in: one for all before Python 3.12."""
    for module in (PACKAGE, *(f"{PACKAGE}.{part}" for part in PARTS)):
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        if name in vars(found):
            return getattr(found, name), found
    raise SkipTest("this interpreter has no test package")


PARTS = (
    *("util", "executor", "test_as_completed", "test_deadlock", "test_init"),
    *("test_process_pool", "test_shutdown", "test_wait"),
)


class ProcessPoolExecutor(multihost.Executor):
    """Ours under the name of theirs, which scripts of the tests import."""

    def __init__(self, *args, **kwds):
        super().__init__(*args, manager=Shared.manager, **kwds)

    # What the tests join after the executor has gone.

    @property
    def _executor_manager_thread(self):
        return self._pool._worker_handler

    class _call_queue:
        join_thread = staticmethod(lambda: None)


def with_ours(assert_python_ok):
    """Scripts that import their executor get ours instead."""

    @functools.wraps(assert_python_ok)
    def run(flag, script, **env):
        theirs = "from concurrent.futures import ProcessPoolExecutor"
        assert theirs in script
        ours = "from multihost import Executor as ProcessPoolExecutor"
        return assert_python_ok(flag, script.replace(theirs, ours), **env)

    return run


class Seams:
    """Their tests make executors of ours."""

    executor_type = ProcessPoolExecutor

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(setattr, futures, "ProcessPoolExecutor", futures.ProcessPoolExecutor)
        futures.ProcessPoolExecutor = ProcessPoolExecutor
        if hasattr(cls.module, "assert_python_ok"):
            before = cls.module.assert_python_ok
            cls.addClassCleanup(setattr, cls.module, "assert_python_ok", before)
            cls.module.assert_python_ok = with_ours(before)
        super().setUpClass()


def bound(name, methods=("Fork", "Spawn")):
    """The test case of this name, once for each way to start processes."""
    tests, module = borrowed(name)
    for method in methods:
        mixin, _ = borrowed(f"ProcessPool{method}Mixin")
        base, _ = borrowed("BaseTestCase")
        short = name.removesuffix("Mixin").removesuffix("Tests").removesuffix("Test")
        title = f"Test{short}{method}"
        assert not issubclass(tests, TestCase)
        body = {"module": module, "__module__": __name__, "__qualname__": title}
        globals()[title] = type(title, (Seams, tests, mixin, base), body)


for _name in (
    *("ProcessPoolExecutorTest", "ProcessPoolShutdownTest", "ExecutorDeadlockTest"),
    *("InitializerMixin", "FailingInitializerMixin", "WaitTests", "AsCompletedTests"),
):
    bound(_name)
