"""Random histories: processes use objects of all kinds, and everything goes wrong meanwhile.

A campaign has rounds. Each has a server and objects of its own and a way in which things go wrong,
see :data:`WAYS`; at its end faults cease, all processes end by themselves, somebody looks at what
is left, and the journals are judged. What is chosen at random follows from the seed; the order in
which processes run does not.
"""

from __future__ import annotations

import ctypes
import dataclasses
import faulthandler
import logging
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.chaos.journal import Journal, Line
from tests.chaos.judges import gaps
from tests.chaos.killers import StopSignal
from tests.chaos.kinds import KINDS, Kind
from tests.chaos.lives import Life, open_manager
from tests.chaos.sites import SITES, Site, Steps
from tests.support.waiting import PATIENCE

__all__ = ["MOVING", "WAYS", "Figures", "Round", "Way", "ways_of"]


@dataclasses.dataclass(frozen=True)
class Way:
    """How things go wrong. All but the first are how often in a second."""

    name: str
    kills: float = 60.0
    cuts: float = 60.0
    stops: float = 2.0
    outages: float = 0.1
    restarts: float = 0.0
    steps_back: float = 0.0
    long_stops: float = 0.0
    apart: bool = False
    """No process sees the end of another: all of them seem to be on hosts of their own."""
    lease: float = 600.0
    kinds: tuple[str, ...] = ()
    """Only these."""
    site: str = "one server"
    """Where the data is, one of :data:`tests.chaos.sites.SITES`."""
    moves: float = 0.0
    """Of masters or slots, in all the ways that the site has."""

    def includes(self, kind: Kind) -> bool:
        if kind.is_spared and (self.steps_back or self.moves or self.apart):
            return False
        return not self.kinds or kind.name in self.kinds


HELD = ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "redelivered")

WAYS = (
    Way("kills and cuts"),
    Way("kills and cuts", kills=90.0, cuts=30.0),
    Way("restarts", restarts=0.2),
    Way("gone back", kills=30.0, steps_back=0.2),
    Way("apart", kills=3.0, apart=True),
    Way("past the lease", kills=5.0, long_stops=0.5, lease=3.0, kinds=HELD),
)
MOVING = (
    Way("sentinel", kills=1.0, cuts=4.0, stops=0.2, outages=0.0, site="sentinel", moves=0.2),
    Way("cluster", kills=1.0, cuts=4.0, stops=0.2, outages=0.0, site="cluster", moves=0.3),
    Way("resharding", kills=1.0, cuts=1.0, stops=0.2, outages=0.0, site="resharding", moves=2.0),
)
"""Those where the data is at several servers: masters die and are replaced, slots move."""


def ways_of(wanted: str) -> list[Way]:
    """Return those of which the name contains something; those that need several servers only if
    they are meant.
    """
    found = [way for way in WAYS if wanted in way.name]
    return (
        found
        if found and wanted != "moving"
        else [way for way in MOVING if wanted in (*way.name.split(), "moving")]
    )


@dataclasses.dataclass
class Figures:
    """What there was in a campaign so far."""

    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    longest: dict[str, float] = dataclasses.field(default_factory=dict)
    """Seconds in which nobody did anything, by the kind of objects."""
    wrong: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: Figures) -> None:
        self.counts += other.counts
        for kind, gap in other.longest.items():
            self.longest[kind] = max(gap, self.longest.get(kind, 0.0))
        self.wrong += other.wrong

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.most_common())
        kind = max(self.longest, key=lambda kind: self.longest[kind], default="none")
        return (
            f"{counts}; longest gap {self.longest.get(kind, 0.0):.1f} s ({kind}); "
            f"{len(self.wrong)} violations"
        )


PR_SET_PDEATHSIG = 1
SERVER_SECONDS = 30.0  # for which a call waits for a server: no outage lasts so long


