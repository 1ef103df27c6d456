"""Acknowledgements go with the next request, or are sent by a timer; time is made up."""

from __future__ import annotations

import pytest

from multihost.errors import LinkLost
from multihost.wire.link import PinnedConnection
from multihost.wire.ops.queue import acknowledge as acknowledge_module
from multihost.wire.ops.queue import pending_acks as module
from multihost.wire.ops.queue.acknowledge import acknowledge, acknowledge_one
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.in_flight import Delivery, InFlightList
from multihost.wire.ops.queue.pending_acks import ACK_DELAY, PendingAcks
from multihost.wire.ops.queue.settings import FIFO, QueueSettings
from tests.unit.queue_stubs import Clock, StubSession, handle_of


class Stage:
    """Pending acknowledgements with what they need, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.clock, self.session = Clock(), StubSession()
        self.recycled: list[InFlightList] = []
        self.handle = handle_of(self.session)
        self.acks = PendingAcks(self.handle, self.recycled.append)
        self.connection = PinnedConnection(b"r:1", {})

    def in_flight(self, number: int, unacked: int = 0) -> InFlightList:
        settings = QueueSettings(0, FIFO, 0)
        made = InFlightList(self.handle, settings, b"me", number, self.connection, 0)
        made.unacked = unacked
        return made

    def receive(self, number: int, unacked: int = 0) -> InFlightList:
        in_flight = self.in_flight(number, unacked)
        self.acks.mark_received(in_flight, self.clock.now)
        return in_flight

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.session.janitor.run_timers()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(module, "time", made.clock)
    monkeypatch.setattr(acknowledge_module, "time", made.clock)
    return made


def test_the_next_request_of_the_connection_acknowledges(stage: Stage) -> None:
    in_flight = stage.receive(1)
    assert stage.acks.pop_last(PinnedConnection(b"r:2", {})) is None
    assert stage.acks.pop_last(stage.connection) is in_flight
    assert stage.acks.pop_last(stage.connection) is None
    stage.wait(2 * ACK_DELAY)
    assert stage.session.link.pipelines == [], "it was acknowledged before"
    assert stage.session.janitor.timers == []


def test_a_timer_acknowledges_what_no_request_did(stage: Stage) -> None:
    first, second = stage.receive(1), stage.receive(2)
    assert [seconds for seconds, _ in stage.session.janitor.timers] == [ACK_DELAY]
    stage.wait(ACK_DELAY)
    assert stage.session.link.pipelines == [[(b"DEL", first.key), (b"DEL", second.key)]]
    assert stage.recycled == [first, second]
    assert stage.session.janitor.timers == []
    assert stage.acks.pop_last(stage.connection) is None, "no list is acknowledged twice"


def test_the_timer_goes_on_while_there_are_younger_ones(stage: Stage) -> None:
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


def test_a_list_with_other_items_is_trimmed_and_not_reused(stage: Stage) -> None:
    in_flight = stage.receive(1, unacked=2)
    assert stage.acks.pop_last(stage.connection) is None
    stage.acks.flush(0.0)
    assert stage.session.link.pipelines == [[(b"LTRIM", in_flight.key, b"-2", b"-1")]]
    assert stage.recycled == []


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


# -- acknowledging deliveries


def deliveries(consumer: Consumer, *values: bytes) -> list[Delivery]:
    return consumer.new_list().deliveries(list(values))


@pytest.fixture(autouse=True)
def register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Consumer, "_register", lambda self: None)


def consumer_of(stage: Stage, max_deliveries: int = 0) -> Consumer:
    return Consumer.of(stage.handle, QueueSettings(0, FIFO, max_deliveries))


def test_a_plain_item_is_acknowledged_later(stage: Stage) -> None:
    consumer = consumer_of(stage)
    [item] = deliveries(consumer, b"N.")
    acknowledge_one(stage.handle, consumer, item)
    assert item.in_flight.unacked == 0
    stage.wait(ACK_DELAY)
    assert stage.session.link.pipelines == [[(b"DEL", item.in_flight.key)]]
    assert consumer.new_list() is item.in_flight


def test_one_item_of_a_batch_leaves_the_others_in_flight(stage: Stage) -> None:
    consumer = consumer_of(stage)
    first, second = deliveries(consumer, b"N.", b"K.")
    acknowledge_one(stage.handle, consumer, first)
    assert first.in_flight.unacked == 1
    acknowledge(stage.handle, consumer, [second])
    assert first.in_flight.unacked == 0


def test_an_item_that_is_delivered_again_waits_for_task_done(stage: Stage) -> None:
    consumer = consumer_of(stage, -1)
    [item] = deliveries(consumer, b"N.")
    acknowledge_one(stage.handle, consumer, item)
    assert stage.session.janitor.timers == []
    assert item.in_flight.unacked == 1
    assert consumer.unfinished.pop_oldest() is item.in_flight


@pytest.mark.parametrize("error", [None, KeyboardInterrupt()])
def test_an_item_with_proxies_is_acknowledged_by_a_script(
    error: BaseException | None, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def run_once(_: object, *args: bytes) -> bytes:
        calls.append(args)
        if error is not None:
            raise error
        return b"."

    monkeypatch.setattr(acknowledge_module._ack_linked, "run_once", run_once)
    consumer = consumer_of(stage)
    items = deliveries(consumer, b"@u:x;N.", b"N.")
    if error is None:
        acknowledge(stage.handle, consumer, items)
        assert consumer.new_list() is items[0].in_flight
    else:
        with pytest.raises(KeyboardInterrupt):
            acknowledge(stage.handle, consumer, items)
        assert consumer.new_list() is not items[0].in_flight
        stage.wait(ACK_DELAY)
        assert stage.session.link.pipelines == [[(b"DEL", items[0].in_flight.key)]]
    assert calls == [(b"me.1", b"0")]
