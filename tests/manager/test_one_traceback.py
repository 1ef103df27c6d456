"""An error of connecting, or of a call, is one traceback of few frames, with what to do, and
without what is internal.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from multihost import LinkError, MultihostError, RedisManager
from multihost.cli import run
from multihost.errors import (
    ConnectRefused,
    ConnectTimeout,
    FileForbidden,
    FileMissing,
    HostUnknown,
    LinkClosed,
)
from tests.manager.test_echo import _calls
from tests.support.echo import EchoServer
from tests.support.ports import closed_address
from tests.support.procs import ROOT, spawn_script
from tests.support.server import Server
from tests.support.tls import TlsProxy
from tests.support.waiting import wait_until

FRAMES_OF_CONNECTING = 5
FRAMES_OF_A_CALL = 10

INTERNAL = re.compile(
    r"\b[nuh]:[\w.-]|\{multihost|\b\w+/\w+ on \b|EVALSHA|evalsha|user_script|__init__\(\)|\[Errno"
)


def said(error: BaseException, frames: int) -> str:
    """Return the traceback of an error, which is one."""
    text = "".join(traceback.format_exception(error))
    assert text.count("Traceback (most recent call last)") == 1, text
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(str(ROOT / "src"))
    ]
    assert len(ours) <= frames, text
    assert not INTERNAL.search(str(error)), error
    return str(error)


def refused(url: str, timeout: float = 40) -> MultihostError | ValueError:
    with pytest.raises((LinkError, ValueError)) as caught:
        RedisManager(url, timeout=timeout)
    return caught.value


# -- connecting


@pytest.mark.parametrize(
    ("url", "kind", "number", "hint"),
    [
        ("redis://127.0.0.1:{port}", ConnectRefused, errno.ECONNREFUSED, "setting bind"),
        ("rediss://127.0.0.1:{port}", ConnectRefused, errno.ECONNREFUSED, "setting bind"),
        ("redis://127.0.0.1:{port}?protocol=2", ConnectRefused, errno.ECONNREFUSED, "bind"),
        ("redis://no-such-host.invalid", HostUnknown, socket.EAI_NONAME, "spelled right"),
        ("rediss://no-such-host.invalid", HostUnknown, socket.EAI_NONAME, "spelled right"),
        ("unix://{path}/none", FileMissing, errno.ENOENT, "unixsocket"),
        ("unix://{path}/none?protocol=2", FileMissing, errno.ENOENT, "unixsocket"),
        ("unix://{path}/file", ConnectRefused, errno.ECONNREFUSED, "that is no socket"),
        ("unix://{path}/left", ConnectRefused, errno.ECONNREFUSED, "left it behind"),
        ("redis://127.0.0.1:{silent}", ConnectTimeout, errno.ETIMEDOUT, "is it a Redis"),
        ("rediss://127.0.0.1:{silent}", ConnectTimeout, errno.ETIMEDOUT, "speak TLS"),
    ],
)
def test_no_server_there(
    url: str,
    kind: type[LinkError],
    number: int,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "dir"
    path.mkdir()
    (path / "file").touch()
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        socket.socket(socket.AF_UNIX) as left,
        closed_address() as (_, port),
    ):
        monkeypatch.chdir(path)  # the path of a socket is short
        left.bind("left")
        names = {"port": port, "path": path, "silent": silent.getsockname()[1]}
        error = refused(url.format(**names), 0.5 if "silent" in url else 40)
    assert type(error) is kind
    assert error.errno == number
    assert hint in said(error, FRAMES_OF_CONNECTING)


@pytest.fixture
def tls(fresh_server: Server) -> Iterator[TlsProxy]:
    with TlsProxy(fresh_server.tcp_url) as proxy:
        yield proxy


def test_certificates(tls: TlsProxy, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    empty = tmp_path / "empty.pem"
    empty.touch()
    named = f"{tls.bare_url}?ssl_ca_certs="
    for url, hint in (
        (tls.bare_url, "?ssl_ca_certs=/path/to/ca.pem in the URL"),
        (f"{named}{other}", "?ssl_ca_certs=/path/to/ca.pem in the URL"),
        (f"{named}{empty}", "the file of ssl_ca_certs holds no certificate"),
    ):
        error = refused(url)
        assert type(error) is LinkError
        assert error.errno is None
        assert hint in said(error, FRAMES_OF_CONNECTING)
    error = refused(f"{named}{tmp_path}/none.pem")
    assert type(error) is FileMissing
    assert "ssl_ca_certs names a file that does not exist" in said(error, FRAMES_OF_CONNECTING)
    RedisManager(tls.url).shutdown()


def test_a_certificate_of_another_host(fresh_server: Server) -> None:
    with TlsProxy(fresh_server.tcp_url) as tls:
        try:
            socket.getaddrinfo("ip6-localhost", 80, socket.AF_INET)
        except OSError:
            url = tls.url.replace("127.0.0.1", socket.gethostname())
        else:
            url = tls.url.replace("127.0.0.1", "ip6-localhost")
        error = refused(url)
        if isinstance(error, ConnectRefused | HostUnknown):
            pytest.skip("needs a second name of this machine")
        assert "the name or address that it was issued for" in said(error, FRAMES_OF_CONNECTING)


def test_a_client_certificate_that_is_missing(fresh_server: Server) -> None:
    with TlsProxy(fresh_server.tcp_url, client_auth=True) as tls:
        url = re.sub(r"&ssl_certfile=[^&]*&ssl_keyfile=[^&]*", "", tls.url)
        assert "ssl_certfile" in said(refused(url), FRAMES_OF_CONNECTING)


def test_an_error_that_the_caller_handles_is_not_the_reason(tls: TlsProxy) -> None:
    try:
        raise FileNotFoundError(errno.ENOENT, "the settings")
    except FileNotFoundError:
        error = refused(tls.bare_url)
    assert type(error) is LinkError
    assert "settings" not in str(error)
    assert "?ssl_ca_certs=/path/to/ca.pem in the URL" in str(error)


def test_tls_and_no_tls(tls: TlsProxy, fresh_server: Server) -> None:
    error = refused(fresh_server.tcp_url.replace("redis://", "rediss://"), 0.5)
    assert "does the server speak TLS at this port? else use redis://" in said(error, 5)
    error = refused(tls.bare_url.replace("rediss://", "redis://"))
    assert type(error) is LinkClosed
    assert "then use rediss://" in said(error, FRAMES_OF_CONNECTING)


def test_a_socket_that_this_user_may_not_open(start_server: Callable[..., Server]) -> None:
    server = start_server(unixsocketperm="600")
    if os.getuid():
        os.chmod(server.socket, 0)
        error = refused(server.unix_url)
        assert type(error) is FileForbidden
        assert "unixsocketperm" in said(error, FRAMES_OF_CONNECTING)
        return
    os.chmod(server.directory, 0o755)
    program = (
        "import os, multihost, traceback, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: multihost.RedisManager(sys.argv[1])\n"
        "except PermissionError as error: print(type(error).__name__, error.errno, error)\n"
    )
    with spawn_script(program, {}, args=[server.unix_url]) as process:
        text = process.finish()
    assert text.startswith(f"FileForbidden {errno.EACCES} ")
    assert "unixsocketperm" in text


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ("?colour=red", "it does not exist; known are client_name, db, "),
        ("?socket_timeout=soon", "socket_timeout"),
        ("?ssl_ca_certs=/ca.pem", "'ssl_ca_certs' needs TLS: rediss://"),
    ],
)
def test_options(
    options: str, hint: str, server: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.delenv("MULTIHOST_URL", raising=False)
    url = server.url_for("bob", "hush", tcp=True) + options
    text = said(refused(url), FRAMES_OF_CONNECTING)
    assert hint in text
    assert "MULTIHOST_URL" not in text
    monkeypatch.setenv("MULTIHOST_URL", url)
    error = refused(None)  # type: ignore[arg-type]
    assert str(error) == f"MULTIHOST_URL: {text}"
    said(error, FRAMES_OF_CONNECTING)
    assert run(["ls"]) == 2
    shown = capsys.readouterr().err
    assert f"MULTIHOST_URL: {text}" in shown
    assert "hush" not in shown


def test_tls_options_are_listed(tls: TlsProxy) -> None:
    text = said(refused(tls.url + "&ssl_colour=red"), FRAMES_OF_CONNECTING)
    for known in ("ssl_ca_certs", "ssl_certfile", "ssl_check_hostname", "socket_timeout"):
        assert known in text


# -- calls


def failures(manager: Any, calls: dict[str, Callable[[], Any]]) -> Iterator[tuple[str, Any]]:
    for name, call in calls.items():
        try:
            call()
        except Exception as error:
            yield name, error


@pytest.mark.leaks_ok("the server told it that nothing can be deleted")
@pytest.mark.parametrize(
    "answer", ["OOM full", "NOPERM no", "WRONGTYPE no", "MOVED 1 other", "ERR x"]
)
def test_a_refused_call_names_method_and_object(answer: str, fresh_server: Server) -> None:
    with EchoServer(fresh_server.tcp_url) as server:
        manager = RedisManager(f"redis://127.0.0.1:{server.port}", timeout=20)
        calls = _calls(manager)
        named = manager.dict("results")
        queue = manager.Queue("crawl.urls")
        calls |= {
            "dict.update": lambda: named.update(a=1),
            "dict.__getitem__": lambda: named["a"],
            "Queue.put": lambda: queue.put(1),
        }
        server.answer = lambda command, heard: f"-{answer}\r\n".encode()
        count = 0
        for name, error in failures(manager, calls):
            text = said(error, FRAMES_OF_A_CALL)
            if isinstance(error, MultihostError):
                count += 1
                type_, _, method = name.replace("Proxy", "").partition(".")
                if method.isidentifier() and type_ not in ("Namespace", "Value"):  # no methods
                    assert f".{method}() of " in text, text
        assert count > len(calls) * 0.8
        with pytest.raises(MultihostError) as caught:
            named.update(a=1)
        assert str(caught.value).startswith("dict.update() of 'results': ")
        server.answer = None
        manager.runtime.session.close_now()


def test_a_call_on_a_deleted_object(server: Any) -> None:
    with RedisManager(server.url) as manager:
        calls = _calls(manager)
        named = manager.list("l")
        named.delete()
        calls["list.append"] = lambda: named.append(1)
        server.command("FLUSHALL")
        texts = {name: said(error, FRAMES_OF_A_CALL) for name, error in failures(manager, calls)}
        assert len(texts) > len(calls) * 0.8
        assert texts["list.append"].startswith("list.append() of 'l': the object was deleted")


@pytest.mark.parametrize("sent", [True, False], ids=["lost", "away"])
def test_a_call_to_a_server_that_is_gone(sent: bool, start_server: Callable[..., Server]) -> None:
    server = start_server(tcp=True)
    manager = RedisManager(server.tcp_url, timeout=20)
    try:
        calls = _calls(manager)
        manager.runtime.session.link.reconnect_timeout = 0.0
        server.kill()
        if not sent:
            with pytest.raises(LinkError):
                manager.names()
        count = 0
        for _, error in failures(manager, calls):
            said(error, FRAMES_OF_A_CALL)
            count += isinstance(error, LinkError)
        assert count > len(calls) * 0.8
    finally:
        manager.runtime.session.close_now()
        server.restart()


def test_a_wait_at_a_server_that_is_gone(start_server: Callable[..., Server]) -> None:
    server = start_server(tcp=True)
    manager = RedisManager(server.tcp_url, timeout=20)
    try:
        queue = manager.Queue("q")
        queue.put(1)
        assert queue.get() == 1
        manager.runtime.session.link.reconnect_timeout = 0.1
        found: list[BaseException] = []

        def wait() -> None:
            try:
                queue.get()
            except LinkError as error:
                found.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: server.info("clients")["blocked_clients"] == "1")
        server.kill()
        thread.join()
        said(found[0], FRAMES_OF_A_CALL)
    finally:
        manager.runtime.session.close_now()
        server.restart()
