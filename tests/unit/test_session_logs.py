"""Who logs never waits for a handler, and a handler that hangs costs one thread."""

from __future__ import annotations

import logging
import os
import threading

import pytest

from multihost.wire.session import logs
from tests.support.procs import spawn_script
from tests.support.waiting import PATIENCE, wait_until

LOGGER = logging.getLogger("multihost.tests")
LOGGER.propagate = False


class Handler(logging.Handler):
    """Waits for the gate, and keeps what comes."""

    def __init__(self):
        super().__init__()
        self.gate, self.called, self.records = threading.Event(), threading.Event(), []

    def emit(self, record):
        self.called.set()
        self.gate.wait(PATIENCE)
        self.records.append(record)
        if record.args == ("exit",):
            raise SystemExit

    @property
    def messages(self):
        return [record.getMessage() for record in self.records]


@pytest.fixture
def handler():
    handler = Handler()
    for each in (LOGGER, logs.logger):
        each.addHandler(handler)
    yield handler
    handler.gate.set()
    wait_until(lambda: not threads(), what="the thread ends when all is written")
    for each in (LOGGER, logs.logger):
        each.removeHandler(handler)


def threads():
    return [each for each in threading.enumerate() if each.name == "multihost-log"]


def write(*args):
    logs.log(LOGGER, logging.WARNING, "%s", *args)


def test_a_handler_that_hangs_costs_one_thread_and_so_much_memory(handler):
    write("first")
    assert handler.called.wait(PATIENCE)
    for number in range(logs.MOST_WAITING + 50):
        write(number)
    assert len(threads()) == 1
    handler.gate.set()
    wait_until(lambda: len(handler.records) == logs.MOST_WAITING + 2)
    *messages, last = handler.messages
    assert messages == ["first", *map(str, range(logs.MOST_WAITING))]
    assert last.startswith("50 messages were dropped")


def test_a_handler_that_ends_its_thread(handler, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    write("first")
    assert handler.called.wait(PATIENCE)
    write("exit")
    write("last")
    handler.gate.set()
    wait_until(lambda: handler.messages == ["first", "exit", "last"])


def test_a_forked_child_logs(handler):
    write("of the parent")
    assert handler.called.wait(PATIENCE)
    write("waits")
    pid = os.fork()
    if pid == 0:
        child = Handler()
        child.gate.set()
        LOGGER.handlers[:] = [child]
        write("of the child")
        wait_until(lambda: child.records)
        os._exit(0 if child.messages == ["of the child"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    handler.gate.set()
    wait_until(lambda: handler.messages == ["of the parent", "waits"])


def test_a_program_ends_quietly_while_a_handler_hangs():
    program = """
import atexit, logging, threading
from multihost.wire.session.logs import log

class Handler(logging.Handler):
    def handle(self, record):  # not emit(): logging itself waits for that at the end
        called.set()
        threading.Event().wait()

called = threading.Event()
logger = logging.getLogger("multihost")
logger.addHandler(Handler())
log(logger, logging.ERROR, "first")
called.wait()
log(logger, logging.ERROR, "second")
atexit.register(log, logger, logging.ERROR, "third")
"""
    with spawn_script(program) as script:
        assert script.finish() == ""
        assert not script.stderr
