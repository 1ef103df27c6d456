"""The unnamed objects that this process refers to.

An unnamed object has a lease: its keys expire ``lease`` seconds after the last process with a proxy
of it renewed them. Each such process renews every third of a lease, and with an object everything
that it contains. So a killed process leaves nothing behind, and no other process has to notice its
death. A named object has no lease, and neither has what it contains.

The last proxy may be collected long before the lease ends. Then the object is deleted at once if no
other process can have a proxy of it: if this process created it, and neither pickled a proxy nor
forked since.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from multihost.errors import BadPayload, InternalError
from multihost.wire.keys import Keys
from multihost.wire.link import Link
from multihost.wire.script import Script
from multihost.wire.stored import report_damage

__all__ = ["References", "ReleaseRemote"]

_CONTAINED = re.compile(rb"u:[\w-]{1,64}")
RENEWED_PER_CALL = 200
RELEASED_PER_TURN = 1000
CHECKED_PER_TURN = 500

_renew = Script("object/renew")
_drop = Script("object/drop")

ReleaseRemote = Callable[[Sequence[tuple[str, int]]], object]
"""Releases references, ``(ident, version)``, to objects in the memory of one host."""


class ObjectReference:
    """What this process knows of one unnamed object."""

    __slots__ = ("count", "exclusive", "forks", "keys", "release", "version")

    def __init__(self, keys: Keys, exclusive: bool, forks: int) -> None:
        self.keys: Keys = keys
        self.count: int = 0  # proxies in this process
        self.exclusive: bool = exclusive  # no other process can have a proxy of it ...
        self.forks: int = forks  # ... but one that was forked since
        # Of an object in the memory of a host: with which number the host last sent a reference to
        # this process, and what releases that one and all before it.
        self.version: int = 0
        self.release: ReleaseRemote | None = None


class References:
    """How many proxies of which unnamed objects this process has.

    Any thread counts; the background thread renews, deletes and releases. ``start`` starts that
    thread, ``wake`` ends its wait.
    """

    def __init__(
        self,
        link: Link,
        namespace: str,
        ttl_ms: bytes,
        start: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self._link = link
        self._namespace = namespace
        self._ttl_ms = ttl_ms
        self._start = start
        self._wake = wake
        self._lock = threading.Lock()
        self._forks = 0
        self._live: dict[str, ObjectReference] = {}  # with a proxy, or about to get one
        # Those that this process has to delete in the end, also if they are not live any more:
        # another process may have a proxy of them.
        self._created: dict[str, ObjectReference] = {}
        self._collected: deque[str] = deque()  # an ident for each collected proxy, not yet counted

    def __contains__(self, ident: str) -> bool:
        return ident in self._live

    # any thread

    def keys_of(self, ident: str) -> Keys | None:
        """Return the keys of an object that this process refers to: they need not be made again."""
        reference = self._live.get(ident)
        return None if reference is None else reference.keys

    def add_created(self, keys: Keys) -> None:
        """Record an object that this process created; no other process can know of it yet."""
        with self._lock:
            self._live[keys.ident] = self._created[keys.ident] = ObjectReference(
                keys, True, self._forks
            )

    def add_remote(self, keys: Keys, version: int, release: ReleaseRemote) -> None:
        """Record a reference that a host sent to this process; ``release`` takes it back."""
        with self._lock:
            reference = self._live.get(keys.ident)
            if reference is None:
                reference = ObjectReference(keys, True, self._forks)
                self._live[keys.ident] = self._created[keys.ident] = reference
            reference.release = release
            reference.version = max(reference.version, version)

    def incref(self, keys: Keys) -> None:
        """Count a new proxy in this process: the object is renewed from now on."""
        with self._lock:
            reference = self._live.get(keys.ident)
            if reference is None:
                reference = self._live[keys.ident] = ObjectReference(keys, False, self._forks)
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
                reference.exclusive = False

    # the background thread

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
        self.drop([each for each in map(self._decref, idents) if each is not None])

    def _decref(self, ident: str) -> ObjectReference | None:
        """Count one proxy less; return the reference if no process can have another one."""
        with self._lock:
            reference = self._live.get(ident)
            if reference is None:
                return None
            reference.count -= 1
            if reference.count > 0:
                return None
            del self._live[ident]
            if not self._is_exclusive(reference):
                return None  # the others renew it, and it expires when they end
            self._created.pop(ident, None)
            return reference

    def _is_exclusive(self, reference: ObjectReference) -> bool:
        return reference.exclusive and reference.forks == self._forks

    def renew(self) -> bool:
        """Give the live objects, and everything that they contain, another lease; return whether
        there are any. For each level of nesting 1 round trip for each 200 objects of a partition.
        """
        with self._lock:
            due = {ident: reference.keys for ident, reference in self._live.items()}
        seen = set(due)
        while due:
            contained: set[str] = set()
            for chunk in _by_partition(due.values()):
                for found in self._run_on_each(_renew, chunk, self._ttl_ms):
                    contained.update(
                        ident.decode() for ident in found if _CONTAINED.fullmatch(ident)
                    )
            due = {ident: Keys(self._namespace, ident) for ident in contained - seen}
            seen |= contained
        return bool(seen)

    def drop(self, references: Iterable[ObjectReference]) -> None:
        """Delete objects; of those in the memory of a host, release the references."""
        ours: list[Keys] = []
        remote: dict[ReleaseRemote, list[tuple[str, int]]] = {}
        for each in references:
            if each.release is None:
                ours.append(each.keys)
            else:
                remote.setdefault(each.release, []).append((each.keys.ident, each.version))
        for release, versions in remote.items():
            release(versions)
        for chunk in _by_partition(ours):
            self._run_on_each(_drop, chunk)

    def _run_on_each(self, script: Script, chunk: Sequence[Keys], *args: bytes) -> list[Any]:
        """Run a script on the objects, and return its replies: one, unless one of the objects was
        altered by another program. That one is left out then.
        """
        try:
            return [script.run_readonly(self._link, [keys.data for keys in chunk], *args)]
        except (BadPayload, InternalError) as error:
            if len(chunk) == 1:
                report_damage(f"at {self._link.address}", str(error))
                return []
        return [reply for keys in chunk for reply in self._run_on_each(script, [keys], *args)]

    def forget_expired(self) -> None:
        """Forget created objects that are not live here and have expired. 1 round trip.

        Not all of them in one go: those that are checked get to the end of the line.
        """
        with self._lock:
            candidates = [each for ident, each in self._created.items() if ident not in self._live]
        candidates = candidates[:CHECKED_PER_TURN]
        if not candidates:
            return
        alive = self._link.pipeline([(b"EXISTS", each.keys.data) for each in candidates])
        with self._lock:
            for each, exists in zip(candidates, alive, strict=True):
                del self._created[each.keys.ident]
                if exists:
                    self._created[each.keys.ident] = each

    # the end, when the background thread has stopped

    def take_created(self) -> list[ObjectReference]:
        """Forget every object; return all that this process has to delete."""
        return self._forget(list(self._created.values()))

    def take_exclusive(self) -> list[ObjectReference]:
        """Forget every object; return those that no other process can have a proxy of."""
        return self._forget([each for each in self._live.values() if self._is_exclusive(each)])

    def _forget(self, references: list[ObjectReference]) -> list[ObjectReference]:
        self._created.clear()
        self._live.clear()
        return references

    # forking, and patching

    def after_patch(self) -> None:
        self._lock = threading.Lock()

    def before_fork(self) -> None:
        self._lock.acquire()
        # The child will have a copy of each proxy: what is live is not exclusive any more.
        self._forks += 1

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Keep what is live and what was collected, for the child has the same proxies as the
        parent; it created none of the objects.
        """
        self._lock = threading.Lock()
        self._created = {}


def _by_partition(objects: Iterable[Keys]) -> Iterable[list[Keys]]:
    """Yield the objects in groups that one script may touch."""
    groups: dict[bytes, list[Keys]] = {}
    for keys in objects:
        groups.setdefault(keys.prefix, []).append(keys)
    for group in groups.values():
        for start in range(0, len(group), RENEWED_PER_CALL):
            yield group[start : start + RENEWED_PER_CALL]
