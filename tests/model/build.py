"""Compiles a model once for each state of its source."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["program"]

CACHE = Path(__file__).parents[2] / "build" / "model"
FLAGS = ["-O2", "-std=c11"]


def compiler() -> list[str]:
    """Return the C compiler of this machine; where there is none, make has installed ziglang."""
    for name in filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")):
        if shutil.which(name):
            # A state is copied at each transition: tuned for any machine, it takes twice as long.
            return [name, "-mtune=native"]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise RuntimeError("no C compiler: run make .venv/.compiler")


def program(directory: Path, name: str) -> Path:
    """Return the compiled model whose sources are in a directory."""
    sources = sorted(directory.glob("*.c"))
    digest = hashlib.sha256()
    for path in [*sorted(directory.glob("*.h")), *sources]:
        digest.update(path.read_bytes())
    found = CACHE / f"{name}-{digest.hexdigest()[:16]}"
    if not found.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        # Several processes may do so at once: each puts a whole program there.
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            made = Path(scratch, name)
            subprocess.run([*compiler(), *FLAGS, "-o", made, *sources], check=True)
            made.replace(found)
    return found
