"""Operations of a barrier.

A barrier counts those who arrive, in generations. What became of a generation lies in
``data:tokens:<generation>`` until all parties have heard of it.
"""

from __future__ import annotations

from typing import NamedTuple

from multihost.wire.identity import label
from multihost.wire.ops import object as any_object
from multihost.wire.ops.object import object_gone
from multihost.wire.ops.ownership import retain
from multihost.wire.replies import MustRetain
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import broadcast_pop, run_or_undo, run_to_completion, wait

__all__ = [
    "Arrival",
    "arrive",
    "abort",
    "reap",
    "create",
    "finish_action",
    "state",
    "wait_for_others",
]

_create = Script("barrier/create")
_arrive = Script("barrier/arrive")
_check = Script("barrier/check")
_claim = Script("barrier/claim")
_finish_action = Script("barrier/finish_action")
_abort = Script("barrier/abort")
_reap = Script("barrier/reap")


class Arrival(NamedTuple):
    """A party at a barrier: what it has to do, ``wait``, ``pass`` or ``act``."""

    generation: bytes
    position: int
    role: bytes
    action: bytes


def create(handle: Handle, parties: int, timeout: float | None, action: bytes) -> str | None:
    """Create the barrier, or attach to it; the parameters of the one that was there. 1 round
    trip.
    """
    try:
        there = any_object.attach(
            _create,
            handle,
            "Barrier",
            f"{parties} {timeout}",
            b"%d" % parties,
            action,
            explicit=False,
        )
    except MustRetain:
        return create(handle, parties, timeout, retain(handle, (action,))[0])
    if there is not None:
        parties_there, timeout_there = there.split(" ")
        for what, wanted, found in (
            ("parties", str(parties), parties_there),
            ("a timeout", str(timeout), timeout_there),
        ):
            if wanted not in (found, "None"):
                raise ValueError(
                    f"{label(handle.keys.ident)!r} is a Barrier with {what} of {found}, "
                    f"not {wanted}: attach with the same"
                )
    return there


def arrive(handle: Handle) -> Arrival | None:
    """Arrive at the barrier; None if it is broken. 1 round trip."""
    session = handle.session
    session.ensure_registered(handle.keys)
    waiter = session.identity.waiter_id
    answer: bytes = run_or_undo(
        handle,
        (_arrive, (waiter,)),
        lambda _: (_abort, (waiter, b"", b"broken")),
    )
    if answer == b"broken":
        return None
    generation, place, duty, action = (*answer.split(b",", 3), b"")[:4]
    return Arrival(generation, int(place), duty, action)


def wait_for_others(handle: Handle, arrival: Arrival, seconds: float | None) -> bool:
    """Whether all arrived in time; else the barrier is broken. 1 round trip and the wait."""
    args = (handle.session.identity.waiter_id, arrival.generation)
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
    except BaseException:
        abort(handle, arrival)
        raise
    if outcome is None:
        return abort(handle, arrival)
    return bool(outcome == b"open")


def finish_action(handle: Handle, arrival: Arrival) -> bool:
    """The action is done: let the others pass; whether the barrier still stands. 1 round trip."""
    args = (handle.session.identity.waiter_id, arrival.generation)
    return bool(run_to_completion(handle, (_finish_action, args)) == b"open")


def abort(handle: Handle, arrival: Arrival | None = None, *, reset: bool = False) -> bool:
    """Break the barrier, as a party that arrived or as somebody else; whether the party was let
    pass before. 1 round trip.
    """
    waiter, generation = (
        (handle.session.identity.waiter_id, arrival.generation) if arrival else (b"", b"")
    )
    answer = run_to_completion(handle, (_abort, (waiter, generation, b"" if reset else b"broken")))
    return bool(answer == b"open")


def state(handle: Handle) -> tuple[int, bool]:
    """How many wait, and whether the barrier is broken. 1 round trip."""
    arrived, broken = handle.link.execute(b"HMGET", handle.keys.data, b"c", b"s")
    if arrived is None:
        raise object_gone(handle, "barrier/state")
    return int(arrived), broken != b""


def reap(handle: Handle) -> None:
    """Break it if an arrived party is dead. May be repeated. 1 round trip."""
    _reap.run_idempotent(handle, b"", b"1")
