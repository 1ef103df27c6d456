"""Managers of each kind, for the whole session, and the comparison of what a body does on them."""

from __future__ import annotations

import multiprocessing

import pytest

from multihost import Manager, RedisManager
from tests.parity.reference import ReferenceManager
from tests.parity.transcript import compare, write
from tests.support.sessions import forget_records
from tests.support.waiting import wait_until

# Longer than the tests run: the thread that renews leases needs no connection meanwhile.
LEASE = 3600.0


@pytest.fixture(scope="session")
def reference():
    """The standard library's."""
    with ReferenceManager(ctx=multiprocessing.get_context("fork")) as manager:
        yield manager


@pytest.fixture(scope="session")
def embedded(reference):  # forked before this process has threads
    """Ours, with a private server."""
    manager = Manager()
    with manager:
        manager.keeps_thread = manager.list()
        yield manager


@pytest.fixture(scope="session")
def redis(reference, server):
    """Ours, on the server of the tests."""
    manager = RedisManager(server.url, lease=LEASE)
    with manager:
        manager.keeps_thread = manager.list()
        manager.list()  # dropped at once: now the thread has its connection, too
        wait_until(lambda: [client["name"] for client in server.clients()].count("multihost") >= 2)
        yield manager


@pytest.fixture(scope="session", autouse=True)
def managers(embedded, redis):
    """Started before the first test looks for leaks."""
    return {"embedded": embedded, "redis": redis}


@pytest.fixture(params=["embedded", "redis"])
def ours(request, managers):
    manager = managers[request.param]
    # The server was emptied after the last test, also of what says that this process lives.
    forget_records(manager.runtime.session)
    return manager


@pytest.fixture(scope="session")
def expected(reference):
    """What a body does on the standard library's manager; asked once."""
    known = {}

    def get(body):
        if body not in known:
            known[body] = write(body, reference)
        return known[body]

    return get


@pytest.fixture
def same(expected, ours):
    """Run a body on both; every call has the same result or raises the same."""

    def check(body):
        found = compare(expected(body), write(body, ours))
        assert not found, f"{len(found)} calls differ:\n" + "\n".join(found[:20])

    return check
