"""Which connections are broken off when calls belong to another server, and when that is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from multihost.wire.address import Address, Credentials
from multihost.wire.link import Link, Node, Route
from multihost.wire.link import lookout as lookout_module
from multihost.wire.link.channel import ConnectionBroken
from multihost.wire.link.lookout import Lookout
from tests.support.waiting import wait_until
from tests.unit.fake_channel import FakeChannel

A, B = ("a", 1), ("b", 1)


class Moving:
    """A topology that says what it is told to."""

    def __init__(self) -> None:
        self.master = A
        self.answers, self.asked, self.closed = True, 0, 0

    def refresh(self) -> bool:
        self.asked += 1
        return self.answers

    def is_current(self, node: Node) -> bool:
        return node == self.master

    def close(self) -> None:
        self.closed += 1


class Connections:
    """A link, as the lookout sees it."""

    def __init__(self, *nodes: Node | None) -> None:
        self.channels = [FakeChannel() for _ in nodes]
        for channel, node in zip(self.channels, nodes, strict=True):
            channel.node = node
        self.used: set[int] = set()
        self.written = 0

    def open_channels(self) -> list[Any]:
        return self.channels

    def in_use(self) -> set[int]:
        return self.used

    def writes(self) -> int:
        return self.written


def test_connections_to_another_server_are_broken_off() -> None:
    connections, moving = Connections(A, B, None), Moving()
    Lookout(connections, moving).look()
    assert [each.was_interrupted for each in connections.channels] == [False, True, False]
    moving.master = B
    Lookout(connections, moving).look()
    assert [each.was_interrupted for each in connections.channels] == [True, True, False]


def test_nothing_is_broken_off_while_nobody_answers() -> None:
    connections, moving = Connections(B), Moving()
    moving.answers = False
    Lookout(connections, moving).look()
    assert not connections.channels[0].was_interrupted


def test_it_is_asked_for_a_call_that_takes_long_and_after_a_write() -> None:
    """The same one at every look, for a second; else seldom, and not without a connection."""
    connections = Connections(A)
    lookout = Lookout(connections, Moving())
    lookout.look()
    now = lookout._asked
    connections.used = {1}
    assert not lookout._is_due(now)
    connections.used = {2}
    assert not lookout._is_due(now + 1.1), "that is another call"
    assert lookout._is_due(now + 2.2)
    connections.used = set()
    assert not lookout._is_due(now + 3)
    assert lookout._is_due(now + lookout_module.SELDOM + 0.1)
    connections.written += 1
    assert lookout._is_due(now + 3), "what is written at a former master is lost"
    lookout.look()
    now = lookout._asked
    assert not lookout._is_due(now + 3)
    connections.channels = []
    assert not lookout._is_due(now + lookout_module.SELDOM + 0.1)


@pytest.fixture
def moving() -> Moving:
    return Moving()


@pytest.fixture
def link(moving: Moving) -> Iterator[Link]:
    def open_(_: float) -> FakeChannel:
        channel = FakeChannel()
        channel.node = moving.master
        return channel

    link = Link(Address("redis", "name", 1), Credentials(), route=Route(open_, moving))
    yield link
    link.close_now()


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "multihost-lookout"]


def test_the_thread_lives_from_the_first_connection_to_the_end(link: Link, moving: Moving) -> None:
    before = len(threads())
    assert link.lookout is not None
    link.execute(b"PING")
    link.execute(b"PING")
    assert len(threads()) == before + 1
    paused = link.lookout.pause()
    assert paused is not None
    paused.join()
    assert link.lookout.is_paused
    link.lookout.start()
    assert not link.lookout.is_paused
    assert len(threads()) == before + 1
    link.close()
    wait_until(lambda: len(threads()) == before)
    assert moving.closed
    link.lookout.start()
    assert len(threads()) == before, "after the end there is none"


def test_there_is_none_where_an_address_leads_to_one_server() -> None:
    for address in (
        Address("unix", path="/s"),
        Address("redis", "10.0.0.1", 1),
        Address("redis", "::1", 1),
        Address("rediss", "127.0.0.1", 1),
        Address("redis", "localhost", 1),
    ):
        assert Link(address, Credentials()).lookout is None
    for address in (
        Address("redis", "primary.example.com", 1),
        Address("rediss", "primary.example.com", 1),
        Address("redis+sentinel", "127.0.0.1:1", 0, "main"),
    ):
        link = Link(address, Credentials())
        assert link.lookout is not None
        link.close_now()


def test_a_connection_is_in_use_while_it_is_checked_out(link: Link) -> None:
    link.execute(b"PING")
    assert link.in_use() == set()
    connection = link.checkout()
    assert link.in_use() == {id(connection)}
    link.checkin(connection)
    assert link.in_use() == set()
    assert [channel.node for channel in link.open_channels()] == [A]


def test_a_thread_that_waits_at_the_former_master_goes_on_at_the_next(
    link: Link, moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout_module, "LOOK", 0.01)
    monkeypatch.setattr(lookout_module, "LONG", 0.02)
    link.execute(b"PING")
    channel: Any = link.current_channel()
    waiting, go_on = threading.Event(), threading.Event()

    def silent() -> Any:
        waiting.set()
        assert go_on.wait(20)
        raise ConnectionBroken("it was broken off")

    channel.interrupt = go_on.set
    channel.replies.append(silent)
    heard: list[Any] = []

    def call() -> None:
        heard.append(link.exchange(connection, b"GET"))
        heard.extend(each.node for each in link.open_channels())

    connection = link.checkout()
    thread = threading.Thread(target=call)
    thread.start()
    assert waiting.wait(20)
    moving.master = B
    thread.join(20)
    assert heard == [b"OK", B]
