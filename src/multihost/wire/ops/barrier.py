"""Operations of a barrier.

A barrier counts the parties that arrive, in generations. The outcome of a generation is in
``data:tokens:<generation>`` until all parties have received it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from multihost.wire.completion import run_or_undo, run_to_completion
from multihost.wire.identity import label
from multihost.wire.link import Reply
from multihost.wire.ops import object as any_object
from multihost.wire.ops.keeping import StoringScript
from multihost.wire.ops.object import object_gone
from multihost.wire.replies import ACT, BROKEN, OPEN, WAIT, altered, misread, row, stored_number
from multihost.wire.script import Script
from multihost.wire.session import Handle, Hold
from multihost.wire.values.signing import Purpose
from multihost.wire.wait import SessionLapsed, broadcast_pop, wait

__all__ = [
    "Arrival",
    "action_of",
    "arrive",
    "abort",
    "create",
    "finish_action",
    "leave",
    "packed_action",
    "state",
    "wait_for_others",
]

ARRIVED, STATE = b"c", b"s"  # fields; the state is empty when the barrier is broken

# Parties, and the repr of a timeout.
_PARAMETERS = r"([0-9]{1,18}) (None|-?(?:inf|nan|[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,3})?))"

_create = StoringScript("barrier/create", slice(4, 5))
_arrive = Script("barrier/arrive")
_check = Script("barrier/check")
_claim = Script("barrier/claim")
_finish_action = Script("barrier/finish_action")
_abort = Script("barrier/abort")
_reap = Script("barrier/reap")
_settle = Script("barrier/settle")


class Arrival:
    """A party at a barrier."""

    __slots__ = ("action", "generation", "position", "role", "waiter")

    def __init__(self, answer: bytes, waiter: bytes) -> None:
        generation, position, role, action = (*answer.split(b",", 3), b"")[:4]
        self.generation: bytes = generation
        self.position: int = int(position)
        """Order of arrival, as ``Barrier.wait`` returns it."""
        self.role: bytes = role
        """``wait`` for the others, ``pass`` with them, or ``act`` before them."""
        self.action: bytes = action
        self.waiter: bytes = waiter
        """The id under which it arrived."""


class _Parties:
    """The threads of this process that have arrived, and what they know of how generations ended:
    a server that went back may not.
    """

    def __init__(self, handle: Handle) -> None:
        self.arrivals: dict[bytes, Arrival] = {}  # by waiter; of those that wait, or act
        self._ended, self._outcome = -1, b""  # the last generation, and how it ended
        self._asked: list[Arrival] = []
        self._handle = handle

    @classmethod
    def of(cls, handle: Handle) -> _Parties:
        """Return those of a barrier. No round trip."""
        settling, key = handle.session.settling, ("barrier", handle.keys.ident)
        found = settling.users.get(key) or settling.add(key, cls(handle))
        assert isinstance(found, _Parties)
        return found

    @property
    def ident(self) -> str:
        return self._handle.keys.ident

    def is_idle(self, _: Sequence[Hold], /) -> bool:
        return not self.arrivals

    def settle_call(self, _: Sequence[Hold], /) -> tuple[Script, Sequence[bytes], Sequence[bytes]]:
        """See :mod:`multihost.wire.session.settling`."""
        return _settle, [self._handle.keys.data], self.settle_args()

    def settle_args(self) -> list[bytes]:
        """Return the arguments of ``barrier/settle``."""
        arrivals = list(self.arrivals.values())
        self._asked = [each for each in arrivals if each.role == WAIT]
        # The generation of one that acts is complete.
        acting = [each for each in arrivals if each.role == ACT]
        ended = max([self._ended, *[int(each.generation) for each in acting]])
        actor = next((each.waiter for each in acting if int(each.generation) == ended), b"")
        sid = self._handle.session.registration.sid
        args = [sid, b"%d" % ended, self._outcome, actor]
        for each in self._asked:
            args += (each.waiter, each.generation)
        return args

    def settled(self, reply: Reply) -> int:
        """Those that arrived again have other positions."""
        for arrival, position in zip(self._asked, reply or (), strict=False):
            if position >= 0:
                arrival.position = position
        return 0

    def end(self, arrival: Arrival, outcome: bytes) -> bool:
        """A party leaves, of a generation with that outcome; return whether it is let pass."""
        if int(arrival.generation) >= self._ended:
            self._outcome, self._ended = outcome, int(arrival.generation)
        self.arrivals.pop(arrival.waiter, None)
        return outcome == OPEN


def create(handle: Handle, parties: int, timeout: float | None, action: bytes) -> str | None:
    """Create the barrier and return None, or attach to it and return its parameters. 1 round trip.

    Raises ValueError if they are others.
    """
    existing = any_object.attach(
        _create,
        handle,
        "Barrier",
        f"{parties} {timeout}",
        b"%d" % parties,
        action,
        explicit=False,
    )
    if existing is not None:
        existing_parties, existing_timeout = _parameters(handle, existing)
        for name, wanted, found in (
            ("parties", str(parties), existing_parties),
            ("a timeout", str(timeout), existing_timeout),
        ):
            if wanted not in (found, "None"):
                raise ValueError(
                    f"{label(handle.keys.ident)!r} is a Barrier with {name} of {found}, "
                    f"not {wanted}: attach with the same"
                )
    return existing


def _parameters(handle: Handle, existing: str) -> tuple[str, str]:
    """Return parties and timeout of a barrier that exists. Raises BadPayload for what is none."""
    found = re.fullmatch(_PARAMETERS, existing)
    if found is None:
        raise altered("barrier/create", handle.keys.ident, "the entry of its name")
    return found[1], found[2]


def packed_action(handle: Handle, action: Callable[[], object] | None) -> bytes:
    """Return the action of a barrier as it is stored. Raises the errors of the pickler."""
    if action is None:
        return b""
    return handle.codec.of(handle.keys.ident, Purpose.ACTION).dump(action)


def action_of(handle: Handle, arrival: Arrival) -> Any:
    """Return the action that this party is to call. Raises BadPayload, and what the unpickler
    raises.
    """
    return handle.codec.of(handle.keys.ident, Purpose.ACTION).load(arrival.action)


def arrive(handle: Handle) -> Arrival | None:
    """Arrive at the barrier; return None if it is broken. 1 round trip."""
    session = handle.session
    session.ensure_registered(handle.keys)
    waiter = session.identity.waiter_id(handle.keys.prefix)
    membership = session.registration.memberships[handle.keys.prefix]
    parties, expirations = _Parties.of(handle), membership.expirations
    answer: bytes = run_or_undo(
        handle,
        (_arrive, (waiter,)),
        lambda _: (_abort, (waiter, b"", BROKEN)),
    )
    if answer == BROKEN:
        return None
    try:
        arrival = Arrival(answer, waiter)
    except (AttributeError, ValueError):
        raise misread("barrier/wait", handle.keys.ident) from None
    if arrival.role not in (WAIT, ACT):
        parties.end(arrival, OPEN)
        return arrival
    parties.arrivals[waiter] = arrival
    if membership.expirations != expirations:
        # The session has settled meanwhile, and did not know of this.
        parties.settled(_settle.run_idempotent(handle, *parties.settle_args()))
    return arrival


def wait_for_others(handle: Handle, arrival: Arrival, seconds: float | None) -> bool:
    """Return whether all parties arrived in time; else the barrier is broken. 1 round trip and the
    wait.
    """
    args = (arrival.waiter, arrival.generation)
    try:
        outcome = wait(
            handle,
            seconds,
            (_check, (arrival.generation,)),
            broadcast_pop(b"%b:%b" % (handle.keys.tokens, arrival.generation)),
            (_claim, args),
            None,
            _reap,
        )
    except SessionLapsed:
        return abort(handle, arrival)
    except BaseException:
        abort(handle, arrival)
        raise
    if outcome is None:
        return abort(handle, arrival)
    return _Parties.of(handle).end(arrival, outcome)


def finish_action(handle: Handle, arrival: Arrival) -> bool:
    """Let the other parties pass, after the action; return whether the barrier is not broken. 1
    round trip.
    """
    args = (arrival.waiter, arrival.generation)
    parties, outcome = _Parties.of(handle), BROKEN
    try:
        outcome = run_to_completion(handle, (_finish_action, args))
    finally:
        passes = parties.end(arrival, outcome)
    return passes


def abort(handle: Handle, arrival: Arrival | None = None, *, reset: bool = False) -> bool:
    """Break the barrier, as a party that arrived or as another thread; return whether the party was
    let pass before. 1 round trip.
    """
    waiter, generation = (arrival.waiter, arrival.generation) if arrival else (b"", b"")
    answer = BROKEN
    try:
        answer = run_to_completion(handle, (_abort, (waiter, generation, b"" if reset else BROKEN)))
    finally:
        if arrival is not None:
            _Parties.of(handle).end(arrival, answer)
    return bool(answer == OPEN)


def leave(handle: Handle) -> None:
    """Break the barrier, if this thread has arrived and was not let pass: nobody knows of that. 1
    round trip.
    """
    waiter = handle.session.identity.waiter_id(handle.keys.prefix)
    parties = _Parties.of(handle)
    arrival = parties.arrivals.get(waiter)
    if arrival is not None:
        parties.end(arrival, BROKEN)
    run_to_completion(handle, (_abort, (waiter, b"", BROKEN)))


def state(handle: Handle) -> tuple[int, bool]:
    """Return how many parties wait, and whether the barrier is broken. 1 round trip."""
    reply = handle.link.execute(b"HMGET", handle.keys.data, ARRIVED, STATE)
    arrived, broken = row("barrier/state", handle.keys.ident, reply, 2)
    if arrived is None:
        raise object_gone(handle, "barrier/state")
    count = stored_number("barrier/state", handle.keys.ident, arrived, "the number of parties")
    return count, broken != b""
