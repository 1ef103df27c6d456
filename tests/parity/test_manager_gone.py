"""What programs catch to notice that the manager is gone, or is not up yet: each exception that the
standard library raises is one that ours is an instance of, with the same ``errno``.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import pickle
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError, get_context
from multiprocessing import managers as stdlib
from pathlib import Path
from typing import Any

import pytest

import multihost
from multihost import errors
from tests.support.faults import CuttingProxy
from tests.support.ports import closed_address
from tests.support.procs import send_signal
from tests.support.server import Server
from tests.support.waiting import wait_until

# Keys of bytes and of str in one dict, which python -b would warn of.
pytestmark = pytest.mark.filterwarnings("ignore::BytesWarning")

KEY = b"the authkey of the tests"
GONE = (EOFError, BrokenPipeError, ConnectionResetError)
"""What a connection that ended may raise, by how far the kernel is with it."""


class Flavour:
    """The standard library's manager, or ours."""

    def __init__(self, cls: Any) -> None:
        self.manager: Any = cls

    def started(self, *address: Any, authkey: bytes = KEY) -> Any:
        more = {"ctx": get_context("fork")} if self.manager is stdlib.SyncManager else {}
        manager = self.manager(*address, authkey=authkey, **more)
        manager.start()
        return manager

    def kill(self, manager: Any) -> None:
        if self.manager is stdlib.SyncManager:
            send_signal(manager._process.pid, signal.SIGKILL)
            manager._process.join()
        else:
            server = manager.runtime.embedded
            send_signal(server.pid, signal.SIGKILL)
            wait_until(lambda: not Path(server._home.path).exists(), what="the watcher removed it")


FLAVOURS = {"stdlib": Flavour(stdlib.SyncManager), "multihost": Flavour(multihost.SyncManager)}


def raised(call: Callable[[], Any]) -> BaseException:
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


def in_thread(call: Callable[[], Any]) -> BaseException:
    found: list[BaseException] = []
    thread = threading.Thread(target=lambda: found.append(raised(call)))
    thread.start()
    thread.join()
    return found[0]


# -- situations: each returns the errors that a program sees there


def used_after_shutdown(flavour: Flavour) -> list[BaseException]:
    manager = flavour.started()
    d = manager.dict(a=1)
    assert d["a"] == 1
    manager.shutdown()
    return [raised(lambda: d["a"]), raised(lambda: d["a"])]


def first_used_after_shutdown(flavour: Flavour) -> list[BaseException]:
    manager = flavour.started()
    d = manager.dict(a=1)
    manager.shutdown()
    return [in_thread(lambda: d["a"]), in_thread(d.copy)]


def killed(flavour: Flavour) -> list[BaseException]:
    manager = flavour.started()
    try:
        d, queue = manager.dict(a=1), manager.Queue()
        assert d["a"] == 1
        flavour.kill(manager)
        return [
            *[raised(lambda: d["a"]) for _ in range(3)],
            in_thread(lambda: d["a"]),
            in_thread(queue.get),
            raised(manager.dict),
        ]
    finally:
        manager.shutdown()


def killed_while_waiting(flavour: Flavour) -> list[BaseException]:
    manager = flavour.started()
    try:
        waiting, queue = manager.Event(), manager.Queue()
        found: list[BaseException] = []

        def tell_and_wait() -> None:
            waiting.set()  # the server may be gone before its reply is here
            queue.get()

        def wait() -> None:
            found.append(raised(tell_and_wait))

        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait()
        flavour.kill(manager)
        thread.join()
        return found
    finally:
        manager.shutdown()


def not_up_yet(flavour: Flavour) -> list[BaseException]:
    with closed_address() as address:
        manager = flavour.manager(address, authkey=KEY)
        return [raised(manager.connect), raised(manager.connect)]


def no_socket_file(flavour: Flavour) -> list[BaseException]:
    return [raised(flavour.manager("/tmp/mh-no-such-socket", authkey=KEY).connect)]


def socket_file_left_behind(flavour: Flavour) -> list[BaseException]:
    path = f"/tmp/mh-left-{id(flavour):x}"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    try:
        return [raised(flavour.manager(path, authkey=KEY).connect)]
    finally:
        Path(path).unlink()


def unknown_host(flavour: Flavour) -> list[BaseException]:
    return [raised(flavour.manager(("no-such-host.invalid", 1), authkey=KEY).connect)]


def wrong_authkey(flavour: Flavour) -> list[BaseException]:
    manager = flavour.started(("127.0.0.1", 0))
    try:
        return [
            raised(flavour.manager(manager.address, authkey=b"another key of the tests").connect)
        ]
    finally:
        manager.shutdown()


