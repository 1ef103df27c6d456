"""Barrier."""

from __future__ import annotations

from threading import BrokenBarrierError
from typing import Any, NamedTuple

from multihost.proxies.acquirer import seconds_to_wait
from multihost.proxies.native import NativeProxy
from multihost.wire.ops import barrier as ops

__all__ = ["BarrierProxy", "BarrierStatistics"]


class BarrierStatistics(NamedTuple):
    """What the server knows of a barrier."""

    typeid: str
    name: str | None
    parties: int
    waiters: int
    broken: bool


class BarrierProxy(NativeProxy):
    """A point where a number of threads of many hosts wait for each other.

    >>> start = manager.Barrier("start", 8, timeout=60)
    >>> start.wait()
    0

    **Cost**: one round trip to arrive, one and the wait to pass.
    **If the holder dies**: an arrived party that dies breaks the barrier for all.
    **Differs from multiprocessing**: ``action`` runs in the process of the last one to arrive, not
    in a server; a dead party does not block the others.
    """

    _typeid_ = "Barrier"
    _exposed_ = ("__getattribute__", "wait", "abort", "reset")

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the others, up to ``timeout`` seconds (None: as long as the barrier says); which
        one this was to arrive, 0 ... parties - 1.

        Raises BrokenBarrierError if the barrier is or gets broken, which it is for all if one waits
        too long; what the action raises, in the party that runs it; ObjectGone, LinkLost.
        """
        handle = self._handle
        if timeout is None:
            default = self._token.parameters.split(" ")[1]
            timeout = None if default == "None" else float(default)
        timeout = seconds_to_wait(timeout)
        arrival = ops.arrive(handle)
        if arrival is None:
            raise BrokenBarrierError
        if arrival.role == b"wait":
            passed = ops.wait_for_others(handle, arrival, timeout)
        elif arrival.role == b"act":
            try:
                handle.codec.load(arrival.action)()
            except BaseException:
                ops.abort(handle, arrival)
                raise
            passed = ops.finish_action(handle, arrival)
        else:
            passed = True
        if not passed:
            raise BrokenBarrierError
        return arrival.position

    def abort(self) -> None:
        """Break the barrier for all who wait and who come. 1 round trip."""
        ops.abort(self._handle)

    def reset(self) -> None:
        """Make the barrier as new; those who wait get BrokenBarrierError. 1 round trip."""
        ops.abort(self._handle, reset=True)

    @property
    def parties(self) -> int:
        """How many wait for each other. No round trip."""
        return int(self._token.parameters.split(" ")[0])

    @property
    def n_waiting(self) -> int:
        """How many wait now. 1 round trip."""
        return ops.state(self._handle)[0]

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken. 1 round trip."""
        return ops.state(self._handle)[1]

    def statistics(self) -> BarrierStatistics:  # type: ignore[override]
        """How many wait, and whether it is broken. 1 round trip."""
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
        return f"<Barrier {self._token.ident}: {state}>"
