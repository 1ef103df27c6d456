"""Every read-modify-write, by several processes at the same moment.

A race is prepared by the test, run by each process and judged by the test. Forked processes run
one race each time; spawned ones, which take long to start, run all of them one after the other.
"""

from __future__ import annotations

import array
import collections
import itertools
import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest

from multihost import RedisManager
from tests.support.procs import run_all
from tests.support.waiting import PATIENCE

PROCESSES = 4
ROUNDS = 160


class Race:
    """The test prepares it, each process runs it, and the test checks what they returned."""

    options: dict[str, Any] = {}
    processes = PROCESSES

    def __init__(self, m: RedisManager, url: str) -> None:
        self.url = url
        self.prepare(m)

    # Abstract: each race below has its own three.

    def prepare(self, m: RedisManager) -> None:
        raise NotImplementedError

    def run(self, number: int) -> Any:
        raise NotImplementedError

    def check(self, results: list[Any]) -> None:
        raise NotImplementedError


def flat(results: list[list[Any]]) -> list[Any]:
    return list(itertools.chain.from_iterable(results))


# Counting: nothing is lost, and no two callers get the same sum.


class IncrementInDict(Race):
    def prepare(self, m: RedisManager) -> None:
        self.d = m.dict()

    def run(self, number: int) -> list[int]:
        return [self.d.increment("n") for _ in range(ROUNDS)]

    def check(self, results: list[Any]) -> None:
        total = len(results) * ROUNDS
        assert sorted(flat(results)) == list(range(1, total + 1))
        assert self.d.copy() == {"n": total}


