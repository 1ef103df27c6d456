"""What one process has on one server.

Unnamed objects are kept alive one by one (:mod:`multihost.wire.session.references`). Locks, permits
and items in flight are held by the session as a whole
(:mod:`multihost.wire.session.registration`): to keep them costs the same however many there are.
One background thread does both (:mod:`multihost.wire.session.heartbeat`), and checks for the
waiting threads of this process whether holders are alive (:mod:`multihost.wire.session.janitor`).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from multiprocessing import util
from typing import TYPE_CHECKING, Protocol

from multihost.errors import AccessDenied, LinkError, MultihostError, ServerUnfit
from multihost.patching import per_thread
from multihost.wire.collect import Collector
from multihost.wire.keys import Keys
from multihost.wire.link import Command, Link, Node, stood_still
from multihost.wire.script import Script
from multihost.wire.session import fork
from multihost.wire.session.blocked import BlockedThreads
from multihost.wire.session.handle import Handle, Hold
from multihost.wire.session.heartbeat import PARK_SECONDS, Heartbeat
from multihost.wire.session.janitor import Janitor
from multihost.wire.session.names import ThreadIdentity
from multihost.wire.session.nodes import for_each_node
from multihost.wire.session.references import References
from multihost.wire.session.registration import SessionRegistration
from multihost.wire.session.ring import Ring
from multihost.wire.session.settling import Settling
from multihost.wire.session.siblings import Siblings
from multihost.wire.values.codec import Codec

if TYPE_CHECKING:
    from multihost.wire.session.registry import Origin

__all__ = ["RpcClient", "Session"]

logger: logging.Logger = logging.getLogger(__name__)

# Seconds beyond the lease for which an unnamed object is there that nobody renews: the server may
# be out of reach meanwhile, or restart.
RESERVE = 60.0


class RpcClient(Protocol):
    """A host, a process that serves objects in its memory, as its clients see it."""

    def call(self, payload: bytes) -> bytes:
        """Send a request and return the reply."""

    def is_alive(self) -> bool:
        """Return whether the server has a live session of the host."""

    def release_references(self, references: Sequence[tuple[str, int]]) -> None:
        """Release references, ``(ident, version)``, to objects of the host."""

    def close_channels(self) -> None:
        """Let the host know that no more requests come from this process."""


class HeldPlaces(Protocol):
    """Where this process holds elements of one object, see :mod:`multihost.wire.places`."""

    link: Link

    def leave_call(self) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
        """Return the script that releases them, with its keys and arguments."""


LEFT_PER_CALL = 200  # objects


class Session:
    """What this process has in one namespace of a server.

    ``origin`` is for the proxies: how another process reaches the same namespace.
    """

    def __init__(self, link: Link, codec: Codec, origin: Origin) -> None:
        self.link = link
        self.codec = codec
        self.origin = origin
        self.namespace: str = origin.namespace
        self.lease: float = origin.lease
        self.lease_ms: bytes = b"%d" % max(1, round(origin.lease * 1000))
        self.ttl_ms: bytes = b"%d" % round(
            1000 * (origin.lease + max(RESERVE, origin.lease / 3))
        )  # of unnamed objects: no renewal comes later
        self.server: tuple[str, str, int, str, int, str] = (*link.address.server, origin.namespace)
        self.heartbeat: Heartbeat = Heartbeat(self)
        self.references: References = References(
            link,
            self.namespace,
            self.ttl_ms,
            self.heartbeat.start,
            self.heartbeat.wake,
            self._forget,
            lambda node: self.registration.is_away(node),  # noqa: PLW0108 - there is none yet
        )
        codec.home = self
        self._reset()
        fork.track(self)
        self._register_exit()
        # Children of multiprocessing forget the finalizers of their parent, after each fork.
        util.register_after_fork(self, Session._register_exit)

    def _register_exit(self) -> None:
        util.Finalize(self, _close_at_exit, (weakref.ref(self),), exitpriority=-5)

    def _reset(self) -> None:
        """Set up what a forked child must not share with its parent."""
        self.holds: dict[Hashable, Hold] = {}
        # ident of a lock or a semaphore -> where this process holds its elements
        self.places: weakref.WeakValueDictionary[str, HeldPlaces] = weakref.WeakValueDictionary()
        self.places_lock: threading.Lock = threading.Lock()  # while those of an object are made
        self._left: set[str] = set()  # queues without a proxy, and with something in flight
        self.rpc_clients: dict[str, RpcClient] = {}
        self.siblings: Siblings = Siblings()
        self.registration: SessionRegistration = SessionRegistration(
            self.link, self.namespace, self.lease_ms, self.origin.grace, self.heartbeat.wake
        )
        self.link.on_open = self.registration.renew_over
        self.link.on_move = self.registration.note_moves
        self.identity: ThreadIdentity = per_thread(ThreadIdentity, self.registration.names)
        self.settling: Settling = Settling(self.namespace, self.registration, self.holds)
        self.ring: Ring = Ring(self.link, self.registration, self.namespace)
        self.janitor: Janitor = Janitor(
            self.link,
            self.registration,
            self.siblings,
            self.ring.is_vouched,
            self.heartbeat.wake,
        )
        self.blocked: BlockedThreads = BlockedThreads(self.link, self.janitor)
        self.collector: Collector = Collector(self.link, self.namespace, self.lease, self.ttl_ms)
        self.has_cut: bool = False  # a container without a lease let go of objects

    def handle(self, ident: str) -> Handle:
        """Return a new handle of an object."""
        return Handle(self, Keys(self.namespace, ident))

    def handle_of_reference(self, ident: str) -> Handle:
        """Return a new handle of an object to which this process may have a reference already."""
        keys = self.references.keys_of(ident)
        return self.handle(ident) if keys is None else Handle(self, keys)

    def ensure_registered(self, keys: Keys) -> None:
        """Register this process as alive, before it holds or waits for the object.

        Costs a round trip of the background thread for the first object of a partition, and after a
        pause in which other processes could declare this one dead. Raises why that failed, if it
        does not succeed while this thread has patience: a LinkError of any kind.
        """
        if time.monotonic() > self.registration.memberships[keys.prefix].valid_until:
            self._register(keys)

    def _register(self, keys: Keys) -> None:
        """Have the background thread register this process in the partition of the object."""
        registration, link = self.registration, self.link
        membership = registration.memberships[keys.prefix]
        begun = time.monotonic()
        while time.monotonic() > membership.valid_until:
            if link.is_closed:
                raise link.closed from None
            requested = time.monotonic()
            request = registration.request_registration(keys.prefix)
            self.heartbeat.start()
            self.heartbeat.wake()
            # With a time-out: the thread may wait for a silent server.
            ends = link.patience_ends(begun)
            limit = max(ends, link.reply_ends(requested)) - requested
            request.answered.wait(limit)
            if membership.valid_until > requested:
                return
            error = request.error
            if error is None and not link.is_closed:
                error = LinkError(f"the server at {link.address} does not answer")
            if error is not None:
                begun += stood_still(requested, limit)
                if time.monotonic() >= link.patience_ends(begun) or not _may_pass(error):
                    import copy

                    raise copy.copy(error).with_traceback(None) from None
                link.back_off()

    def _forget(self, ident: str, is_gone: bool) -> None:
        """Forget what is remembered of an object that no proxy is left of, if it is gone; else how
        items came from a queue, unless some are in flight still: then try again with the next
        renewal.
        """
        if is_gone:  # nothing is held of it, nor to be settled
            self.holds.pop(ident, None)
            for what in ("places", "condition", "barrier"):
                self.settling.users.pop((what, ident), None)
        key = "consumer", ident
        hold = self.holds.get(key)
        if hold is None:
            return
        if is_gone or hold.is_unused():
            self._left.discard(ident)
            self.holds.pop(key, None)
            self.settling.users.pop(key, None)
        else:
            self._left.add(ident)

    def forget_unused(self) -> None:
        """Forget what is remembered of queues that no proxy is left of. No round trip."""
        self.references.forget_unused(list(self._left))

    # the end

    def close(self) -> None:
        """Delete the unnamed objects that this process created, release what it holds, stop the
        background thread and close the link.
        """
        self._close(deep=True)

    def close_at_exit(self) -> None:
        """The same when the process ends, but let go of objects that other processes may refer
        to.
        """
        self._close(deep=False)

    def _close(self, *, deep: bool) -> None:
        if self.link.is_closed:
            return
        try:
            self._end(deep=deep)
        except BaseException:
            with contextlib.suppress(MultihostError):
                self.references.renew_moving()  # what is left expires
            raise

    def _end(self, *, deep: bool) -> None:
        self.link.stop_retrying()  # to look for a lost server would delay the end of the process
        self.link.confirm_nothing()  # nor is anybody told of what follows
        self._stop()
        self.link.refuse_others()  # who waits for what is deleted now must not miss it
        ended = self.references.end(deep=deep)
        holds, self.holds = list(self.holds.values()), {}
        try:
            self._take_leave(
                partial(for_each_node, holds, lambda hold: hold.handle.link, _release_at_exit),
                self._leave_places,
                partial(self.references.drop, ended.removed, deep=deep),
                partial(self.references.let_go, ended.let_go),
                self.references.renew_moving,
                partial(self._collect_last, deep=deep),
                *[client.close_channels for client in list(self.rpc_clients.values())],
                self.ring.leave,
                self.registration.unregister,
            )
        except MultihostError as error:
            address = self.link.address
            if address.is_embedded:  # it ends with its owner, and everything with it
                logger.debug("the private server at %s had ended: %s", address, error)
            elif ended.removed:
                logger.warning("unnamed objects at %s were left to expire: %s", address, error)
            elif holds:
                logger.warning("what is held at %s was left to expire: %s", address, error)
        self.link.close()

    def _take_leave(self, *steps: Callable[[], object]) -> None:
        """Take these steps. If one server of several is away the next ones are for the others."""
        problem: MultihostError | None = None
        for step in steps:
            try:
                step()
            except MultihostError as error:
                if len(self.link.masters()) < 2:
                    raise
                problem = problem or error
        if problem is not None:
            raise problem

    def _collect_last(self, *, deep: bool) -> None:
        is_needed = deep and (self.collector.has_kept or self.has_cut)
        if is_needed and not self.link.address.is_embedded:
            self.collector.collect_last(self.references.maker)

    def _leave_places(self) -> None:
        """Release what lies at places. 1 round trip for each 200 objects of a server."""
        # Of references, since another thread may add one: values() would raise then.
        found = [each for ref in self.places.valuerefs() if (each := ref()) is not None]
        by_node: defaultdict[Node | None, list[HeldPlaces]] = defaultdict(list)
        for places in found:
            by_node[places.link.node].append(places)
        chunks = [
            here[start : start + LEFT_PER_CALL]
            for here in by_node.values()
            for start in range(0, len(here), LEFT_PER_CALL)
        ]
        for_each_node(chunks, lambda chunk: chunk[0].link, self._leave_chunk)

    def _leave_chunk(self, chunk: Sequence[HeldPlaces]) -> None:
        commands: list[Command] = []
        for script, keys, args in [places.leave_call() for places in chunk]:
            commands += script.commands(self.link, [(keys, args)])
        self.link.pipeline(commands)

    def close_now(self) -> None:
        """Close the link and stop the thread without a command to the server, which is ending."""
        self.link.close_now()
        self._stop()

    def _stop(self) -> None:
        self.heartbeat.stop()
        self.collector.stop()
        self.registration.release_waiters()
        self.siblings.close()
        self.ring.siblings.close()

    # forking, see ForkAware

    def before_fork(self) -> None:
        """Acquire the locks, in the order of :meth:`References.incref`."""
        self.heartbeat.park()
        for each in (self.collector, self.link.lookout):
            if each is not None and (thread := each.pause()) is not None:
                fork.join(thread, PARK_SECONDS)
        self.references.before_fork()
        self.heartbeat.before_fork()

    def after_fork_in_parent(self) -> None:
        """Release the locks."""
        self.references.after_fork_in_parent()
        self.collector.resume()
        if self.link.lookout is not None and self.link.lookout.is_paused:
            fork.start_after_fork(self.link.lookout.start)
        self.heartbeat.after_fork_in_parent()  # last, as in the child

    def before_patch(self) -> None:
        """End the background threads."""
        self.heartbeat.park(threading.TIMEOUT_MAX)
        for each in (self.collector, self.link.lookout):
            if each is not None and (thread := each.pause()) is not None:
                thread.join()

    def after_patch(self) -> None:
        """Begin another session, as a forked child, but with the objects that this one created."""
        self.siblings.close()
        self.ring.siblings.close()
        self._reset()
        self.references.after_patch()
        self.heartbeat.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """Begin another session: the child has the same proxies, but holds nothing."""
        self.siblings.close()
        self.ring.siblings.close()
        self._reset()
        self.references.after_fork_in_child()
        self.heartbeat.after_fork_in_child()  # last: its thread uses the others
        self._register_exit()  # that of the parent ignores this process


def _release_at_exit(hold: Hold) -> None:
    hold.release_at_exit()


def _may_pass(error: BaseException) -> bool:
    """Return True for the loss of a server, and for what it refuses for the moment."""
    return isinstance(error, LinkError) and not isinstance(error, (AccessDenied, ServerUnfit))


def _close_at_exit(reference: weakref.ref[Session]) -> None:
    session = reference()
    if session is not None:
        session.close_at_exit()
