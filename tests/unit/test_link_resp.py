"""Commands as RESP."""

from __future__ import annotations

import hiredis
import pytest

from multihost.wire.link import pack, pack_all, pack_args
from multihost.wire.link.resp import INLINE_ARGS


@pytest.mark.parametrize("count", [1, 2, INLINE_ARGS - 1, INLINE_ARGS, INLINE_ARGS + 1, 3000])
@pytest.mark.parametrize("size", [0, 1, 9, 10, 1023, 1024, 5000])
def test_commands_are_packed_as_by_hiredis(count: int, size: int) -> None:
    """Below and above the number of arguments and the length up to which there is a short cut."""
    if count * size > 1_000_000:
        size = 333
    command = tuple(b"%d" % n + b"x" * size for n in range(count))
    assert pack(command) == hiredis.pack_command(command)


def test_arguments_may_have_any_bytes() -> None:
    command = (b"SET", b"\r\n", b"", bytes(range(256)))
    assert pack(command) == hiredis.pack_command(command)


def test_no_arguments_are_no_bytes() -> None:
    assert pack_args(()) == b""


def test_arguments_are_packed_apart_from_the_command() -> None:
    args = [b"a", b"bc"] * INLINE_ARGS
    assert pack(args) == b"*%d\r\n" % len(args) + pack_args(args[:3]) + pack_args(args[3:])


def test_commands_go_one_behind_the_other() -> None:
    assert pack_all([(b"PING",), (b"GET", b"x")]) == pack((b"PING",)) + pack((b"GET", b"x"))
