"""What tests have workers do."""

from __future__ import annotations

import multiprocessing
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


def mark(pair):
    """Count how often it ran."""
    marks, x = pair
    marks.increment(x)
    return x


def mark_and_raise(marks, name):
    """Count how often it ran, and end as a program ends."""
    marks.increment(name)
    raise {"SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt}[name]


def leave_at_once():
    sys.exit(3)


def large_and_unpicklable(size):
    return ["x" * size, lambda: 1]


class WithoutRepr:
    def __repr__(self):
        return str(1 / 0)

    def __reduce__(self):
        raise TypeError("not to be pickled")


def without_repr():
    return WithoutRepr()


def double_in_a_child(x):
    """Have a process of its own do it."""
    context = multiprocessing.get_context("fork")
    out, in_ = context.Pipe(duplex=False)
    child = context.Process(target=lambda: in_.send(2 * x))
    child.start()
    in_.close()
    found = out.recv()
    child.join()
    return found


def have_a_child(pids):
    """Start a process, and wait for it."""
    child = multiprocessing.get_context("fork").Process(target=signal.pause)
    child.start()
    for process in (os.getpid(), child.pid):
        pids.put(process)
    child.join()


class ExitsWhenUnpickled:
    """As a program that calls argparse when it is imported."""

    def __reduce__(self):
        return sys.exit, (3,)


class ExitsWhenPickled:
    def __reduce__(self):
        sys.exit(3)


class Interrupted(BaseException):
    """As KeyboardInterrupt; no test runner takes it for its own."""


def new(cls):
    return cls()


def fail_at_length(size):
    raise KeyError("x" * size)


def text(size):
    return "x" * size


def large(n):
    """Four of them do not fit into a megabyte."""
    return f"{n % 10}" * 300_000


def large_now_and_then(n):
    return "x" * (300_000 if n % 50 == 0 else 1)


def large_and(proxy):
    return large(0), proxy


class KilledOnce(str):
    """Its process dies the sixth time that one is pickled to be sent, in the first attempt."""

    def __reduce__(self):
        if self.marks.increment("pickled") == self.last:
            die()
        return str, (str(self),)


def large_and_killed_once(pair):
    """While nine of them are split, each is pickled some times; when the last part is, others were
    sent.
    """
    marks, n = pair
    found = KilledOnce(large(n))
    found.marks, found.last = marks, 40
    return found
