"""Commands that depend on what was read before."""

from __future__ import annotations

from typing import Any

import pytest

from multihost.wire.link import ConnectionBroken, pack, pack_all, watch_and_execute
from multihost.wire.replies import ReplyError
from tests.unit.fake_channel import FakeChannel, make_link

READ = (b"LRANGE", b"k", b"0", b"-1")
COMMAND = (b"EVALSHA", b"sha")
WATCH = pack((b"WATCH", b"k")) + pack(READ)
EXECUTE = pack_all([(b"MULTI",), COMMAND, (b"EXEC",)])


class Call:
    """One call, with what decide() was given, and what it and finished() return."""

    def __init__(self, *channels: Any, decide: Any = COMMAND, finished: Any = None) -> None:
        self.link = make_link(*channels)
        self.connection = self.link.checkout()
        self._decide, self._finished = decide, finished
        self.read: list[Any] = []

    def run(self) -> Any:
        return watch_and_execute(
            self.link, self.connection, b"k", READ, self._decision, lambda: self._finished
        )

    def _decision(self, reply: Any) -> Any:
        self.read.append(reply)
        if isinstance(self._decide, BaseException):
            raise self._decide
        return self._decide

    @property
    def is_checked_in(self) -> bool:
        return self.connection in self.link._threads.free


def test_it_takes_two_round_trips() -> None:
    channel = FakeChannel(b"OK", [b"a"], b"OK", b"QUEUED", [b"done"])
    call = Call(channel)
    assert call.run() == b"done"
    assert call.read == [[b"a"]]
    assert channel.requests == [WATCH, EXECUTE]
    assert call.is_checked_in


def test_a_change_in_between_starts_it_over() -> None:
    channel = FakeChannel(
        b"OK", [b"a"], b"OK", b"QUEUED", None, b"OK", [b"b"], b"OK", b"QUEUED", [b"done"]
    )
    call = Call(channel)
    assert call.run() == b"done"
    assert call.read == [[b"a"], [b"b"]]


def test_nothing_to_do_ends_the_watch() -> None:
    channel = FakeChannel(b"OK", [])
    call = Call(channel, decide=None)
    assert call.run() is None
    assert channel.requests == [WATCH, pack((b"UNWATCH",))]
    assert call.is_checked_in


def test_an_error_of_the_decision_ends_the_watch_and_is_raised() -> None:
    channel = FakeChannel(b"OK", [])
    call = Call(channel, decide=IndexError("pop from empty list"))
    with pytest.raises(IndexError):
        call.run()
    assert channel.requests == [WATCH, pack((b"UNWATCH",))]
    assert call.is_checked_in


@pytest.mark.parametrize(
    "replies",
    [
        (b"OK", ReplyError("WRONGTYPE no")),
        (b"OK", [], b"OK", ReplyError("WRONGTYPE no"), ReplyError("EXECABORT")),
        (b"OK", [], b"OK", b"QUEUED", ReplyError("WRONGTYPE no")),
        (b"OK", [], b"OK", b"QUEUED", [ReplyError("WRONGTYPE no")]),
    ],
    ids=["read", "queue", "exec", "command"],
)
def test_an_error_reply_is_raised(replies: tuple[Any, ...]) -> None:
    call = Call(FakeChannel(*replies))
    with pytest.raises(ReplyError, match="WRONGTYPE"):
        call.run()
    assert call.is_checked_in


def test_after_a_break_the_request_may_have_been_executed() -> None:
    broken = FakeChannel(b"OK", [b"a"], ConnectionBroken())
    call = Call(broken, FakeChannel(), finished=(b"done",))
    assert call.run() == b"done"
    assert broken.is_closed


def test_after_a_break_it_starts_over() -> None:
    broken = FakeChannel(b"OK", [b"a"], ConnectionBroken())
    again = FakeChannel([b"a"], b"OK", [b"a"], b"OK", b"QUEUED", [b"done"])
    call = Call(broken, again)
    assert call.run() == b"done"
    assert again.requests == [pack(READ), WATCH, EXECUTE]


def test_an_error_after_a_break_may_come_of_the_first_attempt() -> None:
    """The pop of the last element, executed before the break: now the list is empty."""
    broken = FakeChannel(b"OK", [b"a"], ConnectionBroken())
    call = Call(broken, decide=None)
    answers = iter([None, (b"a",)])
    call._decision = lambda reply: (  # type: ignore[method-assign]
        COMMAND if not broken.is_closed else (_ for _ in ()).throw(IndexError())
    )
    reply = watch_and_execute(
        call.link, call.connection, b"k", READ, call._decision, lambda: next(answers)
    )
    assert reply == b"a"


def test_an_interruption_closes_the_channel_and_with_it_the_watch() -> None:
    channel = FakeChannel(b"OK", [b"a"], KeyboardInterrupt())
    call = Call(channel)
    with pytest.raises(KeyboardInterrupt):
        call.run()
    assert channel.is_closed
    assert not call.is_checked_in
