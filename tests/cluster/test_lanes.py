"""Calls over lanes to a cluster: each goes to the server that has its partition now."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from multihost.errors import AccessDenied, LinkError, ManagerClosed, ServerUnfit
from multihost.wire.address import parse
from multihost.wire.link import Link, link_to
from multihost.wire.link.channel import ConnectionBroken
from multihost.wire.replies import ReplyError
from tests.faults.calls import Call
from tests.support.cluster import Cluster, slot_of
from tests.support.server import Server
from tests.support.waiting import wait_until

PREFIXES = [b"{lanes:%02d}:" % number for number in range(64)]
KEYS = [prefix + b"key" for prefix in PREFIXES]


@pytest.fixture
def link(cluster: Cluster) -> Iterator[Any]:
    made = link_to(*parse(cluster.url))
    made.connect()
    yield made
    cluster.commands(*[("UNLINK", key) for key in cluster.keys("{lanes:*")])
    made.close()


@pytest.fixture
def put_back(cluster: Cluster) -> Iterator[None]:
    """Who moves a slot leaves it where it was."""
    homes = {slot_of(key): cluster.master_of(key) for key in KEYS}
    yield
    cluster.forget()
    for slot, home in homes.items():
        if cluster.node(cluster.node_of(slot)) is not home:
            cluster.move_slot(slot, home)


def other_than(cluster: Cluster, *nodes: Server) -> Server:
    return next(each for each in cluster.masters if each not in nodes)


def connections(cluster: Cluster) -> int:
    return sum(row["name"] == "multihost" for row in cluster.clients())


# -- where calls go


def test_each_command_goes_to_the_server_of_its_key(cluster: Cluster, link: Link) -> None:
    assert len(cluster.master_nodes()) == 3
    assert link.pipeline([(b"SET", key, key) for key in KEYS]) == [b"OK"] * 64
    assert [cluster.command("GET", key) for key in KEYS] == KEYS
    assert link.pipeline([(b"GET", key) for key in reversed(KEYS)]) == KEYS[::-1]
    assert [link.execute(b"GET", key) for key in KEYS] == KEYS
    for prefix, key in zip(PREFIXES, KEYS, strict=True):
        lane = link.lane(prefix)
        assert lane is link.lane(prefix)
        assert lane.execute(b"GET", key) == key
        assert lane.node == ("127.0.0.1", cluster.master_of(key).port)
    assert link.disconnects == 0, "nothing was redirected"


def test_a_pipeline_is_one_write_to_each_server(cluster: Cluster, link: Link) -> None:
    link.pipeline([(b"SET", key, b"") for key in KEYS])
    before = cluster.each("INFO", "stats")
    link.pipeline([(b"GET", key) for key in KEYS])
    reads = (
        [int(facts.split(b"total_reads_processed:")[1].split()[0]) for facts in before],
        [
            int(facts.split(b"total_reads_processed:")[1].split()[0])
            for facts in cluster.each("INFO", "stats")
        ],
    )
    # One for the commands, one for the question itself, and now and then one of the other nodes.
    assert sum(after - first for first, after in zip(*reads, strict=True)) < 32


def test_a_thread_has_one_connection_to_each_server(cluster: Cluster, link: Link) -> None:
    link.pipeline([(b"SET", key, b"") for key in KEYS])
    for key in KEYS:
        link.lane(key[:-3]).execute(b"GET", key)
    assert len(link.client_ids()) == 3
    nodes = [master.node for master in link.masters()]
    assert sorted(nodes) == sorted(("127.0.0.1", each.port) for each in cluster.masters)
    assert all(len(link.client_ids(node)) == 1 for node in nodes)
    assert connections(cluster) == 3 + 1, "and one to ask where everything is"
    for master in link.masters():
        channel = master.current_channel()
        assert channel is not None
        assert channel.node == master.node


def test_what_has_no_key_goes_to_each_master(cluster: Cluster, link: Link) -> None:
    with pytest.raises(TypeError, match=r"PING has no key: .*masters\(\)"):
        link.execute(b"PING")
    with pytest.raises(TypeError, match="SCAN"):
        link.pipeline([(b"GET", KEYS[0]), (b"SCAN", b"0")])
    link.pipeline([(b"SET", key, b"") for key in KEYS])
    assert sum(master.execute(b"DBSIZE") for master in link.masters()) >= 64
    lane = link.lane(PREFIXES[0])
    for master in link.masters():
        if master.node != lane.node:
            with pytest.raises(ReplyError, match="MOVED"):
                master.execute_raw(b"GET", KEYS[0])
    assert link.disconnects == 0


def test_errors_are_those_of_the_commands(cluster: Cluster, link: Link) -> None:
    link.execute(b"SET", KEYS[0], b"text")
    replies = link.pipeline_raw([(b"INCR", KEYS[0]), *((b"GET", key) for key in KEYS)])
    assert type(replies[0]) is ReplyError
    assert replies[1] == b"text"
    with pytest.raises(ReplyError, match="not an integer"):
        link.execute_raw(b"INCR", KEYS[0])


# -- what moves


@pytest.mark.usefixtures("put_back")
def test_a_slot_that_has_moved_is_followed(cluster: Cluster, link: Link) -> None:
    link.pipeline([(b"SET", key, key) for key in KEYS])
    lane, other = link.lane(PREFIXES[5]), link.lane(PREFIXES[6])
    moves: list[Any] = []
    link.on_move = lambda: moves.append(lane.node)
    connection = lane.peek()
    repeats, home = connection.repeats, other.node
    target = other_than(cluster, cluster.master_of(KEYS[5]))
    cluster.move_slot(slot_of(KEYS[5]), target)
    assert lane.execute(b"GET", KEYS[5]) == KEYS[5]
    assert lane.node == ("127.0.0.1", target.port)
    assert other.node == home
    assert set(moves) == {lane.node}
    assert link.disconnects == connection.repeats - repeats == 1, "it counts as a break"
    assert lane.peek() is connection, "with its name and number"
    assert lane.execute(b"GET", KEYS[5]) == KEYS[5]
    assert link.disconnects == 1


@pytest.mark.usefixtures("put_back")
def test_a_pipeline_of_which_some_has_moved(cluster: Cluster, link: Link) -> None:
    link.pipeline([(b"SET", key, b"0") for key in KEYS])
    moved = [KEYS[3], KEYS[4], KEYS[40]]
    for key in moved:
        cluster.move_slot(slot_of(key), other_than(cluster, cluster.master_of(key)))
    assert link.pipeline([(b"SET", key, key) for key in KEYS]) == [b"OK"] * 64
    assert [cluster.command("GET", key) for key in KEYS] == KEYS


@pytest.mark.usefixtures("put_back")
def test_what_is_asked_for_elsewhere(cluster: Cluster, link: Link) -> None:
    """A slot on its way: what is still here is done here, the rest there, and nothing twice."""
    here, there = PREFIXES[9] + b"here", PREFIXES[9] + b"there"
    lane, slot = link.lane(PREFIXES[9]), slot_of(KEYS[9])
    link.execute(b"SET", here, b"1")
    home = cluster.master_of(here)
    target = other_than(cluster, home)
    cluster.begin_move(slot, target)
    assert lane.execute(b"INCR", here) == 2
    assert lane.execute(b"INCR", there) == 1
    assert lane.execute(b"GET", there) == b"1"
    queued = [(b"MULTI",), (b"INCR", there), (b"PEXPIRE", there, b"60000"), (b"EXEC",)]
    assert lane.pipeline(queued)[-1] == [2, 1]
    assert link.pipeline([(b"INCR", here), (b"INCR", there), (b"GET", KEYS[10])]) == [3, 3, None]
    assert lane.node == ("127.0.0.1", home.port), "it has not moved yet"
    assert home.command("EXISTS", here) == 1
    cluster.move_keys(slot, home, target)
    assert lane.execute(b"GET", here) == b"3"
    cluster.end_move(slot, target)
    assert lane.pipeline([(b"GET", here), (b"GET", there)]) == [b"3", b"3"]
    assert lane.node == ("127.0.0.1", target.port)


@pytest.mark.usefixtures("put_back")
def test_what_is_half_here_waits_for_the_end_of_the_move(cluster: Cluster, link: Link) -> None:
    lane, slot = link.lane(PREFIXES[11]), slot_of(KEYS[11])
    here, there = PREFIXES[11] + b"here", PREFIXES[11] + b"there"
    link.execute(b"SET", here, b"1")
    home = cluster.master_of(here)
    target = other_than(cluster, home)
    cluster.begin_move(slot, target)
    call = Call(lambda: lane.pipeline([(b"MULTI",), (b"INCR", here), (b"INCR", there), (b"EXEC",)]))
    wait_until(lambda: link.disconnects >= 3, what="it is refused again and again")
    cluster.move_keys(slot, home, target)
    cluster.end_move(slot, target)
    assert call.outcome()[-1] == [2, 1]


@pytest.mark.usefixtures("put_back")
def test_who_is_blocked_hears_that_the_slot_has_moved(cluster: Cluster, link: Link) -> None:
    lane, items = link.lane(PREFIXES[12]), PREFIXES[12] + b"items"
    push, pop = b"*1\r\n$4\r\nPING\r\n", b"*3\r\n$5\r\nBLPOP\r\n$%d\r\n%b\r\n$2\r\n60\r\n"
    request = push + pop % (len(items), items) + push

    def wait() -> Any:
        connection = lane.checkout()
        while True:
            try:
                return lane.exchange_blocking(connection, request, 70.0)[1]
            except ConnectionBroken as error:
                lane.reconnect(connection, error, 60.0)

    home = cluster.master_of(items)
    target = other_than(cluster, home)
    call = Call(wait)
    wait_until(lambda: any("blpop" in row["cmd"] for row in home.clients()), what="it waits")
    cluster.move_slot(slot_of(items), target)
    wait_until(
        lambda: any("blpop" in row["cmd"] for row in target.clients()), what="it waits there"
    )
    assert link.disconnects == 1
    cluster.command("LPUSH", items, "item")
    assert call.outcome() == [items, b"item"]


def test_a_lane_that_is_interrupted_interrupts_nobody_else(cluster: Cluster, link: Link) -> None:
    outcomes: dict[int, Any] = {}

    def wait(number: int) -> None:
        lane = link.lane(PREFIXES[number])
        connection = lane.checkout()
        key = PREFIXES[number] + b"items"
        request = b"*3\r\n$5\r\nBLPOP\r\n$%d\r\n%b\r\n$2\r\n60\r\n" % (len(key), key)
        try:
            outcomes[number] = lane.send_and_pop(connection, request)
        except ConnectionBroken as error:
            outcomes[number] = error

    calls = [Call(lambda number=number: wait(number)) for number in (1, 2)]
    wait_until(
        lambda: sum("blpop" in row["cmd"] for row in cluster.clients()) == 2, what="both wait"
    )
    assert len(link.blocked) == 2
    link.lane(PREFIXES[1]).interrupt_blocked()
    calls[0].outcome()
    assert isinstance(outcomes[1], ConnectionBroken)
    assert len(link.blocked) == 1
    cluster.command("LPUSH", PREFIXES[2] + b"items", "x")
    calls[1].outcome()
    assert outcomes[2] == [PREFIXES[2] + b"items", b"x"]


# -- interruptions, forks, the end


def test_a_signal_handler_calls_in_the_middle_of_a_call(cluster: Cluster, link: Link) -> None:
    """Over another lane to the same server, and to another: each gets its own reply."""
    link.pipeline([(b"SET", key, key) for key in KEYS])
    lane = link.lane(PREFIXES[20])
    same = next(key for key in KEYS if key != KEYS[20] and link.lane(key[:-3]).node == lane.node)
    far = next(key for key in KEYS if link.lane(key[:-3]).node != lane.node)
    nested: list[bytes] = []

    def handle(*_: object) -> None:
        nested.extend(link.lane(key[:-3]).execute(b"GET", key) for key in (same, far))

    previous = signal.signal(signal.SIGALRM, handle)
    try:
        for round_ in range(20):
            items = PREFIXES[20] + b"items"
            connection = lane.checkout()
            request = b"*3\r\n$5\r\nBLPOP\r\n$%d\r\n%b\r\n$2\r\n60\r\n" % (len(items), items)
            main = threading.main_thread().ident
            assert main is not None

            def disturb(main: int = main, round_: int = round_, items: bytes = items) -> None:
                wait_until(lambda: any("blpop" in row["cmd"] for row in cluster.clients()))
                signal.pthread_kill(main, signal.SIGALRM)
                wait_until(lambda: len(nested) == 2 * (round_ + 1))
                cluster.command("LPUSH", items, round_)

            call = Call(disturb)
            assert lane.send_and_pop(connection, request) == [items, b"%d" % round_]
            lane.checkin(connection)
            call.outcome()
            assert lane.execute(b"GET", KEYS[20]) == KEYS[20]
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert nested == [same, far] * 20
    assert link.disconnects == 0
    assert all(len(link.client_ids(master.node)) <= 2 for master in link.masters())


def test_a_forked_child_has_connections_of_its_own(cluster: Cluster, link: Link) -> None:
    link.pipeline([(b"SET", key, key) for key in KEYS])
    lanes = [link.lane(prefix) for prefix in PREFIXES]
    ids = set(link.client_ids())
    out, in_ = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            replies = [lane.execute(b"GET", key) for lane, key in zip(lanes, KEYS, strict=True)]
            right = replies == KEYS and len(link.client_ids()) == 3 and lanes[0].node is not None
            link.close()
            os.write(in_, b"yes" if right else b"no")
            status = 0
        finally:
            os._exit(status)
    os.close(in_)
    assert os.read(out, 10) == b"yes"
    os.close(out)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [lane.execute(b"GET", key) for lane, key in zip(lanes, KEYS, strict=True)] == KEYS
    assert set(link.client_ids()) == ids, "the parent's are open"
    assert link.disconnects == 0


def test_nothing_is_left_of_a_link_that_is_closed(cluster: Cluster) -> None:
    link = link_to(*parse(cluster.url))
    link.connect()
    lane = link.lane(PREFIXES[0])
    for prefix in PREFIXES:  # reply keys in all partitions
        key = link.lane(prefix).peek().reply_key(prefix)
        link.execute(b"SET", key, b"", b"PX", b"60000")
    thread = threading.Thread(target=lambda: lane.execute(b"GET", KEYS[0]))
    thread.start()
    thread.join()
    assert len(cluster.keys("{lanes:*")) == 64
    link.close()
    assert cluster.keys("{lanes:*") == []
    wait_until(lambda: connections(cluster) == 0, what="all connections are closed")
    with pytest.raises(ManagerClosed):
        lane.execute(b"GET", KEYS[0])
    with pytest.raises(ManagerClosed):
        link.pipeline([(b"GET", key) for key in KEYS])


def test_the_connections_of_a_thread_end_with_it(cluster: Cluster, link: Link) -> None:
    before = connections(cluster)

    def work() -> None:
        link.pipeline([(b"GET", key) for key in KEYS])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del threads, thread
    gc.collect()
    wait_until(lambda: connections(cluster) <= before, what="those of threads are closed")


# -- addresses


def test_one_seed_is_enough(cluster: Cluster) -> None:
    link = link_to(*parse(f"redis+cluster://127.0.0.1:{cluster.nodes[1].port}"))
    link.connect()
    assert link.pipeline([(b"GET", key) for key in KEYS]) == [None] * 64
    assert link.leads_to(parse(cluster.url)[0])
    assert link.leads_to(parse(f"redis+cluster://127.0.0.1:{cluster.nodes[2].port}")[0])
    assert not link.leads_to(parse("redis+cluster://127.0.0.1:1")[0])
    assert not link.leads_to(parse(f"redis://127.0.0.1:{cluster.nodes[1].port}")[0])
    link.close()


def test_seeds_that_do_not_answer_are_passed_over(cluster: Cluster, port: int) -> None:
    link = link_to(*parse(f"redis+cluster://127.0.0.1:{port},127.0.0.1:{cluster.nodes[1].port}"))
    link.connect()
    assert link.execute(b"GET", KEYS[0]) is None
    link.close()


def test_a_server_that_is_down_does_not_keep_others_from_being_used() -> None:
    """Whichever it is: the first of them is tried first."""
    with Cluster(3) as own:
        down = min(own.nodes, key=lambda each: each.port)
        there = next(key for key in KEYS if own.master_of(key) is not down)
        down.kill()
        for replicas in (0, 1):
            link = link_to(*parse(own.url), replicas=replicas)
            link.connect()
            assert link.execute(b"GET", there) is None
            link.close()


def test_a_cluster_that_is_not_there(port: int) -> None:
    link = link_to(*parse(f"redis+cluster://127.0.0.1:{port}"))
    with pytest.raises(LinkError, match="nobody listens there"):
        link.connect()
    link.close_now()


def test_a_server_that_is_no_cluster(server: Any) -> None:
    if isinstance(server, Cluster):
        pytest.skip("the shared server is a cluster")
    link = link_to(
        *parse(server.tcp_url.replace("redis://", "redis+cluster://").removesuffix("/0"))
    )
    with pytest.raises((ServerUnfit, AccessDenied), match="not part of a cluster"):
        link.connect()
    link.close_now()


def test_a_lane_that_was_put_back_follows_the_next_redirect(cluster: Cluster, link: Any) -> None:
    """A thread that had asked before another one was redirected may be the last one to say where
    the partition is: it must not stay there.
    """
    lane = link.lane(PREFIXES[0])
    home, wrong = lane.node, next(m.node for m in link.masters() if m.node != lane.node)
    lane.lead_to(link._server(wrong))
    assert lane.execute(b"GET", KEYS[0]) is None
    assert lane.node == home
    assert link.disconnects == 1


def test_a_lane_that_moves_while_it_connects(cluster: Cluster, link: Any) -> None:
    """The connection is remembered as one to the server that it leads to: else each call over it
    would be redirected, for ever.
    """
    lane = link.lane(PREFIXES[0])
    home, other = lane.node, next(m.node for m in link.masters() if m.node != lane.node)
    for master in link.masters():
        master.disconnect_current()
    connect = lane._connect

    def move_meanwhile(connection: Any, limit: float) -> Any:
        lane._connect = connect
        lane.lead_to(link._server(home))
        return connect(connection, limit)

    lane.lead_to(link._server(other))
    lane._connect = move_meanwhile
    assert lane.execute(b"GET", KEYS[0]) is None
    connection = lane.peek()
    assert connection.channel_to(home).node == home
    assert connection.channel_to(other).node == other
    assert link.disconnects == 1
    assert lane.execute(b"GET", KEYS[0]) is None
    assert link.disconnects == 1
