"""The channel over a socket, with the test at the other end.

Each piece that is sent arrives by a read of its own: the sockets keep the borders of messages.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from multihost.wire.link.channel import EMPTY_COMMAND, ConnectionBroken, ReplyTimeout
from multihost.wire.link.socket import SocketChannel
from multihost.wire.replies import ReplyError

if not hasattr(socket, "SOCK_SEQPACKET"):
    pytest.skip("needs sockets that keep borders", allow_module_level=True)

SECONDS = 30.0
SOON = 0.02


class Peer:
    """The server's end, and a channel at the other one."""

    def __init__(self, timeout: float) -> None:
        self.socket, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(SECONDS)
        self.channel = SocketChannel(ours, timeout)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.send(piece)

    def received(self) -> bytes:
        return self.socket.recv(65536)

    def close(self) -> None:
        self.channel.close()
        self.socket.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def make(timeout: float = SECONDS) -> Peer:
        peers.append(Peer(timeout))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


def timeout_of(channel: SocketChannel) -> float:
    seconds, micros = struct.unpack(
        "@ll", channel._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
    )
    return seconds + micros / 1e6


def test_a_request_has_its_reply(connect: Callable[..., Peer]) -> None:
    peer = connect()
    peer.send(b"$2\r\nhi\r\n")
    assert peer.channel.exchange(b"ping") == b"hi"
    assert peer.received() == b"ping"


@pytest.mark.parametrize("at", range(1, 9))
def test_a_reply_may_be_torn_anywhere(at: int, connect: Callable[..., Peer]) -> None:
    peer = connect()
    reply = b"$3\r\nabc\r\n"
    peer.send(reply[:at], reply[at:])
    assert peer.channel.exchange(b"get") == b"abc"


def test_a_long_reply_comes_in_many_pieces(connect: Callable[..., Peer]) -> None:
    peer = connect()
    body = bytes(range(256)) * 4096
    data = b"$%d\r\n%b\r\n" % (len(body), body)

    def send() -> None:
        peer.send(*(data[at : at + 10_000] for at in range(0, len(data), 10_000)))

    sender = threading.Thread(target=send)
    sender.start()
    assert peer.channel.exchange(b"get") == body
    sender.join()


def test_an_error_reply_is_returned(connect: Callable[..., Peer]) -> None:
    peer = connect()
    peer.send(b"-GONE it\r\n")
    reply = peer.channel.exchange(b"get")
    assert type(reply) is ReplyError
    assert reply.code == "GONE"


def test_several_replies_come_in_any_pieces(connect: Callable[..., Peer]) -> None:
    peer = connect()
    peer.send(b"+OK\r\n:1", b"\r\n-ERR no\r\n*1\r\n", b"$1\r\nx\r\n")
    replies = peer.channel.exchange_many(b"four", 4)
    assert [replies[0], replies[1], str(replies[2]), replies[3]] == [b"OK", 1, "ERR no", [b"x"]]


@pytest.mark.parametrize("already", [b"", b"$5\r\nab"])
def test_a_server_that_closes_breaks_the_channel(
    already: bytes, connect: Callable[..., Peer]
) -> None:
    for exchange in (
        lambda channel: channel.exchange(b"get"),
        lambda channel: channel.exchange_many(b"get", 1),
        lambda channel: channel.block(b"pop", None, count=1),
    ):
        peer = connect()
        if already:
            peer.send(already)
        peer.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionBroken, match="closed"):
            exchange(peer.channel)


def test_a_server_that_is_not_there_breaks_the_channel(connect: Callable[..., Peer]) -> None:
    peer = connect()
    peer.socket.close()
    with pytest.raises(ConnectionBroken):
        peer.channel.exchange(b"get")


def test_a_reply_that_is_no_resp_breaks_the_channel(connect: Callable[..., Peer]) -> None:
    peer = connect()
    peer.send(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(ConnectionBroken):
        peer.channel.exchange(b"get")


@pytest.mark.parametrize("already", [b"", b"$5\r\nab"])
def test_a_reply_that_does_not_come_in_time(already: bytes, connect: Callable[..., Peer]) -> None:
    for exchange in (
        lambda channel: channel.exchange(b"get"),
        lambda channel: channel.exchange_many(b"get", 1),
        lambda channel: channel.block(b"pop", None, count=1),
    ):
        peer = connect(SOON)
        if already:
            peer.send(already)
        with pytest.raises(ReplyTimeout):
            exchange(peer.channel)


def test_a_block_returns_all_replies(connect: Callable[..., Peer]) -> None:
    peer = connect()
    peer.send(b"$1\r\n.\r\n*2\r\n$1\r\nk\r\n", b"$1\r\nv\r\n:5\r\n")
    assert peer.channel.block(b"requests", 1.0) == [b".", [b"k", b"v"], 5]
    assert timeout_of(peer.channel) == pytest.approx(SECONDS, abs=0.02)


@pytest.mark.parametrize("first", [b":0\r\n", b"-GONE it\r\n"])
def test_a_block_ends_when_the_first_command_is_rejected(
    first: bytes, connect: Callable[..., Peer]
) -> None:
    peer = connect()
    peer.send(first)
    assert len(peer.channel.block(b"requests", 1.0)) == 1


def test_a_block_without_seconds_has_the_usual_timeout(connect: Callable[..., Peer]) -> None:
    peer = connect(SOON)
    with pytest.raises(ReplyTimeout):
        peer.channel.block(b"requests", None)


def test_after_the_time_the_server_is_made_to_check_its_clock(
    connect: Callable[..., Peer],
) -> None:
    peer = connect()

    def serve() -> None:
        assert peer.received() == b"requests"
        peer.send(b":1\r\n")
        assert peer.received() == EMPTY_COMMAND
        peer.send(b"_\r\n:2\r\n")

    server = threading.Thread(target=serve)
    server.start()
    assert peer.channel.block(b"requests", SOON, grace=SECONDS) == [1, None, 2]
    server.join()


def test_after_the_grace_the_time_is_over(connect: Callable[..., Peer]) -> None:
    peer = connect()
    with pytest.raises(ReplyTimeout):
        peer.channel.block(b"requests", SOON, grace=SOON)
    assert peer.received() == b"requests"
    assert peer.received() == EMPTY_COMMAND


def test_zero_seconds_are_not_for_ever(connect: Callable[..., Peer]) -> None:
    peer = connect()
    with pytest.raises(ReplyTimeout):
        peer.channel.block(b"requests", 0.0)


def test_a_thread_that_waits_is_interrupted(connect: Callable[..., Peer]) -> None:
    peer = connect()
    outcome: list[BaseException] = []

    def wait() -> None:
        try:
            peer.channel.block(b"requests", SECONDS)
        except ConnectionBroken as error:
            outcome.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert peer.received() == b"requests"
    peer.channel.interrupt()
    waiter.join()
    assert outcome
    assert not isinstance(outcome[0], ReplyTimeout)
    peer.channel.interrupt()  # once more is no error


def test_a_closed_channel_has_no_file_number(connect: Callable[..., Peer]) -> None:
    peer = connect()
    assert peer.channel.fileno() >= 0
    peer.channel.shutdown()
    assert peer.channel.fileno() == -1
    assert peer.received() == b"", "the server sees the end"
