"""The section on queues: one item, many at once, many processes, many items, and waiting."""

from __future__ import annotations

import contextlib
import gc
import random
import time
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pickle import dumps
from typing import Any

from bench.catalogue import BATCH, QUEUE_BATCH, QUEUES, value
from bench.contenders import import_multihost
from bench.contenders.queues import Open, Queuer, enter_queuers
from bench.locks import PATIENCE, PAUSE, WARM, LeftOut, Stretch, percentile, reason
from bench.measure import Plan, Samples, rehearse, take_turns
from bench.processes import FORK, Job, receive, team
from bench.server import run_server
from bench.socket_link import SocketLink

__all__ = ["QueueEffort", "queues"]

#: Items that are put at once where a queue is filled.
AT_ONCE = 10_000

#: Contenders for which another one stands where queues have to be filled, which takes long.
ALIKE = ("multihost-tcp", "redis-py")


@dataclass(frozen=True)
class QueueEffort:
    """How much the section does."""

    calls: Plan
    batches: Plan
    #: Producers, and as many consumers.
    workers: tuple[int, ...]
    #: Rounds, and the items of one.
    passed: Plan
    wakes: Stretch
    sizes: tuple[int, ...]
    sized: Plan
    #: Items of a priority queue.
    sorting: int
    sorted: Plan
    #: Items by which memory is measured.
    items: int
    #: Whether contenders take part that differ from others in one thing.
    variants: bool = True

    @classmethod
    def full(cls) -> QueueEffort:
        """Take the time that steady numbers need."""
        return cls(
            calls=Plan(60, 100),
            batches=Plan(30, 5),
            workers=(1, 4),
            passed=Plan(15, 4_000),
            wakes=Stretch(12, 1.0),
            sizes=(100, 10_000, 1_000_000),
            sized=Plan(40, 100),
            sorting=100_000,
            sorted=Plan(20, 50),
            items=100_000,
        )

    @classmethod
    def quick(cls) -> QueueEffort:
        """See roughly where things are, in some seconds."""
        return cls(
            calls=Plan(12, 40, 2),
            batches=Plan(6, 2, 1),
            workers=(1, 4),
            passed=Plan(3, 800, 1),
            wakes=Stretch(2, 0.2),
            sizes=(100, 100_000),
            sized=Plan(10, 50, 1),
            sorting=1_000,
            sorted=Plan(6, 20, 2),
            items=20_000,
            variants=False,
        )

    def with_rounds(self, rounds: int) -> QueueEffort:
        """Do exactly so many rounds of what is done in rounds."""

        def fixed(plan: Plan) -> Plan:
            return Plan(rounds, plan.calls)

        return replace(
            self,
            calls=fixed(self.calls),
            batches=fixed(self.batches),
            passed=fixed(self.passed),
            wakes=replace(self.wakes, rounds=rounds),
            sized=fixed(self.sized),
            sorted=fixed(self.sorted),
        )


def queues(effort: QueueEffort) -> tuple[dict[str, Any], LeftOut]:
    """Measure everything; the results, and what was left out."""
    left_out: LeftOut = {}
    result: dict[str, Any] = {}
    with enter_queuers(tcp=effort.variants) as queuers:
        gc.collect()
        # First what forks: with many objects every new process would have work to do.
        result["passed"] = {
            str(count): passed(queuers, count, effort.passed, left_out) for count in effort.workers
        }
        result["wake-up"] = wake_ups(queuers, effort.wakes, left_out)
        result["calls"] = calls(queuers, effort, left_out)
        few = {who: queuer for who, queuer in queuers.items() if who not in ALIKE}
        result["sorting"] = {str(effort.sorting): sorting(few, effort, left_out)}
        result["sizes"] = sizes(few, effort, left_out)
    gc.collect()
    result["memory"] = memory(effort.items)
    return result, left_out


# -- one process


def calls(queuers: dict[str, Queuer], effort: QueueEffort, left_out: LeftOut) -> dict[str, Any]:
    """Measure one item and then many at once, of which the time of one is kept."""
    samples = Samples({}, left_out)
    rows = {who: queuer.singles() for who, queuer in queuers.items()}
    take_turns(rehearse(rows, 0, samples), effort.calls)
    batches = {who: queuer.batches() for who, queuer in queuers.items()}
    take_turns(rehearse(batches, 0, samples), effort.batches)
    for who, seconds in samples.seconds.get(QUEUE_BATCH, {}).items():
        samples.seconds[QUEUE_BATCH][who] = [each / BATCH for each in seconds]
    found = samples.summary()
    return {row: found[row] for row in (*QUEUES, QUEUE_BATCH) if row in found}


def sizes(queuers: dict[str, Queuer], effort: QueueEffort, left_out: LeftOut) -> dict[str, Any]:
    """Measure the same calls on queues of different sizes, the sizes taking turns as well."""
    by_size = {size: Samples({}, left_out) for size in effort.sizes}
    groups = []
    for size, samples in by_size.items():
        rows = {who: queuer.sized(size) for who, queuer in queuers.items()}
        groups += rehearse(rows, size, samples)
    gc.collect()
    take_turns(groups, effort.sized)
    return {str(size): in_order(samples) for size, samples in by_size.items()}


def sorting(queuers: dict[str, Queuer], effort: QueueEffort, left_out: LeftOut) -> dict[str, Any]:
    """Measure priority queues of many items."""
    samples = Samples({}, left_out)
    rows = {who: queuer.sorting(effort.sorting) for who, queuer in queuers.items()}
    take_turns(rehearse(rows, effort.sorting, samples), effort.sorted)
    return in_order(samples)


