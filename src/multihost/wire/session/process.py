"""What tells a process from all others, also from a later one with its pid.

Processes of one host can see each other's end, see :mod:`multihost.wire.session.siblings`. They are
of one host if they were booted together and count pids and time alike: a container has pids of its
own, and a pid of another one means nothing there.
"""

from __future__ import annotations

import os
import sys

__all__ = ["host_identity", "start_of"]

_BOOT = "/proc/sys/kernel/random/boot_id"
_START = 22 - 3  # index of the start of a process, of the fields from the third of /proc/PID/stat


def host_identity() -> bytes:
    """Return what processes have in common that can see each other; empty if that is not known."""
    if sys.platform == "darwin":
        return _darwin_boot()
    try:
        boot, pids = _read(_BOOT).strip().decode(), os.readlink("/proc/self/ns/pid")
    except OSError:
        return b""
    try:
        times = os.readlink("/proc/self/ns/time")
    except OSError:  # before Linux 5.6 there is one for all
        times = ""
    return f"{boot} {pids} {times}".encode()


def start_of(pid: int) -> int:
    """Return when a process started, in ticks since the boot; 0 if that cannot be read."""
    try:
        stat = _read(f"/proc/{pid}/stat")
        # Behind the name, which may have any characters.
        return int(stat.rpartition(b")")[2].split()[_START])
    except (OSError, IndexError, ValueError):
        return 0


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _darwin_boot() -> bytes:
    """Return the number of this boot of a Mac, where all processes share their pids."""
    import ctypes

    size = ctypes.c_size_t(64)
    found = ctypes.create_string_buffer(size.value)
    libc = ctypes.CDLL(None)
    if libc.sysctlbyname(b"kern.bootsessionuuid", found, ctypes.byref(size), None, 0) != 0:
        return b""
    return found.value
