"""Operations of a barrier.

A barrier counts the parties that arrive, in generations. The outcome of a generation is in
``data:tokens:<generation>`` until all parties have received it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from multihost.wire.identity import label
from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.ops.ownership import StoringScript
from multihost.wire.replies import BROKEN, OPEN, altered, stored_number
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.values.signing import Purpose
from multihost.wire.wait import SessionLapsed, broadcast_pop, run_or_undo, run_to_completion, wait

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
_PARAMETERS = re.compile(
    r"([0-9]{1,18}) (None|-?(?:inf|nan|[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,3})?))"
)

_create = StoringScript("barrier/create", slice(4, 5))
_arrive = Script("barrier/arrive")
_check = Script("barrier/check")
_claim = Script("barrier/claim")
_finish_action = Script("barrier/finish_action")
_abort = Script("barrier/abort")
_reap = Script("barrier/reap")


class Arrival(NamedTuple):
    """A party at a barrier."""

    generation: bytes
    position: int
    """Order of arrival, as ``Barrier.wait`` returns it."""
    role: bytes
    """``wait`` for the others, ``pass`` with them, or ``act`` before them."""
    action: bytes
    waiter: bytes
    """The id under which it arrived."""


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
    found = _PARAMETERS.fullmatch(existing)
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
    answer: bytes = run_or_undo(
        handle,
        (_arrive, (waiter,)),
        lambda _: (_abort, (waiter, b"", BROKEN)),
    )
    if answer == BROKEN:
        return None
    generation, position, role, action = (*answer.split(b",", 3), b"")[:4]
    return Arrival(generation, int(position), role, action, waiter)


def wait_for_others(handle: Handle, arrival: Arrival, seconds: float | None) -> bool:
    """Return whether all parties arrived in time; else the barrier is broken. 1 round trip and the
    wait.
    """
    args = (arrival.waiter, arrival.generation)
    try:
        outcome = wait(
            handle,
            seconds,
            (_check, ()),
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
    return bool(outcome == OPEN)


def finish_action(handle: Handle, arrival: Arrival) -> bool:
    """Let the other parties pass, after the action; return whether the barrier is not broken. 1
    round trip.
    """
    args = (arrival.waiter, arrival.generation)
    return bool(run_to_completion(handle, (_finish_action, args)) == OPEN)


def abort(handle: Handle, arrival: Arrival | None = None, *, reset: bool = False) -> bool:
    """Break the barrier, as a party that arrived or as another thread; return whether the party was
    let pass before. 1 round trip.
    """
    waiter, generation = (arrival.waiter, arrival.generation) if arrival else (b"", b"")
    answer = run_to_completion(handle, (_abort, (waiter, generation, b"" if reset else BROKEN)))
    return bool(answer == OPEN)


def leave(handle: Handle) -> None:
    """Break the barrier, if this thread has arrived and was not let pass: nobody knows of that. 1
    round trip.
    """
    waiter = handle.session.identity.waiter_id(handle.keys.prefix)
    run_to_completion(handle, (_abort, (waiter, b"", BROKEN)))


def state(handle: Handle) -> tuple[int, bool]:
    """Return how many parties wait, and whether the barrier is broken. 1 round trip."""
    arrived, broken = handle.link.execute(b"HMGET", handle.keys.data, ARRIVED, STATE)
    if arrived is None:
        raise object_gone(handle, "barrier/state")
    count = stored_number("barrier/state", handle.keys.ident, arrived, "the number of parties")
    return count, broken != b""
