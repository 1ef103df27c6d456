"""The section on locks: free, contended, waited for, and held for a while."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from bench.catalogue import LOCK, REENTRY, RLOCK, Row
from bench.contenders.locks import Locker, Open, enter_lockers, offers
from bench.cpu import cpu_seconds
from bench.measure import Plan, Samples, rehearse, take_turns
from bench.processes import FORK, Job, receive, team

__all__ = ["LockEffort", "Stretch", "locks"]

#: Seconds after which a worker that should have answered is given up: somebody forgot to wake it.
PATIENCE = 30.0

#: Seconds between the moment that one begins to wait and the release, from ... to. Long enough that
#: it waits indeed, and random, so that no clock is in step. Contenders whose waiters look from time
#: to time are released at any moment between two looks.
PAUSE = (0.001, 0.003)

#: Seconds until those that have nothing to do are taken to do nothing.
SETTLE = 2.0

#: The lease while the cost of held locks is measured, in seconds. The default of 30 would hide it.
LEASE = 3

#: Waiters, and how many locks are held.
WAITERS = 100

#: Seconds of a round that does not count.
WARM = 0.1

#: Nested calls by which the commands for one are counted.
NESTED = 1_000


#: What could not be measured, with the reason, by row and contender.
LeftOut = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Stretch:
    """So many rounds, in each of which every contender has so many seconds."""

    rounds: int
    seconds: float


@dataclass(frozen=True)
class LockEffort:
    """How much the section does."""

    calls: Plan
    contended: Stretch
    workers: tuple[int, ...]
    wakes: Stretch
    #: Seconds of idling over which CPU time is counted.
    idle: float
    held: tuple[int, ...]
    waiting: tuple[str, ...]
    #: Whether contenders take part that differ from others in one thing.
    variants: bool = True

    @classmethod
    def full(cls) -> LockEffort:
        """Take the time that steady numbers need."""
        return cls(
            calls=Plan(60, 100),
            contended=Stretch(9, 1.0),
            workers=(2, 8),
            wakes=Stretch(12, 1.0),
            idle=10.0,
            held=(0, 1, 100, 1_000),
            waiting=("threads", "processes"),
        )

    @classmethod
    def quick(cls) -> LockEffort:
        """See roughly where things are, in some seconds."""
        return cls(
            calls=Plan(12, 40, 2),
            contended=Stretch(2, 0.15),
            workers=(8,),
            wakes=Stretch(2, 0.2),
            # What idles costs little, and therefore takes long to measure: not here.
            idle=0.0,
            held=(),
            waiting=(),
            variants=False,
        )

    def with_rounds(self, rounds: int) -> LockEffort:
        """Do exactly so many rounds of what is done in rounds."""
        return replace(
            self,
            calls=Plan(rounds, self.calls.calls),
            contended=replace(self.contended, rounds=rounds),
            wakes=replace(self.wakes, rounds=rounds),
        )


def locks(effort: LockEffort) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Measure everything; the results, and what was left out."""
    samples = Samples()
    result = together(effort, samples)
    # With the objects of those contenders, every process that is forked would have work to do.
    gc.collect()
    result["waiting"] = {
        f"{WAITERS} {kind}": waiting(kind, effort, samples.left_out) for kind in effort.waiting
    }
    if effort.held:
        result["held"] = held(effort, samples.left_out)
    return result, samples.left_out


def together(effort: LockEffort, samples: Samples) -> dict[str, Any]:
    """Measure what is measured in turns."""
    result: dict[str, Any] = {"contended": {}, "fairness": {}}
    with enter_lockers(offers(variants=effort.variants)) as lockers:
        gc.collect()
        rows = {who: rows_of(locker) for who, locker in lockers.items()}
        take_turns(rehearse(rows, 0, samples), effort.calls)
        result["calls"] = samples.summary()
        result["commands"] = commands(lockers)
        for count in effort.workers:
            cells, fairness = contended(lockers, count, effort.contended, samples.left_out)
            result["contended"][str(count)] = cells
            result["fairness"][str(count)] = fairness
        result["wake-up"] = wake_ups(lockers, effort.wakes, samples.left_out)
    return result


# -- one process


def rows_of(locker: Locker) -> Iterator[Row]:
    """Offer the rows of free locks, and of those that the caller has already."""
    yield Row(LOCK, taking(locker.lock()))
    if locker.reenters:
        yield Row(RLOCK, taking(locker.rlock()))
        opening = locker.rlock()
        outer = opening()
        yield Row(
            REENTRY,
            taking(opening),
            before=lambda _: outer.acquire(),
            after=lambda _: outer.release(),
        )


def taking(opening: Open) -> Callable[[int], object]:
    """Return a call that takes the lock and gives it back; it answers whether it was taken."""
    lock = opening()
    acquire, release = lock.acquire, lock.release

    def call(_: int) -> object:
        taken = acquire()
        release()
        return taken

    return call