def deleted_object(flavour: Flavour) -> list[BaseException]:
    with flavour.started(
        authkey=bytes(get_context().current_process()._config["authkey"])
    ) as manager:
        d = manager.dict(a=1)
        pickled = pickle.dumps(d)
        if hasattr(d, "delete"):
            d.delete()
        del d
        return [raised(lambda: pickle.loads(pickled).copy())]


SITUATIONS: list[tuple[Callable[[Flavour], list[BaseException]], int | None]] = [
    (used_after_shutdown, errno.EPIPE),
    (first_used_after_shutdown, errno.EPIPE),
    (killed, None),
    (killed_while_waiting, errno.EPIPE),
    (not_up_yet, errno.ECONNREFUSED),
    (no_socket_file, errno.ENOENT),
    (socket_file_left_behind, errno.ECONNREFUSED),
    (unknown_host, socket.EAI_NONAME),
    (wrong_authkey, None),
    (deleted_object, None),
]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("situation", "number"), SITUATIONS, ids=[each.__name__ for each, _ in SITUATIONS]
)
def test_what_programs_catch_fits(
    situation: Callable[[Flavour], list[BaseException]], number: int | None
) -> None:
    theirs, ours = situation(FLAVOURS["stdlib"]), situation(FLAVOURS["multihost"])
    assert len(theirs) == len(ours)
    for their, our in zip(theirs, ours, strict=True):
        kinds = GONE if isinstance(their, GONE) else (type(their),)
        assert all(isinstance(our, kind) for kind in kinds), (their, our)
        assert isinstance(our, multihost.MultihostError)
        if number is not None:
            assert our.errno == number  # type: ignore[attr-defined]
            assert our.strerror  # type: ignore[attr-defined]
        if isinstance(their, OSError) and number == their.errno:
            assert our.strerror == their.strerror  # type: ignore[attr-defined]


# -- a shared server, which may come back


def test_a_shared_server_that_is_away(fresh_server: Server) -> None:
    with CuttingProxy(fresh_server.tcp_url) as proxy, multihost.RedisManager(proxy.url) as manager:
        d = manager.dict(a=1)
        assert d["a"] == 1
        manager.runtime.session.link.reconnect_timeout = 0.1
        proxy.refuse()
        proxy.cut_all()
        error = raised(lambda: d["a"])
        assert isinstance(error, multihost.LinkLost)
        assert all(isinstance(error, kind) for kind in GONE)
        assert not isinstance(error, ConnectionRefusedError)
        error = raised(lambda: d["a"])
        assert isinstance(error, ConnectionRefusedError)
        assert not isinstance(error, GONE)
        proxy.accept()
        assert d["a"] == 1


def test_a_client_that_waits_until_the_server_is_up(
    start_server: Callable[..., Server],
) -> None:
    """The loop of many a program."""
    server = start_server(tcp=True)
    url = server.tcp_url
    server.kill()
    tried = threading.Event()
    up: list[multihost.RedisManager] = []

    def connect() -> None:
        while not up:
            try:
                up.append(multihost.RedisManager(url))
            except ConnectionRefusedError:
                tried.set()

    thread = threading.Thread(target=connect)
    thread.start()
    tried.wait()
    server.restart()
    thread.join()
    up[0].shutdown()


# -- the classes


def subclasses(cls: type) -> Iterator[type[BaseException]]:
    yield cls
    for each in cls.__subclasses__():
        yield from subclasses(each)


EXCEPTIONS = sorted(
    {each for each in subclasses(errors.MultihostError) if each.__module__ == errors.__name__},
    key=lambda each: each.__name__,
)


@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_it_travels(kind: Any) -> None:
    reason = OSError(errno.EHOSTUNREACH, "no way")
    makes: list[Callable[[], Any]] = [kind, lambda: kind("what"), lambda: kind("what", 1)]
    if issubclass(kind, errors.LinkError):
        makes.append(lambda: kind("what", reason=reason))
    for make in makes:
        error = make()
        error.add_note("a note")
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(other) is kind
            assert (str(other), other.args) == (str(error), error.args)
            assert other.__notes__ == ["a note"]
            assert getattr(other, "errno", None) == getattr(error, "errno", None)
            assert getattr(other, "strerror", None) == getattr(error, "strerror", None)
    if issubclass(kind, errors.LinkError):
        assert (error.errno, error.strerror, str(error)) == (113, "no way", "what")


def test_access_denied_is_what_a_wrong_authkey_raises() -> None:
    assert issubclass(errors.AccessDenied, AuthenticationError)
    with contextlib.suppress(AuthenticationError):
        raise errors.AccessDenied
