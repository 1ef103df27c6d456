"""Proxies in programs that are no children of ours, and on other hosts."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multihost import AccessDenied, Manager, RedisManager
from tests.pickling.tasks import USED, credentials_seen, one_of_each, use
from tests.support.hosts import Hosts
from tests.support.procs import ROOT, run_all, spawn_script
from tests.support.server import Server

PASSWORD = "open: sesame/@ä"
"""With everything in it that a URL has to escape."""

OPEN = """
import os, pickle, sys
sys.path.insert(0, os.environ["ROOT"])
from tests.pickling.tasks import use
try:
    shared = pickle.loads(bytes.fromhex(os.environ["DATA"]))
    print(*use(shared, "program"))
except Exception as error:
    print(type(error).__name__, error)
"""

OPEN_WITH_MANAGER = OPEN.replace(
    "try:", "from multihost import RedisManager\nm = RedisManager(os.environ['OURS'])\ntry:"
)

SUCCESS = " ".join(map(str, USED))


def program(source: str, shared: Any, **env: str | None) -> str:
    """What a program prints that gets the proxies as bytes."""
    data = pickle.dumps(shared).hex()
    everything = {"DATA": data, "ROOT": str(ROOT), "MULTIHOST_URL": None} | env
    with spawn_script(source, everything) as script:
        return script.finish().strip()


@pytest.fixture
def guarded(start_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.delenv("MULTIHOST_URL", raising=False)
    return start_server(tcp=True, password=PASSWORD)


def test_a_program_opens_them_by_their_address(url: str) -> None:
    with RedisManager(url) as m:
        shared = one_of_each(m)
        assert program(OPEN, shared) == SUCCESS
        assert program(OPEN, shared, MULTIHOST_URL="redis://somewhere.else.invalid:1/0") == SUCCESS
        assert shared["Value"].value == 3


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_program_needs_the_password(guarded: Server, transport: str) -> None:
    address = guarded.unix_url if transport == "unix" else guarded.tcp_url
    with RedisManager(address) as m:
        shared = one_of_each(m)
        said = program(OPEN, shared)
        assert said.startswith("AccessDenied ")
        assert "MULTIHOST_URL" in said
        assert str(m.address) in said
        assert "sesame" not in said
        assert program(OPEN, shared, MULTIHOST_URL=address) == SUCCESS
        assert program(OPEN_WITH_MANAGER, shared, OURS=address) == SUCCESS
        # The URL of another server, or with a wrong password, opens nothing.
        wrong = address.replace("open", "close")
        assert program(OPEN, shared, MULTIHOST_URL=wrong).startswith("AccessDenied ")
        assert program(OPEN, shared, MULTIHOST_URL="redis://:x@h.invalid:1").startswith(
            "AccessDenied "
        )


def test_a_named_user_needs_a_password_too(start_server: Callable[..., Server]) -> None:
    server = start_server(
        tcp=True, password=PASSWORD, users={"worker": "on >its-own-word ~* &* +@all"}
    )
    address = server.url_for("worker", "its-own-word", tcp=True)
    with RedisManager(address) as m:
        shared = one_of_each(m)
        assert b"its-own-word" not in pickle.dumps(shared)
        assert b"worker" not in pickle.dumps(shared)
        assert program(OPEN, shared, MULTIHOST_URL=address) == SUCCESS
        spawn = multiprocessing.get_context("spawn")
        assert run_all(spawn, use, [(shared, "child")]) == [USED]


def test_signed_values_need_the_key(url: str) -> None:
    with RedisManager(url, authkey=b"the key of the tests") as m:
        shared = one_of_each(m)
        said = program(OPEN, shared)
        assert said.startswith("AddressUnknown ")
        assert "authkey" in said
        assert "the key" not in said
        keyed = OPEN_WITH_MANAGER.replace("['OURS'])", "['OURS'], authkey=b'the key of the tests')")
        assert program(keyed, shared, OURS=url) == SUCCESS


WRONG_KEY = """
import os, pickle
from multihost import RedisManager
m = RedisManager(os.environ["OURS"], authkey=b"another key of the tests")
try:
    pickle.loads(bytes.fromhex(os.environ["DATA"]))
except Exception as error:
    print(type(error).__name__)
for attach in (
    lambda: m.dict("d"), lambda: m.list("l"), lambda: m.set("s"), lambda: m.Namespace("ns"),
    lambda: m.Value("i", 0, name="v"), lambda: m.Array("i", [0], name="a"),
):
    try:
        print("attached", attach())
    except Exception as error:
        print(type(error).__name__)