class Group:
    """The processes that use one object."""

    def __init__(self, round_: Round, kind: Kind, directory: Path) -> None:
        self.kind, self._round = kind, round_
        self.journal = Journal(str(directory / kind.name.replace(" ", "-")))
        self.pids: dict[int, int] = {}
        """By the number of each."""

    def fill(self) -> None:
        """Replace those who are missing."""
        for number in range(self.kind.size):
            if number not in self.pids:
                self.pids[number] = self._round.fork(self._live, number)

    def reap(self) -> None:
        """Forget those who have ended."""
        for number, pid in list(self.pids.items()):
            if os.waitpid(pid, os.WNOHANG)[0]:
                del self.pids[number]

    def early(self) -> list[int]:
        """Return the pids of those whom others wait for at the end."""
        return [pid for number, pid in self.pids.items() if number not in self.kind.late]

    def kill(self, numbers: list[int]) -> None:
        """SIGKILL, to all of them in one moment."""
        victims = [self.pids.pop(number) for number in numbers if number in self.pids]
        for pid in victims:
            self.journal.note("kill", pid=pid)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        for pid in victims:
            os.waitpid(pid, 0)
        self._round.figures.counts["kills"] += len(victims)

    def _live(self, number: int) -> None:
        # Errors of threads too, and what all do when it hangs.
        errors = open(f"{self.journal.path}.errors", "a", encoding="utf-8")
        os.dup2(errors.fileno(), 2)
        faulthandler.register(signal.SIGUSR1, errors, all_threads=True)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
        round_ = self._round
        if round_.way.apart:
            _be_alone()
        chance = random.Random(f"{round_.seed} {os.getpid()}")
        life = Life(
            number,
            round_.site.url_of(is_cut=self.kind.is_spared or chance.random() < 0.6),
            round_.settings,
            self.journal,
            chance,
            round_.last_stop if number in self.kind.late else round_.stop,
        )
        with open_manager(life.url, **life.settings) as m:
            try:
                self.kind.live(m, life)
            except BaseException:
                self.journal.note("error", text=traceback.format_exc())
                faulthandler.dump_traceback(errors)  # of what the other threads are at
                raise


