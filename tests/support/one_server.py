"""What the stub of a link says of servers: there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

__all__ = ["OneServer"]


class OneServer:
    """Every partition is there."""

    node = None
    guarded = False

    def lane(self, prefix: bytes) -> Self:
        return self

    def masters(self) -> Sequence[Self]:
        return (self,)
