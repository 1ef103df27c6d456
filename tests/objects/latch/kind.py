"""The row of a latch in the table of types."""

from __future__ import annotations

from multihost.wire.ops.kinds import Kind

__all__ = ["LATCH"]

LATCH = Kind(
    ("Latch",),
    "latch",
    waiters=("q:",),
    wake={"q:": "tokens"},
    reap=("latch/reap",),
    state=lambda fields: f"{fields['n']} to go",
    listing="locks",
)
