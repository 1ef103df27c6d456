"""What tests have workers do."""

from __future__ import annotations

import os
import signal
import sys

STATE = {}


def double(x):
    return 2 * x


def add(x, y=1):
    return x + y


def pid(*_):
    return os.getpid()


def fail(message):
    raise KeyError(message)


def leave(code):
    sys.exit(code)


def interrupt():
    raise KeyboardInterrupt


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(marks, x):
    """The first that runs it does not survive."""
    if marks.increment(x) == 1:
        die()
    return x


def say_and_wait(began, go_on, x=None):
    began.put(os.getpid())
    go_on.wait()
    return x


def remember(key, value):
    STATE[key] = value


def recall(key):
    return STATE.get(key)


def refuse():
    raise ValueError("no worker today")


def unpicklable(_=None):
    return lambda: 1


def length(shared):
    return len(shared)


def new_list(manager_list, x):
    manager_list.append(x)
    return manager_list


class Fragile(Exception):
    """It pickles, and cannot be unpickled."""

    def __init__(self, one, two):
        super().__init__(one)


def fragile():
    raise Fragile(1, 2)
