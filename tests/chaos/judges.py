"""What must be true of the history of each kind of objects, whatever befell those who used them.

Each judge returns what is wrong, one line for each, and nothing if all is right. ``kill`` stands in
a journal before a process is killed, ``saving``, ``going back`` and ``back`` around a step back of
the server: what it acknowledged between the first two is forgotten. Behind ``failing over`` there
may be two servers that acknowledge, until ``back``.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from tests.chaos.journal import Line

__all__ = [
    "Judge",
    "all_counted",
    "called_once",
    "gaps",
    "in_order",
    "met",
    "never_more_than",
    "nothing_lost",
    "tickets_taken_once",
    "woken_by_somebody",
    "worked",
]

Judge = Callable[[Sequence[Line]], list[str]]

NOTICED = 15.0  # seconds within which others hear that somebody was killed


LATE = 2.0  # seconds after a step back in which somebody may note what was answered before it


class _Holders:
    """Who has something, as the lines tell it one after the other."""

    def __init__(self, most: int, tokens_rise: bool) -> None:
        self._most, self._tokens_rise = most, tokens_rise
        self.wrong: list[str] = []
        self._inside: dict[int, int] = {}  # number of the line by which one entered
        self._kept: set[int] = set()  # what they had was saved before the server went back
        self._stopped: set[int] = set()
        self._dead: set[int] = set()
        self._tokens: set[int] = set()
        self._last = 0
        self._saved = self._number = 0
        self._back_at = float("-inf")
        self._in_doubt = False

    def read(self, line: Line) -> None:
        self._number += 1
        if line.what == "kill":
            self._dead.add(line.pid)
            self._inside.pop(line.pid, None)
        elif line.what == "stopped for long":
            self._stopped.add(line.pid)
            self._inside.pop(line.pid, None)
        elif line.what == "saving":
            self._saved = self._number
        elif line.what == "failing over":
            self._in_doubt = True
        elif line.what == "going back":
            self._go_back(line)
        elif line.what == "enter" and line.pid not in self._dead:
            self._enter(line)
        elif line.what == "leave":
            self._inside.pop(line.pid, None)
        elif line.what == "lost":
            self._inside.pop(line.pid, None)
            may_be = line.pid in self._stopped or self._back_at > 0 or self._in_doubt
            if line.pid in self._kept or not may_be:
                self.wrong.append(f"a living process lost what it had: {line}")

    def _go_back(self, line: Line) -> None:
        self._back_at, self._in_doubt = line.at, False
        self._kept = {pid for pid, since in self._inside.items() if since < self._saved}
        self._inside = {pid: self._inside[pid] for pid in self._kept}

    def _enter(self, line: Line) -> None:
        self._kept.discard(line.pid)
        is_late = self._in_doubt or line.at < self._back_at + LATE
        if line.value and not is_late:
            if self._tokens_rise and line.value <= self._last:
                self.wrong.append(f"the token does not rise above {self._last}: {line}")
            if line.value in self._tokens:
                self.wrong.append(f"a token comes twice: {line}")
        self._tokens.add(line.value)
        self._last = max(self._last, line.value)
        if is_late:
            return  # it may be told that it has nothing
        self._inside[line.pid] = self._number
        if len(self._inside) > self._most:
            self.wrong.append(f"{len(self._inside)} have it: {sorted(self._inside)}, {line}")


def never_more_than(most: int, *, tokens_rise: bool = True) -> Judge:
    """No more than so many have it at a time, but for those whose hold a step back undid: they are
    told, and nobody else is. Tokens of successive holds rise, or at least differ; 0 is none.
    """

    def judge(lines: Sequence[Line]) -> list[str]:
        holders = _Holders(most, tokens_rise)
        for line in lines:
            holders.read(line)
        return holders.wrong

    return judge


def nothing_lost(is_redelivered: bool) -> Judge:
    """Every item comes to somebody who lives, once, or again where it was not done. What a step
    back undoes is lost or comes twice, and nothing else.
    """

    def judge(lines: Sequence[Line]) -> list[str]:
        wrong: list[str] = []
        told: dict[str, set[int]] = defaultdict(set)
        takers: dict[int, list[tuple[int, int]]] = defaultdict(list)
        killed = {line.pid for line in lines if line.what == "kill"}
        stopped = {line.pid for line in lines if line.what == "stopped for long"}
        backs = _backs(lines)
        put_safely = _put_safely(lines)
        for number, line in enumerate(lines):
            told[line.what].add(line.value)
            if line.what == "got":
                takers[line.value].append((number, line.pid))
        lost = put_safely - told["got"]
        if is_redelivered and lost:
            wrong.append(f"{len(lost)} items are lost: {sorted(lost)[:5]}")
        elif len(lost) > 3 * len(killed):
            # Between get() and its note one can be killed, with a batch in its hands at most.
            wrong.append(f"{len(lost)} items are lost, more than those killed had in their hands")
        if strange := told["got"] - told["puts"]:
            wrong.append(f"items that nobody put: {sorted(strange)[:5]}")
        if refused := told["got"] & (told["full"] - told["put"]):
            wrong.append(f"items that were refused: {sorted(refused)[:5]}")
        for item, got in takers.items():
            alive = [each for each in got if each[1] not in killed | stopped]
            for (first, _), (second, pid) in itertools.pairwise(alive):
                if not any(first < end + SLACK and start < second for start, end in backs):
                    wrong.append(f"item {item} comes twice, to {alive}, the second is {pid}")
        return wrong

    return judge


def _may_come_again(line: Line) -> bool:
    """Whether what was delivered just now may be so again: its acknowledgement may have been under
    way, and the list that it was in given back once (docs/guarantees.md).
    """
    return line.what in ("going back", "restarting")


def _backs(lines: Sequence[Line]) -> list[tuple[int, int]]:
    """Return the first and last line of whatever may have things done twice."""
    backs: list[tuple[int, int]] = []
    begun = -1
    for number, line in enumerate(lines):
        if line.what == "failing over":
            begun = number
        elif _may_come_again(line):
            backs.append((number if begun < 0 else begun, number))
            begun = -1
    return backs


SLACK = 50  # lines: what was answered before the server was killed may be noted behind that


def _put_safely(lines: Sequence[Line]) -> set[int]:
    """Return the items that no step back may have taken along."""
    safe: set[int] = set()
    unsaved: set[int] = set()
    for line in lines:
        if line.what == "put":
            unsaved.add(line.value)
        elif line.what == "saving":
            safe |= unsaved
            unsaved = set()
        elif line.what == "back":
            # What was put since it was saved is forgotten; somebody may note it only now.
            unsaved = set()
    return safe if any(line.what == "going back" for line in lines) else safe | unsaved


def in_order(lines: Sequence[Line]) -> list[str]:
    """One consumer gets all items in their order, and none is missing. Behind a restart of the
    server it may get the last ones again.
    """
    wrong: list[str] = []
    count, last, may_repeat = 0, -1, False
    for line in lines:
        may_repeat = may_repeat or _may_come_again(line)
        if line.what == "got":
            is_repeated = may_repeat and last - AGAIN < line.value <= last
            if line.value != last + 1 and not is_repeated:
                wrong.append(f"out of order behind {last}: {line}")
            count, last, may_repeat = count + 1, line.value, False
    return wrong


AGAIN = 10  # items that may come again


def tickets_taken_once(lines: Sequence[Line]) -> list[str]:
    """Never two in the condition's lock, and no more tickets taken than were handed out."""
    wrong = never_more_than(1)(lines)
    counts = Counter(line.what for line in lines)
    if counts["took"] > counts["gives"] and not counts["going back"]:
        wrong.append(f"{counts['took']} tickets were taken, {counts['gives']} were handed out")
    return wrong


