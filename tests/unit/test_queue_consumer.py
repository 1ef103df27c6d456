"""A consumer: its in-flight lists, which are reused or quarantined, and what it owns."""

from __future__ import annotations

import threading

import pytest

from multihost import LeaseLost
from multihost.wire.link import PinnedConnection
from multihost.wire.ops.queue import consumer as module
from multihost.wire.ops.queue import in_flight as in_flight_module
from multihost.wire.ops.queue.consumer import Consumer, ConsumerHold
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
    scripts = module._register_consumer, module._unregister_consumer, in_flight_module._requeue
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
    names = [consumer.new_list().name for _ in range(5)]
    assert names == [b"me.1", b"me.2", b"me.3", b"me.4", b"me.5"]
    assert ran == [("register_consumer", (b"me", b"4")), ("register_consumer", (b"me", b"10"))]


def test_a_recycled_list_is_used_again_on_its_connection(
    session: StubSession, consumer: Consumer
) -> None:
    in_flight = consumer.new_list()
    consumer.recycle(in_flight)
    session.link.connection = PinnedConnection(b"r:2", {})
    assert consumer.new_list() is not in_flight
    session.link.connection = in_flight.connection
    assert consumer.new_list() is in_flight
    assert consumer.new_list() is not in_flight


def test_a_list_from_before_an_expiration_is_not_used_again(
    session: StubSession, consumer: Consumer, ran: Calls
) -> None:
    before = consumer.new_list()
    consumer.recycle(before)
    session.registration.expirations += 1
    after = consumer.new_list()
    assert (after.name, after.expirations) == (b"me.2", 1)
    assert ran == [("register_consumer", (b"me", b"4"))] * 2, "others have forgotten the lists"


def test_a_quarantined_list_is_requeued_again_and_again(
    session: StubSession, consumer: Consumer, ran: Calls
) -> None:
    in_flight = consumer.new_list()
    consumer.quarantine(in_flight)
    assert consumer.new_list() is not in_flight
    del ran[:]
    [action] = session.janitor.repeated
    action()
    action()
    assert ran == [("requeue", (b"me.1", b"0"))] * 2


def test_a_queue_that_was_created_again_is_told_of_all_lists(
    consumer: Consumer, ran: Calls
) -> None:
    for _ in range(3):
        consumer.new_list()
    del ran[:]
    consumer.register()
    assert ran == [("register_consumer", (b"me", b"6"))]


def test_requeueing_all_lists(consumer: Consumer, ran: Calls) -> None:
    consumer.new_list()
    consumer.new_list()
    del ran[:]
    consumer.requeue_all()
    assert ran == [("requeue", (b"me.1", b"0")), ("requeue", (b"me.2", b"0"))]


def test_a_list_is_empty_when_all_its_items_have_left(consumer: Consumer) -> None:
    in_flight = consumer.new_list()
    in_flight.unacked = 3
    assert [consumer.decrement(in_flight, count) for count in (1, 1, 1)] == [False, False, True]


def test_a_new_list_has_the_lease_of_the_consumer(consumer: Consumer) -> None:
    consumer.ttl = b"500"
    assert consumer.new_list().ttl == b"500"


# -- the hold


def test_the_hold_is_valid_until_the_session_expires(
    session: StubSession, consumer: Consumer
) -> None:
    hold = consumer.hold
    assert isinstance(hold, ConsumerHold)
    assert hold.is_valid()
    session.registration.expirations += 1
    assert not hold.is_valid()
    hold.lapse()
    assert hold.lost
    consumer.new_list()
    assert hold.is_valid(), "the lists are registered again"


def test_the_error_for_a_lost_hold_names_the_queue(consumer: Consumer) -> None:
    error = consumer.hold.lease_lost("queue/task_done")
    assert isinstance(error, LeaseLost)
    assert "the queue 'q': this process" in str(error)


def test_a_normal_exit_acknowledges_and_requeues(
    session: StubSession, consumer: Consumer, ran: Calls
) -> None:
    acked, prefetched = consumer.new_list(), consumer.new_list()
    consumer.acks.mark_received(acked, 0.0)
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
    session.registration.valid_until = clock.now + 1
    assert consumer.is_unexpired(0)
    assert not consumer.is_unexpired(1)
    clock.now += 1
    assert not consumer.is_unexpired(0)


@pytest.mark.parametrize("exists", [0, 1])
def test_after_an_expiration_the_server_knows_who_owns_an_item(
    exists: int, session: StubSession, consumer: Consumer
) -> None:
    in_flight = consumer.new_list()
    assert consumer.still_owns(in_flight, 0)
    assert not session.link.executed
    session.registration.expirations = 1
    session.link.reply = exists
    assert consumer.still_owns(in_flight, 0) is bool(exists)
    assert session.link.executed == [(b"EXISTS", in_flight.key)]


def test_what_is_in_a_list_of_a_dead_name_is_given_to_others(
    session: StubSession, consumer: Consumer
) -> None:
    in_flight = consumer.new_list()
    session.registration.expirations = 1
    session.registration.names[consumer.handle.keys.prefix] = b"me again"
    assert not consumer.still_owns(in_flight, 0)
    assert not session.link.executed
    assert consumer.new_list().name == b"me again.2"


def test_an_interrupted_question_for_the_owner_requeues_the_item(
    session: StubSession, consumer: Consumer
) -> None:
    in_flight = consumer.new_list()
    session.registration.expirations = 1
    session.link.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        consumer.still_owns(in_flight, 0)
    assert session.janitor.repeated == [in_flight.requeue]


def test_prefetched_items_are_returned_unless_others_own_them(
    session: StubSession, consumer: Consumer
) -> None:
    in_flight = consumer.new_list()
    items = [Delivery(b"%d" % number, 1, in_flight) for number in range(3)]
    consumer.prefetched.extend(items)
    assert take_prefetched(consumer, 1) == items[:1]
    assert take_prefetched(consumer, 5) == items[1:]
    assert take_prefetched(consumer, 5) == []
    consumer.prefetched.extend(items)
    session.registration.expirations, session.link.reply = 1, 0
    assert take_prefetched(consumer, 5) == []
    assert not consumer.prefetched


# -- unfinished items


def test_the_oldest_unfinished_item_of_a_thread_is_first(consumer: Consumer) -> None:
    items, lists = UnfinishedItems(), [consumer.new_list() for _ in range(3)]

    def add_first() -> None:
        items.add(lists[0])

    thread = threading.Thread(target=add_first)
    thread.start()
    thread.join()
    items.add(lists[1])
    items.add(lists[2])
    assert items.pop_oldest() is lists[1]
    items.undo_pop(lists[1])
    assert [items.pop_oldest() for _ in range(4)] == [lists[1], lists[2], lists[0], None]
