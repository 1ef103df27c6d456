"""Many processes on one dict: half gets, half sets, a fixed number of calls between them."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from bench.contenders import Contender
from bench.measure import Plan, Samples
from bench.server import die_with_parent

__all__ = ["processes"]

#: Seconds after which a worker that should have answered is given up.
PATIENCE = 120.0

# Everybody's proxies and data reach a forked worker as they are.
FORK = multiprocessing.get_context("fork")


def processes(
    contenders: dict[str, Contender], counts: tuple[int, ...], plan: Plan
) -> dict[int, Samples]:
    """Measure the seconds per call of all workers together, by the number of workers."""
    by_count = {}
    for count in counts:
        samples = by_count[count] = Samples()
        end = time.perf_counter() + plan.seconds
        with contextlib.ExitStack() as stack:
            teams = {
                who: stack.enter_context(team(contender.mix(), count))
                for who, contender in contenders.items()
            }
            for who, workers in list(teams.items()):
                try:
                    run(workers, 200)
                except EOFError:
                    del teams[who]
                    samples.leave_out("get and set", who, "a worker process failed, see above")
            for _ in range(plan.rounds):
                turns = list(teams.items())
                random.shuffle(turns)
                for who, workers in turns:
                    samples.add("get and set", who, run(workers, plan.calls))
                if time.perf_counter() > end:
                    break
        for contender in contenders.values():
            contender.forget()
    return by_count


def run(workers: list[Connection], calls: int) -> float:
    """Let the workers share the calls; seconds from the first start to the last end, per call."""
    share = max(calls // len(workers), 1)
    for worker in workers:
        worker.send(share)
    spans = [receive(worker) for worker in workers]
    elapsed = max(end for _, end in spans) - min(begin for begin, _ in spans)
    return elapsed / (share * len(workers))


def receive(worker: Connection) -> tuple[float, float]:
    """Read one worker's start and end."""
    if not worker.poll(PATIENCE):
        raise TimeoutError("a worker process does not answer")
    span: tuple[float, float] = worker.recv()
    return span


@contextlib.contextmanager
def team(begin: Callable[[], Callable[[int], object]], count: int) -> Iterator[list[Connection]]:
    """Start workers, and end them with the block."""
    workers, ends = [], []
    try:
        for _ in range(count):
            ours, theirs = FORK.Pipe()
            process = FORK.Process(target=work, args=(begin, theirs), daemon=True)
            process.start()
            theirs.close()
            workers.append(process)
            ends.append(ours)
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                end.send(0)
        for process in workers:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        for end in ends:
            end.close()


def work(begin: Callable[[], Callable[[int], object]], orders: Connection) -> None:
    """Do as many calls as ordered, until none are."""
    die_with_parent()
    call = begin()
    while calls := orders.recv():
        # CLOCK_MONOTONIC: the same clock in every process.
        started = time.perf_counter()
        for index in range(calls):
            call(index)
        orders.send((started, time.perf_counter()))