def woken_by_somebody(lines: Sequence[Line]) -> list[str]:
    """A wait ends only if the event was set meanwhile, and does not outlast that it is set."""
    wrong: list[str] = []
    may_be_set = in_doubt = False
    waiting: dict[int, bool] = {}  # whether it may have been set since it began
    for line in lines:
        in_doubt = line.what == "failing over" or (in_doubt and line.what != "back")
        if line.what in ("sets", "back", "failing over"):
            may_be_set = True
            waiting = dict.fromkeys(waiting, True)
        elif line.what == "cleared":
            may_be_set = in_doubt  # by a server of which that may be forgotten
        elif line.what == "waits":
            waiting[line.pid] = may_be_set
        elif line.what == "woken" and not waiting.pop(line.pid, True):
            wrong.append(f"a wait ended for no reason: {line}")
        elif line.what == "in vain":
            waiting.pop(line.pid, None)
    return wrong


def met(parties: int) -> Judge:
    """Nobody passes but with so many who have come, of whom some may have been killed since."""

    def judge(lines: Sequence[Line]) -> list[str]:
        wrong: list[str] = []
        inside: dict[int, float] = {}  # until when it may be counted as having come
        most: dict[int, int] = {}  # how many were there at a time since one came
        passed: Counter[int] = Counter()
        doubts = 0
        for line in lines:
            if line.what == "comes":
                inside[line.pid] = float("inf")
                most[line.pid] = 0
                there = sum(until >= line.at for until in inside.values())
                most = {pid: max(before, there) for pid, before in most.items()}
            elif line.what == "kill":
                doubts += 1
                if line.pid in inside:
                    inside[line.pid] = line.at + NOTICED
            elif line.what == "going back":
                doubts += parties
            elif line.what in ("passed", "broken"):
                if line.what == "passed":
                    passed[line.value] += 1
                    if most.get(line.pid, 0) < parties:
                        wrong.append(f"passed with {most.get(line.pid)} of {parties}: {line}")
                inside.pop(line.pid, None)
                most.pop(line.pid, None)
        indexes = [passed[index] for index in range(parties)]
        if max(indexes) - min(indexes) > doubts:
            wrong.append(f"indexes were given out unevenly: {indexes}, {doubts} killed")
        return wrong

    return judge


