"""Who listens on the socket of a private server: it is looked at before anything is sent."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys

from multihost.errors import ServerUnproven
from multihost.wire.address import Address

__all__ = ["connect_to_private", "has_ended", "note_end"]

# Where Python does not name what BSD and macOS have.
SOL_LOCAL, LOCAL_PEERCRED, XUCRED_SIZE = 0, 1, 76

_ended: set[str] = set()
"""Sockets of private servers that have ended. Their names are random: none comes back."""


def connect_to_private(sock: socket.socket, address: Address) -> None:
    """Connect to the socket of a private server. Raises OSError, and ServerUnproven if it belongs
    to another user.

    Root may connect to the server of another user at a path that a caller gave, as in the standard
    library: there both sides prove that they have the authkey.
    """
    if has_ended(address):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "the private server has ended")
    try:
        sock.connect(address.path)
    except (FileNotFoundError, ConnectionRefusedError):
        note_end(address)
        raise
    uid, own = _uid_of_listener(sock), os.geteuid()
    if uid in (own, 0) or (own == 0 and address.is_given):
        return
    note_end(address)
    raise ServerUnproven(
        f"user {uid} listens at {address}, and the private server was started by user {own}: "
        "nothing was sent there"
    )


def note_end(address: Address) -> None:
    """Have nobody in this process connect again to the socket of a ``Manager()``: its server has
    ended.
    """
    if address.is_embedded and not address.is_given:
        _ended.add(address.path)


def has_ended(address: Address) -> bool:
    """Return True if this process has heard that the server of a ``Manager()`` has ended."""
    return address.is_embedded and address.path in _ended


def _uid_of_listener(sock: socket.socket) -> int:
    """Return the effective user id that the other side had when it began to listen."""
    if sys.platform in ("linux", "android"):
        ucred = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        return int(struct.unpack("iII", ucred)[1])
    xucred = sock.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, XUCRED_SIZE)
    return int(struct.unpack_from("II", xucred)[1])
