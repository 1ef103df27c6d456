"""How many of the bytecodes are tried."""

from __future__ import annotations

import os

#: Each of so many: all if that is 1.
STEP = 1 if os.environ.get("MULTIHOST_INTERRUPTS") else 37
