"""The proxy of a latch."""

from __future__ import annotations

from multihost.proxies.native import NativeProxy
from tests.objects.latch import ops

__all__ = ["LatchProxy"]


class LatchProxy(NativeProxy):
    """A gate that opens when it was counted down to zero."""

    _typeid_ = "Latch"
    _exposed_ = ("count_down", "wait")

    def count_down(self) -> None:
        """Count down. 1 round trip."""
        ops.count_down(self._handle)

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether the latch opened in time."""
        return ops.wait_until_open(self._handle, timeout)
