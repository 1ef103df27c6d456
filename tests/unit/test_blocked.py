"""What the background thread asks about connections on which threads wait, and whom it tells."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from multihost.wire.keys import Keys
from multihost.wire.replies import ReplyError
from multihost.wire.session.blocked import INTERVAL, BlockedThreads, Waiting
from tests.support.one_server import OneServer

KEYS = Keys("ns", "n:x")


class Channel:
    client_id = b"7"
    is_interrupted = False

    def interrupt(self) -> None:
        self.is_interrupted = True


class Connection:
    def __init__(self) -> None:
        self.channel = Channel()


class Link(OneServer):
    """Answers to CLIENT LIST, and keeps what others are told."""

    guarded = False

    def __init__(self) -> None:
        self.listed: Any = b"id=7 addr=x idle=9 flags=b db=0\n"
        self.asked = 0
        self.lists_itself = True
        self.channel: Any = SimpleNamespace(client_id=b"1")
        self.told: list[tuple[bytes, ...]] = []

    def execute_raw(self, *command: bytes) -> Any:
        assert command[:3] == (b"CLIENT", b"LIST", b"ID")
        self.asked += 1
        if isinstance(self.listed, Exception):
            raise self.listed
        own = b"id=1 addr=x idle=0 flags=N db=0\n"
        return own + self.listed if self.lists_itself else self.listed

    def current_channel(self) -> Any:
        return self.channel

    def pipeline(self, commands: list[tuple[bytes, ...]]) -> None:
        self.told += [command[4:] for command in commands]


class Janitor:
    def __init__(self) -> None:
        self.turn: Any = None

    def call_every(self, seconds: float, action: Any) -> None:
        assert self.turn is None, "one timer"
        self.turn = action


class World:
    def __init__(self) -> None:
        self.link, self.janitor = Link(), Janitor()
        self.threads = BlockedThreads(self.link, self.janitor)  # type: ignore[arg-type]
        self.waiting = Waiting(KEYS, b"me~1.0.thread", Connection())  # type: ignore[arg-type]

    def wait(self, seconds: float = 10.0) -> None:
        self.threads.add(self.waiting)
        self.waiting.begun -= seconds

    def turn(self) -> bool:
        goes_on: bool = self.janitor.turn()
        if not goes_on:
            self.janitor.turn = None
        return goes_on

    @property
    def is_interrupted(self) -> bool:
        channel: Any = self.waiting.connection.channel
        return bool(channel.is_interrupted)


@pytest.fixture
def world() -> World:
    return World()


def test_others_are_told_once_and_of_the_end(world: World) -> None:
    world.wait()
    assert world.turn() and world.turn()
    assert (world.link.asked, world.link.told) == (1, [(b"+me~1.0.thread",)])
    world.waiting.checked -= INTERVAL
    assert world.turn()
    assert (world.link.asked, len(world.link.told)) == (2, 1)
    world.threads.remove()
    assert world.turn()
    assert world.link.told[1:] == [(b"-me~1.0.thread",)]
    assert not world.turn()
    world.wait()
    assert world.turn(), "another timer"


def test_a_short_wait_costs_nothing(world: World) -> None:
    world.wait(0.0)
    world.waiting.begun += 100.0
    assert world.turn()
    world.threads.remove()
    assert not world.turn()
    assert (world.link.asked, world.link.told) == (0, [])


@pytest.mark.parametrize(
    "listed", [b"", b"id=7 addr=x idle=9 flags=N db=0\n", b"id=8 addr=x idle=0 flags=b db=0\n"]
)
def test_a_connection_that_nobody_serves_is_broken(world: World, listed: bytes) -> None:
    world.link.listed = listed
    world.wait()
    assert world.turn()
    assert world.is_interrupted
    assert world.link.told == []


@pytest.mark.parametrize(
    ("listed", "seconds"),
    [(b"id=7 addr=x idle=9 flags=N db=0\n", 1.0), (b"id=7 addr=x idle=1 flags=N db=0\n", 10.0)],
)
def test_one_that_is_about_to_block_or_was_just_served_is_not(
    world: World, listed: bytes, seconds: float
) -> None:
    world.link.listed = listed
    world.wait(seconds)
    assert world.turn()
    assert not world.is_interrupted
    assert world.link.told == []


@pytest.mark.parametrize(
    "listed",
    [b"addr=x id=7 flags=N", b"(something else)", None, b"", b"id=8 addr=x idle=9 flags=N db=0\n"],
)
def test_what_is_no_list_says_nothing(world: World, listed: Any) -> None:
    world.link.listed, world.link.lists_itself = listed, False
    world.wait()
    assert world.turn()
    assert not world.is_interrupted
    assert world.link.told == [(b"+me~1.0.thread",)]


def test_where_connections_must_not_be_listed_waits_are_shorter(world: World) -> None:
    world.link.listed = ReplyError("NOPERM this user has no permissions to run 'client|list'")
    world.wait()
    assert world.turn()
    assert world.is_interrupted, "it begins anew, and blocks for a shorter time"
    assert not world.threads.may_list
    assert world.turn()
    assert world.link.asked == 1
    assert world.link.told == [(b"+me~1.0.thread",)]
