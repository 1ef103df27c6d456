"""Every way to a server: URLs, clients, the environment, and the private one."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis

from multihost import AccessDenied, Executor, LinkError, MultihostError, RedisManager, SyncManager
from multihost.pool import Pool
from tests.support.faults import CuttingProxy
from tests.support.procs import send_signal
from tests.support.raw import Endpoint, RawClient
from tests.support.server import Server
from tests.support.tls import TlsProxy


def works(manager: Any) -> None:
    """A call of each kind: one command, a script, a snapshot, a transaction, a long value."""
    with manager:
        d, l = manager.dict("d", {1: "a"}), manager.list([3, 1, 2])
        assert d[1] == "a"
        assert d.increment("n", 5) == 5
        assert d.copy() == {1: "a", "n": 5}
        l.sort()
        l.extend(["x" * 300_000, b"\xff\x00"])
        assert l.copy() == [1, 2, 3, "x" * 300_000, b"\xff\x00"]
        assert manager.names() == ["d"]
        assert d.statistics().length == 2
        with pytest.raises(KeyError):
            d["none"]
        assert manager.delete("d")
        assert not manager.delete("d")


# -- URLs


def test_unix_socket(fresh_server: Server) -> None:
    manager = RedisManager(fresh_server.unix_url)
    assert manager.address == f"unix://{fresh_server.socket}"
    works(manager)


def test_tcp(fresh_server: Server) -> None:
    manager = RedisManager(fresh_server.tcp_url)
    assert manager.address == f"redis://127.0.0.1:{fresh_server.port}/0"
    works(manager)


def test_localhost_by_name(fresh_server: Server) -> None:
    works(RedisManager(fresh_server.tcp_url.replace("127.0.0.1", "localhost")))


def test_tls(tls_proxy: TlsProxy) -> None:
    manager = RedisManager(tls_proxy.url)
    assert (manager.address or "").startswith("rediss://127.0.0.1:")
    works(manager)


def test_tls_with_a_client_certificate(server: Any) -> None:
    with TlsProxy(server, client_auth=True) as tls:
        works(RedisManager(tls.url))


def test_tls_paths_may_contain_anything(tls_proxy: TlsProxy, tmp_path: Any) -> None:
    odd = tmp_path / "my & own + ca.pem"
    odd.write_bytes(Path(tls_proxy.ca_file).read_bytes())
    endpoint = Endpoint.parse(tls_proxy.url)
    from dataclasses import replace

    url = replace(endpoint, options=(("ssl_ca_certs", str(odd)),)).url
    works(RedisManager(url))


def test_untrusted_certificate_is_refused(tls_proxy: TlsProxy, server: Any) -> None:
    with pytest.raises(LinkError, match="(?i)certificate"):
        RedisManager(tls_proxy.bare_url)
    with TlsProxy(server) as other:
        url = tls_proxy.url.replace(
            tls_proxy.ca_file.replace("/", "%2F"), other.ca_file.replace("/", "%2F")
        )
        assert url != tls_proxy.url
        with pytest.raises(LinkError, match="(?i)certificate"):
            RedisManager(url)


def test_tls_to_a_server_without_tls(fresh_server: Server) -> None:
    with pytest.raises(LinkError, match="cannot reach"):
        RedisManager(fresh_server.tcp_url.replace("redis://", "rediss://"), timeout=1)


def test_options_of_the_client_library_on_plain_urls(fresh_server: Server) -> None:
    works(RedisManager(fresh_server.tcp_url + "?protocol=2"))
    works(RedisManager(fresh_server.unix_url + "?protocol=2"))
    works(RedisManager(fresh_server.unix_url + "?db=1&protocol=2"))


def test_unknown_option(fresh_server: Server) -> None:
    with pytest.raises(ValueError, match="it does not exist; known are "):
        RedisManager(fresh_server.tcp_url + "?colour=red")


def test_user_and_password(fresh_server: Server) -> None:
    fresh_server.command("ACL", "SETUSER", "bob", "on", ">p@/:?#w é", "~*", "+@all")
    for tcp in (False, True):
        url = fresh_server.url_for("bob", "p@/:?#w é", tcp=tcp)
        works(RedisManager(url))
        assert any(row["user"] == "bob" for row in _clients_of(fresh_server, url))
    plain = Endpoint.parse(fresh_server.tcp_url)
    as_options = (
        f"redis://{plain.host}:{plain.port}/0?username=bob&password=p%40%2F%3A%3F%23w%20%C3%A9"
    )
    works(RedisManager(as_options))


def _clients_of(server: Server, url: str) -> list[dict[str, str]]:
    with RedisManager(url):
        return server.clients()


def test_password_alone_is_that_of_the_default_user(fresh_server: Server) -> None:
    fresh_server.command("ACL", "SETUSER", "default", "resetpass", ">hush")
    works(RedisManager(f"redis://:hush@127.0.0.1:{fresh_server.port}"))
    with pytest.raises(AccessDenied):
        RedisManager(f"redis://127.0.0.1:{fresh_server.port}")


def test_databases_are_separate(fresh_server: Server) -> None:
    urls = [fresh_server.url_for(db=0), fresh_server.url_for(db=3, tcp=True)]
    urls.append(urls[0] + "?db=5")
    managers = [RedisManager(url) for url in urls]
    try:
        for number, manager in enumerate(managers):
            manager.dict("d", n=number)
        assert [manager.dict("d")["n"] for manager in managers] == [0, 1, 2]
        assert fresh_server.databases() == [0, 3, 5]
        assert (managers[2].address or "").endswith("?db=5")
    finally:
        for manager in managers:
            manager.shutdown()


def test_namespaces_are_separate(fresh_server: Server) -> None:
    with (
        RedisManager(fresh_server.url, namespace="a") as a,
        RedisManager(fresh_server.url, namespace="b") as b,
    ):
        a.dict("d", n=1)
        b.dict("d", n=2)
        assert (a.dict("d")["n"], b.dict("d")["n"]) == (1, 2)
        assert a.delete("d")
        assert b.names() == ["d"]
        b.delete("d")


# -- clients


CLIENTS: dict[str, Callable[[Server], redis.Redis]] = {
    "tcp": lambda s: redis.Redis.from_url(s.tcp_url),
    "unix": lambda s: redis.Redis.from_url(s.unix_url),
    "decoding": lambda s: redis.Redis.from_url(s.tcp_url, decode_responses=True),
    "RESP2": lambda s: redis.Redis.from_url(s.tcp_url, protocol=2),
    "RESP2 decoding": lambda s: redis.Redis.from_url(
        s.unix_url, protocol=2, decode_responses=True, encoding="latin-1"
    ),
    "RESP3": lambda s: redis.Redis.from_url(s.tcp_url, protocol=3),
    "impatient": lambda s: redis.Redis.from_url(s.tcp_url, socket_timeout=0.001),
    "database": lambda s: redis.Redis.from_url(s.url_for(db=2)),
    "blocking pool": lambda s: redis.Redis(
        connection_pool=redis.BlockingConnectionPool.from_url(s.tcp_url, max_connections=1)
    ),
    "checking": lambda s: redis.Redis.from_url(s.tcp_url, health_check_interval=1),
    "single connection": lambda s: redis.Redis.from_url(s.tcp_url, single_connection_client=True),
}


@pytest.mark.parametrize("kind", CLIENTS)
def test_redis_client_as_argument(kind: str, fresh_server: Server) -> None:
    client = CLIENTS[kind](fresh_server)
    works(RedisManager(client=client))
    if (
        kind == "impatient"
    ):  # the client itself may time out on a busy machine: it has a millisecond
        client.connection_pool.connection_kwargs["socket_timeout"] = 5.0
        client.connection_pool.disconnect()
    assert client.ping(), "and it still works"
    manager = RedisManager(client=client)
    client.close()
    works(manager)


def test_redis_client_with_tls(tls_proxy: TlsProxy) -> None:
    client = redis.Redis.from_url(tls_proxy.url)
    manager = RedisManager(client=client)
    assert (manager.address or "").startswith("rediss://127.0.0.1:")
    works(manager)
    client.close()


def test_redis_client_of_another_user(fresh_server: Server) -> None:
    fresh_server.command("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all")
    client = redis.Redis.from_url(fresh_server.url_for("bob", "pw"))
    manager = RedisManager(client=client)
    assert {row["user"] for row in fresh_server.clients()} == {"bob"}
    works(manager)
    wrong = redis.Redis.from_url(fresh_server.url_for("bob", "wr0ng"))
    with pytest.raises(AccessDenied) as caught:
        RedisManager(client=wrong)
    assert "wr0ng" not in str(caught.value)
    client.close()
    wrong.close()


def test_asyncio_client_is_refused() -> None:
    with pytest.raises(TypeError, match="asyncio"):
        RedisManager(client=redis.asyncio.Redis(host="127.0.0.1"))


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"db": 2}, {"protocol": 2}])
def test_fakeredis(options: dict[str, Any]) -> None:
    client = fakeredis.FakeRedis(**options)
    works(RedisManager(client=client))
    client.close()


def test_fakes_of_one_server_share_objects() -> None:
    shared = fakeredis.FakeServer()
    one, two, other = (
        fakeredis.FakeRedis(server=server) for server in (shared, shared, fakeredis.FakeServer())
    )
    with (
        RedisManager(client=one) as a,
        RedisManager(client=two) as b,
        RedisManager(client=other) as c,
    ):
        a.dict("d", n=1)
        assert b.names() == ["d"]
        assert c.names() == []
    for client in (one, two, other):
        client.close()


def test_client_and_url_together_raise(server: Any) -> None:
    client = redis.Redis.from_url(server.url)
    with pytest.raises(TypeError, match="not both"):
        RedisManager(server.url, client=client)
    client.close()


@pytest.mark.parametrize("thing", [3, "redis://localhost", object(), RawClient])
def test_invalid_clients_raise(thing: object) -> None:
    with pytest.raises(TypeError, match="client="):
        RedisManager(client=thing)


# -- the environment


def test_url_in_the_environment(fresh_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIHOST_URL", fresh_server.tcp_url)
    manager = RedisManager()
    assert manager.address == f"redis://127.0.0.1:{fresh_server.port}/0"
    works(manager)
    with RedisManager(fresh_server.url) as named:
        assert (named.address or "").startswith("unix://"), "an argument goes first"


WITHOUT_ADDRESS: dict[str, Callable[[], Any]] = {
    "RedisManager": RedisManager,
    "RedisManager with options": lambda: RedisManager(
        None, namespace="other", authkey=b"a key of the tests"
    ),
    "Pool": lambda: Pool(1, name="render"),
    "Executor": lambda: Executor(1, name="render"),
}


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("kind", WITHOUT_ADDRESS)
def test_who_is_to_meet_others_needs_an_address(
    kind: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two programs would each have a server, and both hold the lock."""
    if value is not None:
        monkeypatch.setenv("MULTIHOST_URL", value)
    with pytest.raises(ValueError, match="no server") as caught:
        WITHOUT_ADDRESS[kind]()
    for part in ("MULTIHOST_URL", "redis://host:6379/0", "Manager()", "embedded://"):
        assert part in str(caught.value)
    assert not isinstance(caught.value, MultihostError)


