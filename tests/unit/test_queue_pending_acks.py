"""Acknowledgements go with the next request, or are sent by a timer; time is made up."""

from __future__ import annotations

import pytest

from multihost.errors import LinkLost
from multihost.wire.ops.queue import pending_acks as module
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.in_flight import InFlightList
from multihost.wire.ops.queue.pending_acks import ACK_DELAY, FIRST_DELAY, QUIET, PendingAcks
from multihost.wire.ops.queue.settings import FIFO, QueueSettings
from tests.unit.queue_stubs import Clock, StubSession, handle_of

NAME = b"r:1"


class Stage:
    """Pending acknowledgements with what they need, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.clock, self.session = Clock(), StubSession()
        self.recycled: list[InFlightList] = []
        self.handle = handle_of(self.session)
        self.acks = PendingAcks(self.handle, self.recycled.append)

    def in_flight(self, number: int, *items: bytes) -> InFlightList:
        made = InFlightList(self.handle, QueueSettings(0, FIFO, 0), b"me", number, NAME, 0)
        made.deliveries(list(items or (b"N.",)))
        return made

    def expect(self, number: int) -> tuple[InFlightList, Hand]:
        in_flight, hand = self.in_flight(number), Hand()
        self.acks.expect(in_flight, hand)
        return in_flight, hand

    def receive(self, number: int) -> InFlightList:
        in_flight, hand = self.expect(number)
        hand.handed = self.clock.now
        return in_flight

    def be_busy(self) -> None:
        """Let there have been a request a moment ago."""
        self.receive(0)
        self.take_last()
        self.wait(FIRST_DELAY)

    def take_last(self, connection: bytes = NAME) -> InFlightList | None:
        hand = Hand()
        found = self.acks.take_last(connection, hand)
        assert hand.previous is found
        return found

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.session.janitor.run_timers()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(module, "time", made.clock)
    return made


def test_the_next_request_of_the_connection_acknowledges(stage: Stage) -> None:
    in_flight = stage.receive(1)
    assert stage.take_last(b"r:2") is None
    assert stage.take_last() is in_flight
    assert stage.take_last() is None
    stage.wait(2 * ACK_DELAY)
    assert stage.session.link.pipelines == [], "it was acknowledged before"
    assert stage.session.janitor.timers == []


def test_one_that_comes_alone_is_acknowledged_at_once(stage: Stage) -> None:
    """Not where requests are near: the next one does it for nothing."""
    for number, seconds in enumerate((FIRST_DELAY, ACK_DELAY, FIRST_DELAY)):
        in_flight = stage.receive(number)
        assert [each for each, _ in stage.session.janitor.timers] == [seconds]
        stage.wait(seconds)
        assert stage.session.link.pipelines[number] == [(b"DEL", in_flight.key)]
        assert stage.session.janitor.timers == []
        stage.clock.now += number * 2 * QUIET


def test_a_call_that_has_not_returned_at_once_is_waited_for(stage: Stage) -> None:
    in_flight, hand = stage.expect(1)
    stage.wait(FIRST_DELAY)
    assert stage.session.link.pipelines == []
    assert [seconds for seconds, _ in stage.session.janitor.timers] == [ACK_DELAY]
    hand.handed = stage.clock.now
    stage.wait(ACK_DELAY)
    assert stage.session.link.pipelines == [[(b"DEL", in_flight.key)]]


def test_a_timer_acknowledges_what_no_request_did(stage: Stage) -> None:
    stage.be_busy()
    first, second = stage.receive(1), stage.receive(2)
    assert [seconds for seconds, _ in stage.session.janitor.timers] == [ACK_DELAY]
    stage.wait(ACK_DELAY)
    assert stage.session.link.pipelines == [[(b"DEL", first.key), (b"DEL", second.key)]]
    assert stage.recycled == [first, second]
    assert stage.session.janitor.timers == []
    assert stage.take_last() is None, "no list is acknowledged twice"


def test_what_a_call_is_about_to_return_is_acknowledged_once_it_has(stage: Stage) -> None:
    in_flight, hand = stage.expect(1)
    stage.wait(2 * ACK_DELAY)
    assert stage.session.link.pipelines == []
    assert len(stage.session.janitor.timers) == 1, "the timer waits for the call"
    hand.handed = stage.clock.now
    stage.wait(ACK_DELAY)
    assert stage.session.link.pipelines == [[(b"DEL", in_flight.key)]]


def test_what_a_call_left_is_not_acknowledged(stage: Stage) -> None:
    in_flight, hand = stage.expect(1)
    hand.in_flight = in_flight
    stage.acks.leave(hand, lambda _: False)
    stage.wait(2 * ACK_DELAY)
    assert stage.session.link.pipelines == []
    assert stage.acks.received == {}


@pytest.mark.parametrize("recycled", [False, True])
def test_an_acknowledgement_in_doubt_is_sent_again(recycled: bool, stage: Stage) -> None:
    in_flight, hand = stage.receive(1), Hand()
    stage.acks.take_last(NAME, hand)
    stage.acks.leave(hand, lambda _: recycled)
    stage.wait(ACK_DELAY)
    expected = [] if recycled else [[(b"DEL", in_flight.key)]]
    assert stage.session.link.pipelines == expected


def test_the_timer_goes_on_while_there_are_younger_ones(stage: Stage) -> None:
    stage.be_busy()
    stage.receive(1)
    stage.clock.now += ACK_DELAY / 2
    second = stage.receive(2)
    stage.wait(ACK_DELAY / 2)
    assert len(stage.session.link.pipelines) == 1
    assert len(stage.session.janitor.timers) == 1
    stage.wait(ACK_DELAY)
    assert stage.session.link.pipelines[1] == [(b"DEL", second.key)]
    assert stage.session.janitor.timers == []
    stage.receive(3)
    assert len(stage.session.janitor.timers) == 1, "a later item starts it again"


def test_a_batch_is_trimmed_and_not_reused_before_it_is_empty(stage: Stage) -> None:
    in_flight = stage.in_flight(1, b"N.", b"K.", b"N.")
    hands = [Hand() for _ in range(3)]
    assert in_flight.batch is not None

    def returns(position: int) -> None:
        assert in_flight.batch is not None
        in_flight.batch[position] = hands[position]
        stage.acks.expect(in_flight, hands[position])
        assert stage.take_last() is None, "not with the next request"
        hands[position].handed = stage.clock.now
        stage.acks.flush(0.0)

    returns(0)
    returns(2)
    assert stage.recycled == []
    returns(1)
    assert stage.session.link.pipelines == [
        [(b"LTRIM", in_flight.key, b"-2", b"-1")],
        [(b"LTRIM", in_flight.key, b"-2", b"-1")],
        [(b"DEL", in_flight.key)],
    ]
    assert stage.recycled == [in_flight]
    assert in_flight.batch is None


def test_a_flush_that_fails_is_repeated(stage: Stage) -> None:
    in_flight = stage.receive(1)
    stage.session.link.error = LinkLost("lost")
    with pytest.raises(LinkLost):
        stage.acks.flush(0.0)
    assert stage.recycled == []
    stage.session.link.error = None
    stage.acks.flush(ACK_DELAY)
    assert stage.recycled == [in_flight]


def test_nothing_to_acknowledge_costs_no_round_trip(stage: Stage) -> None:
    stage.acks.flush(0.0)
    stage.receive(1)
    stage.acks.flush(ACK_DELAY)
    assert stage.session.link.pipelines == []


def test_items_with_proxies_are_acknowledged_by_a_script(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def run_once(_: object, *args: bytes) -> bytes:
        calls.append(args)
        return b"."

    monkeypatch.setattr(module._ack_linked, "run_once", run_once)
    in_flight, hand = stage.in_flight(1, b"@u:x;N.", b"N."), Hand()
    in_flight.batch = [hand, hand]
    stage.acks.expect(in_flight, hand)
    hand.handed = stage.clock.now
    stage.wait(ACK_DELAY)
    assert calls == [(b"me.1", b"0")]
    assert stage.session.link.pipelines == []
    assert stage.recycled == [in_flight]


# -- a consumer expects its items


def consumer_of(stage: Stage, monkeypatch: pytest.MonkeyPatch, max_deliveries: int) -> Consumer:
    monkeypatch.setattr(Consumer, "_register", lambda self: None)
    return Consumer.of(stage.handle, QueueSettings(0, FIFO, max_deliveries))


def test_a_plain_item_is_acknowledged_later(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, hand = consumer_of(stage, monkeypatch, 0), Hand()
    in_flight = consumer.take_list(hand)
    consumer.expect(hand, in_flight.deliveries([b"N."]))
    hand.handed = stage.clock.now
    stage.wait(ACK_DELAY)
    assert stage.session.link.pipelines == [[(b"DEL", in_flight.key)]]
    assert consumer.take_list(Hand()) is in_flight


def test_an_item_that_is_delivered_again_waits_for_task_done(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer, hand = consumer_of(stage, monkeypatch, -1), Hand()
    in_flight = consumer.take_list(hand)
    consumer.expect(hand, in_flight.deliveries([b"N."]))
    assert stage.session.janitor.timers == []
    taken: list[object] = []
    consumer.unfinished.take_oldest(taken)  # type: ignore[arg-type]
    assert taken == [], "its call has not returned"
    hand.handed = stage.clock.now
    consumer.unfinished.take_oldest(taken)  # type: ignore[arg-type]
    assert taken == [(in_flight, hand)]
    consumer.settle(taken, b".")  # type: ignore[arg-type]
    assert consumer.take_list(Hand()) is in_flight
