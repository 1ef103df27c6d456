"""A consumer: its in-flight lists, which are reused or quarantined, and what it owns."""

from __future__ import annotations

import threading

import pytest

from multihost import LeaseLost
from multihost.wire.link import PinnedConnection
from multihost.wire.ops.queue import consumer as module
from multihost.wire.ops.queue import quarantine as quarantine_module
from multihost.wire.ops.queue.consumer import Consumer, ConsumerHold
from multihost.wire.ops.queue.hand import ANY_CALL, Hand
from multihost.wire.ops.queue.in_flight import Delivery
from multihost.wire.ops.queue.receive import take_prefetched
from multihost.wire.ops.queue.settings import FIFO, QueueSettings
from multihost.wire.ops.queue.unfinished import UnfinishedItems
from tests.unit.queue_stubs import Clock, StubSession, handle_of

PLAIN = QueueSettings(0, FIFO, 0)
Calls = list[tuple[str, tuple[bytes, ...]]]


@pytest.fixture
def session() -> StubSession:
    return StubSession()


@pytest.fixture
def consumer(session: StubSession) -> Consumer:
    return Consumer.of(handle_of(session), PLAIN)


@pytest.fixture(autouse=True)
def ran(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Record the scripts that run, and their arguments."""
    calls: Calls = []
    scripts = module._register_consumer, module._unregister_consumer, quarantine_module._requeue
    for script in scripts:
        name = script.name.removeprefix("queue/")
        monkeypatch.setattr(
            script, "run_idempotent", lambda _, *args, name=name: calls.append((name, args))
        )
    return calls


def test_a_process_has_one_consumer_a_queue(session: StubSession, consumer: Consumer) -> None:
    assert Consumer.of(handle_of(session), PLAIN) is consumer
    assert Consumer.of(handle_of(session, "n:other"), PLAIN) is not consumer
    [first, _] = session.holds.values()
    assert first is consumer.hold


# -- in-flight lists


def test_lists_are_numbered_and_registered_before_they_are_used(
    consumer: Consumer, ran: Calls
) -> None:
    names = [consumer.take_list(Hand()).name for _ in range(5)]
    assert names == [b"me.1", b"me.2", b"me.3", b"me.4", b"me.5"]
    assert ran == [("register_consumer", (b"me", b"4")), ("register_consumer", (b"me", b"10"))]


def test_a_recycled_list_is_used_again_on_its_connection(
    session: StubSession, consumer: Consumer
) -> None:
    in_flight = consumer.take_list(Hand())
    consumer.recycle(in_flight)
    session.link.connection = PinnedConnection(b"r:2", {})
    assert consumer.take_list(Hand()) is not in_flight
    session.link.connection = PinnedConnection(in_flight.connection, {})
    assert consumer.take_list(Hand()) is in_flight
    assert consumer.take_list(Hand()) is not in_flight


def test_a_list_from_before_an_expiration_is_not_used_again(
    session: StubSession, consumer: Consumer, ran: Calls
) -> None:
    before = consumer.take_list(Hand())
    consumer.recycle(before)
    session.registration.here.expirations += 1
    after = consumer.take_list(Hand())
    assert (after.name, after.expirations) == (b"me.2", 1)
    assert ran == [("register_consumer", (b"me", b"4"))] * 2, "others have forgotten the lists"


def test_a_quarantined_list_is_emptied_for_a_minute_and_used_again(
    session: StubSession, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(quarantine_module, "time", clock)
    first, second = consumer.take_list(Hand()), consumer.take_list(Hand())
    consumer.quarantine(first)
    consumer.quarantine(second)
    assert consumer.take_list(Hand()) not in (first, second)
    session.janitor.run_deferred()
    [both] = session.link.pipelines
    assert [command[-2] for command in both] == [first.name, second.name], "in one pipeline"
    assert len(session.janitor.timers) == 1
    while session.janitor.timers:
        clock.now += quarantine_module.PAUSE
        session.janitor.run_timers()
    assert clock.now - 1000.0 == pytest.approx(quarantine_module.LATE_REQUEST_WINDOW, abs=1.0)
    assert 5 < len(session.link.pipelines) < 12, "less and less often"
    assert consumer.take_list(Hand()) is first
    assert consumer.take_list(Hand()) is second


@pytest.mark.parametrize("is_late", [False, True])
def test_a_list_is_used_again_when_what_broke_is_closed(
    is_late: bool, session: StubSession, consumer: Consumer
) -> None:
    """Not if a call was interrupted: its connection may be open yet."""
    in_flight = consumer.take_list(Hand())
    in_flight.is_late = is_late
    consumer.quarantine(in_flight)
    session.link.is_fenced = True
    session.janitor.run_deferred()
    assert len(session.link.pipelines) == 1, "it is emptied behind the fence"
    assert (consumer.take_list(Hand()) is in_flight) is is_late


def test_a_queue_that_was_created_again_is_told_of_all_lists(
    consumer: Consumer, ran: Calls
) -> None:
    for _ in range(3):
        consumer.take_list(Hand())
    del ran[:]
    consumer.register()
    assert ran == [("register_consumer", (b"me", b"6"))]


def test_requeueing_all_lists(consumer: Consumer, ran: Calls) -> None:
    consumer.take_list(Hand())
    consumer.take_list(Hand())
    del ran[:]
    consumer.requeue_all()
    assert ran == [("requeue", (b"me.1", b"0")), ("requeue", (b"me.2", b"0"))]


def test_a_list_is_empty_when_all_its_items_have_left(consumer: Consumer) -> None:
    in_flight = consumer.take_list(Hand())
    in_flight.unacked = 3
    assert [consumer.decrement(in_flight, count) for count in (1, 1, 1)] == [False, False, True]


def test_a_new_list_has_the_lease_of_the_consumer(consumer: Consumer) -> None:
    consumer.ttl = b"500"
    assert consumer.take_list(Hand()).ttl == b"500"


# -- the hold


def test_the_hold_is_valid_until_the_session_expires(
    session: StubSession, consumer: Consumer
) -> None:
    hold = consumer.hold
    assert isinstance(hold, ConsumerHold)
    assert hold.is_valid()
    session.registration.here.expirations += 1
    assert not hold.is_valid()
    hold.lapse()
    assert hold.lost
    consumer.take_list(Hand())
    assert hold.is_valid(), "the lists are registered again"


def test_the_error_for_a_lost_hold_names_the_queue(consumer: Consumer) -> None:
    error = consumer.hold.lease_lost("queue/task_done")
    assert isinstance(error, LeaseLost)
    assert "the queue 'q': this process" in str(error)


def test_a_normal_exit_acknowledges_and_requeues(
    session: StubSession, consumer: Consumer, ran: Calls
) -> None:
    acked, prefetched = consumer.take_list(Hand()), consumer.take_list(Hand())
    consumer.acks.expect(acked, ANY_CALL)
    consumer.prefetched.append(Delivery(b"N.", 1, prefetched))
    del ran[:]
    consumer.hold.release_at_exit()
    assert session.link.pipelines == [[(b"DEL", acked.key)]]
    assert ran == [("requeue", (b"me.2", b"0")), ("unregister_consumer", (b"me", b"2"))]


# -- ownership


def test_ownership_is_certain_while_the_session_is_valid(
    session: StubSession, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    session.registration.here.valid_until = clock.now + 1
    assert consumer.is_unexpired(0)
    assert not consumer.is_unexpired(1)
    clock.now += 1
    assert not consumer.is_unexpired(0)


@pytest.mark.parametrize("exists", [0, 1])
def test_after_an_expiration_the_server_knows_who_owns_an_item(
    exists: int, session: StubSession, consumer: Consumer
) -> None:
    in_flight = consumer.take_list(Hand())
    assert consumer.still_owns(in_flight, 0)
    assert not session.link.executed
    session.registration.here.expirations = 1
    session.link.reply = exists
    assert consumer.still_owns(in_flight, 0) is bool(exists)
    assert session.link.executed == [(b"EXISTS", in_flight.key)]


def test_what_is_in_a_list_of_a_dead_name_is_given_to_others(
    session: StubSession, consumer: Consumer
) -> None:
    in_flight = consumer.take_list(Hand())
    session.registration.here.expirations = 1
    session.registration.names[consumer.handle.keys.prefix] = b"me again"
    assert not consumer.still_owns(in_flight, 0)
    assert not session.link.executed
    assert consumer.take_list(Hand()).name == b"me again.2"


def test_an_interrupted_question_for_the_owner_requeues_the_item(
    session: StubSession, consumer: Consumer
) -> None:
    in_flight = consumer.take_list(Hand())
    session.registration.here.expirations = 1
    session.link.error = KeyboardInterrupt()
    hand = Hand()
    hand.in_flight = in_flight
    with pytest.raises(KeyboardInterrupt):
        consumer.still_owns(in_flight, 0)
    session.link.error = None
    consumer.leave(hand)
    session.janitor.run_timers()
    session.janitor.run_deferred()
    assert [each[-2] for each in session.link.pipelines[-1]] == [in_flight.name]


def test_prefetched_items_are_returned_unless_others_own_them(
    session: StubSession, consumer: Consumer
) -> None:
    in_flight = consumer.take_list(Hand())
    items = [Delivery(b"%d" % number, 1, in_flight) for number in range(3)]
    consumer.prefetched.extend(items)
    assert take_prefetched(consumer, Hand(), 1) == items[:1]
    assert take_prefetched(consumer, Hand(), 5) == items[1:]
    assert take_prefetched(consumer, Hand(), 5) == []
    consumer.prefetched.extend(items)
    session.registration.here.expirations, session.link.reply = 1, 0
    assert take_prefetched(consumer, Hand(), 5) == []
    assert not consumer.prefetched


# -- what a call leaves


def test_prefetched_items_that_a_call_left_are_the_next_ones(consumer: Consumer) -> None:
    in_flight, hand = consumer.take_list(Hand()), Hand()
    items = in_flight.deliveries([b"N.", b"K.", b"N."])
    consumer.prefetched.extend(items)
    consumer.expect(hand, take_prefetched(consumer, hand, 2))
    consumer.leave(hand)
    assert list(consumer.prefetched) == items
    assert not in_flight.is_in_hand


def test_a_list_that_a_call_left_is_emptied_by_the_next_one(
    session: StubSession, consumer: Consumer
) -> None:
    left, next_ = Hand(), Hand()
    in_flight = consumer.take_list(left)
    consumer.leave(left)
    assert consumer.take_doubtful(next_) is in_flight
    consumer.recycle_doubtful(in_flight)
    session.janitor.run_timers()
    assert session.janitor.deferred == [], "nothing is left for the background thread"
    assert consumer.take_list(Hand()) is in_flight


def test_a_call_that_returned_leaves_nothing(session: StubSession, consumer: Consumer) -> None:
    hand = Hand()
    consumer.take_list(hand)
    hand.handed = 5.0
    consumer.leave(hand)
    assert not consumer.doubtful
    assert session.janitor.timers == []


def test_a_list_that_was_recycled_is_not_left(consumer: Consumer) -> None:
    hand = Hand()
    consumer.recycle(consumer.take_list(hand))
    consumer.leave(hand)
    assert not consumer.doubtful


# -- unfinished items


def test_the_oldest_unfinished_item_of_a_thread_is_first(consumer: Consumer) -> None:
    items, lists = UnfinishedItems(), [consumer.take_list(Hand()) for _ in range(3)]

    returned = Hand()
    returned.handed = 5.0

    def add_first() -> None:
        items.expect(lists[:1], returned)

    thread = threading.Thread(target=add_first)
    thread.start()
    thread.join()
    items.expect(lists[1:], returned)

    def oldest() -> list[object]:
        taken: list[object] = []
        items.take_oldest(taken)  # type: ignore[arg-type]
        return taken

    first = oldest()
    assert first == [(lists[1], returned)]
    items.put_back(first)  # type: ignore[arg-type]
    assert [oldest() for _ in range(4)] == [
        [(lists[1], returned)],
        [(lists[2], returned)],
        [(lists[0], returned)],
        [],
    ]