def all_counted(lines: Sequence[Line]) -> list[str]:
    """Each call counted once: no result twice, but across a step back."""
    wrong: list[str] = []
    seen: dict[int, int] = {}
    backs = [] if all(line.what != "going back" for line in lines) else _backs(lines)
    for number, line in enumerate(lines):
        if line.what != "added":
            continue
        first = seen.get(line.value)
        if first is not None and not any(
            start < number and first < end + SLACK for start, end in backs
        ):
            wrong.append(f"{line.value} comes twice: {lines[first]}, {line}")
        seen[line.value] = number
    calls = Counter(line.what for line in lines)
    if seen and max(seen) > calls["adds"]:
        wrong.append(f"{max(seen)} were counted, of {calls['adds']} calls")
    killed = calls["kill"]
    if seen and not backs and max(seen) - calls["added"] > killed:
        wrong.append(f"{max(seen)} counted, {calls['added']} told, {killed} killed: some ran twice")
    return wrong


def called_once(lines: Sequence[Line]) -> list[str]:
    """No answer of a hosted object comes twice, and what nobody was told was said to be lost."""
    answers = Counter((line.text, line.value) for line in lines if line.what == "counted")
    wrong = [f"an answer came twice: {answer}" for answer, n in answers.items() if n > 1]
    highest: dict[str, int] = {}
    for pid, number in answers:
        highest[pid] = max(number, highest.get(pid, 0))
    untold = sum(highest.values()) - len(answers)
    excuses = sum(line.what in ("host lost", "kill") for line in lines)
    if untold > excuses:
        wrong.append(f"{untold} calls were counted, and only {excuses} excused")
    return wrong


def worked(lines: Sequence[Line]) -> list[str]:
    """Each task of a pool gave its own result."""
    return [str(line) for line in lines if line.what == "wrong result"]


def gaps(lines: Iterable[Line], steps: Iterable[str]) -> float:
    """Return the longest time in which nobody made a step."""
    steps = set(steps)
    times = [line.at for line in lines if line.what in steps]
    return max((b - a for a, b in itertools.pairwise(times)), default=0.0)