def commands(lockers: dict[str, Locker]) -> dict[str, float]:
    """Count the commands on the server for acquire() and release() of a lock that one has.

    What the process sends besides counts too, and so does the question.
    """
    counted = {}
    for who, locker in lockers.items():
        if locker.reenters and locker.server is not None:
            opening = locker.rlock()
            call = taking(opening)
            with opening():
                before = locker.server.commands()
                for index in range(NESTED):
                    call(index)
                counted[who] = round((locker.server.commands() - before) / NESTED, 2)
    return counted


# -- many processes that want it


def contended(
    lockers: dict[str, Locker], count: int, stretch: Stretch, left_out: LeftOut
) -> tuple[dict[str, Any], dict[str, float]]:
    """Measure the seconds per acquisition of all workers, and how evenly they were served."""
    samples, shares = Samples({}, left_out), dict[str, list[float]]()
    row = f"Lock, {count} processes"
    with contextlib.ExitStack() as stack:
        races = {}
        for who, locker in lockers.items():
            counter = FORK.RawValue("q")
            jobs = [partial(compete, locker.lock(), counter)] * count
            races[who] = stack.enter_context(team(jobs)), counter
        for turn in range(stretch.rounds + 1):
            for who in random.sample(list(races), len(races)):
                try:
                    served = race(*races[who], stretch.seconds if turn else WARM)
                except Exception as error:
                    del races[who]
                    shares.pop(who, None)
                    samples.leave_out(row, who, reason(error))
                else:
                    if turn:
                        samples.add(row, who, stretch.seconds / max(1, sum(served)))
                        shares.setdefault(who, []).append(min(served) / max(1, *served))
    cells = samples.summary().get(row, {})
    fairness = {who: round(statistics.median(each), 3) for who, each in shares.items()}
    return {who: cells[who] for who in fairness}, fairness


def race(workers: list[Connection], counter: Any, seconds: float) -> list[int]:
    """Let the workers compete; how often each was served."""
    counter.value = 0
    begin = time.monotonic() + 0.02
    for worker in workers:
        worker.send((begin, begin + seconds))
    served = [receive(worker, PATIENCE) for worker in workers]
    if counter.value != sum(served):
        raise RuntimeError("two had the lock at once")
    return served


def compete(opening: Open, counter: Any, orders: Connection) -> None:
    """Take the lock and give it back until the time is up, as often as ordered."""
    lock = opening()
    acquire, release, clock = lock.acquire, lock.release, time.monotonic
    while order := orders.recv():
        begin, end = order
        served = 0
        time.sleep(max(0.0, begin - clock()))
        acquire()
        while clock() < end:
            served += 1
            counter.value += 1  # two at once would lose counts
            release()
            acquire()
        release()
        orders.send(served)


# -- one that waits


def wake_ups(
    lockers: dict[str, Locker], stretch: Stretch, left_out: LeftOut
) -> dict[str, dict[str, Any]]:
    """Measure the time from just before release() until acquire() has returned elsewhere."""
    delays = dict[str, list[float]]()
    with contextlib.ExitStack() as stack:
        pairs = {}
        for who, locker in lockers.items():
            opening = locker.lock()
            near, far = (stack.enter_context(end) for end in FORK.Pipe())
            jobs: list[Job] = [
                partial(hold, opening, near, locker.nap),
                partial(follow, opening, far),
            ]
            pairs[who] = stack.enter_context(team(jobs))
        for turn in range(stretch.rounds + 1):
            for who in random.sample(list(pairs), len(pairs)):
                try:
                    holder = pairs[who][0]
                    holder.send(stretch.seconds if turn else WARM)
                    found = receive(holder, PATIENCE)
                except Exception as error:
                    del pairs[who]
                    delays.pop(who, None)
                    Samples({}, left_out).leave_out("Lock, wake-up", who, reason(error))
                else:
                    if turn:
                        delays.setdefault(who, []).extend(found)
    return {
        name: {
            who: {"us": round(percentile(each, rank) * 1e6, 3), "samples": len(each)}
            for who, each in delays.items()
        }
        for name, rank in (("p50", 50), ("p99", 99))
    }


