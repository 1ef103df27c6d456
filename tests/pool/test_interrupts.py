"""Exceptions that end a program, where others wait: threads of a pool, and anywhere in a call."""

from __future__ import annotations

import dis
import faulthandler
import functools
import gc
import logging
import multiprocessing
import operator
import os
import sys
import threading

import pytest

import multihost
from multihost import Executor, LinkLost
from multihost.pool import Pool
from tests.pool import work
from tests.support.interrupts import isolated
from tests.support.waiting import PATIENCE, wait_until

FORK = multiprocessing.get_context("fork")
STEP = 1 if os.environ.get("MULTIHOST_INTERRUPTS") else 3


@pytest.fixture(scope="module")
def shared():
    """A manager of a named pool with a worker, for many clients in turn."""
    with multihost.Manager() as manager, manager.Pool(1, name="shared", context=FORK):
        yield manager


@pytest.fixture
def pool(shared):
    with Pool(0, manager=shared, name="shared") as pool:
        yield pool
        ends(pool)


@pytest.fixture
def executor(shared):
    executor = Executor(0, manager=shared, name="shared")
    yield executor
    ends(executor)


def ends(client):
    """Fail unless the pool or executor can be shut down."""

    def end():
        if isinstance(client, Pool):
            client.close()
            client.join()
        else:
            client.shutdown()

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        faulthandler.dump_traceback(all_threads=True)
    assert not thread.is_alive(), "it does not end"


# In a thread of the pool it is the result of that task


def test_result_whose_unpickling_exits(pool, executor):
    with pytest.raises(SystemExit):
        pool.apply_async(work.ExitsWhenUnpickled).get(PATIENCE)
    with pytest.raises(SystemExit):
        pool.map_async(work.new, [work.ExitsWhenUnpickled] * 3).get(PATIENCE)
    assert pool.apply_async(work.double, (1,)).get(PATIENCE) == 2
    assert isinstance(executor.submit(work.ExitsWhenUnpickled).exception(PATIENCE), SystemExit)
    assert executor.submit(work.double, 1).result(PATIENCE) == 2


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_callback_that_raises(pool, error):
    def callback(_):
        raise error

    with pytest.raises(error):
        pool.apply_async(work.double, (1,), callback=callback).get(PATIENCE)
    with pytest.raises(error):
        pool.apply_async(work.fail, ("no",), error_callback=callback).get(PATIENCE)
    with pytest.raises(error):
        pool.map_async(work.double, [1, 2], callback=callback).get(PATIENCE)
    assert pool.apply_async(work.double, (1,)).get(PATIENCE) == 2


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_callback_of_a_future_that_raises(shared, executor, caplog, error):
    called, gate = [], shared.Event()

    def callback(_):
        raise error

    future = executor.submit(gate.wait)
    future.add_done_callback(callback)
    future.add_done_callback(called.append)
    later = [executor.submit(work.double, n) for n in range(20)]
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        gate.set()
        assert future.result(PATIENCE) is True
        assert [each.result(PATIENCE) for each in later] == list(range(0, 40, 2))
        wait_until(lambda: called == [future])
    assert "exception calling callback" in caplog.text


def test_argument_whose_pickling_exits(pool, executor):
    with pytest.raises(SystemExit):
        pool.apply_async(work.double, (work.ExitsWhenPickled(),))
    with pytest.raises(SystemExit):
        pool.map_async(work.double, [1, work.ExitsWhenPickled(), 3], 1).get(PATIENCE)
    results = pool.imap(work.double, [1, work.ExitsWhenPickled(), 3])
    assert results.next(PATIENCE) == 2
    with pytest.raises(SystemExit):
        results.next(PATIENCE)
    assert results.next(PATIENCE) == 6
    with pytest.raises(SystemExit):
        executor.submit(work.double, work.ExitsWhenPickled())
    assert executor.submit(work.double, 1).result(PATIENCE) == 2


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_iterable_that_raises(pool, error):
    def items():
        yield 1
        raise error

    results = pool.imap(work.double, items())
    assert results.next(PATIENCE) == 2
    with pytest.raises(error):
        results.next(PATIENCE)
    assert pool.apply_async(work.double, (1,)).get(PATIENCE) == 2


# In the caller, at any moment


