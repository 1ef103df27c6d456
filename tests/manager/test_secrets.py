"""No password and no key in a pickle, a repr, an address, an error, a log or a process list."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multihost import Manager, RedisManager, SyncManager
from multihost.wire.session import registry
from tests.support.faults import CuttingProxy
from tests.support.server import Server
from tests.support.tls import TlsProxy
from tests.support.waiting import wait_until

PASSWORD, KEY = "pa55w0rd", b"s1gning-k3y-0f-t3sts"
SECRETS = [PASSWORD, KEY.decode(), KEY.hex(), repr(KEY)]


@pytest.fixture
def guarded(fresh_server: Server) -> Server:
    fresh_server.command("ACL", "SETUSER", "bob", "on", f">{PASSWORD}", "~*", "+@all")
    return fresh_server


def is_clean(*things: Any) -> None:
    for thing in things:
        text = thing.decode("latin-1") if isinstance(thing, bytes) else str(thing)
        assert not [secret for secret in SECRETS if secret in text], text


def proxies(manager: Any) -> list[Any]:
    return [
        manager.dict(a=1),
        manager.list([1]),
        manager.set([1]),
        manager.Namespace(x=1),
        manager.Value("i", 1),
        manager.Array("i", [1]),
        manager.dict("named"),
    ]


@pytest.fixture(params=["url", "tls", "client", "options"])
def manager(request: pytest.FixtureRequest, guarded: Server) -> Iterator[RedisManager]:
    import redis

    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"url": guarded.url_for("bob", PASSWORD, tcp=True)}
        if request.param == "tls":
            tls = stack.enter_context(TlsProxy(guarded.url_for("bob", PASSWORD, tcp=True)))
            options = {"url": tls.url + f"&ssl_password={PASSWORD}"}
        elif request.param == "client":
            client = redis.Redis.from_url(options["url"])
            stack.callback(client.close)
            options = {"client": client}
        elif request.param == "options":
            options = {"url": f"redis://127.0.0.1:{guarded.port}?username=bob&password={PASSWORD}"}
        manager = stack.enter_context(RedisManager(**options, authkey=KEY))
        yield manager
        manager.delete("named")


def test_no_secret_in_reprs_and_pickles(manager: RedisManager) -> None:
    is_clean(repr(manager), str(manager), manager.address)
    for proxy in proxies(manager):
        is_clean(repr(proxy), str(proxy), proxy._token, vars(proxy) and repr(vars(proxy)))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            is_clean(pickle.dumps(proxy, protocol))
    session = manager.runtime.session
    assert session is not None
    for thing in (manager, session, session.link, session.codec, manager.runtime.credentials):
        is_clean(repr(thing), str(thing), f"{thing}", "%s %r" % (thing, thing) if thing else "")


def test_no_secret_on_the_server(manager: RedisManager, guarded: Server) -> None:
    kept = proxies(manager)
    manager.list("holder", kept)
    for key in guarded.keys():
        is_clean(key, guarded.command("DUMP", key))
    manager.delete("holder")


def test_no_secret_in_errors_and_logs(
    guarded: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    good = guarded.url_for("bob", PASSWORD, tcp=True)
    errors: list[BaseException] = []

    def noting(call: Any) -> None:
        try:
            call()
        except Exception as error:
            errors.append(error)
        else:
            pytest.fail("no error")

    with CuttingProxy(good) as proxy:
        manager = RedisManager(proxy.url, authkey=KEY, timeout=20)
        d = manager.dict("d", a=1)
        assert manager.runtime.session is not None
        manager.runtime.session.link.reconnect_timeout = 0.1
        noting(lambda: d["none"])
        noting(lambda: manager.list("d"))
        noting(lambda: RedisManager(proxy.url, authkey=b"x" * 16).dict("d").__getitem__("a"))
        unnamed = manager.list([1])
        proxy.refuse()
        proxy.cut_all()
        noting(d.copy)
        noting(lambda: d.increment("a"))
        noting(lambda: RedisManager(proxy.url))
        session = manager.runtime.session
        session.heartbeat._try(session.references.renew)  # as its thread does
        wait_until(lambda: caplog.records)  # leases could not be renewed, and that is logged
        proxy.accept()
        del unnamed
        manager.delete("d")
        manager.shutdown()
        noting(d.copy)
    for url in (
        good.replace(PASSWORD, PASSWORD + "x"),
        good.replace("redis://", "redis+cluster://"),
        good.replace("redis://", "http://"),
        good.replace("/0", "/zero"),
        good.replace(f":{guarded.port}", ":port"),
        good.replace("127.0.0.1", "no-such-host.invalid"),
        good.replace("redis://", "rediss://"),
        good + "?colour=red",
        good + "?socket_timeout=soon",
        good.replace("@", "/@"),
    ):
        noting(lambda url=url: RedisManager(url, authkey=KEY, timeout=0.5))
    guarded.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    noting(lambda: RedisManager(good))
    monkeypatch.setenv(registry.URL_VARIABLE, good.replace("redis://", "ftp://"))
    noting(RedisManager)
    assert len(errors) >= 18
    for error in errors:
        is_clean(repr(error), str(error), error.args)
        said = "".join(traceback.format_exception(error))
        # The lines of this file show how the URLs were made, not what is in them.
        is_clean(said)
    is_clean(caplog.text)


def test_no_secret_of_the_private_server() -> None:
    with Manager() as manager:
        password = manager.runtime.credentials.password
        assert len(password) >= 32
        server = manager.runtime.embedded
        assert server is not None
        for pid in (server.pid, server.watcher_pid, os.getpid()):
            for what in ("cmdline", "environ"):
                assert password.encode() not in Path(f"/proc/{pid}/{what}").read_bytes()
        for thing in (
            manager,
            server,
            manager.address,
            manager.runtime.session,
            manager.runtime.credentials,
        ):
            assert password not in repr(thing) + str(thing)
        for proxy in proxies(manager):
            assert password.encode() not in pickle.dumps(proxy)
        home = Path(server._home.path)
        assert home.stat().st_mode & 0o777 == 0o700
        for path in home.rglob("*"):
            if path.is_file():
                assert password.encode() not in path.read_bytes()


def test_authkey_is_not_sent_in_plain_text(guarded: Server) -> None:
    seen: list[bytes] = []
    with CuttingProxy(guarded.tcp_url) as proxy:

        def look(args: list[bytes]) -> bool:
            seen.extend(args)
            return False

        proxy.cut_after_reply(look)
        manager = SyncManager(proxy.url, authkey=KEY)
        manager.connect()
        for object_ in proxies(manager):
            object_._getvalue()
        manager.shutdown()
    assert len(seen) > 50
    is_clean(*seen)


def test_only_children_inherit_secrets() -> None:
    """The store for children refuses to be pickled for anybody else."""
    with Manager():
        inherited = registry._inherited()
        for packed in inherited.values():
            with pytest.raises(TypeError, match="security"):
                pickle.dumps(packed)
