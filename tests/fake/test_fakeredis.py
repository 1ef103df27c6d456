"""The shared types over fakeredis: for tests of programs that have no server at hand."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from multihost import AddressUnknown, RedisManager
from tests.objects.bodies import BODIES, Body
from tests.support.procs import spawn_script

fakeredis = pytest.importorskip("fakeredis")
pytest.importorskip("lupa", reason="fakeredis runs scripts with lupa: pip install 'fakeredis[lua]'")


@pytest.fixture
def fake() -> Any:
    return fakeredis.FakeRedis()


@pytest.fixture
def m(fake: Any) -> Iterator[RedisManager]:
    with RedisManager(client=fake) as manager:
        yield manager


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_types(body: Body, m: RedisManager, fake: Any) -> None:
    body(m)
    assert m.names() == []
    m.shutdown()
    lasting = [key for key in fake.keys() if fake.pttl(key) == -1]
    # What is noted for the collector stays until that has looked.
    assert [key for key in lasting if not key.endswith((b":lists", b":leases"))] == []


def test_two_managers_of_one_fake_server_share_what_they_name() -> None:
    server = fakeredis.FakeServer()
    with (
        RedisManager(client=fakeredis.FakeRedis(server=server)) as one,
        RedisManager(client=fakeredis.FakeRedis(server=server)) as two,
        RedisManager(client=fakeredis.FakeRedis(server=server, db=1)) as aside,
        RedisManager(client=fakeredis.FakeRedis()) as elsewhere,
    ):
        one.dict("d", a=1)
        assert two.dict("d", b=2).copy() == {"a": 1}
        assert (aside.names(), elsewhere.names()) == ([], [])


def test_threads_share_it(m: RedisManager) -> None:
    d, l = m.dict(), m.list()

    def count(number: int) -> None:
        for _ in range(50):
            d.increment("n")
            l.append(number)

    threads = [threading.Thread(target=count, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert d["n"] == len(l) == 200


def test_a_client_that_decodes_does_no_harm() -> None:
    with RedisManager(client=fakeredis.FakeRedis(decode_responses=True)) as m:
        assert m.dict({b"\xff": b"\xfe", "ä": 1}).copy() == {b"\xff": b"\xfe", "ä": 1}


def test_a_proxy_is_of_no_use_where_the_fake_is_not(m: RedisManager) -> None:
    import pickle

    data = pickle.dumps(m.dict(a=1))
    assert pickle.loads(data)["a"] == 1
    source = f"import pickle\ntry: pickle.loads({data!r})\nexcept Exception as e: print(repr(e))"
    with spawn_script(source) as script:
        said = script.finish()
    assert said.startswith(AddressUnknown.__name__)
    assert "fakeredis" in said


@pytest.fixture
def tcp_url() -> Iterator[str]:
    """A fakeredis that listens on a port."""
    server = fakeredis.TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    host, port = server.server_address[:2]
    try:
        yield f"redis://{host}:{port}/0"
    finally:
        server.shutdown()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            server.server_close()
        thread.join()


PUTS_ERR_BEFORE = "the port of a fakeredis puts ERR before the code of a script's error"

NOT_OVER_A_PORT = {
    "what_was_deleted_never_answers": PUTS_ERR_BEFORE,
}


def over_a_port(body: Body) -> Any:
    reason = NOT_OVER_A_PORT.get(body.__name__)
    marks = [pytest.mark.xfail(reason=reason)] if reason else []
    return pytest.param(body, id=body.__name__, marks=marks)


@pytest.mark.parametrize("body", list(map(over_a_port, BODIES)))
def test_types_over_a_port(body: Body, tcp_url: str) -> None:
    with RedisManager(tcp_url) as m:
        body(m)
        assert m.names() == []
