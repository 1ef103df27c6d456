"""Forked workers that are killed without a word and replaced at once.

A fork of this process costs a few milliseconds and inherits the proxies that the work is about; its
session, its connections and what it holds are its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import threading
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar, cast

from tests.support.procs import ProcessFailed, kill9, send_signal
from tests.support.waiting import PATIENCE

__all__ = ["ProcessGroup", "StopSignal", "together"]

FORK = multiprocessing.get_context("fork")
SECONDS = PATIENCE

T = TypeVar("T")

# multiprocessing looks after all children together, in whichever thread starts or awaits one.
_processes = threading.Lock()


class StopSignal:
    """Ends the work of a group of processes, and their pauses, as an Event does; without a lock."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def set(self) -> None:
        os.write(self._writer, b".")

    def is_set(self) -> bool:
        return self.wait(0.0)

    def wait(self, seconds: float) -> bool:
        """Whether it is set within so many seconds."""
        return bool(select.select([self._reader], [], [], seconds)[0])

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


class ProcessGroup:
    """``size`` processes that run ``work(number, *args)``; those that live are killed at the end of
    the ``with`` block.
    """

    def __init__(self, size: int, work: Callable[..., object], *args: Any) -> None:
        self._work, self._args = work, args
        self._members: list[BaseProcess] = []
        self.kills = 0
        self._members = [self._new(number) for number in range(size)]

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, *exc: object) -> None:
        with _processes:
            for member in self._members:
                kill9(member)
                member.close()

    @property
    def pids(self) -> list[int]:
        return [member.pid or 0 for member in self._members]

    def suspend(self, numbers: Iterable[int]) -> None:
        """SIGSTOP, to all of them in one moment. They do nothing any more."""
        members = [self._members[number] for number in numbers]
        for member in members:
            send_signal(member, signal.SIGSTOP)
        for member in members:
            os.waitid(os.P_PID, member.pid or 0, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def kill(self, numbers: Iterable[int]) -> set[int]:
        """SIGKILL, to all of them in one moment; who they were. They are dead now."""
        members = [self._members[number] for number in numbers]
        for member in members:
            send_signal(member, signal.SIGKILL)
        victims = [member.pid or 0 for member in members]
        for victim in victims:
            with contextlib.suppress(ChildProcessError):  # another thread was first
                os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)
        self.kills += len(victims)
        return {*victims}

    def replace(self, numbers: Iterable[int]) -> None:
        """Others take the places of the dead."""
        for number in numbers:
            with _processes:
                status = self._status(self._members[number])
                # One that had ended by itself has met an error, which it wrote to standard error.
                if status != -signal.SIGKILL:
                    raise ProcessFailed(f"a worker ended with {status} before it was killed")
                self._members[number].close()
            self._members[number] = self._new(number)

    def have_ended(self) -> bool:
        """Whether all have ended by themselves; nobody is awaited."""
        sentinels = [member.sentinel for member in self._members]
        return len(wait(sentinels, 0)) == len(sentinels)

    def finish(self, seconds: float = SECONDS) -> None:
        """Wait until all have ended by themselves."""
        for member in self._members:
            wait([member.sentinel], seconds)
            with _processes:
                status = self._status(member)
            if status != 0:
                raise ProcessFailed(f"a worker ended with {status}")

    @staticmethod
    def _status(member: BaseProcess) -> int | None:
        member.join(SECONDS)
        return member.exitcode

    def _new(self, number: int) -> BaseProcess:
        process = FORK.Process(target=self._work, args=(number, *self._args))
        with _processes:
            process.start()
        return process


def together(work: Callable[[int], T], count: int) -> list[T]:
    """Run ``work(0)`` ... ``work(count - 1)``, each in a thread; what they returned.

    Raises what was raised first: the others fail because that one is missing.
    """
    results: list[T | None] = [None] * count
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            results[number] = work(number)
        except BaseException as error:
            errors.append(error)

    # No pool of concurrent.futures: a process that is forked by a thread of one cannot end.
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return cast("list[T]", results)
