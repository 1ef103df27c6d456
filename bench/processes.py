"""Many processes on one dict: half gets, half sets, a fixed number of calls between them."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from bench.contenders import Contender
from bench.measure import Plan, Samples
from bench.server import die_with_parent

__all__ = ["FORK", "Job", "processes", "receive", "team"]

#: What a worker process does. It ends soon after the message 0.
Job = Callable[[Connection], object]

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
                who: stack.enter_context(team([partial(work, contender.mix())] * count))
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


def receive(worker: Connection, patience: float = PATIENCE) -> Any:
    """Read one worker's answer: here, its start and end."""
    if not worker.poll(patience):
        raise TimeoutError("a worker process does not answer")
    return worker.recv()


@contextlib.contextmanager
def team(jobs: Sequence[Job]) -> Iterator[list[Connection]]:
    """Start a worker for each job, and end them with the block."""
    workers, ends = [], []
    try:
        for job in jobs:
            ours, theirs = FORK.Pipe()
            process = FORK.Process(target=begin, args=(job, theirs), daemon=True)
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


def begin(job: Job, orders: Connection) -> None:
    """Do the job."""
    die_with_parent()
    job(orders)


def work(open_: Callable[[], Callable[[int], object]], orders: Connection) -> None:
    """Do as many calls as ordered, until none are."""
    call = open_()
    while calls := orders.recv():
        # CLOCK_MONOTONIC: the same clock in every process.
        started = time.perf_counter()
        for index in range(calls):
            call(index)
        orders.send((started, time.perf_counter()))
