"""Barrier."""

from __future__ import annotations

import contextlib
from threading import BrokenBarrierError
from typing import Any, NamedTuple

from multihost.errors import MultihostError
from multihost.proxies import stdlib_types
from multihost.proxies.acquirer import seconds_to_wait
from multihost.proxies.native import NativeProxy
from multihost.wire.link import bounded
from multihost.wire.ops import barrier as ops
from multihost.wire.replies import ACT, WAIT
from multihost.wire.session import Handle

__all__ = ["BarrierProxy", "BarrierStatistics"]


class BarrierStatistics(NamedTuple):
    """State of a barrier."""

    typeid: str
    name: str | None
    parties: int
    waiters: int
    broken: bool


class BarrierProxy(NativeProxy, stdlib_types.BarrierProxy):
    """A point where a number of threads of many hosts wait for each other.

    >>> start = manager.Barrier("start", 8, timeout=60)
    >>> start.wait()
    0

    **Cost**: one round trip to arrive, one and the wait to pass.
    **If the holder dies**: the death of a party that has arrived breaks the barrier for all.
    **Differs from multiprocessing**: ``action`` runs in the process of the last party to arrive,
    not in a server; a dead party does not block the others.
    """

    _typeid_ = "Barrier"
    _exposed_ = ("__getattribute__", "wait", "abort", "reset")

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the other parties, up to ``timeout`` seconds (None: the timeout of the barrier),
        and return the position of this one in the order of arrival, 0 ... parties - 1. 2 round
        trips and the wait.

        Raises BrokenBarrierError if the barrier is broken, or is broken meanwhile, as by the
        timeout of one party; what the action raises, in the party that runs it; ObjectGone,
        LinkLost.
        """
        handle = self._handle
        if timeout is None:
            default = self._token.parameters.split(" ")[1]
            timeout = None if default == "None" else float(default)
        timeout = seconds_to_wait(timeout)
        try:
            return self._meet(handle, timeout)
        except BaseException as error:
            if not isinstance(error, (BrokenBarrierError, MultihostError)):  # a signal, perhaps
                ops.leave(handle)
            raise

    def _meet(self, handle: Handle, timeout: float | None) -> int:
        passed = True
        with contextlib.nullcontext() if timeout is None else bounded(handle.link, True, timeout):
            arrival = ops.arrive(handle)
            if arrival is None:
                raise BrokenBarrierError
            if arrival.role == WAIT:
                passed = ops.wait_for_others(handle, arrival, timeout)
        if arrival.role == ACT:
            try:
                ops.action_of(handle, arrival)()
            except BaseException:
                ops.abort(handle, arrival)
                raise
            passed = ops.finish_action(handle, arrival)
        if not passed:
            raise BrokenBarrierError
        return arrival.position

    def abort(self) -> None:
        """Break the barrier for present and future waiters. 1 round trip."""
        ops.abort(self._handle)

    def reset(self) -> None:
        """Reset the barrier to its initial state; waiters get BrokenBarrierError. 1 round trip."""
        ops.abort(self._handle, reset=True)

    @property
    def parties(self) -> int:
        """The number of parties. No round trip."""
        return int(self._token.parameters.split(" ")[0])

    @property
    def n_waiting(self) -> int:
        """The number of waiters. 1 round trip."""
        return ops.state(self._handle)[0]

    @property
    def broken(self) -> bool:
        """True if the barrier is broken. 1 round trip."""
        return ops.state(self._handle)[1]

    def statistics(self) -> BarrierStatistics:  # type: ignore[override]
        """Return the number of waiters, and whether the barrier is broken. 1 round trip."""
        waiting, broken = ops.state(self._handle)
        return BarrierStatistics(self._typeid_, self._name, self.parties, waiting, broken)

    def _callmethod(
        self, methodname: str, args: tuple[Any, ...] = (), kwds: dict[str, Any] | None = None
    ) -> Any:
        if methodname == "__getattribute__":
            return getattr(self, *args)
        return super()._callmethod(methodname, args, kwds)

    def _show(self) -> str:
        waiting, broken = ops.state(self._handle)
        state = "broken" if broken else f"waiters={waiting}/{self.parties}"
        return f"<Barrier {self._label}: {state}>"