def percentile(values: list[float], rank: int) -> float:
    """Give the value that ``rank`` percent of them do not exceed."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[rank - 1]


def hold(opening: Open, follower: Connection, nap: float, orders: Connection) -> None:
    """Hold the lock until the other waits, and let it go, for as many seconds as ordered."""
    lock, clock = opening(), time.monotonic
    while seconds := orders.recv():
        delays: list[float] = []
        end = clock() + seconds
        while not delays or clock() < end:
            lock.acquire()
            follower.send(True)
            time.sleep(random.uniform(*PAUSE) + random.uniform(0, nap))
            before = clock()
            lock.release()
            delays.append(follower.recv() - before)
        orders.send(delays)
    follower.send(False)


def follow(opening: Open, holder: Connection, _: Connection) -> None:
    """Wait for the lock whenever it is held, and say when it came. On Linux both read one clock."""
    lock, clock = opening(), time.monotonic
    while holder.recv():
        lock.acquire()
        after = clock()
        lock.release()
        holder.send(after)


# -- doing nothing


def waiting(kind: str, effort: LockEffort, left_out: LeftOut) -> dict[str, dict[str, float]]:
    """Measure the CPU time of those who wait, and of their server.

    One contender at a time, and nothing else in the processes that wait: a proxy of multihost that
    was forked into all of them has to be kept alive.
    """
    used: dict[str, dict[str, float]] = {}
    offered = offers(variants=effort.variants)
    offered.pop("multihost-tcp", None)  # the same work as on a unix socket
    for who in random.sample(list(offered), len(offered)):
        with offered[who]() as locker:
            opening = locker.lock()
            outer = opening()
            jobs = [partial(wait, opening, 1)] * WAITERS
            if kind == "threads":
                jobs = [partial(wait, opening, WAITERS)]
            try:
                outer.acquire()
                with team(jobs) as workers:
                    try:
                        clients = [receive(worker, PATIENCE) for worker in workers]
                        idle = rest({who: (clients, locker.pid)}, effort.idle)
                    finally:
                        outer.release()
                    for worker in workers:
                        receive(worker, PATIENCE)
                used |= idle
            except Exception as error:
                Samples({}, left_out).leave_out(f"{WAITERS} {kind} that wait", who, reason(error))
        del locker, opening, outer, jobs
        gc.collect()
    return {who: used[who] for who in offered if who in used}


def wait(opening: Open, count: int, orders: Connection) -> None:
    """Wait in so many threads until each has had the lock."""
    begun = threading.Semaphore(0)

    def take(lock: Any) -> None:
        begun.release()
        lock.acquire()
        lock.release()

    threads = [threading.Thread(target=take, args=(opening(),)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for _ in threads:
        begun.acquire()
    orders.send(os.getpid())
    for thread in threads:
        thread.join()
    orders.send(None)


def held(effort: LockEffort, left_out: LeftOut) -> dict[str, dict[str, dict[str, float]]]:
    """Measure the CPU time of idle processes that hold many locks, and of their servers.

    The contenders side by side: they do next to nothing.
    """
    names = [f"held:{number}" for number in range(max(effort.held))]
    used: dict[str, dict[str, dict[str, float]]] = {}
    with enter_lockers(offers(variants=False, lease=LEASE)) as lockers:
        for count in random.sample(effort.held, len(effort.held)):
            with contextlib.ExitStack() as stack:
                teams = {
                    who: stack.enter_context(team([partial(keep, locker, names, count)]))
                    for who, locker in lockers.items()
                }
                pids = {}
                for who, (worker,) in teams.items():
                    try:
                        pids[who] = [receive(worker, PATIENCE)], lockers[who].pid
                    except Exception as error:
                        Samples({}, left_out).leave_out(f"{count} held", who, reason(error))
                for who, cells in rest(pids, effort.idle).items():
                    used.setdefault(who, {})[str(count)] = cells
        counts = [str(count) for count in effort.held]
        return {
            who: {count: used[who][count] for count in counts if count in used[who]}
            for who in lockers
            if who in used
        }


def keep(locker: Locker, names: list[str], count: int, orders: Connection) -> None:
    """Make locks, and hold some of them until the end.

    They are made here, since a forked process of the standard library counts one by one all the
    objects that it was given.
    """
    made = [locker.lock(name)() for name in names]
    for lock in made[:count]:
        lock.acquire()
    orders.send(os.getpid())
    orders.recv()
    for lock in made[:count]:
        lock.release()


def rest(pids: dict[str, tuple[list[int], int]], seconds: float) -> dict[str, dict[str, float]]:
    """Let time pass; the CPU time of clients and servers in percent of a core."""
    time.sleep(SETTLE)
    before = {who: used_by(*each) for who, each in pids.items()}
    begin = time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - begin
    percent = dict[str, dict[str, float]]()
    for who, each in pids.items():
        spent = [(b - a) / elapsed * 100 for a, b in zip(before[who], used_by(*each), strict=True)]
        percent[who] = dict(zip(("clients", "server"), (round(it, 4) for it in spent), strict=True))
    return percent


def used_by(clients: list[int], server: int) -> tuple[float, float]:
    """Read the CPU time of both sides, in seconds."""
    return cpu_seconds(clients), cpu_seconds([server])


def reason(error: Exception) -> str:
    """Say why a contender is left out."""
    if isinstance(error, EOFError):
        return "a worker process failed, see above"
    return str(error) or type(error).__name__
