"""Managers whose private server listens where the address says, as in the standard library."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import pickle
import socket
import threading

import pytest

from multihost import AccessDenied, LinkError
from multihost.managers import BaseManager, SyncManager
from multihost.wire.rpc import results
from multihost.wire.rpc.client import HostDied
from tests.hosted.hosted_classes import Our
from tests.support.waiting import PATIENCE

fork = multiprocessing.get_context("fork")
AUTHKEY = b"abracadabra, abracadabra"


@pytest.fixture(params=["port", "path"])
def address(request, tmp_path):
    return ("127.0.0.1", 0) if request.param == "port" else str(tmp_path / "s")


def test_start_and_connect(address):
    with Our(address, AUTHKEY, ctx=fork) as manager:
        where = manager.address
        assert type(where) is type(address)
        if isinstance(where, tuple):
            assert where[0] == "127.0.0.1" and where[1] > 0
        else:
            assert where == address
        other = Our(where, AUTHKEY)
        assert other.address == where
        other.connect()
        with other:
            assert other.Counter(4).add() == 5
            other.dict("shared")["a"] = manager.list([1])
            assert manager.dict("shared")["a"][:] == [1]
        wrong = Our(where, b"sesame, sesame, sesame")
        with pytest.raises(multiprocessing.AuthenticationError) as refused:
            wrong.connect()
        assert isinstance(refused.value, AccessDenied)
        assert "sesame" not in str(refused.value)
    with pytest.raises(ConnectionError):
        Our(where, AUTHKEY).connect()


def use(counter, shared):
    shared["sum"] = counter.add(5)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_proxies_travel_to_children(method):
    with Our(("127.0.0.1", 0), AUTHKEY, ctx=fork) as manager:
        counter, shared = manager.Counter(1), manager.dict()
        assert AUTHKEY not in pickle.dumps((counter, shared))
        child = multiprocessing.get_context(method).Process(target=use, args=(counter, shared))
        child.start()
        child.join(PATIENCE)
        assert shared.copy() == {"sum": 6}


def test_address_in_use(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(OSError) as taken:
            SyncManager(listener.getsockname(), AUTHKEY).start()
        assert taken.value.errno == errno.EADDRINUSE
    path = tmp_path / "s"
    path.touch()
    with pytest.raises(OSError) as taken:
        SyncManager(str(path), AUTHKEY).start()
    assert taken.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("bad", [("host",), ("host", "port"), 5, "", b"/path"])
def test_invalid_addresses(bad):
    with pytest.raises(ValueError, match="an address is a URL"):
        BaseManager(bad)


def test_get_server_listens_immediately_and_can_stop():
    manager = Our(("127.0.0.1", 0), AUTHKEY)
    server = manager.get_server()
    assert server.address[1] > 0
    assert manager.address == ("127.0.0.1", 0)
    server.listener.close()
    with pytest.raises(LinkError):
        Our(server.address, AUTHKEY).connect()
    assert manager.runtime.state == "initial"


def test_serve_forever_ends_when_asked(url):
    ended = []

    def serve():
        try:
            server.serve_forever()
        except SystemExit as end:
            ended.append(end.code)

    server = Our(url).get_server()
    thread = threading.Thread(target=serve)
    thread.start()
    client = Our(url)
    client.connect()
    with client:
        counter = client.Counter()
        assert counter.pid() == os.getpid()
        host = client._host
        with contextlib.suppress(HostDied):  # perhaps before it has answered
            results.request(client.runtime.session, host, "shutdown")
        thread.join(PATIENCE)
    assert ended == [0]


def test_states():
    manager = Our(ctx=fork)
    with pytest.raises(AssertionError, match="server not yet started"):
        manager.Counter()
    with manager:
        for again in (manager.start, manager.connect, manager.get_server):
            with pytest.raises(multiprocessing.ProcessError, match="Already started server"):
                again()
    for again in (manager.start, manager.get_server, manager.__enter__):
        with pytest.raises(multiprocessing.ProcessError, match="Manager has shut down"):
            again()


@pytest.mark.parametrize("serializer", ["xmlrpclib", "json"])
def test_other_serializers(serializer):
    with Our(serializer=serializer, ctx=fork) as manager:
        counter = manager.Counter()
        assert counter.add(3) == 3
        assert counter.echo([1, "a", None]) == [[[1, "a", None]], {}]
        with pytest.raises(KeyError, match="missing"):
            counter.missing()
        with pytest.raises(multiprocessing.managers.RemoteError, match="because"):
            counter.refuse(1)
        with pytest.raises(TypeError):
            counter.echo(os)
        assert counter.child().add() == 5
    with pytest.raises(KeyError):
        Our(serializer="yaml")


def test_register_copies_the_registry():
    class One(BaseManager):
        pass

    class Two(One):
        pass

    One.register("A", dict)
    Two.register("B", list)
    One.register("C", dict)
    assert (sorted(One._registry), sorted(Two._registry)) == (["A", "C"], ["A", "B"])
    assert not BaseManager._registry
    assert One.A.__name__ == "A"
    with pytest.raises(AssertionError, match="1 is not a string"):
        One.register("D", dict, method_to_typeid={"x": 1})
    One.register("E", dict, create_method=False)
    assert not hasattr(One, "E")
