"""Bad input, and servers that cannot serve: one clear error each, and nothing half-done."""

from __future__ import annotations

import array
import socket
import threading
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError
from typing import Any

import pytest

from multihost import (
    AccessDenied,
    LinkError,
    ManagerClosed,
    ObjectGone,
    PayloadTooLarge,
    RedisManager,
    ServerFull,
    ServerUnfit,
)
from multihost.wire.values import opcodes
from tests.support.odd import OddServer, info
from tests.support.ports import closed_address
from tests.support.server import Server
from tests.support.waiting import wait_until

# -- at connection


def test_wrong_password(fresh_server: Server) -> None:
    fresh_server.command("ACL", "SETUSER", "bob", "on", ">right", "~*", "+@all")
    for tcp in (True, False):
        for user, password in (("bob", "wr0ng"), ("nobody", "wr0ng"), ("bob", "")):
            url = fresh_server.url_for(user, password or "-", tcp=tcp)
            with pytest.raises(AccessDenied, match="user name or password") as caught:
                RedisManager(url)
            assert isinstance(caught.value, AuthenticationError)
            assert isinstance(caught.value, ConnectionError)
            assert "wr0ng" not in str(caught.value)
    wait_until(lambda: not fresh_server.clients(), what="the connections are closed")


def test_missing_password(fresh_server: Server) -> None:
    fresh_server.command("ACL", "SETUSER", "default", "resetpass", ">hush")
    with pytest.raises(AccessDenied, match="give them in the URL"):
        RedisManager(f"redis://127.0.0.1:{fresh_server.port}")


def test_tls_with_a_wrong_password(fresh_server: Server) -> None:
    from tests.support.tls import TlsProxy

    fresh_server.command("ACL", "SETUSER", "default", "resetpass", ">hush")
    with TlsProxy(fresh_server.tcp_url) as tls:
        with pytest.raises(AccessDenied) as caught:
            RedisManager(tls.url.replace("rediss://", "rediss://:wr0ng@"))
        assert "wr0ng" not in str(caught.value)
        RedisManager(tls.url.replace("rediss://", "rediss://:hush@")).shutdown()


REFUSED = ConnectionRefusedError


@pytest.fixture
def closed_port() -> Iterator[int]:
    with closed_address() as (_, port):
        yield port


def test_no_server_at_the_address(closed_port: int, tmp_path: Any) -> None:
    for url, named, kind in (
        (f"redis://:hush@127.0.0.1:{closed_port}/3", f"redis://127.0.0.1:{closed_port}/3", REFUSED),
        (f"rediss://:hush@127.0.0.1:{closed_port}", f"rediss://127.0.0.1:{closed_port}/0", REFUSED),
        (f"unix://:hush@{tmp_path}/none.sock", f"unix://{tmp_path}/none.sock", FileNotFoundError),
        ("redis://:hush@no-such-host.invalid", "no-such-host.invalid", socket.gaierror),
        ("rediss://:hush@no-such-host.invalid", "no-such-host.invalid", socket.gaierror),
    ):
        with pytest.raises(LinkError, match=f"cannot reach the server at .*{named}.*; is it ") as e:
            RedisManager(url)
        assert isinstance(e.value, kind)
        assert "hush" not in str(e.value)