def _end_with_parent() -> None:
    """Have the kernel kill this process when its parent has ended, where there is such a thing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _be_alone() -> None:
    """Have this process seem to be the only one of its host."""
    import multihost.wire.session.registration as registration
    import multihost.wire.session.siblings as siblings

    name = f"host of {os.getpid()}".encode()
    registration.host_identity = siblings.host_identity = lambda: name


class Round:
    """Objects of all kinds, processes that use them, and a server."""

    def __init__(self, way: Way, seed: str, directory: Path, most: int, scale: float) -> None:
        """Of at most so many kinds."""
        self.way, self.seed, self._scale = way, seed, scale
        self.chance = random.Random(seed)
        self.figures = Figures()
        self.stop, self.last_stop = StopSignal(), StopSignal()
        self.settings = {"lease": way.lease, "timeout": SERVER_SECONDS}
        self.site: Site = SITES[way.site](self.chance, seed, self._tell, bool(way.steps_back))
        kinds = [kind for kind in KINDS if way.includes(kind)]
        kinds = self.chance.sample(kinds, min(most, len(kinds)))
        self.groups = [Group(self, kind, directory) for kind in kinds]
        self._mortal = [group for group in self.groups if not group.kind.is_spared]
        self._stopped: list[tuple[float, int]] = []
        self._moving: Steps | None = None

    def run(self, seconds: float) -> Figures:
        """Let things go wrong for so long."""
        try:
            self._warm_up()
            self._aside(self._make)
            self._torment(time.monotonic() + seconds)
            self._end()
        finally:
            for group in self.groups:
                self._resume(float("inf"))
                for pid in group.pids.values():
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
            self.site.close()
            self.stop.close()
            self.last_stop.close()
        self._judge()
        return self.figures

    def fork(self, work: object, *args: object) -> int:
        """Return the pid of a process that does something and ends."""
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            _end_with_parent()
            work(*args)  # type: ignore[operator]
            status = 0
        finally:
            os._exit(status)

    def _warm_up(self) -> None:
        """What this process has imported and read, those need not that it forks."""
        with open_manager(self.site.url) as m:
            for group in self.groups:
                group.kind.make(m)
        self.site.empty()

    def _aside(self, work: object, *args: object) -> None:
        """Have it done in a process that ends: this one uses nothing that it tests."""
        pid = self.fork(work, *args)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status:
            self.figures.wrong.append(f"{getattr(work, '__name__', work)} ended with {status}")

    def _make(self) -> None:
        with open_manager(self.site.url, **self.settings) as m:
            for group in self.groups:
                group.kind.make(m)

    # what goes wrong

    def _torment(self, until: float) -> None:
        acts = {
            self._kill: self.way.kills / 2,  # who are killed at once are two on an average
            self._break: self.way.cuts / 4,
            self._stop_for_a_moment: self.way.stops,
            self._stop_for_long: self.way.long_stops,
            self._cut_off: self.way.outages,
            self._restart: self.way.restarts,
            self._step_back: self.way.steps_back,
            self._begin_move: self.way.moves,
        }
        rates = {act: rate * self._scale for act, rate in acts.items() if rate}
        while (now := time.monotonic()) < until or not self._has_been_tried():
            for group in self.groups:
                group.reap()
                group.fill()
            self._resume(now)
            self._go_on_moving()
            self.stop.wait(self.chance.expovariate(sum(rates.values())))
            (act,) = self.chance.choices(list(rates), list(rates.values()))
            act()

    def _has_been_tried(self) -> bool:
        """Whether enough went wrong for a history to mean something."""
        counts = self.figures.counts
        moved = not self.site.moves or any(counts[name] for name, _ in self.site.moves)
        return bool(counts["kills"] and counts["cuts"] and moved)

    def _kill(self) -> None:
        if not self._mortal:
            return
        group = self.chance.choice(self._mortal)
        count = self.chance.choice([1, 1, 2, 3])
        group.kill(self.chance.sample(range(group.kind.size), min(count, group.kind.size)))

    def _break(self) -> None:
        self.figures.counts["cuts"] += self.site.break_some()

    def _cut_off(self) -> None:
        self.figures.counts["cuts"] += self.site.cut_off(self.chance.random() * 2)
        self.figures.counts["outages"] += 1

    def _stop_for_a_moment(self) -> None:
        self._suspend("stopped", self.chance.random())

    def _stop_for_long(self) -> None:
        self._suspend("stopped for long", 2 * self.way.lease)

    def _suspend(self, what: str, seconds: float) -> None:
        found = [(group, pid) for group in self._mortal for pid in group.pids.values()]
        if found:
            group, pid = self.chance.choice(found)
            group.journal.note(what, pid=pid)
            os.kill(pid, signal.SIGSTOP)
            self._stopped.append((time.monotonic() + seconds, pid))
            self.figures.counts["suspensions"] += 1

    def _resume(self, now: float) -> None:
        pids = {pid for group in self.groups for pid in group.pids.values()}
        for _, pid in [each for each in self._stopped if each[0] <= now]:
            if pid in pids:  # else it was killed
                os.kill(pid, signal.SIGCONT)
        self._stopped = [each for each in self._stopped if each[0] > now]

    def _restart(self) -> None:
        self.site.restart()
        self.figures.counts["restarts"] += 1

    def _step_back(self) -> None:
        self.site.step_back()
        self.figures.counts["steps back"] += 1

    def _begin_move(self) -> None:
        """Let a master or a slot move, in one of the ways that the site has."""
        if self._moving is None:
            name, move = self.chance.choice(self.site.moves)
            self._moving = move()
            self.figures.counts[name] += 1

    def _go_on_moving(self) -> None:
        if self._moving is not None and next(self._moving, self) is self:
            self._moving = None

    def _tell(self, what: str) -> None:
        for group in self.groups:
            group.journal.note(what)

    # the end

    def _end(self) -> None:
        """No faults any more: all end by themselves, and what is left is as it has to be."""
        while self._moving is not None:
            self._go_on_moving()
            time.sleep(0.01)
        self._resume(float("inf"))
        for group in self.groups:
            group.reap()
            group.fill()
        closer = self.fork(self._close)
        for stop, is_last in ((self.stop, False), (self.last_stop, True)):
            stop.set()
            self._await_ends(is_last)
        os.kill(closer, signal.SIGKILL)
        os.waitpid(closer, 0)
        for group in self.groups:
            for pid in group.pids.values():
                self._say_wrong(group, f"{pid} does not end")
                os.kill(pid, signal.SIGUSR1)
        for group in self.groups:
            self._aside(self._look, group)

    def _await_ends(self, is_last: bool) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for group in self.groups:
                group.reap()
            if not any(is_last or group.early() for group in self.groups if group.pids):
                return
            time.sleep(0.01)

    def _close(self) -> None:
        """Let those go on who wait for somebody who has ended."""
        with open_manager(self.site.url, **self.settings) as m:
            while True:
                for group in self.groups:
                    group.kind.close(m, group.journal)
                time.sleep(0.1)

    def _look(self, group: Group) -> None:
        with open_manager(self.site.url, **self.settings) as m:
            try:
                group.kind.look(m, group.journal)
            except BaseException:
                group.journal.note("error", text=f"at the end: {traceback.format_exc()}")
                raise

    def _judge(self) -> None:
        for group in self.groups:
            lines = group.journal.read()
            group.journal.close()
            for line in lines:
                if line.what == "error":
                    self._say_wrong(group, f"{line.pid} raised {line.text}")
            for problem in group.kind.judge(lines):
                self._say_wrong(group, problem)
            self._count(group, lines)

    def _count(self, group: Group, lines: list[Line]) -> None:
        steps = Counter(line.what for line in lines)
        for what, name in (("enter", "holds"), ("got", "items"), ("passed", "passages")):
            self.figures.counts[name] += steps[what]
        for what, name in (("added", "calls"), ("counted", "calls"), ("result", "tasks")):
            self.figures.counts[name] += steps[what]
        own = sum(line.what == "kill" and group.kind.name == "pool" for line in lines)
        self.figures.counts["kills of workers"] += own
        if not any(steps[step] for step in group.kind.steps):
            self._say_wrong(group, f"nobody did anything: {steps}")
        self.figures.longest[group.kind.name] = gaps(lines, group.kind.steps)

    def _say_wrong(self, group: Group, problem: str) -> None:
        self.figures.wrong.append(f"{group.kind.name} ({self.way.name}, {self.seed}): {problem}")
