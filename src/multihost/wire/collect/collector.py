"""Removing unnamed objects without a lease that nothing leads to any more.

One process of a namespace at a time begins an *epoch* in each partition, marks what living
processes hold and what named objects contain, then what that contains, and so on. Then it *settles*
the partitions: what is white from then on is as good as removed, and refused to who comes late.
Then it *sweeps* them. Nothing has to stand still meanwhile; ``docs/lifetimes.md`` says why that is
right, and what the others do for it.

Each script touches one partition and does a small piece of work. Any of them may be the last one
that its process sends: the next collection begins with a new epoch.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from multihost.errors import BadPayload, InternalError, MultihostError
from multihost.wire import keys as key_names
from multihost.wire.collect.marking import Marking
from multihost.wire.collect.partitions import EVERYWHERE, Outdated, Partitions
from multihost.wire.link import Link, Patience
from multihost.wire.replies import ReplyError, counted, microseconds, row
from multihost.wire.script import Script
from multihost.wire.stored import report_damage

__all__ = ["Collector", "Found", "Survey"]

logger: logging.Logger = logging.getLogger(__name__)

PATIENCE = 0.25  # seconds for which a collection looks for a lost server
SWEPT_AT_ONCE = 25  # objects that one script removes
PAUSE = 20  # times as long as a collection took, at least, until the next one
TURNS_PER_LEASE = 3
TURNS_UNASKED = 20  # of a process, of which it uses one without a reason
FEW = 2000  # objects without a lease, among which a process looks for its own when it ends

_turn = Script("collect/turn")
_reason = Script("collect/reason")
_begin = Script("collect/begin")
_settle = Script("collect/settle")
_sweep = Script("collect/sweep")
_places = Script("collect/places")


class Found(NamedTuple):
    """What a collection did."""

    removed: int
    """Unnamed objects that nothing led to."""
    finished: bool
    """False if another one began meanwhile, or the connection broke."""


class Survey(NamedTuple):
    """What there is to collect, as far as is known before."""

    kept: int
    """Unnamed objects without a lease."""
    reasons: int
    """How many of them a container or their last holder let go, and how many partitions the last
    collection did not come to its end in."""


class _Reasons(NamedTuple):
    """What the partitions say before a collection."""

    highest: int
    """The highest epoch of a partition or an object."""
    kept: int
    """Objects without a lease."""
    objects: int
    """Objects that a container or the last holder let go, and collections that did not end."""
    lists: list[int]
    """The partitions with sessions that have places, or in-flight lists."""


class Collector:
    """Looks for what nothing leads to, when it is the turn of this process and there is a reason.

    ``lease`` is that of the process, in seconds; ``ttl_ms`` for how long an object is there that
    nobody renews.
    """

    def __init__(self, link: Link, namespace: str, lease: float, ttl_ms: bytes) -> None:
        self._link = link
        self._session = secrets.token_urlsafe(12).encode()
        self._prefix = key_names.prefix(namespace, 0)  # of what all collectors share
        self._key = key_names.collector(namespace)
        self._leases = key_names.leases(namespace)
        # A little less than a third of a lease: who has the turn comes for it again after that.
        self._period_ms = max(1, round(lease * 900 / TURNS_PER_LEASE))
        self._ttl_ms = ttl_ms
        self._stopping = threading.Event()
        self._partitions = Partitions(link, namespace, self._stopping)
        self._thread: threading.Thread | None = None
        self._paused = False
        self._renewals = self._turns = 0
        self._had_turn = False
        self._are_kept = False  # objects without a lease, as somebody has said
        self._found = b""  # in its turn, and not yet said: see collect/turn
        self._runs: set[bytes | None] = set()  # of servers, and since when it has seen them all
        self._run_since = -math.inf
        self._made = time.monotonic()
        self.has_kept: bool = False
        """This process has taken the lease from objects."""
        self.removed: int = 0
        """Objects that this process has removed."""

    # the background thread of the session

    def take_turn(self) -> None:
        """Note the lease of this process; collect in another thread if it is the turn of this one
        to look, and there is a reason. Called with each renewal.

        Who had the turn asks for it again each time, the others once in a lease: 1 round trip, 3 if
        it is its turn and there may be anything to look at.
        """
        thread = self._thread
        if self._stopping.is_set() or (thread is not None and thread.is_alive()):
            return
        self._renewals += 1
        if not self._had_turn and self._renewals % TURNS_PER_LEASE != 1:
            return
        self._had_turn = self._ask(self._period_ms)
        if self._had_turn and self._is_needed() and self._may_begin():
            self._thread = threading.Thread(
                target=self._collect_aside, name="multihost-collector", daemon=True
            )
            self._thread.start()

    def _ask(self, period_ms: int, *, force: bool = False) -> bool:
        found, self._found = b"kept" if self.has_kept else self._found, b""
        args = self._session, self._ttl_ms, b"%d" % period_ms, b"%d" % force, found
        reply = _turn.run_readonly(self._link, [self._key], *args)
        is_ours, longest, are_kept = row("collect/turn", self._key.decode(), reply, 3)
        longest = counted("collect/turn", self._key.decode(), longest or 0)
        self._partitions.longest_ms = longest or self._partitions.longest_ms
        self._are_kept = bool(are_kept)
        return bool(is_ours)

    def note_kept(self) -> None:
        """Let all processes know that there are objects without a lease from now on, also if this
        one is killed. 1 round trip, once.
        """
        if not self.has_kept:
            note = (b"ZADD", self._leases, b"inf", key_names.ANY_KEPT)
            self._link.pipeline([note, (b"PERSIST", self._leases)])
            self.has_kept = True

    def _may_begin(self) -> bool:
        """Return False if a server came back less than a lease ago, with what it had: leases could
        not be renewed meanwhile. 1 round trip for each server.
        """
        facts = [_facts_of(each) for each in self._link.masters()]
        facts = [each for each in facts if not _began_with_nothing(each)]
        if not facts:
            return True
        runs, now = {each.get(b"run_id") for each in facts}, time.monotonic()
        if not runs <= self._runs:
            # Another server, or a replica in its place, for as long as this process can tell.
            self._run_since = now if self._runs else -math.inf
        self._runs = runs
        if 1000 * (now - self._run_since) < self._partitions.longest_ms:
            return False
        up = min(int(each.get(b"uptime_in_seconds", now - self._made)) for each in facts)
        return 1000 * up >= self._partitions.longest_ms

    def _is_needed(self) -> bool:
        """Return whether there is a reason; now and then also if there is none, but something to
        look at: what is forgotten by mistake, or lies at places of the dead, must not stay for
        ever. Else no round trip where nobody has said that anything is kept.
        """
        self._turns += 1
        is_unasked = self._turns % TURNS_UNASKED == 0
        if not (self._are_kept or is_unasked):
            return False
        try:
            with self._partitions.pinned():
                reasons = self._reasons()
        except Outdated:
            return False
        self._found = b"kept" if reasons.kept or reasons.objects else b"none"
        if is_unasked:
            return bool(reasons.kept or reasons.lists)
        return reasons.objects > 0

    def _collect_aside(self) -> None:
        try:
            with Patience(self._link, PATIENCE, replies=False):
                self.collect()
        except (BadPayload, InternalError) as error:  # somebody has altered what it reads
            report_damage(f"at {self._link.address}", str(error))
        except MultihostError as error:  # the next collection finds what this one left
            logger.debug("a collection at %s ended early: %s", self._link.address, error)

    def stop(self) -> None:
        """End a collection that is under way, and begin no other."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def pause(self) -> threading.Thread | None:
        """End a collection that is under way, until :meth:`resume`; return its thread."""
        thread = self._thread
        if thread is None or not thread.is_alive() or self._stopping.is_set():
            return None
        self._paused = True
        self._stopping.set()
        return thread

    def resume(self) -> None:
        """Collect again when it is the turn of this process."""
        if self._paused:
            self._paused = False
            self._stopping.clear()

    # any thread

    def collect_last(self, maker: str) -> None:
        """At the end of this process, remove those of its objects that no name leads to, though
        others may hold them. If there are very many objects leave that to others.
        """
        self._stopping.clear()
        try:
            with self._partitions.pinned():
                self._ask(0)
                kept = self._reasons().kept
        except Outdated:
            return
        if kept <= FEW:
            self.collect(maker)

    def collect(self, maker: str = "") -> Found:
        """Remove what nothing leads to. What a process holds, or a container let go a moment ago,
        counts as contained, but for the objects of ``maker``.

        O(objects without a lease), in many short scripts. Ends early if another process begins.
        """
        before = self.removed
        finished = True
        try:
            with self._partitions.pinned(maker):
                self._collect()
        except Outdated:
            finished = False
        pause = round(self._partitions.seconds * 1000 * PAUSE)
        if pause > self._period_ms and not self._stopping.is_set():
            self._ask(pause, force=True)
        return Found(self.removed - before, finished)

    def _reasons(self) -> _Reasons:
        grace = b"%d" % self._partitions.longest_ms
        found = self._partitions.run_everywhere(_reason, grace, at_once=len(EVERYWHERE))
        return _Reasons(
            max(max(epoch, highest) for epoch, _, highest, *_ in found),
            sum(kept for _, _, _, kept, *_ in found),
            sum(objects + (epoch != swept) for epoch, swept, _, _, objects, _ in found),
            [number for number, (*_, lists) in zip(EVERYWHERE, found, strict=True) if lists],
        )

    def survey(self) -> Survey:
        """Return what there may be to collect. Changes nothing. 2 round trips."""
        leases = self._link.execute(b"ZRANGE", self._leases, b"0", b"-1")
        self._partitions.longest_ms = max(
            int(each) for each in [*leases, self._ttl_ms] if each.isdigit()
        )
        found = self._reasons()
        return Survey(found.kept, found.objects)

    def _collect(self) -> None:
        partitions = self._partitions
        self._ask(0)
        reasons = self._reasons()
        self._remove_lists(reasons.lists)
        epoch, begun = self._begin(reasons.highest)
        packed = b"%d" % epoch
        longest = partitions.longest_ms
        partitions.mark_held(packed)
        since = [ms - longest for ms in begun]
        marking = Marking(partitions, epoch, since)
        marking.mark(partitions.contained_in_names())
        while True:
            marking.finish()
            if all(partitions.run_everywhere(_settle, packed)):
                break
            partitions.run_everywhere(_begin, packed, b"1")  # something was marked since: go on
        trims = [
            (packed, b"%d" % SWEPT_AT_ONCE, b"%d" % ms, b"%d" % (ms - longest)) for ms in begun
        ]
        partitions.forget_ours()
        self._sweep_all(trims)

    def _begin(self, highest: int) -> tuple[int, list[int]]:
        """Begin a new epoch everywhere; return it, and the time of each partition."""
        now = microseconds(self._link.lane(self._prefix).execute(b"TIME"))
        epoch = 1 + max(highest, now // 1000000 * 1000)
        return epoch, self._partitions.run_everywhere(_begin, b"%d" % epoch, b"0")

    def _sweep_all(self, args: Sequence[Sequence[bytes]]) -> None:
        """Remove what is white, in one partition after another: where another collection has begun
        in one, the next ones are not touched any more.
        """
        for number, each in enumerate(args):
            more = 1
            while more:
                (answer,) = self._partitions.run(_sweep, [(number, each)])
                if answer is None:
                    raise Outdated
                removed, more = answer
                self.removed += removed

    def _remove_lists(self, numbers: list[int]) -> None:
        """Remove what lies at places of objects that do not exist."""
        waiting = [(number, b"0") for number in numbers]
        while waiting:
            calls = [(number, (cursor,)) for number, cursor in waiting]
            cursors = self._partitions.run(_places, calls)
            waiting = [
                (number, cursor)
                for (number, _), cursor in zip(waiting, cursors, strict=True)
                if cursor != b"0"
            ]


def _facts_of(link: Link) -> dict[bytes, bytes]:
    """Return the INFO of a server as a dict, empty where that is not permitted. 1 round trip."""
    try:
        text = link.execute_raw(b"INFO")
    except ReplyError:
        return {}
    return dict(line.split(b":", 1) for line in text.splitlines() if b":" in line)


def _began_with_nothing(facts: Mapping[bytes, bytes]) -> bool:
    """Return whether a server had no data when it started, and got none as a replica either."""
    return (
        facts.get(b"aof_enabled") == b"0"
        and facts.get(b"rdb_last_load_keys_loaded") == b"0"
        and not facts.get(b"master_replid2", b"").strip(b"0")
    )