def test_file_that_is_no_socket(tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(LinkError, match="cannot reach"):
        RedisManager(f"unix://{path}")


def test_server_that_is_too_old() -> None:
    def as_5_0(command: list[bytes]) -> bytes:
        if command[0] == b"INFO":
            return info(redis_version="5.0.14", redis_mode="standalone")
        return b"-ERR unknown command `%b`\r\n" % command[0]

    with OddServer(as_5_0) as server, pytest.raises(ServerUnfit, match=r"5\.0\.14.*needs 6\.2"):
        RedisManager(server.url)

    def as_6_0(command: list[bytes]) -> bytes:
        if command[0] == b"INFO":
            return info(redis_version="6.0.9", redis_mode="standalone")
        return b"+OK\r\n"

    with OddServer(as_6_0) as server, pytest.raises(ServerUnfit, match=r"6\.0\.9.*needs 6\.2"):
        RedisManager(server.url)


def test_cluster() -> None:
    def answer(command: list[bytes]) -> bytes:
        if command[0] == b"INFO":
            return info(redis_version="7.4.0", redis_mode="cluster")
        return b"+OK\r\n"

    with OddServer(answer) as server, pytest.raises(ServerUnfit, match="cluster"):
        RedisManager(server.url)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"role": "active-replica"}, "active replica of KeyDB.*two holders.*active-replica to no"),
        ({"garnet_version": "1.0.84"}, "Garnet.*use Redis or Valkey"),
    ],
)
def test_servers_that_break_what_is_promised(facts: dict[str, str], why: str) -> None:
    def answer(command: list[bytes]) -> bytes:
        if command[0] == b"INFO":
            return info(redis_version="7.4.0", redis_mode="standalone", **facts)
        return b"+OK\r\n"

    with OddServer(answer) as server, pytest.raises(ServerUnfit, match=why):
        RedisManager(server.url)


@pytest.mark.parametrize(
    "nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail.example ESMTP\r\n", b""]
)
def test_server_of_another_protocol(nonsense: bytes) -> None:
    with OddServer(lambda _: nonsense) as server, pytest.raises(LinkError):
        RedisManager(server.url, timeout=0.5)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_server_that_evicts(policy: str, start_server: Callable[..., Server]) -> None:
    server = start_server(maxmemory_policy=policy)
    with pytest.raises(ServerUnfit, match=f"{policy}.*noeviction"):
        RedisManager(server.url)
    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    RedisManager(server.url).shutdown()


@pytest.mark.parametrize("missing", ["eval", "@scripting", "exists"])
def test_missing_permission(missing: str, fresh_server: Server) -> None:
    fresh_server.command("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", f"-{missing}")
    with pytest.raises(AccessDenied, match="(?i)permission|can't run") as caught:
        RedisManager(fresh_server.url_for("bob", "pw"))
    assert "pw@" not in str(caught.value)


def test_forbidden_keys(fresh_server: Server) -> None:
    fresh_server.command("ACL", "SETUSER", "bob", "on", ">pw", "~{mine:*", "+@all")
    url = fresh_server.url_for("bob", "pw")
    with pytest.raises(AccessDenied):
        RedisManager(url)
    with RedisManager(url, namespace="mine") as manager:
        assert manager.dict(a=1).copy() == {"a": 1}


def test_forbidden_info_is_tolerated(fresh_server: Server) -> None:
    fresh_server.command("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-info", "-client")
    with RedisManager(fresh_server.url_for("bob", "pw")) as manager:
        assert manager.list([1]).copy() == [1]


def test_failed_connection_leaves_nothing_open(fresh_server: Server) -> None:
    fresh_server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    for _ in range(3):
        with pytest.raises(ServerUnfit):
            RedisManager(fresh_server.url)
    wait_until(lambda: not fresh_server.clients(), what="the connections are closed")
    assert fresh_server.keys() == []


