"""Counting proxies of unnamed objects: which objects are renewed, deleted, released."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest

from multihost.errors import LinkLost
from multihost.wire.collect.objects import PER_CALL
from multihost.wire.keys import Keys
from multihost.wire.session import references as module
from multihost.wire.session.gifts import ObjectReference
from multihost.wire.session.references import References
from tests.support.one_server import OneServer

LEASE_MS = b"30000"


def keys_of(name: str) -> Keys:
    return Keys("ns", f"u:{name}")


class Server(OneServer):
    """Objects and what they contain, by the key of their data; a link that counts requests."""

    def __init__(self) -> None:
        self.objects: dict[bytes, list[bytes]] = {}
        self.renewed: list[set[bytes]] = []
        self.dropped: list[bytes] = []
        self.requests = 0
        self.is_away = False
        self.scripts = {module._renew.sha: self._renew, module._drop.sha: self._drop}

    node = None

    def lane(self, _: bytes) -> Server:
        return self

    def add(self, *names: str, contains: str = "") -> None:
        for name in names:
            self.objects[keys_of(name).data] = [f"u:{contains}".encode()] if contains else []

    def _renew(self, *keys: bytes) -> list[bytes]:
        self.renewed.append(set(keys))
        return [ident for key in keys for ident in self.objects.get(key, [])]

    def _drop(self, *keys: bytes) -> list[bytes]:
        self.dropped += keys
        return [ident for key in keys for ident in self.objects.pop(key, [])]

    # As a link.

    def execute_raw(self, name: bytes, sha: bytes, count: bytes, *args: bytes) -> Any:
        assert name == b"EVALSHA"
        self._request()
        return self.scripts[sha](*args[: int(count)])

    def _request(self) -> None:
        if self.is_away:
            raise LinkLost
        self.requests += 1


class Counters:
    """References, with a server, and what they asked of the background thread."""

    def __init__(self, server: Server) -> None:
        self.started = self.woken = 0
        self.forgotten: list[tuple[str, bool]] = []
        self.references = References(
            server,  # type: ignore[arg-type]
            "ns",
            LEASE_MS,
            self._start,
            self._wake,
            lambda *forgotten: self.forgotten.append(forgotten),
            lambda _: False,
        )

    def _start(self) -> None:
        self.started += 1

    def _wake(self) -> None:
        self.woken += 1

    def create(self, name: str, proxies: int = 1) -> Keys:
        keys = keys_of(name)
        self.references.add_created(keys)
        for _ in range(proxies):
            self.references.incref(keys)
        return keys

    def collect(self, *names: str) -> None:
        """Collect a proxy of each, as the garbage collector and the background thread do."""
        for name in names:
            self.references.decref(f"u:{name}")
        while self.references.has_collected:
            self.references.release_collected()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture(autouse=True)
def let_go(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, set[str]]]:
    """The objects that were let go of, how often they were given, and of whom."""
    noted: list[tuple[str, int, set[str]]] = []

    def note(_: Any, giver: str, forks: int, references: list[ObjectReference]) -> None:
        for each in references:
            owed = {gift.partition(".")[0] for gift in each.owed}
            noted.append((each.keys.ident, each.given(forks), owed))

    monkeypatch.setattr(module, "let_go", note)
    return noted


@pytest.fixture
def counters(server: Server) -> Counters:
    return Counters(server)


def test_last_proxy_deletes_what_no_other_process_can_know(
    counters: Counters, server: Server
) -> None:
    keys = counters.create("x", proxies=2)
    counters.collect("x")
    assert server.dropped == []
    assert keys.ident in counters.references
    counters.collect("x")
    assert server.dropped == [keys.data]
    assert keys.ident not in counters.references
    assert counters.references.end(deep=True) == ([], [])


def test_whoever_remembers_something_of_an_object_hears_that_no_proxy_is_left(
    counters: Counters,
) -> None:
    counters.create("ours", proxies=2)
    counters.create("given")
    counters.references.mark_shared("u:given")
    counters.collect("ours")
    assert counters.forgotten == []
    counters.collect("ours", "given")
    assert counters.forgotten == [("u:ours", True), ("u:given", False)]
    counters.create("back")
    counters.references.forget_unused(["u:given", "u:back"])
    assert counters.forgotten[2:] == [("u:given", False)]


def test_first_proxy_starts_the_thread_and_a_collected_one_wakes_it(counters: Counters) -> None:
    keys = keys_of("x")
    counters.references.add_created(keys)
    assert counters.started == 0
    counters.references.incref(keys)
    assert counters.started == 1
    assert counters.woken == 0
    counters.references.decref(keys.ident)
    assert counters.woken == 1
    assert keys.ident in counters.references, "the thread counts"


def test_decref_waits_for_no_lock(counters: Counters) -> None:
    keys = counters.create("x")
    with counters.references._lock:  # as in a finalizer that runs within incref
        counters.references.decref(keys.ident)


def test_shared_object_is_left_to_expire(counters: Counters, server: Server) -> None:
    counters.create("x")
    counters.references.mark_shared("u:x")
    counters.collect("x")
    assert server.dropped == []
    assert "u:x" not in counters.references
    assert not counters.references.renew()


def test_object_of_another_process_is_not_deleted(counters: Counters, server: Server) -> None:
    counters.references.incref(keys_of("x"))
    assert counters.references.renew()
    counters.collect("x")
    assert server.dropped == []
    assert counters.references.end(deep=True) == ([], [])


def test_unknown_idents_are_ignored(counters: Counters, server: Server) -> None:
    counters.references.mark_shared("u:none")
    counters.collect("none")
    assert server.requests == 0


def test_few_proxies_are_released_at_a_time(counters: Counters, server: Server) -> None:
    names = [f"x{number}" for number in range(module.RELEASED_PER_TURN + 10)]
    for name in names:
        counters.create(name)
        counters.references.decref(f"u:{name}")
    counters.references.release_collected()
    assert len(server.dropped) == module.RELEASED_PER_TURN
    assert counters.references.has_collected
    counters.references.release_collected()
    assert len(server.dropped) == len(names)
    assert not counters.references.has_collected


# -- hosts


class Releases:
    def __init__(self) -> None:
        self.calls: list[list[tuple[str, int]]] = []

    def release(self, references: Sequence[tuple[str, int]]) -> None:
        self.calls.append(list(references))


def test_last_proxy_releases_the_newest_version_at_the_host(
    counters: Counters, server: Server
) -> None:
    host = Releases()
    for version in (3, 5, 4):
        counters.references.add_remote(keys_of("x"), version, host.release)
        counters.references.incref(keys_of("x"))
    counters.collect("x", "x")
    assert host.calls == []
    counters.collect("x")
    assert host.calls == [[("u:x", 5)]]
    assert server.dropped == []


def test_references_to_one_host_are_released_together(counters: Counters) -> None:
    one, other = Releases(), Releases()
    for name, host in (("a", one), ("b", other), ("c", one)):
        counters.references.add_remote(keys_of(name), 1, host.release)
        counters.references.incref(keys_of(name))
        counters.references.decref(f"u:{name}")
    counters.references.release_collected()
    assert one.calls == [[("u:a", 1), ("u:c", 1)]]
    assert other.calls == [[("u:b", 1)]]


def test_reference_that_never_got_a_proxy_is_released_in_the_end(counters: Counters) -> None:
    host = Releases()
    counters.references.add_remote(keys_of("x"), 1, host.release)
    counters.references.drop(counters.references.end(deep=False).removed)
    assert host.calls == [[("u:x", 1)]]


# -- renewals


def test_renewal_follows_what_objects_contain(counters: Counters, server: Server) -> None:
    server.add("a", contains="b")
    server.add("b", contains="c")
    server.add("c", contains="a")
    counters.create("a")
    assert counters.references.renew()
    assert server.renewed == [{keys_of(name).data} for name in "abc"], "each once, though in a ring"


def test_renewal_takes_few_requests(counters: Counters, server: Server) -> None:
    for number in range(10_000):
        counters.create(str(number))
    assert counters.references.renew()
    assert sum(map(len, server.renewed)) == 10_000
    assert max(map(len, server.renewed)) <= PER_CALL
    assert server.requests <= 2 * 64, "of at most so many objects of one of 64 partitions"


def test_renewal_without_objects_sends_nothing(counters: Counters, server: Server) -> None:
    assert not counters.references.renew()
    assert server.requests == 0


# -- what came from elsewhere, and what goes there


def test_what_was_fetched_is_renewed_soon(counters: Counters, server: Server) -> None:
    """Whoever sent it may not hold it any more."""
    counters.create("own")
    assert counters.references.due == math.inf
    before = time.monotonic()
    for name in ("a", "b", "a"):
        counters.references.incref(keys_of(name))
    assert before < counters.references.due <= time.monotonic() + module.GATHERED
    assert counters.woken == 1, "once for all that are gathered"
    counters.references.renew_fetched()
    assert set().union(*server.renewed) == {keys_of("a").data, keys_of("b").data}
    assert counters.references.due == math.inf


def test_what_could_not_be_renewed_is_tried_again(counters: Counters, server: Server) -> None:
    counters.references.incref(keys_of("a"))
    server.is_away = True
    with pytest.raises(LinkLost):
        counters.references.renew_fetched()
    server.is_away = False
    counters.references.renew_fetched()
    assert server.renewed == [{keys_of("a").data}]


def test_what_was_fetched_and_forgotten_is_not_renewed(counters: Counters, server: Server) -> None:
    counters.references.incref(keys_of("a"))
    counters.collect("a")
    counters.references.renew_fetched()
    assert server.requests == 0


def test_what_is_sent_begins_a_lease(
    counters: Counters, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("a", contains="b")
    server.add("b")
    counters.create("new")
    counters.references.send("u:new")
    assert server.requests == 0, "it was made just now"
    counters.references.incref(keys_of("a"))
    counters.references.send("u:a")
    assert server.renewed == [{keys_of("a").data}, {keys_of("b").data}], "and what it contains"
    counters.references.send("u:a")
    assert len(server.renewed) == 2
    monkeypatch.setattr(module, "FRESH", 0.0)
    counters.references.send("u:a")
    assert len(server.renewed) == 4


def test_what_is_sent_without_a_server_is_renewed_by_the_thread(
    counters: Counters, server: Server
) -> None:
    counters.references.incref(keys_of("a"))
    server.is_away = True
    counters.references.send("u:a")
    assert counters.references.due == 0.0
    server.is_away = False
    counters.references.renew_fetched()
    assert server.renewed == [{keys_of("a").data}]


# -- the end


def test_close_deletes_what_it_made_with_what_it_made_inside(
    counters: Counters, server: Server
) -> None:
    references = counters.references
    outer, inner = Keys("ns", references.new_ident()), Keys("ns", references.new_ident())
    server.objects = {
        outer.data: [inner.ident.encode(), b"u:theirs"],
        inner.data: [outer.ident.encode()],
        keys_of("theirs").data: [],
    }
    references.add_created(outer)
    references.drop(references.end(deep=True).removed, deep=True)
    assert set(server.objects) == {keys_of("theirs").data}


def test_what_is_given_away_takes_no_memory(counters: Counters, server: Server) -> None:
    """A producer makes objects, and puts them into a queue, for ever."""
    for number in range(100):
        counters.create(str(number))
        counters.references.mark_shared(f"u:{number}")
        counters.collect(str(number))
    assert counters.references.end(deep=True) == ([], [])
    kept = [each for each in vars(counters.references).values() if isinstance(each, (dict, deque))]
    assert sum(map(len, kept)) == 0


def test_close_takes_all_created_objects_and_exit_only_exclusive_ones(server: Server) -> None:
    for at_exit in (False, True):
        counters = Counters(server)
        counters.create("exclusive")
        counters.create("shared")
        counters.create("shared and collected")
        counters.references.incref(keys_of("of another process"))
        counters.references.mark_shared("u:shared")
        counters.references.mark_shared("u:shared and collected")
        counters.collect("shared and collected")
        references = counters.references
        ended = references.end(deep=not at_exit)
        expected = {"exclusive"} if at_exit else {"exclusive", "shared"}
        assert {each.keys.ident for each in ended.removed} == {f"u:{name}" for name in expected}
        assert "u:exclusive" not in references
        assert references.end(deep=True) == ([], [])


# -- forks


def test_parent_deletes_nothing_that_a_forked_child_may_have(
    counters: Counters, server: Server, let_go: list[Any]
) -> None:
    before = counters.create("before")
    counters.references.before_fork()
    counters.references.after_fork_in_parent()
    after = counters.create("after")
    counters.collect("before", "after")
    assert server.dropped == [after.data]
    assert before.ident not in counters.references
    assert let_go == [(before.ident, 1, set())]


def test_forked_child_renews_and_deletes_nothing_of_its_parent(
    counters: Counters, server: Server, let_go: list[Any]
) -> None:
    inherited = counters.create("inherited", proxies=2)
    parent = counters.references.maker[2:]
    counters.create("sent")
    counters.references.mark_shared("u:sent")
    counters.references.decref(inherited.ident)  # before the fork: in both processes
    counters.references.before_fork()
    counters.references.after_fork_in_child()
    assert counters.references.has_collected
    counters.references.release_collected()
    assert counters.references.renew()
    assert set.union(*server.renewed) == {inherited.data, keys_of("sent").data}
    own = counters.create("own")
    counters.collect("inherited", "own", "sent")
    assert server.dropped == [own.data]
    assert let_go == [(inherited.ident, 0, {parent})]  # who has the other one is not known
    assert counters.references.end(deep=True) == ([], [])
    assert not counters.references.renew()


def test_what_is_given_to_a_process_that_starts_is_counted(
    counters: Counters, let_go: list[Any]
) -> None:
    references = counters.references
    keys = counters.create("given")
    gifts = [references.give(keys.ident) for _ in range(2)]
    assert len({*gifts}) == 2
    child = Counters(Server()).references
    child.incref(keys)
    for _ in range(2):
        child.receive(keys.ident, str(gifts[0]))  # out of one pickle, read twice
    assert child.give(keys.ident) is not None
    child.decref(keys.ident)
    child.release_collected()
    counters.collect("given")
    giver = references.maker[2:]
    assert let_go == [(keys.ident, 1, {giver}), (keys.ident, 2, set())]


def test_who_is_not_counted_gives_uncounted(counters: Counters, let_go: list[Any]) -> None:
    references = counters.references
    references.incref(keys_of("theirs"))
    counters.create("sent")
    references.mark_shared("u:sent")
    assert references.give("u:theirs") is references.give("u:sent") is None
    assert references.give("u:nobody's") is None
    counters.collect("theirs", "sent")
    assert let_go == []


def test_no_thread_changes_a_count_during_a_fork(counters: Counters) -> None:
    keys = counters.create("x")
    counters.references.before_fork()
    thread = threading.Thread(target=counters.references.incref, args=(keys,))
    thread.start()
    assert counters.started == 1
    counters.references.after_fork_in_parent()
    thread.join()
    assert counters.started == 2
