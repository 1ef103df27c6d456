"""No request has keys of two partitions, and each is sent to the server of its keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from multihost import RedisManager
from multihost.inspection import Monitor, delete, find, find_garbage, objects, opened, remove
from multihost.wire.script import source
from tests.cli.garbage_samples import SAMPLES
from tests.faults import sync, test_exactly_once_queue
from tests.faults.cases import CASES
from tests.scripts.test_declared_keys import (
    collect_much,
    hold_and_let_go,
    hold_much,
    host_objects,
    play,
    run,
    settle,
    use_pools,
    use_queues,
    wait_for_the_dead,
)
from tests.support.partitioned import Audit, partitioned
from tests.support.server import Server


@pytest.fixture
def own_server(start_server: Callable[..., Server]) -> Server:
    return start_server()


def test_no_request_has_keys_of_two_partitions(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = own_server.url
    with partitioned(monkeypatch) as audit:
        for case in CASES:
            run(case, url)
            own_server.command("FLUSHALL")
        for each in sync.CASES:
            play(each, url, own_server)
            own_server.command("FLUSHALL")
        for queue_case in test_exactly_once_queue.CASES.values():
            test_exactly_once_queue.run(queue_case, url, own_server, None)
            own_server.command("FLUSHALL")
        use_queues(own_server, url, audit.seen)
        own_server.command("FLUSHALL")
        use_pools(url)
        hold_and_let_go(own_server, url)
        hold_much(own_server, url)
        collect_much(url)
        settle(url)
        wait_for_the_dead(own_server, url)
        host_objects(own_server, url)
        own_server.command("FLUSHALL")
        inspect(own_server, url)
        assert not audit.wrong
        # One goes with a WATCH of its key, one is for a full server, one for who is taken for dead.
        unseen = set(source.all_names()) - audit.seen
        assert unseen <= {"list/permute", "server/transaction", "session/bury"}, unseen


def inspect(server: Server, url: str) -> None:
    """What the command line does."""
    with RedisManager(url) as manager:
        for kind in SAMPLES.values():
            for leave in kind:
                leave(server, manager)
        manager.dict("d", x=manager.list([1]))
        lock = manager.Lock("l")
        lock.acquire()
        manager.names()
        with opened(url) as session:
            assert list(objects(session, memory=True))
            assert find(session, "l") is not None
            assert Monitor(session).look().objects
            list(remove(session, find_garbage(session)))
            assert delete(session, "d")
        lock.release()


def test_this_would_be_noticed(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with partitioned(monkeypatch) as audit, RedisManager(own_server.url) as manager:
        link = manager.runtime.session.link
        one, other = b"{n:01}:x", b"{n:02}:x"
        lane = link.lane(b"{n:01}:")
        requests: list[Callable[[], object]] = [
            lambda: link.execute(b"UNLINK", one, other),
            lambda: link.pipeline([(b"MULTI",), (b"GET", one), (b"EXEC",)]),
            lambda: lane.pipeline([(b"MULTI",), (b"GET", one), (b"GET", other), (b"EXEC",)]),
            lambda: lane.execute(b"GET", other),
            lambda: link.execute(b"TIME"),
        ]
        for number, request in enumerate(requests):
            with pytest.raises(AssertionError):
                request()
            assert len(audit.wrong) == number + 1
        _allowed(audit, lane, link, one, other)


def _allowed(audit: Audit, lane: object, link: object, one: bytes, other: bytes) -> None:
    before = len(audit.wrong)
    lane.execute(b"GET", one)  # type: ignore[attr-defined]
    link.pipeline([(b"GET", one), (b"GET", other)])  # type: ignore[attr-defined]
    link.masters()[0].execute(b"TIME")  # type: ignore[attr-defined]
    assert len(audit.wrong) == before