@pytest.mark.parametrize("how", ["argument", "environment", "SyncManager"])
def test_private_server_by_its_url(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manager: Any
    if how == "SyncManager":
        manager = SyncManager("embedded://")
        with pytest.raises(ValueError, match="needs the address"):
            manager.connect()
        manager.start()
    elif how == "argument":
        monkeypatch.setenv("MULTIHOST_URL", "redis://localhost:1")
        manager = RedisManager("embedded://")
    else:
        monkeypatch.setenv("MULTIHOST_URL", "embedded://")
        manager = RedisManager()
    assert "multihost=embedded" in (manager.address or "")
    pid = manager.runtime.embedded.pid
    if how == "SyncManager":
        manager.shutdown()
    else:
        works(manager)
    assert not send_signal(pid, 0), "not even a zombie"


def test_proxies_of_a_private_server_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIHOST_URL", "embedded://")
    with RedisManager() as manager:
        shared = manager.dict("d")
        child = get_context("spawn").Process(target=shared.update, args=({"a": 1},))
        child.start()
        child.join()
        assert shared.copy() == {"a": 1}


@pytest.mark.parametrize("url", ["embedded:", "embedded://host", "embedded:///path"])
def test_a_private_server_has_nothing_to_name(url: str) -> None:
    with pytest.raises(ValueError, match="embedded:// stands for a private server"):
        RedisManager(url)


def test_invalid_url_in_the_environment(
    fresh_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisManager(fresh_server.tcp_url) as manager:
        pickled = pickle.dumps(manager.dict("d"))
        manager.delete("d")
    monkeypatch.setenv("MULTIHOST_URL", "http://:hush@somewhere")
    calls: list[Callable[[], Any]] = [
        RedisManager,
        lambda: Pool(1, name="render"),
        lambda: Pool(1),
        lambda: Executor(1),
        lambda: pickle.loads(pickled),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="^MULTIHOST_URL: .*use redis://") as caught:
            call()
        assert "hush" not in str(caught.value)


# -- one connection for each thread


def test_manager_opens_one_connection(fresh_server: Server) -> None:
    with CuttingProxy(fresh_server.tcp_url) as proxy, RedisManager(proxy.url) as manager:
        d = manager.dict(n=1)
        d.update(m=2)
        assert proxy.accepted == 1
        thread = threading.Thread(target=lambda: d.update(o=3))
        thread.start()
        thread.join()
        assert proxy.accepted == 2
        assert {row["name"] for row in fresh_server.clients()} == {"multihost"}


@pytest.fixture(autouse=True)
def _no_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MULTIHOST_URL", raising=False)
    yield