"""


def test_nothing_is_attached_to_with_another_key(url: str) -> None:
    """Not even a look-up, which would answer that there is nothing."""
    with RedisManager(url, authkey=b"the key of the tests") as m:
        kept = [m.dict("d"), m.list("l"), m.set("s"), m.Namespace("ns")]
        kept += [m.Value("i", 1, name="v"), m.Array("i", [1], name="a")]
        said = program(WRONG_KEY, one_of_each(m), OURS=url).splitlines()
        assert said == ["AddressUnknown", *["BadPayload"] * 6]


def test_no_credential_is_in_what_can_be_seen(guarded: Server) -> None:
    with RedisManager(guarded.tcp_url, authkey=b"a long signing word") as m:
        shared = one_of_each(m)
        for secret in (PASSWORD, "sesame", "signing word", b"a long signing word".hex()):
            assert credentials_seen(shared, secret) == []
            assert secret not in f"{m!r} {m} {m.address}"
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                assert secret.encode() not in pickle.dumps(shared, protocol)
        with pytest.raises(AccessDenied) as denied:
            RedisManager(guarded.tcp_url.replace("sesame", "wrong-word"))
        assert "wrong-word" not in f"{denied.value!r} {denied.value}"
        spawn = multiprocessing.get_context("spawn")
        assert run_all(spawn, credentials_seen, [(shared, "sesame")]) == [[]]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_inherit_the_password(guarded: Server, method: str) -> None:
    with RedisManager(guarded.tcp_url) as m:
        shared = one_of_each(m)
        ctx = multiprocessing.get_context(method)
        assert run_all(ctx, use, [(shared, "one"), (shared, "two")]) == [USED] * 2


def test_the_private_server_opens_for_children_only() -> None:
    with Manager() as m:
        shared = one_of_each(m)
        said = program(OPEN, shared)
        assert said.startswith("AccessDenied ")
        assert str(m.address) in said or "private" in said
        assert program(OPEN, shared, MULTIHOST_URL=m.address).startswith("AccessDenied ")
    # Nor is it there for anybody once its owner has ended it.
    said = program(OPEN, shared)
    assert said.split()[0] in ("ServerLost", "AddressUnknown")
    assert "cannot" in said


def test_a_proxy_in_flight_keeps_its_object_for_a_lease(url: str) -> None:
    with spawn_script(MAKER, {"URL": url}) as maker:
        data = maker.line()
        assert program(OPEN, pickle.loads(b"N."), DATA=data) == SUCCESS
        maker.finish()


MAKER = f"""
import os, pickle, sys
sys.path.insert(0, {str(ROOT)!r})
from multihost import RedisManager
from tests.pickling.tasks import one_of_each
m = RedisManager(os.environ["URL"], lease=300)
shared = one_of_each(m)
data = pickle.dumps(shared)
del shared
print(data.hex(), flush=True)
sys.stdin.read()
m.shutdown()
"""


def test_the_same_dict_by_name_in_two_programs(url: str) -> None:
    source = """
import os, sys
from multihost import RedisManager
me, other = sys.argv[1:]
with RedisManager() as m:
    d = m.dict("results")
    d[me] = me * 2
    print("written", flush=True)
    input()
    print(d[other], len(d), flush=True)
"""
    with (
        spawn_script(source, {"MULTIHOST_URL": url}, args=["a", "b"]) as one,
        spawn_script(source, {"MULTIHOST_URL": url}, args=["b", "a"]) as two,
    ):
        assert (one.line(), two.line()) == ("written", "written")
        for script in (one, two):
            script.tell("read")
        assert (one.finish(), two.finish()) == ("bb 2\n", "aa 2\n")
    with RedisManager(url) as m:
        assert m.dict("results").copy() == {"a": "aa", "b": "bb"}


# Hosts

ON_A_HOST = """
import os, pickle, sys
from multihost import RedisManager
me, other = sys.argv[1:]
with RedisManager() as m:
    d = m.dict("results")
    d[me] = os.getpid()
    d.increment("visits")
    d["list of " + me] = m.list([me])
    print("written", flush=True)
    input()
    d["list of " + other].append(me)
    print(sorted(key for key in d if len(key) == 1), d["visits"], flush=True)
    input()
    print(d["list of " + me][:], flush=True)
"""


@pytest.fixture
def far(hosts: Hosts) -> Iterator[tuple[Hosts, Server]]:
    """Two hosts, and a server with a password on the first."""
    with Server(
        tcp=True, host=hosts.address["a"], prefix=hosts.prefix("a"), password=PASSWORD
    ) as server:
        yield hosts, server


def test_programs_on_two_hosts_share_a_dict(far: tuple[Hosts, Server]) -> None:
    hosts, server = far
    env = {"MULTIHOST_URL": server.tcp_url}
    with (
        spawn_script(ON_A_HOST, env, args=["a", "b"], prefix=hosts.prefix("a")) as one,
        spawn_script(ON_A_HOST, env, args=["b", "a"], prefix=hosts.prefix("b")) as two,
    ):
        programs = (one, two)
        assert [each.line() for each in programs] == ["written"] * 2
        for each in programs:
            each.tell("read")
        assert [each.line() for each in programs] == ["['a', 'b'] 2"] * 2
        for each in programs:
            each.tell("end")
        assert [each.finish() for each in programs] == ["['a', 'b']\n", "['b', 'a']\n"]
    # Both have gone; what they shared is there, for a third.
    third = """
from multihost import RedisManager
with RedisManager() as m:
    print(m.names(), m.dict("results")["list of a"][:])
"""
    with spawn_script(third, env, prefix=hosts.prefix("b")) as script:
        assert script.finish() == "['results'] ['a', 'b']\n"


def test_a_proxy_goes_from_host_to_host(far: tuple[Hosts, Server]) -> None:
    hosts, server = far
    env: dict[str, str | None] = {"MULTIHOST_URL": server.tcp_url}
    with spawn_script(
        MAKER.replace('os.environ["URL"]', "None"), env, prefix=hosts.prefix("a")
    ) as maker:
        data = maker.line()
        assert PASSWORD.encode() not in bytes.fromhex(data)
        opening = env | {"DATA": data, "ROOT": str(ROOT)}
        with spawn_script(OPEN, opening, prefix=hosts.prefix("b")) as script:
            assert script.finish().strip() == SUCCESS
        opening["MULTIHOST_URL"] = None
        with spawn_script(OPEN, opening, prefix=hosts.prefix("b")) as script:
            assert script.finish().startswith("AccessDenied ")
        maker.finish()
