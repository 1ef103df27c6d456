"""Replies of a server that says anything: a reply, or the error of a broken connection."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import hiredis
import pytest
import redis.connection
from hypothesis import given

from multihost import RedisManager
from multihost.errors import PayloadTooLarge
from multihost.wire.link import socket as socket_module
from multihost.wire.link.channel import Channel, ConnectionBroken
from multihost.wire.link.client_channel import ClientChannel
from multihost.wire.link.socket import SocketChannel
from multihost.wire.redaction import Redactor
from multihost.wire.replies import ReplyError
from tests.objects.bodies import BODIES
from tests.support.hostile import SEED, altered, bounded, cases, scattered
from tests.support.leaks import AnyServer

FUZZ = cases(80)
LONGEST = 100_000  # what the buffer of a socket takes
SECONDS = 5.0
SEEDS: list[bytes] = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":1\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",1.5\r\n",
    b",nan\r\n",
    b"(" + b"9" * 40 + b"\r\n",
    b"=5\r\ntxt:a\r\n",
    b"!5\r\nERR x\r\n",
    b"~1\r\n:1\r\n",
    b"|1\r\n+a\r\n+b\r\n:1\r\n",
    b">2\r\n+pubsub\r\n+x\r\n",
    b"%1\r\n+server\r\n+redis\r\n",
]
# No claim of a list between these two: hiredis makes it, which costs no memory, and Python visits
# each of its empty places when it is forgotten, 3 s for 2 ** 31 of them. Who lies like that could
# keep silent as well: docs/security.md.
CLAIMS = (b"1", b"1000000", b"4294967295", b"4294967296", b"-2")
HEADS = [kind + count for kind in (b"*", b"%", b"~", b"$", b">", b"|") for count in CLAIMS]
TOO_MUCH = re.compile(rb"[*%~>|]\d{7,9}\r|[*%~>|][1-3]\d{9}\r")
BOMBS = [
    b"*1\r\n" * 20_000,
    b"%1\r\n" * 20_000,
    *(head + b"\r\n" for head in HEADS),
    b"*1000000\r\n" * 5 + b":1\r\n",
]


@pytest.fixture(scope="module", autouse=True)
def real_traffic(server: AnyServer) -> Iterator[None]:
    """What a server says to a tour of all types is among the seeds."""
    heard: set[bytes] = set()

    class Reader(hiredis.Reader):
        def feed(self, data: bytes, *args: int) -> None:
            heard.add(bytes(data[:LONGEST]))
            super().feed(data, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket_module.hiredis, "Reader", Reader)
        for body in BODIES:
            with RedisManager(server.url) as manager:
                body(manager)
    assert len(heard) > 100
    before = len(SEEDS)
    SEEDS.extend(sorted(heard))
    yield
    del SEEDS[before:]


class Told(redis.connection.AbstractConnection):
    """A connection of redis-py with a socket that is open."""

    def __init__(self, ours: socket.socket) -> None:
        self._ours = ours
        super().__init__(protocol=3, redis_connect_func=lambda each: each._parser.on_connect(each))
        self.connect()

    def _connect(self) -> socket.socket:
        return self._ours

    def _host_error(self) -> str:
        return "the test"

    def repr_pieces(self) -> list[Any]:
        return []


CHANNELS: dict[str, Callable[[socket.socket], Channel]] = {
    "socket": lambda ours: SocketChannel(ours, SECONDS),
    "redis-py": lambda ours: ClientChannel(Told(ours), Redactor(())),
}
CALLS: dict[str, Callable[[Channel], Any]] = {
    "exchange": lambda channel: channel.exchange(b"x"),
    "exchange_many": lambda channel: channel.exchange_many(b"x", 3),
    "block": lambda channel: channel.block(b"x", SECONDS, count=3),
}


def hear(channel: str, call: str, said: bytes) -> Any:
    """Return what a call returns for what was said, None if it found the connection broken."""
    said = TOO_MUCH.sub(b"*9\r", said)
    theirs, ours = socket.socketpair()
    with theirs, ours:
        theirs.settimeout(SECONDS)
        theirs.sendall(said[:LONGEST])
        theirs.shutdown(socket.SHUT_WR)
        opened = CHANNELS[channel](ours)
        try:
            return CALLS[call](opened)
        except (ConnectionBroken, PayloadTooLarge):
            return None
        finally:
            opened.close()


def check(reply: Any) -> None:
    """A reply consists of what the server can say, and errors are ours."""
    if isinstance(reply, list | tuple | set | frozenset):
        for each in reply:
            check(each)
    elif isinstance(reply, dict):
        for key, value in reply.items():
            check(key)
            check(value)
    elif isinstance(reply, ReplyError):
        assert isinstance(reply.code, str)
        assert reply.is_transient in (True, False)
    else:
        assert isinstance(reply, bytes | str | int | float | None), reply


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("channel", CHANNELS)
@FUZZ
@given(SEED)
def test_altered_replies(channel: str, call: str, seed: int) -> None:
    chance = Random(seed)
    said = altered(SEEDS, chance) + chance.choice(SEEDS)
    check(bounded(lambda: hear(channel, call, said), len(said)))


@pytest.mark.parametrize("channel", CHANNELS)
@FUZZ
@given(SEED)
def test_any_replies(channel: str, seed: int) -> None:
    said = scattered(HEADS, [*HEADS, b"\r\n"], Random(seed))
    check(bounded(lambda: hear(channel, "exchange_many", said), len(said)))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("channel", CHANNELS)
def test_replies_made_to_do_harm(channel: str, call: str) -> None:
    for bomb in BOMBS:
        assert bounded(lambda: hear(channel, call, bomb), len(bomb)) is None, bomb[:20]
