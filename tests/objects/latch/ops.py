"""Operations of a latch: a counter that opens a gate at zero.

A latch is a hash: ``n`` is how often it is still to be counted down, ``q:<waiter>`` a waiter.
"""

from __future__ import annotations

from multihost.wire.completion import run_to_completion
from multihost.wire.ops import object as any_object
from multihost.wire.script import Script
from multihost.wire.session import Handle
from multihost.wire.wait import token_pop, wait

__all__ = ["count_down", "create", "wait_until_open"]

_create = Script("latch/create")
_count_down = Script("latch/count_down")
_enqueue = Script("latch/enqueue")
_claim = Script("latch/claim")
_cancel = Script("latch/cancel")
_reap = Script("latch/reap")


def create(handle: Handle, count: int) -> bool:
    """Create the latch, or attach to it; return whether it was created. 1 round trip."""
    return any_object.create(_create, handle, "Latch", str(count), b"%d" % count)


def count_down(handle: Handle) -> None:
    """Count down. 1 round trip."""
    run_to_completion(handle, (_count_down, ()))


def wait_until_open(handle: Handle, seconds: float | None) -> bool:
    """Return whether the latch opened in time. 1 round trip and the wait."""
    handle.session.ensure_registered(handle.keys)
    args = (handle.session.identity.waiter_id(handle.keys.prefix),)
    pop = token_pop(handle.keys.tokens)
    steps = (_enqueue, args), pop, (_claim, args), lambda _: (_cancel, args)
    return wait(handle, seconds, *steps, _reap) is not None