@pytest.mark.parametrize("options", [{"lease": 0}, {"lease": -1}, {"timeout": 0}])
def test_times_must_be_positive(options: dict[str, float], server: Any) -> None:
    with pytest.raises(ValueError, match="positive"):
        RedisManager(server.url, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("namespace", ["", "a{b", "a*"])
def test_odd_namespaces(namespace: str, server: Any) -> None:
    with pytest.raises(ValueError, match="namespace"):
        RedisManager(server.url, namespace=namespace)


# -- names


MAKERS: dict[str, Callable[[Any, str], Any]] = {
    "dict": lambda m, name: m.dict(name),
    "list": lambda m, name: m.list(name),
    "set": lambda m, name: m.set(name),
    "Namespace": lambda m, name: m.Namespace(name),
    "Value": lambda m, name: m.Value("i", 1, name=name),
    "Array": lambda m, name: m.Array("i", [1], name=name),
}


def test_name_of_another_type(server: Any) -> None:
    with RedisManager(server.url) as manager:
        for there, make in MAKERS.items():
            make(manager, "o")
            keys = server.keys("*:n:o*")
            for wanted, attach in MAKERS.items():
                if wanted != there:
                    with pytest.raises(TypeError, match=f"'o' is a {there}, not a {wanted}"):
                        attach(manager, "o")
            make(manager, "o")
            assert server.keys("*:n:o*") == keys
            manager.delete("o")


def test_name_with_other_parameters(server: Any) -> None:
    with RedisManager(server.url) as manager:
        manager.Value("i", 1, name="v")
        manager.Array("i", [1], name="a")
        with pytest.raises(ValueError, match="'v'.*'i'.*'d'"):
            manager.Value("d", 1, name="v")
        with pytest.raises(ValueError, match="'a'.*'i'.*'d'"):
            manager.Array("d", [1], name="a")
        assert manager.Value("i", 9, name="v").get() == 1, "attaching does not begin anew"
        assert manager.Array("i", [9, 9], name="a")[:] == array.array("i", [1])
        manager.delete("v")
        manager.delete("a")


@pytest.mark.parametrize("name", ["", "x" * 513])
def test_odd_names(name: str, server: Any) -> None:
    with RedisManager(server.url) as manager:
        for make in MAKERS.values():
            with pytest.raises(ValueError, match="name"):
                make(manager, name)
        with pytest.raises(ValueError, match="name"):
            manager.delete(name)
        with pytest.raises(TypeError, match="str"):
            manager.list([1], name=5)  # type: ignore[arg-type]
        assert server.keys() == []


# -- values


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("I stay here")


UNFIT: dict[str, tuple[Callable[[Any], Any], list[Callable[[Any, Any], Any]]]] = {
    "dict": (
        lambda m: m.dict(a=1, b=2),
        [
            lambda d, bad: d.__setitem__("a", bad),
            lambda d, bad: d.update(a=5, b=bad),
            lambda d, bad: d.update({"c": 1}, b=bad),
            lambda d, bad: d.setdefault("c", bad),
            lambda d, bad: d.__ior__({"a": 7, "c": bad}),
        ],
    ),
    "list": (
        lambda m: m.list([1, 2, 3]),
        [
            lambda l, bad: l.append(bad),
            lambda l, bad: l.extend([5, bad]),
            lambda l, bad: l.insert(0, bad),
            lambda l, bad: l.__setitem__(0, bad),
            lambda l, bad: l.__setitem__(slice(0, 2), [5, bad]),
            lambda l, bad: l.__setitem__(slice(0, 3, 2), [5, bad]),
            lambda l, bad: l.__iadd__([5, bad]),
        ],
    ),
    "Namespace": (lambda m: m.Namespace(x=1), [lambda n, bad: setattr(n, "x", bad)]),
    "Value": (lambda m: m.Value("i", 1), [lambda v, bad: v.set(bad)]),
}


@pytest.mark.parametrize(
    "bad", [lambda: None, Unpicklable(), threading.Lock()], ids=["lambda", "object", "lock"]
)
@pytest.mark.parametrize("kind", UNFIT)
def test_unpicklable_value_changes_nothing(kind: str, bad: Any, server: Any) -> None:
    make, calls = UNFIT[kind]
    with RedisManager(server.url) as manager:
        proxy = make(manager)
        before = str(proxy)
        for call in calls:
            with pytest.raises(Exception, match="pickle|I stay here|local"):
                call(proxy, bad)
            assert str(proxy) == before


def test_unpicklable_value_creates_nothing(server: Any) -> None:
    with RedisManager(server.url) as manager:
        for make in (
            lambda: manager.dict("o", a=Unpicklable()),
            lambda: manager.list("o", [Unpicklable()]),
            lambda: manager.Namespace("o", a=Unpicklable()),
            lambda: manager.Value("i", Unpicklable(), name="o"),
        ):
            with pytest.raises(TypeError, match="I stay here"):
                make()
            assert manager.names() == []
            assert server.keys() == []


def test_unhashable_key_changes_nothing(server: Any) -> None:
    with RedisManager(server.url) as manager:
        d, s = manager.dict(a=1), manager.set([1])
        for bad in ([], {}, {1}, ([],), bytearray(b"x")):
            for call in (
                lambda bad=bad: d[bad],
                lambda bad=bad: d.__setitem__(bad, 1),
                lambda bad=bad: d.__delitem__(bad),
                lambda bad=bad: d.get(bad),
                lambda bad=bad: bad in d,
                lambda bad=bad: d.pop(bad, None),
                lambda bad=bad: d.setdefault(bad, 1),
                lambda bad=bad: d.increment(bad),
                lambda bad=bad: d.update([("x", 1), (bad, 1)]),
                lambda bad=bad: s.add(bad),
                lambda bad=bad: s.update([2, bad]),
                lambda bad=bad: s.symmetric_difference_update([1, bad]),
            ):
                with pytest.raises(TypeError, match="unhashable"):
                    call()
        assert d.copy() == {"a": 1}
        assert s.copy() == {1}
        with pytest.raises(TypeError, match="unhashable"):
            manager.set([[]])
        with pytest.raises(TypeError, match="unhashable"):
            manager.dict([([], 1)])


def test_value_beyond_the_limit(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opcodes.LIMIT == 512 * 1024 * 1024
    monkeypatch.setattr(opcodes, "LIMIT", 10_000)
    with RedisManager(server.url) as manager, RedisManager(server.url, serializer="json") as other:
        for kind, (make, calls) in UNFIT.items():
            proxy = make(manager)
            before = str(proxy)
            for bad in ("x" * 10_000, b"x" * 10_000, ["x" * 10_000], "é" * 5_000):
                for call in calls:
                    with pytest.raises(PayloadTooLarge, match=r"1\d,\d\d\d bytes.*10,000") as e:
                        call(proxy, bad)
                    assert isinstance(e.value, ValueError)
                    assert str(proxy) == before, kind
        d = manager.dict()
        with pytest.raises(PayloadTooLarge):
            d["k" * 10_000] = 1
        with pytest.raises(PayloadTooLarge):
            manager.set(["k" * 10_000])
        with pytest.raises(PayloadTooLarge):
            other.list(["x" * 10_000])
        d["fits"] = "x" * 9_000
        assert len(d["fits"]) == 9_000


@pytest.mark.parametrize("kind", ["bytes", "str", "pickle"])
def test_value_of_more_than_100_megabytes(kind: str, server: Any) -> None:
    size = 101 * 1024 * 1024
    value: Any = {
        "bytes": lambda: bytes(size),
        "str": lambda: "x" * size,
        "pickle": lambda: [bytes(size // 2)] * 1 + [bytearray(size // 2)],
    }[kind]()
    with RedisManager(server.url) as manager:
        v = manager.Value("i", None)
        v.set(value)
        found = v.get()
        assert type(found) is type(value)
        assert found == value
        v.set(None)


# -- a server that accepts less than others


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_value_that_is_larger_than_the_server_accepts(
    tcp: bool, start_server: Callable[..., Server]
) -> None:
    server = start_server(tcp=True, proto_max_bulk_len="1mb")
    with RedisManager(server.tcp_url if tcp else server.unix_url) as manager:
        shared, jobs = manager.dict("d"), manager.Queue()
        for size in (1 << 20, 8 << 20):
            large = bytes(size)
            for call in (
                lambda large=large: shared.update(a=large),
                lambda large=large: shared.__setitem__("b", large),
                lambda large=large: jobs.put(large),
                lambda large=large: jobs.put_many([1, large]),
                lambda large=large: manager.list([large]),
            ):
                with pytest.raises(PayloadTooLarge, match="proto-max-bulk-len"):
                    call()
        assert shared.copy() == {}
        assert jobs.empty()
        shared["a"] = bytes(1000)
        assert shared["a"] == bytes(1000)


def test_database_that_there_is_not(start_server: Callable[..., Server]) -> None:
    server = start_server(databases=4)
    with pytest.raises(ServerUnfit, match="no database of that number.*use a smaller one"):
        RedisManager(server.url_for(db=4))


def test_replica_is_refused(start_server: Callable[..., Server]) -> None:
    server = start_server()
    server.command("REPLICAOF", "127.0.0.1", 9)
    with pytest.raises(ServerUnfit, match=r"a replica.*its master, which is 127\.0\.0\.1:9"):
        RedisManager(server.url)


def test_node_of_a_cluster_is_refused(start_server: Callable[..., Server]) -> None:
    server = start_server(tcp=True, cluster_enabled="yes")
    for url in (server.url, server.tcp_url):
        with pytest.raises(ServerUnfit, match="node of a cluster; use redis.cluster"):
            RedisManager(url)


# -- a full server, one that fills up by itself


def test_full_server(start_server: Callable[..., Server]) -> None:
    server = start_server(maxmemory="6mb")
    with RedisManager(server.url) as manager:
        d = manager.dict("d")
        written = 0
        with pytest.raises(ServerFull) as caught:
            for written in range(1000):
                d[written] = b"x" * 20_000
        assert isinstance(caught.value, MemoryError)
        assert "dict.__setitem__() of 'd': " in str(caught.value)
        assert "maxmemory" in str(caught.value)
        assert d.keys() == list(range(written)), "what was acknowledged is there, and no more"
        server.command("CONFIG", "SET", "maxmemory", "4mb")  # however much it may free meanwhile
        with pytest.raises(ServerFull):
            d.update({written + n: b"x" * 1000 for n in range(100)})
        with pytest.raises(ServerFull):
            manager.list("l", [1])
        assert manager.names() == ["d"]
        assert len(d) == written
        for number in range(written):
            del d[number]
        d["again"] = 1
        assert d["again"] == 1
        manager.delete("d")


# -- after shutdown


def _everything(m: Any) -> dict[str, Callable[[], Any]]:
    """Every method of every proxy."""
    d, l, s = m.dict(a=1), m.list([1, 2]), m.set([1])
    n, v, a = m.Namespace(x=1), m.Value("i", 1), m.Array("i", [1, 2])
    calls: dict[str, Callable[[], Any]] = {}

    def add(proxy: Any, table: dict[str, tuple[Any, ...]]) -> None:
        for method, args in table.items():
            calls[f"{type(proxy).__name__}.{method}"] = lambda p=proxy, m=method, a=args: getattr(
                type(p), m
            )(p, *a)
        missing = set(proxy._exposed_) - set(table) - {"fromkeys", "__getattribute__"}
        assert not missing, missing

    plain = {"__len__": (), "_getvalue": ()}
    common = {"delete": (), "statistics": ()}
    add(d, {
        **plain, **common, "__contains__": ("a",), "__delitem__": ("a",), "__getitem__": ("a",),
        "__ior__": ({"b": 1},), "__iter__": (), "__or__": ({},), "__reversed__": (),
        "__ror__": ({},),
        "__setitem__": ("a", 1), "clear": (), "copy": (), "get": ("a",), "items": (), "keys": (),
        "pop": ("a",), "popitem": (), "setdefault": ("a",), "update": ({"b": 1},), "values": (),
        "increment": ("a",),
        "add_new": ("b", 2), "update_new": ({"b": 2},),
    })  # fmt: skip
    add(l, {
        **plain, **common, "__add__": ([],), "__contains__": (1,), "__delitem__": (0,),
        "__getitem__": (0,), "__imul__": (2,), "__iadd__": ([1],), "__mul__": (2,),
        "__rmul__": (2,),
        "__reversed__": (), "__iter__": (), "__setitem__": (0, 1), "append": (1,), "clear": (),
        "copy": (), "count": (1,), "extend": ([1],), "index": (1,), "insert": (0, 1), "pop": (),
        "remove": (1,), "reverse": (), "sort": (),
    })  # fmt: skip
    other = {1, 5}
    add(s, {
        **plain, **common,
        **{f"__{op}__": (other,) for op in
           ("and", "or", "sub", "xor", "rand", "ror", "rsub", "rxor", "iand", "ior", "isub", "ixor",
            "le", "lt", "ge", "gt")},
        "__contains__": (1,), "__iter__": (), "add": (1,), "clear": (), "copy": (),
        "difference": (other,), "difference_update": (other,), "discard": (1,),
        "intersection": (other,), "intersection_update": (other,), "isdisjoint": (other,),
        "issubset": (other,), "issuperset": (other,), "pop": (), "remove": (1,),
        "symmetric_difference": (other,), "symmetric_difference_update": (other,),
        "union": (other,), "update": (other,),
        "add_new": (2,), "update_new": ([2],),
    })  # fmt: skip
    add(v, {**common, "get": (), "set": (1,), "add": (1,), "_getvalue": ()})
    add(a, {**plain, **common, "__getitem__": (0,), "__setitem__": (0, 1), "__iter__": ()})
    calls |= {
        "Namespace.x": lambda: n.x,
        "Namespace.x =": lambda: setattr(n, "x", 1),
        "Namespace del x": lambda: delattr(n, "x"),
        "Namespace._getvalue": lambda: n._getvalue(),
        "Namespace._delete": lambda: n._delete(),
        "Namespace._statistics": lambda: n._statistics(),
        "Namespace.__setattr__": lambda: n.__setattr__("x", 1),
        "Value.value": lambda: v.value,
        "list slice": lambda: l[:],
        "list slice assign": lambda: l.__setitem__(slice(0, 1), [5]),
        "list slice delete": lambda: l.__delitem__(slice(0, 1)),
        "list extended slice": lambda: l.__setitem__(slice(0, 2, 2), [5]),
        "Array slice": lambda: a[:],
        "Array slice assign": lambda: a.__setitem__(slice(None), array.array("i", [1])),
        "_callmethod": lambda: d._callmethod("copy"),
        "deepcopy": lambda: __import__("copy").deepcopy(d),
    }
    return calls


@pytest.fixture(params=["unix", "tcp", "client", "embedded"])
def closable(request: pytest.FixtureRequest) -> Iterator[Any]:
    import redis

    if request.param == "embedded":
        from multihost import Manager

        manager = Manager()
    else:
        server: Server = request.getfixturevalue("fresh_server")
        if request.param == "client":
            client = redis.Redis.from_url(server.url)
            manager = RedisManager(client=client)
            client.close()
        else:
            manager = RedisManager(server.unix_url if request.param == "unix" else server.tcp_url)
    with manager:
        yield manager


def test_calls_after_shutdown_raise(closable: Any) -> None:
    calls = _everything(closable)
    d = closable.dict("d", a=1)
    closable.shutdown()
    for name, call in calls.items():
        with pytest.raises(ManagerClosed, match="shut down"):
            call()
            pytest.fail(name)
    for factory in MAKERS.values():
        with pytest.raises(ManagerClosed):
            factory(closable, "o")
    with pytest.raises(ManagerClosed):
        closable.names()
    with pytest.raises(ManagerClosed):
        closable.delete("d")
    assert "failed" in str(d)
    assert "DictProxy" in repr(d)
    assert d.name == "d"
    closable.shutdown()


def test_use_after_shutdown_keeps_nothing_alive(server: Any) -> None:
    """The same error again and again must not collect the frames in which it was raised."""
    with RedisManager(server.url) as manager:
        d = manager.dict(a=1)
    depths = []
    for _ in range(3):
        with pytest.raises(ManagerClosed) as caught:
            d.copy()
        depths.append(len(caught.traceback))
    assert depths[0] == depths[1] == depths[2]


def test_calls_on_a_deleted_object_raise(server: Any) -> None:
    with RedisManager(server.url) as manager:
        calls = _everything(manager)
        for name in list(calls):
            if name.endswith((".delete", "._delete")):
                calls[name]()
                del calls[name]
        for name, call in calls.items():
            try:
                call()
            except ObjectGone as error:
                assert "deleted" in str(error)
                assert isinstance(error, ReferenceError)
            else:
                pytest.fail(name)
        assert server.keys("*:u:*") == []
