"""Connections that are pinned to threads."""

from __future__ import annotations

import gc
import signal
import threading

import pytest

from multihost.wire.link import PinnedConnection
from tests.unit.fake_channel import FakeChannel, make_link


def in_thread(call) -> None:
    """Run it in a thread of its own, and delete what belongs to that."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    del thread
    gc.collect()


def test_a_thread_uses_the_same_connection_for_every_exchange() -> None:
    channel = FakeChannel()
    link = make_link(channel)
    for _ in range(3):
        link.execute(b"PING")
    assert len(channel.requests) == 3
    assert len(link._connections) == 1


def test_the_connection_that_was_checked_in_last_is_the_next() -> None:
    link = make_link()
    first, second = link.checkout(), link.checkout()
    assert first is not second
    assert first.name != second.name
    link.checkin(first)
    link.checkin(second)
    assert link.peek() is second
    assert link.checkout() is second
    assert link.checkout() is first


def test_peek_opens_no_channel() -> None:
    link = make_link()
    assert link.current_channel() is None
    connection = link.peek()
    assert connection.channel is None
    assert link.checkout() is connection


def test_threads_have_connections_of_their_own() -> None:
    link = make_link()
    found: list[PinnedConnection] = [link.peek()]
    barrier = threading.Barrier(4)

    def look() -> None:
        found.append(link.peek())
        barrier.wait()

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    barrier.wait()
    for thread in threads:
        thread.join()
    assert len({connection.name for connection in found}) == 4


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals")
def test_a_signal_handler_that_interrupts_an_exchange_uses_another_connection() -> None:
    """Else it would get the reply to the request that it interrupted."""
    inner = FakeChannel(b"inner")

    def reply() -> bytes:
        signal.raise_signal(signal.SIGUSR1)
        return b"outer"

    outer = FakeChannel(reply)
    link = make_link(outer, inner)
    heard = []
    old = signal.signal(signal.SIGUSR1, lambda *_: heard.append(link.execute(b"GET", b"inner")))
    try:
        assert link.execute(b"GET", b"outer") == b"outer"
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert heard == [b"inner"]
    assert len(outer.requests) == len(inner.requests) == 1


def test_a_signal_handler_may_interrupt_the_making_of_a_connection() -> None:
    link = make_link()
    with link._lock:
        assert link.checkout().name  # in the same thread: it does not wait for itself


def test_a_thread_that_ends_closes_its_channel_and_leaves_name_and_number() -> None:
    channel = FakeChannel()
    link = make_link(channel)
    before: list[PinnedConnection] = []

    def work() -> None:
        link.execute(b"PING")
        before.append(link.peek())
        before[0].sequence = 7

    in_thread(work)
    assert channel.is_closed
    after = link.checkout()
    assert after is before[0]
    assert (after.sequence, after.channel) == (7, None)


def test_connections_do_not_grow_with_threads() -> None:
    link = make_link()
    for _ in range(50):
        in_thread(lambda: link.execute(b"PING"))
    assert len(link._connections) == 1


def test_a_thread_may_outlive_its_link() -> None:
    channel = FakeChannel()
    link = make_link(channel)
    link.execute(b"PING")
    free = link._threads.free
    del link
    gc.collect()
    free.__del__()
    assert channel.is_closed


def test_a_reserved_connection_is_not_given_to_another_thread() -> None:
    link = make_link()
    connection = link.checkout()
    connection.reserved = True
    link.recycle(connection)
    assert link.checkout() is not connection


def test_a_connection_is_withdrawn_wherever_it_is() -> None:
    link = make_link()
    connection = link.checkout()
    link.withdraw(connection)  # it was not checked in
    link.checkin(connection)
    link.withdraw(connection)
    assert link.checkout() is not connection


def test_the_current_channel_is_closed_and_opened_again() -> None:
    first, second = FakeChannel(), FakeChannel()
    link = make_link(first, second)
    link.disconnect_current()  # there is none yet
    link.execute(b"PING")
    assert link.current_channel() is first
    link.disconnect_current()
    assert first.is_closed
    assert link.current_channel() is None
    link.execute(b"PING")
    assert link.current_channel() is second


def test_requests_sent_are_those_of_this_thread() -> None:
    link = make_link()
    link.peek().sequence = 3
    assert link.requests_sent() == 3

    def other() -> None:
        link.peek().sequence = 5
        assert link.requests_sent() == 5

    in_thread(other)
    assert link.requests_sent() == 3


def test_a_forked_child_shares_neither_connections_nor_names() -> None:
    channel = FakeChannel()
    link = make_link(channel)
    link.execute(b"PING")
    inherited = link.checkout()
    names = {connection.name for connection in link._connections}
    link.after_fork_in_child()
    assert channel.is_closed
    fresh = link.checkout()
    assert fresh is not inherited
    assert fresh.name not in names
    link.recycle(inherited)  # by a finalizer
    assert link.checkout() is not inherited


def test_a_connection_has_one_reply_key_in_each_partition() -> None:
    link = make_link()
    connection = link.checkout()
    packed = connection.packed_reply_keys[b"{ns:07}:"]
    key = b"{ns:07}:" + connection.name
    assert packed == b"$%d\r\n%b\r\n" % (len(key), key)
    assert connection.packed_reply_keys[b"{ns:07}:"] is packed
    assert connection.reply_key(b"{ns:08}:") == b"{ns:08}:" + connection.name
    assert list(link._reply_keys) == [key, b"{ns:08}:" + connection.name]


def test_one_server_is_one_lane() -> None:
    link = make_link(FakeChannel())
    assert link.lane(b"{ns:07}:") is link
    assert tuple(link.masters()) == (link,)
    assert link.node is None
    assert not link.guarded
    link.connect()
    assert link.client_ids() == link.client_ids(None) == [b""]
    assert link.client_ids(("elsewhere", 1)) == []
