"""Exchanges: what is sent again, and when a link gives up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from multihost import errors
from multihost.wire.link import ConnectionBroken, ReplyTimeout, pack, repeating
from multihost.wire.replies import ReplyError
from tests.unit.fake_channel import FakeChannel, make_link

REFUSED = ConnectionRefusedError("refused")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeating, "BACKOFF", (0.0, 0.0))


# -- after a break


@pytest.mark.parametrize("broken", [ConnectionBroken("cut"), ReplyTimeout("late")])
def test_a_request_is_sent_again_with_the_same_bytes(broken: Exception) -> None:
    first, second = FakeChannel(broken), FakeChannel(b"1")
    link = make_link(first, second)
    assert link.execute(b"INCR", b"x") == b"1"
    assert first.is_closed
    assert first.requests == second.requests
    assert link.disconnects == 1
    assert link.current_channel() is second


def test_several_requests_are_sent_again_together() -> None:
    first, second = FakeChannel(b"1", ConnectionBroken()), FakeChannel(b"1", b"2")
    link = make_link(first, second)
    assert link.pipeline_raw([(b"GET", b"a"), (b"GET", b"b")]) == [b"1", b"2"]
    assert first.requests == second.requests


def test_the_server_is_tried_until_it_is_back() -> None:
    channel = FakeChannel(b"1")
    link = make_link(FakeChannel(ConnectionBroken()), REFUSED, REFUSED, channel)
    assert link.execute(b"GET", b"x") == b"1"


def test_a_server_that_never_was_there_is_out_of_reach() -> None:
    link = make_link(REFUSED, REFUSED, reconnect_timeout=0.0)
    with pytest.raises(errors.LinkError, match="cannot reach the server at redis://nowhere:1/0"):
        link.execute(b"GET", b"x")


def test_a_server_that_does_not_come_back_leaves_the_outcome_unknown() -> None:
    link = make_link(FakeChannel(ConnectionBroken()), *[REFUSED] * 100_000, reconnect_timeout=0.01)
    with pytest.raises(errors.LinkLost, match="whether the call took effect is unknown"):
        link.execute(b"GET", b"x")
    assert link.current_channel() is None


def test_a_request_is_not_sent_again_when_the_server_may_have_forgotten_it() -> None:
    again = FakeChannel()
    link = make_link(FakeChannel(ReplyTimeout()), again, timeout=60.0, reconnect_timeout=60.0)
    with pytest.raises(errors.LinkLost, match="did not answer within 60 s"):
        link.execute(b"GET", b"x")
    assert again.requests == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), MemoryError()])
def test_an_interrupted_exchange_recycles_its_connection(interruption: BaseException) -> None:
    """The reply may still come: nothing else must take it for its own."""
    first, second = FakeChannel(interruption), FakeChannel(interruption)
    link = make_link(first, second)
    connection = link.peek()
    for call in (lambda: link.execute(b"GET", b"x"), lambda: link.pipeline([(b"GET", b"x")])):
        with pytest.raises(type(interruption)):
            call()
    assert first.is_closed
    assert second.is_closed
    assert link._threads.free == []
    assert link.checkout() is connection


# -- replies


def test_an_error_reply_leaves_the_channel_open() -> None:
    channel = FakeChannel(ReplyError("WRONGTYPE no"), b"1")
    link = make_link(channel)
    with pytest.raises(errors.BadPayload):
        link.execute(b"GET", b"x")
    assert link.execute(b"GET", b"x") == b"1"
    assert len(link._connections) == 1


def test_a_raw_command_raises_the_reply() -> None:
    link = make_link(FakeChannel(ReplyError("GONE it")))
    with pytest.raises(ReplyError, match="GONE it"):
        link.execute_raw(b"GET", b"x")


def test_a_pipeline_raises_the_first_error_and_a_raw_one_returns_it() -> None:
    error = ReplyError("OOM full")
    link = make_link(FakeChannel(b"1", error, b"1", error))
    with pytest.raises(errors.ServerFull, match=r"b: .*maxmemory"):
        link.pipeline([(b"GET", b"a"), (b"SET", b"b", b"1")])
    assert link.pipeline_raw([(b"GET", b"a"), (b"SET", b"b", b"1")]) == [b"1", error]


def test_a_script_that_the_server_does_not_know_is_sent() -> None:
    channel = FakeChannel(ReplyError("NOSCRIPT No matching script"), b"1")
    link = make_link(channel)
    assert link.exchange(link.checkout(), b"by digest", lambda: b"source") == b"1"
    assert channel.requests == [b"by digest", b"source"]
    assert len(link._threads.free) == 1


def test_a_server_that_is_unavailable_gets_the_request_again() -> None:
    loading = ReplyError("LOADING wait")
    channel = FakeChannel(loading, loading, b"1", b"1", loading, b"1", b"2")
    link = make_link(channel)
    assert link.execute(b"GET", b"x") == b"1"
    assert link.pipeline([(b"GET", b"a"), (b"GET", b"b")]) == [b"1", b"2"]
    assert len(link._threads.free) == 1


def test_a_break_while_the_server_is_unavailable() -> None:
    first, second = FakeChannel(ReplyError("LOADING wait"), ConnectionBroken()), FakeChannel(b"1")
    link = make_link(first, second)
    assert link.execute(b"GET", b"x") == b"1"


@pytest.mark.parametrize("call", ["execute", "pipeline"])
def test_a_server_that_stays_unavailable_is_an_error(call: str) -> None:
    loading = [ReplyError("LOADING wait")] * 100_000
    link = make_link(FakeChannel(*loading), reconnect_timeout=0.01)
    with pytest.raises(errors.LinkError, match="is loading its data"):
        if call == "execute":
            link.execute(b"GET", b"x")
        else:
            link.pipeline([(b"GET", b"x")])
    assert len(link._threads.free) == 1


# -- exchanges of a waiter


def test_a_blocking_exchange_returns_all_replies_and_keeps_the_connection() -> None:
    channel = FakeChannel(b"1", None, b"2")
    link = make_link(channel)
    connection = link.checkout()
    assert link.exchange_blocking(connection, b"three", 1.0) == [b"1", None, b"2"]
    assert connection.channel is channel
    assert link._threads.free == []
    assert link._blocked == set()


@pytest.mark.parametrize("first", [0, ReplyError("GONE it")])
def test_a_rejected_wait_closes_the_channel_on_which_other_replies_may_come(first: object) -> None:
    channel = FakeChannel(first)
    link = make_link(channel)
    assert link.exchange_blocking(link.checkout(), b"three", 1.0) == [first]
    assert channel.is_closed


@pytest.mark.parametrize("way", ["exchange_blocking", "send_and_pop", "try_once"])
@pytest.mark.parametrize("broken", [ConnectionBroken, ReplyTimeout])
def test_a_waiter_handles_a_break_itself(way: str, broken: type[Exception]) -> None:
    channel = FakeChannel(broken())
    link = make_link(channel)
    connection = link.checkout()
    args = (connection, b"request") + ((1.0,) if way == "exchange_blocking" else ())
    with pytest.raises(broken):
        getattr(link, way)(*args)
    assert channel.is_closed
    assert connection.channel is None
    assert link._blocked == set()
    assert link._threads.free == []


def test_a_request_that_is_tried_once_returns_also_errors() -> None:
    error = ReplyError("LOADING wait")
    link = make_link(FakeChannel(error))
    assert link.try_once(link.checkout(), b"request") is error


def test_blocked_waiters_are_interrupted_and_no_others() -> None:
    idle = FakeChannel()

    def reply() -> bytes:
        link.interrupt_blocked()
        return b"1"

    blocked = FakeChannel(reply)
    link = make_link(idle, blocked)
    link.ensure_connected(first := link.checkout())
    assert link.send_and_pop(link.checkout(), b"pop") == b"1"
    assert blocked.was_interrupted
    assert not idle.was_interrupted
    link.checkin(first)


@pytest.mark.parametrize(("reply", "supported"), [(b"OK", True), (ReplyError("NOPERM"), False)])
def test_whether_replies_can_be_switched_off_is_asked_once(reply: object, supported: bool) -> None:
    channel = FakeChannel(reply)
    link = make_link(channel)
    assert link.supports_reply_off() is link.supports_reply_off() is supported
    assert channel.requests == [pack((b"CLIENT", b"REPLY", b"ON"))]


def test_a_waiter_connects_again_within_its_time() -> None:
    channel = FakeChannel()
    link = make_link(FakeChannel(), REFUSED, channel)
    connection = link.checkout()
    link.ensure_connected(connection)
    link.reconnect(connection, ConnectionBroken(), 60.0)
    assert connection.channel is channel
    link = make_link(FakeChannel(), *[REFUSED] * 100_000)
    link.ensure_connected(connection := link.checkout())
    with pytest.raises(errors.LinkLost):
        link.reconnect(connection, ConnectionBroken(), 0.01)
    assert link._idle == [], "the waiter goes on with its next number"


# -- the end


def test_close_deletes_the_reply_keys() -> None:
    channel = FakeChannel()
    link = make_link(channel)
    connection = link.peek()
    keys = [connection.reply_key(b"{ns:00}:"), connection.reply_key(b"{ns:01}:")]
    other = link.new_connection().reply_key(b"{ns:00}:")
    link.close()
    assert channel.requests == [
        pack((b"UNLINK", keys[0], other)) + pack((b"UNLINK", keys[1])),
    ], "one command for each partition: they may be on several servers"
    assert channel.is_closed
    assert link.is_closed
    link.close()


def test_close_leaves_the_reply_keys_while_a_request_may_be_under_way() -> None:
    channel = FakeChannel()
    link = make_link(FakeChannel(ConnectionBroken()), channel)
    link.peek().reply_key(b"{ns:00}:")
    link.execute(b"PING")
    link.close()
    assert len(channel.requests) == 1


def test_close_needs_no_server() -> None:
    link = make_link(FakeChannel(ConnectionBroken()))
    link.peek().reply_key(b"{ns:00}:")
    link.close()
    assert link.is_closed


@pytest.mark.parametrize(
    "call",
    [
        lambda link: link.execute(b"PING"),
        lambda link: link.pipeline([(b"PING",)]),
        lambda link: link.exchange_blocking(link.checkout(), b"pop", 1.0),
        lambda link: link.try_once(link.checkout(), b"pop"),
        lambda link: link.connect(),
    ],
)
def test_calls_after_the_end_are_errors(call: Callable[[object], object]) -> None:
    link = make_link()
    link.close()
    with pytest.raises(errors.ManagerClosed, match="was shut down"):
        call(link)


def test_a_link_that_is_closed_while_a_thread_connects() -> None:
    channel = FakeChannel()

    def connect() -> FakeChannel:
        link.close_now()
        return channel

    link = make_link(connect)
    with pytest.raises(errors.ManagerClosed):
        link.execute(b"PING")
    assert channel.is_closed


def test_connect_says_what_is_wrong() -> None:
    for refusal in (REFUSED, TimeoutError("timed out"), ConnectionBroken("LOADING")):
        with pytest.raises(errors.LinkError, match="is it running"):
            make_link(refusal).connect()
    with pytest.raises(errors.AccessDenied):
        make_link(errors.AccessDenied("no")).connect()
