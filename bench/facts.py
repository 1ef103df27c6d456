"""What must be known of a machine to read its numbers; nothing that tells which machine it is."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform

from bench.server import run_server

__all__ = ["machine_facts"]


def machine_facts() -> dict[str, object]:
    """Collect them."""
    with run_server() as server:
        info = server.info()
    name = "Valkey" if "valkey_version" in info else "Redis"
    facts: dict[str, object] = {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "server": f"{name} {info.get('valkey_version', info['redis_version'])}",
        "redis-py": importlib.metadata.version("redis"),
        "hiredis": importlib.metadata.version("hiredis"),
    }
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        facts["python-redis-lock"] = importlib.metadata.version("python-redis-lock")
    return facts
