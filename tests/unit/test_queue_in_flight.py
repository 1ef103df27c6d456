"""In-flight lists: the commands that fill and empty one, and the items that come out."""

from __future__ import annotations

from typing import Any

import pytest

from multihost.wire.ops.queue import in_flight as module
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.in_flight import BATCH, GONE, WAITING, Delivery, InFlightList
from multihost.wire.ops.queue.items import RANK_SIZE, split_delivery_count, without_rank
from multihost.wire.ops.queue.settings import FIFO, LIFO, PRIORITY, QueueSettings
from tests.unit.queue_stubs import StubSession, commands_of, handle_of

PLAIN, BOUNDED, REDELIVERED = (
    QueueSettings(*terms) for terms in ((0, FIFO, 0), (9, FIFO, 0), (0, FIFO, -1))
)
UNNAMED = "u:0123456789012345678901"
RANK = b"7" * RANK_SIZE


def list_of(settings: QueueSettings = PLAIN, ident: str = "n:q", **options: Any) -> InFlightList:
    handle = handle_of(StubSession(), ident)
    return InFlightList(handle, settings, b"me", 3, b"r:1", 0, **options)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, ...]]:
    """Record the arguments of the script that receives."""
    calls: list[tuple[bytes, ...]] = []
    monkeypatch.setattr(
        module._receive_batch, "run_idempotent", lambda _, *args: calls.append(args) or [b"x"]
    )
    return calls


def test_a_list_is_named_by_session_and_number() -> None:
    in_flight = list_of()
    assert in_flight.name == b"me.3"
    assert in_flight.key == in_flight.handle.keys.data + b":inflight:me.3"
    assert commands_of(in_flight.ack_command) == [[b"DEL", in_flight.key]]
    assert in_flight.unacked == 0


@pytest.mark.parametrize(("order", "end"), [(FIFO, b"LEFT"), (LIFO, b"RIGHT")])
def test_an_item_is_moved_if_the_queue_knows_the_list(order: str, end: bytes) -> None:
    in_flight = list_of(QueueSettings(0, order, 0))
    keys = in_flight.handle.keys
    is_known = [b"HEXISTS", keys.refs, b"f:me"]
    move = [keys.items, in_flight.key, end, b"RIGHT"]
    assert commands_of(in_flight.pop_commands) == [is_known, [b"LMOVE", *move]]
    blocking = in_flight.blocking_pop_commands + b"$1\r\n5\r\n"
    length = [b"LLEN", keys.items]
    assert commands_of(blocking) == [is_known, length, [b"BLMOVE", *move, b"5"]]


@pytest.mark.parametrize(
    ("settings", "ident", "expected"),
    [
        (PLAIN, "n:q", []),
        (BOUNDED, "n:q", [b"HGET"]),
        (PLAIN, UNNAMED, [b"EVALSHA"]),
        (BOUNDED, UNNAMED, [b"EVALSHA"]),
        (REDELIVERED, "n:q", []),
        (REDELIVERED, UNNAMED, [b"EVALSHA"]),
    ],
)
def test_commands_behind_the_move_of_one_item(
    settings: QueueSettings, ident: str, expected: list[bytes]
) -> None:
    in_flight = list_of(settings, ident)
    followup = in_flight.followup_commands(1)
    assert [command[0] for command in commands_of(b"".join(followup))] == expected
    request, count = in_flight.get_one_request
    assert request == in_flight.pop_commands + b"".join(followup)
    assert count == len(commands_of(request))


def test_a_batch_is_moved_one_by_one_up_to_a_size_and_by_a_script_beyond() -> None:
    in_flight = list_of()
    assert in_flight.followup_commands(BATCH) == [in_flight.move_command] * (BATCH - 1)
    [[command, *_, name, rest]] = commands_of(in_flight.followup_commands(BATCH + 1)[0])
    assert (command, name, rest) == (b"EVALSHA", b"me.3", b"%d" % BATCH)


def test_an_in_flight_list_of_an_unnamed_queue_expires_with_its_lease() -> None:
    in_flight = list_of(PLAIN, UNNAMED, ttl=b"500")
    assert commands_of(in_flight.followup_commands(1)[0]) == [[b"PEXPIRE", in_flight.key, b"500"]]
    in_flight = list_of(REDELIVERED, UNNAMED, ttl=b"500")
    assert commands_of(in_flight.followup_commands(1)[0]) == [[b"PEXPIRE", in_flight.key, b"500"]]


@pytest.mark.parametrize(
    ("order", "item", "value", "count"),
    [
        (FIFO, b"N.", b"N.", 1),
        (FIFO, b"*2;N.", b"N.", 3),
        (FIFO, b"*1;a;b", b"a;b", 2),
        (PRIORITY, b"1.5 " + RANK + b"N.", b"N.", 1),
        (PRIORITY, b"-inf " + RANK + b"*1;a b", b"a b", 2),
    ],
)
def test_an_item_is_received_without_what_is_stored_before_its_value(
    order: str, item: bytes, value: bytes, count: int
) -> None:
    in_flight = list_of(QueueSettings(0, order, 0))
    assert in_flight.delivery(item) == Delivery(value, count, in_flight)
    assert in_flight.unacked == 1
    assert [each.value for each in in_flight.deliveries([item, item])] == [value, value]
    assert in_flight.unacked == 2


def test_a_batch_keeps_what_is_behind_the_first_item_that_no_caller_has() -> None:
    in_flight = list_of()
    items = in_flight.deliveries([b"N.", b"K.", b"I1\n.", b"I2\n."])
    assert [item.position for item in items] == [0, 1, 2, 3]
    assert in_flight.batch == [WAITING] * 4
    returned, open_ = Hand(), Hand()
    returned.handed = 5.0
    assert in_flight.kept() == 4
    in_flight.batch[1] = returned
    assert in_flight.kept() == 4, "the first one is still to be returned"
    in_flight.batch[0] = open_
    assert in_flight.is_in_hand
    assert in_flight.kept() == 4
    open_.handed = 6.0
    assert not in_flight.is_in_hand
    assert in_flight.kept() == 2
    in_flight.batch[3] = GONE
    assert in_flight.kept() == 1
    in_flight.batch[2] = GONE
    assert in_flight.kept() == 0


def test_a_single_item_is_no_batch_unless_it_has_proxies() -> None:
    in_flight = list_of()
    in_flight.deliveries([b"N."])
    assert (in_flight.batch, in_flight.has_proxies) == (None, False)
    in_flight.deliveries([b"*1;@u:x;N."])
    assert (in_flight.batch, in_flight.has_proxies) == ([WAITING], True)


def test_a_batch_is_received_by_a_script(ran: list[tuple[bytes, ...]]) -> None:
    assert list_of().receive_batch(7) == [b"x"]
    assert ran == [(b"me.3", b"7")]


def test_items_with_and_without_a_delivery_count() -> None:
    assert split_delivery_count(b"N.") == (b"N.", 0)
    assert split_delivery_count(b"*12;N.") == (b"N.", 12)
    assert split_delivery_count(b"") == (b"", 0)
    assert without_rank(b"0 " + RANK + b"1 2") == b"1 2"
