"""The unnamed objects that this process refers to.

An unnamed object has a lease: its keys expire ``lease`` seconds after the last process with a proxy
of it renewed them. Each such process renews every third of a lease, and with an object everything
that it contains. So a killed process leaves nothing behind, and no other process has to notice its
death. A named object has no lease, and neither has what it contains: that is *kept*, and renewing
it says until when somebody holds it (:mod:`multihost.wire.collect`).

The last proxy may be collected long before the lease ends. Then the object is deleted at once if no
other process can have a proxy of it; and if some have, as soon as the last of them has let go,
where that is known (:mod:`multihost.wire.session.gifts`).
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from multihost.errors import BadPayload, InternalError, MultihostError
from multihost.wire.collect import by_partition, contents, is_ident
from multihost.wire.identity import new_maker, new_unnamed
from multihost.wire.keys import Keys
from multihost.wire.link import Link, Node
from multihost.wire.replies import GONE, texts, to_exception
from multihost.wire.script import Script
from multihost.wire.session.gifts import ObjectReference, ReleaseRemote, let_go
from multihost.wire.session.nodes import for_each_node
from multihost.wire.stored import report_damage

__all__ = ["Ended", "References"]

RELEASED_PER_TURN = 1000
GATHERED = 0.05  # seconds in which fetched objects are gathered before they are renewed
FRESH = 30.0  # seconds for which a renewal is good enough for a proxy that is sent to others

_renew = Script("object/renew")
_drop = Script("object/drop")


class Ended(NamedTuple):
    """What a process that ends refers to."""

    removed: list[ObjectReference]
    """Those that it deletes."""
    let_go: list[ObjectReference]
    """Those that others may have."""


class References:
    """How many proxies of which unnamed objects this process has.

    Any thread counts; the background thread renews, deletes and releases. ``start`` starts that
    thread, ``wake`` ends its wait. ``forget`` is told of each object that no proxy is left
    of here, and whether it is about to be deleted since there is none elsewhere, either.
    ``is_away`` says which of several servers do not answer.
    """

    def __init__(
        self,
        link: Link,
        namespace: str,
        ttl_ms: bytes,
        start: Callable[[], None],
        wake: Callable[[], None],
        forget: Callable[[str, bool], None],
        is_away: Callable[[Node], bool],
    ) -> None:
        self._link = link
        self._is_away = is_away
        self._namespace = namespace
        self._ttl_ms = ttl_ms
        self._start = start
        self._wake = wake
        self._forget = forget
        self._lock = threading.Lock()
        self._forks = 0
        self._gifts = 0
        self.maker: str = new_maker()
        """What the idents of the objects start with that this process creates."""
        self._live: dict[str, ObjectReference] = {}  # with a proxy, or about to get one
        self._collected: deque[str] = deque()  # an ident for each collected proxy, not yet counted
        # Those that came from elsewhere and were not renewed since, and when they will be.
        self._fetched: dict[str, Keys] = {}
        self.fetched_due: float = math.inf
        # Those with keys that come and go, and have no lease between that and the next renewal.
        self._moving: dict[str, Keys] = {}

    def __contains__(self, ident: str) -> bool:
        return ident in self._live

    @property
    def _giver(self) -> str:
        """Who gives: this process, as others hear of it."""
        return self.maker[2:]

    # any thread

    def new_ident(self) -> str:
        """Return the ident of an unnamed object that this process is about to create."""
        return new_unnamed(self.maker)

    def is_ours(self, ident: bytes) -> bool:
        """Return whether this process created the object, by its ident."""
        return ident.startswith(self.maker.encode())

    def keys_of(self, ident: str) -> Keys | None:
        """Return the keys of an object that this process refers to: they need not be made again."""
        reference = self._live.get(ident)
        return None if reference is None else reference.keys

    def add_created(self, keys: Keys) -> None:
        """Record an object that this process created; no other process can know of it yet."""
        with self._lock:
            self._live[keys.ident] = ObjectReference(keys, True, self._forks)

    def add_remote(self, keys: Keys, version: int, release: ReleaseRemote) -> None:
        """Record a reference that a host sent to this process; ``release`` takes it back."""
        with self._lock:
            reference = self._live.get(keys.ident)
            if reference is None:
                reference = self._live[keys.ident] = ObjectReference(keys, True, self._forks)
            reference.release = release
            reference.version = max(reference.version, version)

    def incref(self, keys: Keys) -> None:
        """Count a new proxy in this process: the object is renewed from now on, and at once if it
        came from elsewhere.
        """
        with self._lock:
            reference = self._live.get(keys.ident)
            if reference is None:
                reference = self._live[keys.ident] = ObjectReference(keys, False, self._forks)
                self._fetched[keys.ident] = keys
                if self.fetched_due == math.inf:
                    self.fetched_due = time.monotonic() + GATHERED
                    self._wake()
            reference.count += 1
            self._start()

    def decref(self, ident: str) -> None:
        """Count a collected proxy.

        Finalizers call this in any thread at any moment, also in one that has the lock: it only
        leaves a note for the background thread.
        """
        self._collected.append(ident)
        self._wake()

    def mark_shared(self, ident: str) -> None:
        """Record that another process may get a proxy of the object: one is being pickled."""
        with self._lock:
            reference = self._live.get(ident)
            if reference is not None:
                reference.spread = True

    def give(self, ident: str) -> str | None:
        """Return a gift of the object, for the pickle that one process alone reads, which is being
        started. None if it cannot be counted; then others may get it, too.
        """
        with self._lock:
            reference = self._live.get(ident)
            if reference is None:
                return None
            if not reference.is_counted:
                reference.spread = True
                return None
            reference.gifts += 1
            self._gifts += 1
            return f"{self._giver}.{self._gifts}"

    def receive(self, ident: str, gift: str) -> None:
        """Record a gift, which came with a proxy while this process was being started."""
        with self._lock:
            reference = self._live.get(ident)
            if reference is not None:
                reference.owed.add(gift)

    def send(self, ident: str) -> None:
        """Have the lease of an object begin of which a proxy is on its way to another process. No
        round trip, unless this process has not renewed it for a while.

        Raises ObjectGone if the server says that there is no such object any more.
        """
        reference = self._live.get(ident)
        if reference is None or time.monotonic() < reference.renewed + FRESH:
            return
        try:
            gone = self._renew_all({ident: reference.keys})
        except MultihostError:
            # Whoever receives it cannot reach the server, either; the background thread renews.
            with self._lock:
                self.fetched_due = 0.0
                self._fetched[ident] = reference.keys
            self._wake()
            return
        if gone:
            raise to_exception(GONE, "pickling", ident)

    def note_moving(self, keys: Keys) -> None:
        """Record that an object has keys that come and go: it is renewed once more in the end."""
        self._moving[keys.ident] = keys

    # the background thread

    @property
    def due(self) -> float:
        """When there is something to do but for the renewals of all, by the monotonic clock."""
        return 0.0 if self._collected else self.fetched_due

    @property
    def has_collected(self) -> bool:
        """Whether :meth:`release_collected` has something to do."""
        return bool(self._collected)

    def release_collected(self) -> None:
        """Delete, or release, the objects whose last proxy was collected.

        Not all of them in one go: while thousands are released others have to be renewed. 1 round
        trip for each 200 objects of a partition.
        """
        count = min(len(self._collected), RELEASED_PER_TURN)
        idents = [self._collected.popleft() for _ in range(count)]
        unused = [each for each in map(self._decref, idents) if each is not None]
        self.drop([each for each in unused if each.is_exclusive(self._forks)])
        self.let_go([each for each in unused if not each.is_exclusive(self._forks)])
        self.renew_moving([ident for ident in idents if ident not in self._live])

    def renew_moving(self, idents: Iterable[str] | None = None) -> None:
        """Give all keys of these, or of all, a lease that come and go; what was deleted has none. 1
        round trip for each 200 objects of a partition.
        """
        found = list(self._moving if idents is None else idents)
        moving = [self._moving[ident] for ident in found if ident in self._moving]
        self._for_each_chunk(moving, self._renew_moving)

    def _renew_moving(self, chunk: Sequence[Keys]) -> None:
        self._run_on_each(_renew, chunk, self._ttl_ms)
        for keys in chunk:
            self._moving.pop(keys.ident, None)

    def _decref(self, ident: str) -> ObjectReference | None:
        """Count one proxy less; return the reference if that was the last one."""
        with self._lock:
            reference = self._live.get(ident)
            if reference is None:
                return None
            reference.count -= 1
            if reference.count > 0:
                return None
            del self._live[ident]
            self._fetched.pop(ident, None)
            self._forget(ident, reference.is_exclusive(self._forks))
            return reference

    def forget_unused(self, idents: Iterable[str]) -> None:
        """Have objects forgotten that still no proxy is there of."""
        for ident in idents:
            with self._lock:  # a proxy that comes now finds all, or nothing
                if ident not in self._live:
                    self._forget(ident, False)

    def renew(self) -> bool:
        """Give the live objects, and everything that they contain, another lease; return whether
        there are any. For each level of nesting 1 round trip for each 200 objects of a partition.
        """
        with self._lock:
            self._fetched.clear()
            self.fetched_due = math.inf
            due = {ident: reference.keys for ident, reference in self._live.items()}
        self._renew_all(due)
        return bool(due)

    def renew_fetched(self) -> None:
        """Give objects that came from elsewhere a lease: whoever sent them may not hold them any
        more. As :meth:`renew`.
        """
        with self._lock:
            fetched, self._fetched = self._fetched, {}
            self.fetched_due = math.inf
        try:
            self._renew_all(fetched)
        except MultihostError:
            with self._lock:  # they stay due
                self._fetched = fetched | self._fetched
            raise

    def _renew_all(self, due: dict[str, Keys]) -> set[str]:
        """Give objects, and everything that they contain, another lease; return those of the
        objects that are gone.
        """
        direct = list(due)
        begun = time.monotonic()
        seen, gone = set(due), set[bytes]()
        problem: MultihostError | None = None
        while due:
            below: list[bytes] = []
            try:
                self._for_each_chunk(due.values(), partial(self._renew_chunk, below))
            except MultihostError as error:  # what is below the others is renewed all the same
                problem = problem or error
            gone.update(each for each in below if each[:1] == b"-")
            due = {
                each.decode(): Keys(self._namespace, each.decode())
                for each in below
                if is_ident(each) and each.decode() not in seen
            }
            seen.update(due)
        if problem is not None:
            raise problem
        found_gone = {ident for ident in direct if b"-%b" % ident.encode() in gone}
        for ident in direct:
            reference = self._live.get(ident)
            if reference is not None and ident not in found_gone:
                reference.renewed = begun
        return found_gone

    def _renew_chunk(self, below: list[bytes], chunk: Sequence[Keys]) -> None:
        for found in self._run_on_each(_renew, chunk, self._ttl_ms):
            below += self._told(found)

    def _for_each_chunk(
        self, objects: Iterable[Keys], action: Callable[[Sequence[Keys]], object]
    ) -> None:
        """Call ``action`` with objects of one partition. If a server is away those at others have
        their turn all the same, and it raises in the end.
        """
        lane = self._link.lane
        chunks = by_partition(objects)
        for_each_node(chunks, lambda chunk: lane(chunk[0].prefix), action, self._is_away)

    def _told(self, found: Iterable[bytes]) -> Iterable[bytes]:
        """Yield the contents that a script told; of what contains very much it tells only that."""
        for each in found:
            if each[:1] == b"+":
                keys = Keys(self._namespace, each[1:].decode())
                yield from contents(self._link, keys.data)
            else:
                yield each

    def drop(self, references: Iterable[ObjectReference], *, deep: bool = False) -> None:
        """Delete objects that have a lease; of those in the memory of a host, release the
        references. With ``deep`` also what they contained, and this process created.
        """
        ours: list[Keys] = []
        remote: dict[ReleaseRemote, list[tuple[str, int]]] = {}
        for each in references:
            if each.release is None:
                ours.append(each.keys)
            else:
                remote.setdefault(each.release, []).append((each.keys.ident, each.version))
        for release, versions in remote.items():
            release(versions)
        while ours:
            below: dict[str, Keys] = {}
            self._for_each_chunk(ours, partial(self._drop_chunk, below))
            ours = list(below.values()) if deep else []

    def _drop_chunk(self, below: dict[str, Keys], chunk: Sequence[Keys]) -> None:
        for found in self._run_on_each(_drop, chunk):
            below.update(
                (each.decode(), Keys(self._namespace, each.decode()))
                for each in found
                if is_ident(each) and self.is_ours(each)
            )

    def let_go(self, references: Iterable[ObjectReference]) -> None:
        """Have the server remove objects that others may have as soon as nobody has them, where
        that is known. The rest others renew, and it expires when they end.
        """
        let_go(
            self._link, self._giver, self._forks, [each for each in references if each.is_counted]
        )

    def _run_on_each(self, script: Script, chunk: Sequence[Keys], *args: bytes) -> list[Any]:
        """Run a script on the objects, and return its replies: one, unless one of the objects was
        altered by another program. That one is left out then.
        """
        try:
            reply = script.run_readonly(self._link, [keys.data for keys in chunk], *args)
            return [] if reply is None else [texts(script.name, chunk[0].ident, reply)]
        except (BadPayload, InternalError) as error:
            if len(chunk) == 1:
                report_damage(f"at {self._link.address}", str(error))
                return []
        return [reply for keys in chunk for reply in self._run_on_each(script, [keys], *args)]

    # the end, when the background thread has stopped

    def end(self, *, deep: bool) -> Ended:
        """Forget every object; return what to do with them. With ``deep`` all that this process
        created are removed, whoever has them.
        """
        ended = Ended([], [])
        for each in self._live.values():
            is_removed = each.created if deep else each.is_exclusive(self._forks)
            (ended.removed if is_removed else ended.let_go).append(each)
        self._live.clear()
        return ended

    # forking, and patching

    def after_patch(self) -> None:
        self._lock = threading.Lock()

    def before_fork(self) -> None:
        self._lock.acquire()
        # The child will have a copy of each proxy: what is live is given to it.
        self._forks += 1

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Keep what is live and what was collected, for the child has the same proxies as the
        parent; it created none of the objects, and renews them at once.
        """
        self._lock = threading.Lock()
        parent, self.maker = self._giver, new_maker()
        for reference in self._live.values():
            reference.inherit(parent, self._forks)
            self._fetched[reference.keys.ident] = reference.keys
        if self._fetched:
            self.fetched_due = time.monotonic() + GATHERED
