"""Under which names a session, and each of its threads, waits and holds."""

from __future__ import annotations

import itertools
import threading

from multihost.wire.identity import session_name, thread_name, waiter_id

__all__ = ["Names", "ThreadIdentity"]


class Names(dict[bytes, bytes]):
    """Prefix of a partition -> the present name of a session there."""

    def __init__(self, sid: bytes) -> None:
        self.threads: itertools.count[int] = itertools.count()
        """What tells the threads of the session apart."""
        self._sid = sid
        self._numbers: dict[bytes, int] = {}

    def __missing__(self, prefix: bytes) -> bytes:
        number = self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        name = self[prefix] = session_name(self._sid, number)
        return name

    def drop(self, prefix: bytes) -> None:
        """Use another name from now on."""
        self.pop(prefix, None)


class ThreadIdentity:
    """The names under which each thread waits and holds."""

    def __init__(self, names: Names) -> None:
        self.key: int = next(names.threads)
        """What tells this thread from the others of the session, also after a lapse."""
        self._thread = threading.current_thread().name[:64]
        self.name: bytes = thread_name(self._thread)
        """The name of the thread, as it is within an id."""
        self._names = names
        self._ids: dict[bytes, bytes] = {}  # name of the session -> id of this thread

    def waiter_id(self, prefix: bytes) -> bytes:
        """Return the id of this thread in a partition, under the present name of the session."""
        name = self._names[prefix]
        id_ = self._ids.get(name)
        if id_ is None:
            id_ = self._ids[name] = waiter_id(name, self.key, self._thread)
        return id_
