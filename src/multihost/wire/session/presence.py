"""What a session has at one server, and what it has in one partition.

A partition is at one server at a time, and may go to another: its slot is moved, or a replica takes
over. Its record goes along. The run of a server, and the connections to it, stay what they are: so
a record names those of the server at which it was renewed last.
"""

from __future__ import annotations

import threading

from multihost.wire.link import Channel, Link, Node, run_id

__all__ = ["LEAST_GRACE", "Membership", "Presence"]

LEAST_GRACE = 5.0  # seconds in which a living process is back after a break, unless it is slow
ROUND_TRIPS = 8  # of a slow one
FADING = 0.9  # of the largest round trip that is remembered, from one heartbeat to the next
MAX_CONNECTIONS = 8  # that a record names


class Presence:
    """A session at one server. Who changes it has the lock of the registration, but for what the
    background thread alone reads.
    """

    def __init__(self, link: Link, grace: float | None) -> None:
        self.link: Link = link
        """Leads to that server only."""
        self.node: Node | None = link.node
        self.run: bytes = b""
        """Run id of the server, empty if it is not known."""
        self.channel: Channel | None = None
        """That of the background thread, as far as it was identified."""
        self.round_trip: float = 0.0
        """The largest one of late, in seconds."""
        self.gate: int = 0
        """How often it was closed: what the server has may have gone back."""
        self.opened: int = 0
        """The value of that up to which the session has settled."""
        self.unsettled: set[bytes] = set()
        """The partitions that have to settle, by their prefixes."""
        self.moved: set[bytes] = set()
        """Those that came from another server, and perhaps have to."""
        self.settled: threading.Event = threading.Event()
        self.settled.set()
        self.is_away: bool = False
        """Whether the last heartbeat failed."""
        self._grace = grace

    @property
    def is_unsettled(self) -> bool:
        """Whether the gate is closed: the server may not know what it had acknowledged, and
        nothing is taken until the session has settled (:mod:`multihost.wire.session.settling`).
        """
        return self.opened != self.gate

    def let_pass(self) -> None:
        """Hold nothing back, although the session has not settled: the server refuses that for the
        moment, and so it would refuse takes. Others may read, and hear what it refuses.
        """
        self.settled.set()

    @property
    def grace(self) -> float:
        """In how many seconds this process is back after a break."""
        if self._grace is not None:
            return self._grace
        return max(LEAST_GRACE, ROUND_TRIPS * self.round_trip)

    @property
    def is_cut_off(self) -> bool:
        """Whether the connection of the background thread, which asks, has ended."""
        return self.channel is not None and self.link.current_channel() is not self.channel

    @property
    def fileno(self) -> int:
        """The descriptor of the connection of the background thread, which asks; -1 if there is
        none.
        """
        channel = self.link.current_channel()
        return -1 if channel is None or channel is not self.channel else channel.fileno()

    def connections(self, whole: Link, *, is_own: bool) -> bytes:
        """Return the client ids of the connections that prove that this process lives. ``is_own``:
        the background thread asks.
        """
        ids = whole.client_ids(self.node)
        if not ids or not all(ids) or not self.run:
            return b""
        newest = sorted(ids, key=int)[-MAX_CONNECTIONS:]
        own = self.link.current_channel() if is_own else None
        own = own or self.channel
        return b",".join({*newest, *([own.client_id] if own is not None else ())})

    def identify(self) -> bytes:
        """Get the client id of this thread's connection, the background one; return the run id of
        the server.

        In one exchange: with two of them a connection that breaks again and again might never get
        so far.
        """
        facts, number = self.link.pipeline_raw([(b"INFO", b"server"), (b"CLIENT", b"ID")])
        channel = self.channel = self.link.current_channel()
        if channel is not None and type(number) is int:
            channel.client_id = b"%d" % number
        return run_id(facts)


class Membership:
    """A session in one partition."""

    __slots__ = (
        "away",
        "beats",
        "expirations",
        "has_lapsed",
        "key",
        "prefix",
        "presence",
        "renewed",
        "valid_until",
    )

    def __init__(self, prefix: bytes) -> None:
        self.prefix: bytes = prefix
        self.key: bytes = b""  # of its record, empty if there is none
        self.valid_until: float = 0.0  # nobody can declare it dead before, by the monotonic clock
        self.expirations: int = 0  # how often it lapsed, or settled
        self.has_lapsed: bool = False  # it has to enter anew
        self.beats: int = 0  # the highest counter of its record that was seen
        self.renewed: float = 0.0  # when that was last, by the monotonic clock
        self.away: float = 0.0  # for how many seconds it had not been when it lapsed last
        self.presence: Presence | None = None  # at the server at which that was