def in_order(samples: Samples) -> dict[str, Any]:
    """Reduce them, in an order that does not change from run to run."""
    return dict(sorted(samples.summary().items()))


# -- many processes


def passed(
    queuers: dict[str, Queuer], count: int, plan: Plan, left_out: LeftOut
) -> dict[str, dict[str, float]]:
    """Measure the seconds per item from so many producers to as many consumers."""
    samples = Samples({}, left_out)
    row = f"Queue, {count} + {count} processes"
    end = time.perf_counter() + plan.seconds
    with contextlib.ExitStack() as stack:
        teams = {}
        for who, queuer in queuers.items():
            opening = queuer.queue()
            jobs: list[Job] = [partial(produce, opening, number) for number in range(count)]
            jobs += [partial(consume, opening)] * count
            teams[who] = stack.enter_context(team(jobs))
        for turn in range(plan.rounds + 1):
            for who in random.sample(list(teams), len(teams)):
                try:
                    seconds = pass_on(teams[who], plan.calls if turn else BATCH)
                except Exception as error:
                    del teams[who]
                    samples.seconds.get(row, {}).pop(who, None)
                    samples.leave_out(row, who, reason(error))
                else:
                    if turn:
                        samples.add(row, who, seconds)
            if turn and time.perf_counter() > end:
                break
    return samples.summary().get(row, {})


def pass_on(workers: list[Connection], items: int) -> float:
    """Let the items pass; seconds from the first start to the last end, per item."""
    count = len(workers) // 2
    share = max(items // count, 1)
    for worker in workers:
        worker.send(share)
    answers = [receive(worker, PATIENCE) for worker in workers]
    arrived = sorted(item for _, _, items in answers for item in items)
    if arrived != list(range(share * count)):
        raise RuntimeError("items were lost, or came twice")
    elapsed = max(end for _, end, _ in answers) - min(begin for begin, _, _ in answers)
    return float(elapsed / (share * count))


def produce(opening: Open, number: int, orders: Connection) -> None:
    """Put as many items as ordered; no other producer puts the same ones."""
    put = opening().put
    while share := orders.recv():
        begin = time.monotonic()
        for item in range(number * share, (number + 1) * share):
            put(item)
        orders.send((begin, time.monotonic(), ()))


def consume(opening: Open, orders: Connection) -> None:
    """Get as many items as ordered."""
    get = opening().get
    while share := orders.recv():
        begin = time.monotonic()
        items = [get() for _ in range(share)]
        orders.send((begin, time.monotonic(), items))


# -- one that waits


def wake_ups(
    queuers: dict[str, Queuer], stretch: Stretch, left_out: LeftOut
) -> dict[str, dict[str, Any]]:
    """Measure the time from just before put() until get() has returned elsewhere."""
    delays = dict[str, list[float]]()
    with contextlib.ExitStack() as stack:
        pairs = {}
        for who, queuer in queuers.items():
            opening = queuer.queue()
            near, far = (stack.enter_context(end) for end in FORK.Pipe())
            jobs: list[Job] = [partial(give, opening, near), partial(take, opening, far)]
            pairs[who] = stack.enter_context(team(jobs))
        for turn in range(stretch.rounds + 1):
            for who in random.sample(list(pairs), len(pairs)):
                try:
                    giver = pairs[who][0]
                    giver.send(stretch.seconds if turn else WARM)
                    found = receive(giver, PATIENCE)
                except Exception as error:
                    del pairs[who]
                    delays.pop(who, None)
                    Samples({}, left_out).leave_out("Queue, wake-up", who, reason(error))
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


def give(opening: Open, taker: Connection, orders: Connection) -> None:
    """Put an item when the other waits, for as many seconds as ordered."""
    end, clock = opening(), time.monotonic
    while seconds := orders.recv():
        delays: list[float] = []
        until = clock() + seconds
        while not delays or clock() < until:
            taker.send(True)
            time.sleep(random.uniform(*PAUSE))
            before = clock()
            end.put(1)
            delays.append(taker.recv() - before)
        orders.send(delays)
    taker.send(False)


def take(opening: Open, giver: Connection, _: Connection) -> None:
    """Wait for an item, and say when it came. On Linux both read one clock."""
    end, clock = opening(), time.monotonic
    while giver.recv():
        end.get()
        giver.send(clock())


# -- memory


def memory(count: int) -> dict[str, float]:
    """Count the server's bytes per item: tuples, which multihost keeps as pickles, too."""
    used: dict[str, float] = {}
    items = [(index, value(index)) for index in range(count)]
    parts = [items[start : start + AT_ONCE] for start in range(0, count, AT_ONCE)]
    with run_server() as server, contextlib.closing(SocketLink(server.path)) as link:
        before = server.used_memory()
        for part in parts:
            link.call("RPUSH", "plain", *(dumps(item, 5) for item in part))
        used["plain list"] = (server.used_memory() - before) / count
    if import_multihost():
        return used
    from multihost import RedisManager

    with run_server() as server, RedisManager(server.url) as manager:
        # The scripts and the queue itself are paid once, not per item.
        queue = manager.Queue("bench")
        queue.put_many(items[:1])
        before = server.used_memory()
        for part in parts:
            queue.put_many(part)
        used["multihost"] = (server.used_memory() - before) / count
    return used
