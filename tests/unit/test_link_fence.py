"""Which connections are closed at the server, and when nothing of them can arrive any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from multihost.wire.keys import REPLY_CACHE_SECONDS
from multihost.wire.link import fence as fence_module
from multihost.wire.link import pack_all
from multihost.wire.link.fence import Fence
from multihost.wire.replies import ReplyError
from tests.unit.fake_channel import FakeChannel
from tests.unit.queue_stubs import Clock

RUN, OTHER = b"a" * 40, b"b" * 40
DENIED = ReplyError("NOPERM this user has no permissions to run the 'client|kill' command")


def channel(number: bytes, run: bytes = RUN, *replies: Any) -> FakeChannel:
    made = FakeChannel(*replies)
    made.client_id, made.run = number, run
    return made


def kills(*ids: bytes) -> bytes:
    return pack_all([(b"CLIENT", b"KILL", b"ID", id_) for id_ in ids])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(fence_module, "time", clock)
    return clock


def test_what_broke_is_closed_in_one_write() -> None:
    fence = Fence()
    assert fence.is_closed
    for number in b"3", b"5":
        fence.add(channel(number))
    assert not fence.is_closed
    following = channel(b"9", RUN, 1, 0)
    fence.close(following)
    assert following.requests == [kills(b"3", b"5")]
    assert fence.is_closed
    fence.close(following)
    assert len(following.requests) == 1, "nothing is left to close"


def test_ids_of_another_run_are_those_of_strangers() -> None:
    fence = Fence()
    fence.add(channel(b"3", OTHER))
    following = channel(b"9")
    fence.close(following)
    assert following.requests == []
    assert fence.is_closed, "they ended with it"


def test_nobody_is_closed_while_the_run_is_not_known() -> None:
    fence = Fence()
    fence.add(channel(b"3"))
    following = channel(b"9", b"")
    fence.close(following)
    assert following.requests == []
    assert not fence.is_closed


@pytest.mark.parametrize(("number", "run"), [(b"", RUN), (b"3", b"")])
def test_what_has_no_number_may_arrive_for_a_minute(number: bytes, run: bytes, clock: Any) -> None:
    fence = Fence()
    fence.add(channel(number, run))
    assert not fence.is_closed
    clock.now += REPLY_CACHE_SECONDS
    assert fence.is_closed


def test_without_the_right_it_is_not_tried_again(clock: Any) -> None:
    fence = Fence()
    fence.add(channel(b"3"))
    fence.close(channel(b"9", RUN, DENIED))
    assert not fence.is_permitted
    assert not fence.is_closed
    fence.add(channel(b"9"))
    following = channel(b"11")
    fence.close(following)
    assert following.requests == []
    clock.now += REPLY_CACHE_SECONDS
    assert fence.is_closed


def test_what_passes_is_tried_again() -> None:
    fence = Fence()
    fence.add(channel(b"3"))
    fence.close(channel(b"9", RUN, ReplyError("LOADING the data")))
    assert not fence.is_closed
    fence.close(channel(b"11", RUN, 1))
    assert fence.is_closed