class Interruption:
    """Raises at the n-th moment of a call at which CPython runs signal handlers: behind a call,
    at the begin of a function, and at a jump back.
    """

    def __init__(self, moment):
        self.moment = moment
        self.count = 0
        self.last = {}
        self.where = None

    def executes(self, frame, opname):
        """Raise if the moment has come, before this instruction of a frame."""
        before = self.last.get(frame)
        self.last[frame] = opname
        if before and (before.startswith("CALL") or before in ("RESUME", "JUMP_BACKWARD")):
            self.count += 1
            if self.count == self.moment:
                code = frame.f_code
                self.where = f"{code.co_filename}:{frame.f_lineno} {code.co_name}"
                raise work.Interrupted

    def leaves(self, frame):
        """Note that a frame is left: it was no function of C that its caller called."""
        self.last[frame.f_back] = None

    def run(self, call):
        """Call, and return whether the moment came."""
        run = _traced if sys.version_info < (3, 12) else _monitored
        # What an earlier test left behind is not collected now: the heap of multiprocessing, in
        # which pools have their numbers, bears no interruption of a finalizer.
        gc.disable()
        try:
            run(self, functools.partial(isolated, call))
        except work.Interrupted:
            pass
        except RuntimeError as error:
            # CPython's own Condition, in the wait of a future: its lock was not acquired again.
            if not isinstance(error.__context__, work.Interrupted):
                raise
        finally:
            gc.enable()
        return self.where is not None


def _traced(interruption, call):
    def trace(frame, event, _):
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "return":
            interruption.leaves(frame)
        elif event == "opcode" and interruption.where is None:
            interruption.executes(frame, dis.opname[frame.f_code.co_code[frame.f_lasti]])
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)


def _monitored(interruption, call):
    """As above. Since 3.12 a trace function misses some of what it has just begun to trace."""
    monitoring, thread = sys.monitoring, threading.get_ident()
    tool, events = monitoring.DEBUGGER_ID, monitoring.events

    def is_counted(code):
        is_here = threading.get_ident() == thread and code is not _monitored.__code__
        return is_here and interruption.where is None

    def executed(code, offset):
        if is_counted(code):
            interruption.executes(sys._getframe(1), dis.opname[code.co_code[offset]])

    def left(code, *_):
        if is_counted(code):
            interruption.leaves(sys._getframe(1))

    watched = {events.INSTRUCTION: executed}
    watched |= dict.fromkeys((events.PY_RETURN, events.PY_YIELD, events.PY_UNWIND), left)
    monitoring.use_tool_id(tool, __name__)
    try:
        for event, callback in watched.items():
            monitoring.register_callback(tool, event, callback)
        monitoring.set_events(tool, functools.reduce(operator.or_, watched))
        call()
    finally:
        monitoring.set_events(tool, 0)
        for event in watched:
            monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)


CALLS = {
    "apply_async": lambda pool: pool.apply_async(work.double, (1,)),
    "map_async": lambda pool: pool.map_async(work.double, range(9)),
    "imap": lambda pool: pool.imap(work.double, range(9)),
    "map": lambda pool: pool.map(work.double, range(9)),
}


# Where a finalizer was interrupted nobody gets the exception.
UNRAISABLE = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@UNRAISABLE
@pytest.mark.parametrize("name", CALLS)
def test_a_pool_ends_after_a_call_was_interrupted_anywhere(shared, name):
    moment, kept = 0, []  # multiprocessing's heap bears no interruption of its finalizers
    while True:
        moment += STEP
        pool = Pool(0, manager=shared, name="shared")
        kept.append(pool)
        others = pool.map_async(work.double, range(5), 1)
        interruption = Interruption(moment)
        came = interruption.run(lambda pool=pool: CALLS[name](pool))
        try:
            try:
                assert others.get(PATIENCE) == list(range(0, 10, 2))
            except LinkLost:  # it was under way with them
                pass
            assert pool.apply_async(work.double, (2,)).get(PATIENCE) == 4
            ends(pool)
        except BaseException as error:
            error.add_note(f"interrupted at {interruption.where}")
            raise
        if not came:
            break
    assert moment > 5


FUTURES = {
    "submit": lambda executor: executor.submit(work.double, 1),
    "map": lambda executor: list(executor.map(work.double, range(9))),
}


@UNRAISABLE
@pytest.mark.parametrize("name", FUTURES)
def test_an_executor_ends_after_a_call_was_interrupted_anywhere(shared, name):
    moment, kept = 0, []  # multiprocessing's heap bears no interruption of its finalizers
    while True:
        moment += STEP
        executor = Executor(0, manager=shared, name="shared")
        kept.append(executor)
        others = [executor.submit(work.double, n) for n in range(6)]
        interruption = Interruption(moment)
        came = interruption.run(lambda executor=executor: FUTURES[name](executor))
        try:
            for number, future in enumerate(others):
                try:
                    assert future.result(PATIENCE) == 2 * number
                except LinkLost:  # it was under way with them
                    pass
            assert executor.submit(work.double, 2).result(PATIENCE) == 4
            ends(executor)
        except BaseException as error:
            error.add_note(f"interrupted at {interruption.where}")
            raise
        if not came:
            break
    assert moment > 5
