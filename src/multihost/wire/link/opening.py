"""Opening connections, and how long a thread is prepared to try."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from multihost.errors import LinkError, LinkLost, ManagerClosed
from multihost.wire.address import Address
from multihost.wire.link.channel import Channel, ConnectionBroken, ConnectionRefused, ReplyTimeout
from multihost.wire.link.lookout import Lookout
from multihost.wire.link.pinned import SHORTEST, PinnedConnection, PinnedConnections
from multihost.wire.link.topology import Route
from multihost.wire.link.unreachable import unreachable

__all__ = ["OpenedConnections"]

LOST = 10.0  # seconds for which calls that do not wait do not try to connect again, at most


class Outage:
    """What the last attempts to connect to one server found."""

    def __init__(self) -> None:
        self.until: float = 0.0  # when calls that do not wait try again; 0.0 if it was reached
        self.cause: ConnectionBroken = ConnectionBroken()

    def note(self, begun: float, error: ConnectionBroken) -> ConnectionBroken:
        """The server cannot be reached: calls that do not wait spend a tenth of their time on
        that.
        """
        now = time.monotonic()
        error.waited = now - begun
        self.cause = error.again()
        self.until = now + min(9 * (now - begun), LOST)
        return error


class OpenedConnections(PinnedConnections):
    """The connections of this process to one server, which are opened when they are needed."""

    def __init__(
        self,
        address: Address,
        timeout: float,
        reconnect_timeout: float,
        route: Route,
    ) -> None:
        self.address: Address = address
        self.timeout: float = timeout
        self.reconnect_timeout: float = reconnect_timeout
        self._closed: ManagerClosed | None = None
        self._closer = 0  # ident of the thread that closes it, and may make calls until it has
        self._route = route
        self.on_open: Callable[[Channel], None] | None = None
        """Called with each new channel before anything else is sent over it; it may raise
        ConnectionBroken."""

    def _reset(self) -> None:
        """Create the state that a forked child must not share with its parent."""
        super()._reset()
        topology = self._route.topology
        self.lookout: Lookout | None = None if topology is None else Lookout(self, topology)
        self._outage = Outage()

    def may_come_back(self, error: LinkError) -> bool:
        """Return whether calls may succeed again after one failed with ``error``."""
        return not (self.is_closed or isinstance(error, ManagerClosed)) and bool(
            self.reconnect_timeout
        )

    @property
    def is_lost(self) -> bool:
        """Whether the last attempt to connect failed."""
        return self._outage.until > 0.0

    @property
    def patience(self) -> tuple[float | None, float]:
        """What :meth:`set_patience` set for this thread."""
        return self._threads.until, self._threads.attempt

    def set_patience(self, until: float | None, attempt: float) -> None:
        """Have this thread look for a lost server no longer than until then, by the monotonic
        clock, with attempts that may take so many seconds. None is the patience of the link.
        """
        thread = self._threads
        thread.until, thread.attempt = until, attempt

    def patience_ends(self, begun: float) -> float:
        """Return when this thread gives up a call that has not succeeded since ``begun``."""
        until = self._threads.until
        ends = begun + self.reconnect_timeout
        return ends if until is None else min(ends, until)

    def reply_ends(self, begun: float) -> float:
        """Return until when this thread waits for a reply to what was sent at ``begun``."""
        until = self._threads.until
        ends = begun + self.timeout
        return ends if until is None else min(ends, max(until, begun + self._threads.attempt))

    def _open(self, connection: PinnedConnection, limit: float | None = None) -> Channel:
        """Open the channel of a connection, whose replies may take up to ``limit`` seconds."""
        if self.is_closed:
            raise self.closed from None
        begun = time.monotonic()
        until = self._threads.until
        outage = self._outage
        if until is not None and until <= begun < outage.until:
            raise outage.cause.again()  # who does not wait does not try either
        if limit is None:
            limit = self.timeout
            if until is not None:
                limit = min(limit, max(until - begun, self._threads.attempt))
        try:
            connection.channel = channel = self._connect(connection, limit)
            if self.on_open is not None:
                self.on_open(channel)
            self.fence_at(channel.node).close(channel)
        except OSError as error:
            if isinstance(error, LinkError):
                raise
            kind = ReplyTimeout if isinstance(error, TimeoutError) else ConnectionBroken
            broken = kind.of(error)
            broken.while_connecting = True
            raise outage.note(begun, broken) from None
        except ConnectionBroken as error:
            self.disconnect(connection)
            error.while_connecting = True
            outage.note(begun, error)
            raise
        outage.until = 0.0
        if self.lookout is not None:
            self.lookout.start()
        if limit != self.timeout:
            channel.limit(self.timeout)
        if self.is_closed:  # closed while connecting: close() may have missed this one
            channel.close()
            raise self.closed from None
        return channel

    def _connect(
        self,
        connection: PinnedConnection,  # noqa: ARG002 - for a subclass
        limit: float,
    ) -> Channel:
        return self._route.open(limit)

    def _give_up(self, cause: ConnectionBroken, seconds: float, sent: bool) -> LinkError:
        """Return the error for a call that could not be repeated for so long."""
        if sent:
            within = f" within {seconds:.2g} s" if seconds > SHORTEST else ""
            return LinkLost(
                f"the connection to {self.address} broke and did not come back{within}: whether "
                f"the call took effect is unknown: {cause}"
            )
        if isinstance(cause, ConnectionRefused):
            return LinkError(f"the server at {self.address}: {cause}")
        return unreachable(self.address, cause, begun=True)

    def stop_retrying(self) -> None:
        """Stop looking for a lost server, also in exchanges under way: the process ends."""
        self.reconnect_timeout = 0.0

    @property
    def is_closed(self) -> bool:
        return self._closed is not None and self._closer != threading.get_ident()

    @property
    def closed(self) -> ManagerClosed:
        """The error for calls after the end."""
        assert self._closed is not None
        return ManagerClosed(*self._closed.args)
