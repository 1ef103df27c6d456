"""A client of the master that Sentinels watch: its proxies find the same master anywhere."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any

import pytest
import redis
import redis.sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from multihost import LinkError, RedisManager
from multihost.wire.address import Address, parse, parse_address
from multihost.wire.link.sentinel import sentinels
from tests.cli.test_program import program
from tests.manager.test_addresses import works
from tests.support.ports import closed_address
from tests.support.procs import spawn_script
from tests.support.sentinel import SERVICE, Sentinel
from tests.support.server import Server
from tests.support.waiting import PATIENCE

PASSWORD, SENTINEL_PASSWORD = "pa55w0rd", "s3ntin3l"


@pytest.fixture(scope="module")
def master() -> Iterator[Server]:
    with Server(tcp=True, password=PASSWORD) as own:
        yield own


@pytest.fixture(scope="module")
def sentinel(master: Server) -> Iterator[Sentinel]:
    with Sentinel(master, password=SENTINEL_PASSWORD) as own:
        yield own


def client_of(*hosts: tuple[str, int], **options: Any) -> redis.Redis:
    how = {"password": SENTINEL_PASSWORD, "socket_timeout": 30, "retry": Retry(NoBackoff(), 0)}
    asked = redis.sentinel.Sentinel(list(hosts), sentinel_kwargs=how)
    return asked.master_for(SERVICE, password=PASSWORD, **options)


def url_of(sentinel: Sentinel, more: str = "") -> str:
    return (
        f"redis+sentinel://:{PASSWORD}@127.0.0.1:{sentinel.port}/{SERVICE}{more}"
        f"?sentinel_password={SENTINEL_PASSWORD}"
    )


@pytest.fixture
def manager(sentinel: Sentinel) -> Iterator[RedisManager]:
    with (
        closed_address() as gone,
        RedisManager(client=client_of(gone, sentinel.host)) as own,
    ):
        yield own


def test_all_calls(sentinel: Sentinel) -> None:
    works(RedisManager(client=client_of(sentinel.host)))
    works(RedisManager(client=client_of(sentinel.host, protocol=2, db=3)))


def test_a_url(sentinel: Sentinel, master: Server) -> None:
    works(RedisManager(url_of(sentinel)))
    works(RedisManager(url_of(sentinel, "/3")))
    works(RedisManager(url_of(sentinel) + "&socket_keepalive=1"))
    with RedisManager(url_of(sentinel)) as manager:
        assert manager.address == f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}/0"
        assert manager.runtime.session.link.open_channels()[0].node == ("127.0.0.1", master.port)
        shared, queue = manager.dict(), manager.Queue()
        child = get_context("spawn").Process(target=visit, args=(shared, queue))
        child.start()
        assert queue.get(timeout=PATIENCE) == "from the child"
        child.join()
        assert shared.copy() == {"child": True}


def test_a_url_in_the_environment(sentinel: Sentinel) -> None:
    """Seeds in another order, of which one is gone, lead a proxy to the same place."""
    program = (
        "import pickle, sys\nd = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "d['b'] = d['a'] + 1\nprint(d.copy())\n"
    )
    with closed_address() as (_, gone):
        hosts = f"127.0.0.1:{sentinel.port}", f"127.0.0.1:{gone}"
        here, there = (
            url_of(sentinel).replace(hosts[0], ",".join(each)) for each in (hosts, hosts[::-1])
        )
        with RedisManager(here) as manager:
            pickled = pickle.dumps(manager.dict("d", a=1)).hex()
            with spawn_script(program, {"MULTIHOST_URL": there}, args=[pickled]) as process:
                assert process.finish() == "{'a': 1, 'b': 2}\n"
            manager.delete("d")


def test_the_command_line(sentinel: Sentinel) -> None:
    with RedisManager(url_of(sentinel)) as manager:
        manager.dict("listed", a=1)
        done = program("ls", "--url", url_of(sentinel))
        assert done.returncode == 0
        assert "listed" in done.stdout
        assert PASSWORD not in done.stdout + done.stderr
        manager.delete("listed")


def test_tls_is_for_the_sentinels_too() -> None:
    def how(query: str, scheme: str = "rediss") -> Any:
        return sentinels(*parse(f"{scheme}+sentinel://h/main?{query}")).sentinel_kwargs

    assert how("ssl_ca_certs=/ca").items() >= {"ssl": True, "ssl_ca_certs": "/ca"}.items()
    assert how("ssl_ca_certs=/ca&sentinel_ssl_ca_certs=/other")["ssl_ca_certs"] == "/other"
    assert "ssl" not in how("sentinel_ssl=false")
    assert how("sentinel_ssl=true", "redis")["ssl"] is True
    assert how("sentinel_socket_timeout=7", "redis")["socket_timeout"] == 7
    assert how("", "redis")["socket_timeout"] == 1, "one that hangs holds nobody up"


def test_the_address_names_the_sentinels_and_no_secret(
    manager: RedisManager, sentinel: Sentinel, master: Server
) -> None:
    address = manager.address
    assert isinstance(address, str)
    assert address.startswith("redis+sentinel://127.0.0.1:")
    assert f"127.0.0.1:{sentinel.port}" in address
    assert str(master.port) not in address
    assert f"/{SERVICE}/0" in address
    for secret in (PASSWORD, SENTINEL_PASSWORD):
        assert secret not in address
        assert secret.encode() not in pickle.dumps(manager.dict())
    assert str(parse_address(address)) == address


def test_a_proxy_finds_the_master_from_a_spawned_process(manager: RedisManager) -> None:
    shared, queue = manager.dict(), manager.Queue()
    child = get_context("spawn").Process(target=visit, args=(shared, queue))
    child.start()
    assert queue.get(timeout=PATIENCE) == "from the child"
    child.join()
    assert child.exitcode == 0
    assert shared.copy() == {"child": True}


def visit(shared: Any, queue: Any) -> None:
    shared["child"] = True
    queue.put("from the child")


def test_a_pool_has_workers_elsewhere(manager: RedisManager) -> None:
    with manager.Pool(1, context=get_context("spawn")) as pool:
        assert pool.apply(abs, (-3,)) == 3


def test_a_pickled_proxy_finds_an_open_manager(
    manager: RedisManager, sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = manager.dict("d", a=1)
    copy = pickle.loads(pickle.dumps(d))
    assert copy._handle.session is manager.runtime.session
    assert copy["a"] == 1
    manager.delete("d")


PROGRAM = """
import pickle, sys, redis.sentinel
from multihost import RedisManager
from multihost.wire.session import registry
registry.reconnect_timeout_for = lambda address: 0.1
port, password, sentinel_password, service, pickled = sys.argv[1:]
asked = redis.sentinel.Sentinel(
    [("127.0.0.1", int(port))], sentinel_kwargs={"password": sentinel_password})
