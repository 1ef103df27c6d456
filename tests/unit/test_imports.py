"""``import multihost`` stays fast: slow modules are imported by the functions that need them."""

from __future__ import annotations

import subprocess
import sys

SLOW = {"asyncio", "concurrent.futures", "dataclasses", "inspect", "redis"}
RARELY_NEEDED = {"multihost.embedded", "multihost.inspection", "multihost.pool", "multihost.cli"}


def test_import_multihost_imports_no_slow_modules() -> None:
    program = "import multihost, sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    modules = set(found.stdout.decode().split())
    assert "multihost.managers" in modules
    assert not modules & (SLOW | RARELY_NEEDED)