class IncrementByFloats(Race):
    def prepare(self, m: RedisManager) -> None:
        self.d = m.dict(n=1)

    def run(self, number: int) -> list[float]:
        amount = 0.5 if number % 2 else 1
        return [self.d.increment("n", amount) for _ in range(ROUNDS // 2)]

    def check(self, results: list[Any]) -> None:
        half = ROUNDS // 2
        assert len(set(flat(results))) == PROCESSES * half
        assert self.d["n"] == 1 + 1.5 * PROCESSES // 2 * half


class IncrementBeyond64Bits(Race):
    start = (1 << 63) - 20

    def prepare(self, m: RedisManager) -> None:
        self.d = m.dict(up=self.start, down=-self.start, huge=0)

    def run(self, number: int) -> list[tuple[int, int, int]]:
        return [
            (
                self.d.increment("up"),
                self.d.increment("down", -1),
                self.d.increment("huge", 1 << 70),
            )
            for _ in range(ROUNDS // 4)
        ]

    def check(self, results: list[Any]) -> None:
        total = len(results) * ROUNDS // 4
        up, down, huge = (sorted(column) for column in zip(*flat(results), strict=True))
        assert up == list(range(self.start + 1, self.start + total + 1))
        assert down == list(range(-self.start - total, -self.start))
        assert huge == [n << 70 for n in range(1, total + 1)]
        assert list(self.d.values()) == [up[-1], down[0], huge[-1]]


class IncrementWhatIsSigned(IncrementInDict, Race):
    options = {"authkey": b"a key that all of them know"}


class AddToValue(Race):
    def prepare(self, m: RedisManager) -> None:
        self.v = m.Value("i", 0)

    def run(self, number: int) -> list[int]:
        return [self.v.add(2) for _ in range(ROUNDS)]

    def check(self, results: list[Any]) -> None:
        total = 2 * len(results) * ROUNDS
        assert sorted(flat(results)) == list(range(2, total + 1, 2))
        assert self.v.value == total


class AddFloatsToValue(Race):
    def prepare(self, m: RedisManager) -> None:
        self.v = m.Value("d", 0.0)

    def run(self, number: int) -> list[float]:
        return [self.v.add(0.25) for _ in range(ROUNDS // 2)]

    def check(self, results: list[Any]) -> None:
        total = len(results) * (ROUNDS // 2)
        assert sorted(flat(results)) == [n / 4 for n in range(1, total + 1)]
        assert self.v.value == total / 4


class AddToValueBeyond64Bits(Race):
    def prepare(self, m: RedisManager) -> None:
        self.v = m.Value("q", (1 << 63) - 30)

    def run(self, number: int) -> list[int]:
        return [self.v.add(1) for _ in range(ROUNDS // 4)]

    def check(self, results: list[Any]) -> None:
        total = len(results) * (ROUNDS // 4)
        start = (1 << 63) - 30
        assert sorted(flat(results)) == list(range(start + 1, start + total + 1))


# Taking: of many callers one gets it.


class PopFromDict(Race):
    def prepare(self, m: RedisManager) -> None:
        self.d = m.dict({n: str(n) for n in range(ROUNDS)})

    def run(self, number: int) -> list[str]:
        taken = [self.d.pop(n, None) for n in range(ROUNDS)]
        return [value for value in taken if value is not None]

    def check(self, results: list[Any]) -> None:
        assert sorted(flat(results), key=int) == [str(n) for n in range(ROUNDS)]
        assert self.d.copy() == {}


class PopitemFromDict(Race):
    def prepare(self, m: RedisManager) -> None:
        self.d = m.dict({n: -n for n in range(2 * ROUNDS)})

    def run(self, number: int) -> list[tuple[int, int]]:
        taken = []
        while True:
            try:
                taken.append(self.d.popitem())
            except KeyError as error:
                assert error.args == ("popitem(): dictionary is empty",)
                return taken

    def check(self, results: list[Any]) -> None:
        assert sorted(flat(results)) == [(n, -n) for n in range(2 * ROUNDS)]
        # Each takes the last one: what it gets, it gets in falling order.
        assert all(taken == sorted(taken, reverse=True) for taken in results)


class DeleteFromDict(Race):
    def prepare(self, m: RedisManager) -> None:
        self.d = m.dict(dict.fromkeys(range(ROUNDS)))

    def run(self, number: int) -> list[int]:
        mine = []
        for n in range(ROUNDS):
            try:
                del self.d[n]
            except KeyError:
                continue
            mine.append(n)
        return mine

    def check(self, results: list[Any]) -> None:
        assert sorted(flat(results)) == list(range(ROUNDS))


class SetdefaultInDict(Race):
    def prepare(self, m: RedisManager) -> None:
        self.d = m.dict()

    def run(self, number: int) -> list[int]:
        return [self.d.setdefault(n, number) for n in range(ROUNDS)]

    def check(self, results: list[Any]) -> None:
        assert all(seen == results[0] for seen in results)
        assert self.d.copy() == dict(enumerate(results[0]))


class InsertIntoDict(Race):
    """The index beside the hash holds each key once, whoever came first."""

    def prepare(self, m: RedisManager) -> None:
        self.d = m.dict()

    def run(self, number: int) -> None:
        for n in range(ROUNDS):
            self.d[n % 10] = number
            if n % 3 == 0:
                self.d.pop((n + number) % 10, None)
            self.d[number, n] = n

    def check(self, results: list[Any]) -> None:
        keys = self.d.keys()
        assert len(set(keys)) == len(keys) == len(self.d)
        for number in range(PROCESSES):
            mine = [key[1] for key in keys if isinstance(key, tuple) and key[0] == number]
            assert mine == list(range(ROUNDS))


class PopFromList(Race):
    def prepare(self, m: RedisManager) -> None:
        self.l = m.list(range(2 * ROUNDS))

    def run(self, number: int) -> list[int]:
        taken = []
        index = (0, -1, 1, -2)[number % 4]
        while True:
            try:
                taken.append(self.l.pop(index))
            except IndexError:
                if not len(self.l):
                    return taken
                index = 0  # too few are left for the other

    def check(self, results: list[Any]) -> None:
        assert sorted(flat(results)) == list(range(2 * ROUNDS))


class RemoveFromList(Race):
    def prepare(self, m: RedisManager) -> None:
        self.l = m.list([*range(ROUNDS // 2), *range(ROUNDS // 2)])

    def run(self, number: int) -> list[int]:
        mine = []
        for n in range(ROUNDS // 2):
            try:
                self.l.remove(float(n))
            except ValueError as error:
                assert error.args == ("list.remove(x): x not in list",)
                continue
            mine.append(n)
        return mine

    def check(self, results: list[Any]) -> None:
        # Each number was there twice, and each process asked for it once.
        assert collections.Counter(flat(results)) == dict.fromkeys(range(ROUNDS // 2), 2)
        assert list(self.l) == []


class PopFromSet(Race):
    def prepare(self, m: RedisManager) -> None:
        self.s = m.set(range(2 * ROUNDS))

    def run(self, number: int) -> list[int]:
        taken = []
        while True:
            try:
                taken.append(self.s.pop())
            except KeyError:
                return taken

    def check(self, results: list[Any]) -> None:
        assert sorted(flat(results)) == list(range(2 * ROUNDS))


class RemoveFromSet(Race):
    def prepare(self, m: RedisManager) -> None:
        self.s = m.set(range(ROUNDS))

    def run(self, number: int) -> list[int]:
        mine = []
        for n in range(ROUNDS):
            try:
                self.s.remove(n)
            except KeyError:
                continue
            mine.append(n)
        return mine

    def check(self, results: list[Any]) -> None:
        assert sorted(flat(results)) == list(range(ROUNDS))


# Adding: nothing is lost, and each process's own order stays.


class AppendToList(Race):
    def prepare(self, m: RedisManager) -> None:
        self.l = m.list()

    def run(self, number: int) -> None:
        for n in range(ROUNDS):
            self.l.append((number, n))

    def check(self, results: list[Any]) -> None:
        assert len(self.l) == PROCESSES * ROUNDS
        for number in range(PROCESSES):
            assert [n for who, n in self.l if who == number] == list(range(ROUNDS))


class ExtendList(Race):
    def prepare(self, m: RedisManager) -> None:
        self.l = m.list()

    def run(self, number: int) -> None:
        l = self.l
        for n in range(ROUNDS // 2):
            l += [number, n]
        assert l is self.l

    def check(self, results: list[Any]) -> None:
        flat_list = list(self.l)
        pairs = list(zip(flat_list[0::2], flat_list[1::2], strict=True))  # none was torn apart
        for number in range(PROCESSES):
            assert [n for who, n in pairs if who == number] == list(range(ROUNDS // 2))


class InsertIntoList(Race):
    def prepare(self, m: RedisManager) -> None:
        self.l = m.list(["first", "last"])

    def run(self, number: int) -> None:
        for n in range(ROUNDS):
            self.l.insert((1, -1)[number % 2], (number, n))

    def check(self, results: list[Any]) -> None:
        first, *rest, last = self.l
        assert (first, last) == ("first", "last")
        for number in range(PROCESSES):
            mine = [n for who, n in rest if who == number]
            assert mine == sorted(range(ROUNDS), reverse=number % 2 == 0)


class AddToSet(Race):
    def prepare(self, m: RedisManager) -> None:
        self.s = m.set()

    def run(self, number: int) -> None:
        for n in range(ROUNDS):
            self.s.add(n)
            self.s.add((number, n))

    def check(self, results: list[Any]) -> None:
        theirs = {(number, n) for number in range(PROCESSES) for n in range(ROUNDS)}
        assert set(self.s) == theirs | set(range(ROUNDS))


class ToggleInSet(Race):
    """Each toggle takes a member out or puts it in; an even number of them changes nothing."""

    def prepare(self, m: RedisManager) -> None:
        self.s = m.set({"stays"})

    def run(self, number: int) -> None:
        s = self.s
        for _ in range(ROUNDS):
            s ^= {"even", number}
        s ^= {"odd", number} if number == 0 else {number}

    def check(self, results: list[Any]) -> None:
        assert set(self.s) == {"stays", "odd", *range(PROCESSES)}


# One change at a time: nobody sees half of it.


class HalfAnUpdate(Race):
    """Process 0 writes, the others read until it has finished."""

    def prepare(self, m: RedisManager) -> None:
        self.d = m.dict(dict.fromkeys(range(100), 0))
        self.done = m.Value("b", False)

    def run(self, number: int) -> int:
        if number == 0:
            for n in range(1, ROUNDS):
                self.d.update(dict.fromkeys(range(100), n))
            self.done.value = True
            return 0
        return sum(1 for _ in self.looks())

    def looks(self) -> Iterator[None]:
        while True:
            over = self.done.value
            values = self.d.copy().values()
            assert len(values) == 100
            assert len(set(values)) == 1, values
            assert len(set(self.d.values())) == 1
            assert len({value for _, value in self.d.items()}) == 1
            yield
            if over:
                return

    def check(self, results: list[Any]) -> None:
        assert all(results[1:])
        assert self.d[0] == ROUNDS - 1


class HalfASlice(Race):
    """A list that always consists of one number, as often as that number says."""

    def prepare(self, m: RedisManager) -> None:
        self.l = m.list([1])
        self.stepped = m.list([0, "x"] * 20)
        self.a = m.Array("q", [0] * 20)
        self.done = m.Value("b", False)

    def run(self, number: int) -> int:
        if number == 0:
            for n in range(1, ROUNDS):
                self.l[:] = [n] * n
                self.stepped[::2] = [n] * 20
                self.a[:] = array.array("q", [n] * 20)
            self.done.value = True
            return 0
        looks = 0
        over = False
        while not over:
            over = self.done.value
            plain = list(self.l)
            assert plain == [plain[0]] * plain[0]
            assert len(set(self.stepped[::2])) == 1
            assert len(set(self.stepped)) == 2
            assert len(set(self.a)) == 1
            looks += 1
        return looks

    def check(self, results: list[Any]) -> None:
        assert all(results[1:])
        assert len(self.l) == ROUNDS - 1


class HalfASwap(Race):
    """A set that always has the members of exactly one decade."""

    def prepare(self, m: RedisManager) -> None:
        self.s = m.set(range(10))
        self.done = m.Value("b", False)

    def run(self, number: int) -> int:
        if number == 0:
            for n in range(ROUNDS):
                self.s.symmetric_difference_update(range(10 * n, 10 * n + 20))
            self.done.value = True
            return 0
        looks = 0
        over = False
        while not over:
            over = self.done.value
            members = set(self.s)
            low = min(members)
            assert members == set(range(low, low + 10))
            looks += 1
        return looks

    def check(self, results: list[Any]) -> None:
        assert all(results[1:])
        assert set(self.s) == set(range(10 * ROUNDS, 10 * ROUNDS + 10))


class SortWhileOthersAppend(Race):
    def prepare(self, m: RedisManager) -> None:
        self.l = m.list(range(ROUNDS, 0, -1))
        self.busy = m.Value("i", PROCESSES - 1)

    def run(self, number: int) -> int:
        if number:
            for n in range(ROUNDS):
                self.l.append(n * PROCESSES + number)
            self.busy.add(-1)
            return 0
        sorts = 0
        over = False
        while not over:
            over = self.busy.value == 0
            before = len(self.l)
            self.l.sort()
            # What was there before the sort is in order behind it; later ones follow at the end.
            now = self.l[:before]
            assert now == sorted(now)
            sorts += 1
        return sorts

    def check(self, results: list[Any]) -> None:
        appended = [n * PROCESSES + number for number in range(1, PROCESSES) for n in range(ROUNDS)]
        assert results[0]
        assert list(self.l) == sorted([*range(1, ROUNDS + 1), *appended])


class ReverseTogether(Race):
    def prepare(self, m: RedisManager) -> None:
        self.l = m.list(range(10))

    def run(self, number: int) -> None:
        for _ in range(ROUNDS):
            self.l.reverse()
            plain = list(self.l)
            assert plain in (list(range(10)), list(range(9, -1, -1)))

    def check(self, results: list[Any]) -> None:
        assert list(self.l) == list(range(10))


# Names: one creates, the others attach.


class CreateOrAttach(Race):
    processes = 8
    NAMES = ("dict", "list", "set", "Namespace", "Value", "Array")

    def prepare(self, m: RedisManager) -> None:
        assert m.names() == []

    def run(self, number: int) -> list[Any]:
        with RedisManager(self.url) as m:
            shared = [
                m.dict("dict", {number: "mine"}, extra=number),
                m.list("list", [number] * 20),
                m.set("set", {number}),
                m.Namespace("Namespace", x=number, **{f"y{number}": 1}),
                m.Value("i", number, name="Value"),
                m.Array("i", [number] * 3, name="Array"),
            ]
            assert [proxy._token.ident[2:] for proxy in shared] == list(self.NAMES)
            return [str(proxy) for proxy in shared[:-1]] + [shared[-1][:]]

    def check(self, results: list[Any]) -> None:
        assert all(seen == results[0] for seen in results)
        with RedisManager(self.url) as m:
            assert m.names() == sorted(self.NAMES)
            assert [m.delete(name) for name in self.NAMES] == [True] * len(self.NAMES)


class DeleteTogether(Race):
    def prepare(self, m: RedisManager) -> None:
        for n in range(ROUNDS // 4):
            m.dict(f"name {n}", a=1)

    def run(self, number: int) -> list[bool]:
        with RedisManager(self.url) as m:
            return [m.delete(f"name {n}") for n in range(ROUNDS // 4)]

    def check(self, results: list[Any]) -> None:
        assert all(sum(column) == 1 for column in zip(*results, strict=True))
        with RedisManager(self.url) as m:
            assert m.names() == []


RACES = Race.__subclasses__()


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
def test_race_between_forked_processes(race: type[Race], url: str) -> None:
    with RedisManager(url, **race.options) as m:
        this = race(m, url)
        fork = multiprocessing.get_context("fork")
        this.check(run_all(fork, this.run, [(number,) for number in range(race.processes)]))


def run_them_all(number: int, races: list[Race], start: Any) -> list[Any]:
    results = []
    for race in races:
        start.wait(PATIENCE)
        results.append(race.run(number))
    return results


def test_all_races_between_spawned_processes(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    plain = [race for race in RACES if not race.options and race.processes == PROCESSES]
    with RedisManager(url) as m:
        races = [race(m, url) for race in plain]
        start = spawn.Barrier(PROCESSES)
        argslist = [(number, races, start) for number in range(PROCESSES)]
        for race, *results in zip(races, *run_all(spawn, run_them_all, argslist), strict=True):
            race.check(results)