d = pickle.loads(bytes.fromhex(pickled))
try:
    d["a"]
except Exception as error:
    print(type(error).__name__)
with RedisManager(client=asked.master_for(service, password=password)):
    print(pickle.loads(bytes.fromhex(pickled))["a"])
"""


def test_a_pickled_proxy_in_another_program(sentinel: Sentinel) -> None:
    """Which has no password, unless it has a manager."""
    with RedisManager(client=client_of(sentinel.host)) as manager:
        pickled = pickle.dumps(manager.dict("d", a=1)).hex()
        args = [str(sentinel.port), PASSWORD, SENTINEL_PASSWORD, SERVICE, pickled]
        with spawn_script(PROGRAM, {"MULTIHOST_URL": None}, args=args) as program:
            assert program.finish().split() == ["LinkError", "1"]
        manager.delete("d")


def test_without_passwords_any_program_can(fresh_server: Server) -> None:
    program = "import pickle, sys\nprint(pickle.loads(bytes.fromhex(sys.argv[1]))['a'])\n"
    with Sentinel(fresh_server) as sentinel:
        client = redis.sentinel.Sentinel([sentinel.host]).master_for(SERVICE)
        with RedisManager(client=client) as manager:
            pickled = pickle.dumps(manager.dict("d", a=1)).hex()
            with spawn_script(program, {"MULTIHOST_URL": None}, args=[pickled]) as process:
                assert process.finish() == "1\n"
            manager.delete("d")


def test_what_no_master_can_be_found_by(sentinel: Sentinel) -> None:
    none_found = "redis.sentinel://.*No master found.*do the Sentinels run"
    with closed_address() as nobody, pytest.raises(LinkError, match=none_found) as refused:
        RedisManager(client=client_of(nobody), timeout=1)
    assert "<" not in str(refused.value), "no client of redis-py, with its options"
    asked = redis.sentinel.Sentinel([sentinel.host], sentinel_kwargs={"password": "wr0ng"})
    with pytest.raises(LinkError) as caught:
        RedisManager(client=asked.master_for(SERVICE, password=PASSWORD), timeout=1)
    assert "wr0ng" not in str(caught.value)
    asked = redis.sentinel.Sentinel([sentinel.host])
    with pytest.raises(TypeError, match="master_for"):
        RedisManager(client=asked.slave_for(SERVICE))


@pytest.mark.parametrize(
    "address",
    [
        Address("redis+sentinel", "a:1,b:2", path="main", database=3),
        Address(
            "rediss+sentinel", "[::1]:1,b:2", path="a/b ?c%", options=(("ssl_ca_certs", "/a b"),)
        ),
    ],
)
def test_an_address_of_sentinels_is_read_again(address: Address) -> None:
    assert parse_address(str(address)) == address


# -- other clients: what their proxies need in a spawned process


def test_a_client_with_tls_and_a_password(start_server: Callable[..., Server]) -> None:
    from tests.support.tls import TlsProxy

    server = start_server(tcp=True, password=PASSWORD)
    with TlsProxy(server.tcp_url) as tls:
        client = redis.Redis.from_url(tls.url)
        with RedisManager(client=client) as manager:
            assert PASSWORD not in str(manager.address)
            shared, queue = manager.dict(), manager.Queue()
            child = get_context("spawn").Process(target=visit, args=(shared, queue))
            child.start()
            assert queue.get(timeout=PATIENCE) == "from the child"
            child.join()
            assert shared.copy() == {"child": True}
        client.close()
