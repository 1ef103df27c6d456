"""A program that ends in a chosen way while work of a chosen kind is under way.

``python -c "from tests.pool.ending import main; main()" KIND WAY URL FILE``. Tasks append a line to
FILE, those of executors once the end of the program has begun.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.pool import Pool

import multihost
from multihost import RedisManager

FORK = multiprocessing.get_context("fork")
GATE = FORK.Event()  # forked workers have it
TASKS = 6


def append(path, line):
    with open(path, "a") as file:
        file.write(f"{line}\n")


def work(path, line):
    GATE.wait()
    append(path, line)


def wait_and_append(gate, path, line):
    gate.wait()
    append(path, line)


def end(way):
    match way:
        case "sys.exit":
            sys.exit(7)
        case "exception":
            raise ZeroDivisionError
        case "Ctrl-C":
            signal.raise_signal(signal.SIGINT)
        case "os._exit":
            os._exit(3)


def executor_of(kind, url):
    match kind:
        case "stdlib":
            return ProcessPoolExecutor(2, FORK)
        case "private":
            return multihost.Executor(2, FORK, url=url)
        case "manager's":
            return multihost.Executor(2, FORK, manager=RedisManager(url))
        case "named":
            return multihost.Executor(2, FORK, url=url, name="pool")
        case "attached":
            return multihost.Executor(0, url=url, name="pool")


def at_the_end(what):
    """Hooks run in the reverse order of their registration: this one before those of executors."""
    threading._register_atexit(what)


def executors(kind, way, url, path):
    executor, called = executor_of(kind, url), []
    for n in range(TASKS):
        executor.submit(work, path, n).add_done_callback(called.append)
    if way == "shutdown":
        executor.shutdown(wait=False)
    at_the_end(GATE.set)
    atexit.register(lambda: print("callbacks", len(called)))
    return executor


def not_kept(_, way, url, path):
    """Nothing but its tasks refers to the executor."""
    executors("private", way, url, path)


def child(_, way, url, path):
    """A child of multiprocessing runs finalizers before hooks."""
    process = FORK.Process(target=in_child, args=(way, url, path))
    process.start()
    process.join()
    sys.exit(process.exitcode)


def in_child(way, url, path):
    global kept
    kept = executor_of("attached", url)
    for n in range(TASKS):
        kept.submit(append, path, n)
    end(way)


def pools(kind, way, url, path):
    """Their tasks wait for ever: nobody opens the gate."""
    made = Pool(2) if kind == "stdlib's Pool" else multihost.Pool(2, url=url)
    results = made.starmap_async(work, [(path, n) for n in range(TASKS)], 1)
    print(*sorted(process.pid for process in made._pool), flush=True)
    return made, results


def late(kind, way, url, path):
    """Submit from a callback, and from a thread, when the main thread has ended."""
    executor = executor_of(kind.removeprefix("late "), url)

    def again(future=None):
        try:
            executor.submit(work, path, "late")
        except RuntimeError as error:
            print(error)

    def wait_for_the_end():
        threading.main_thread().join()
        again()

    executor.submit(work, path, "in time").add_done_callback(again)
    at_the_end(GATE.set)
    threading.Thread(target=wait_for_the_end).start()


def stuck(_, way, url, path):
    """The gate stays closed: only Ctrl-C ends the end."""
    executor = executor_of("private", url)
    executor.submit(work, path, "never")
    print(*(process.pid for process in executor._pool._pool), flush=True)
    at_the_end(lambda: print("waiting", flush=True))
    return executor


def inherited(kind, way, url, path):
    """A child of fork() inherits an executor with work; it ends before any of that is done."""
    gate, executor = RedisManager(url).Event("gate"), executor_of("attached", url)
    for n in range(20):
        executor.submit(wait_and_append, gate, path, n)
    if os.fork():
        os.wait()
        append(path, "child")
        at_the_end(gate.set)


def inherited_and_used(kind, way, url, path):
    """The child submits to an executor that it has inherited."""
    executor = executor_of("attached", url)
    for n in range(20):
        executor.submit(append, path, n)
    if os.fork():
        os.wait()
    else:
        executor.submit(append, path, "child")


def main():
    kind, way, url, path = sys.argv[1:]
    programs = {
        "not kept": not_kept,
        "child": child,
        "stdlib's Pool": pools,
        "Pool": pools,
        "late stdlib": late,
        "late private": late,
        "stuck": stuck,
        "inherited": inherited,
        "inherited and used": inherited_and_used,
    }
    global under_way
    under_way = programs.get(kind, executors)(kind, way, url, path)
    end(way)
