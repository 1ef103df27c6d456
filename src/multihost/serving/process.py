"""Where objects are hosted: a process that a manager starts, or the one that asks to serve."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing import current_process, parent_process, util
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from multihost.errors import MultihostError
from multihost.proxies.hosted import IteratorProxy
from multihost.wire.address import Address, Credentials
from multihost.wire.identity import new_host
from multihost.wire.link import Link
from multihost.wire.session.registry import reconnect_timeout_for

__all__ = ["HostProcess", "Server", "Settings", "start_process"]

BUILTIN_TYPES = {"Iterator": (None, IteratorProxy._exposed_, None, IteratorProxy)}
"""Types that no manager need register."""


class Settings(NamedTuple):
    """What a manager is told about its objects."""

    serializer: Any
    namespace: str
    lease: float
    timeout: float


class _StdlibListener:
    """Where a server listens, as the standard library's servers have it."""

    def __init__(self, address: Any, close: Callable[[], object]) -> None:
        self.address = address
        self.close = close


class Server:
    """Serves the registered types of a manager in this process.

    >>> server = QueueManager(address=("", 50000), authkey=b"abracadabra").get_server()
    >>> server.serve_forever()

    ``address`` is where it listens. ``serve_forever()`` returns never: it ends the process with
    ``SystemExit(0)`` after Ctrl-C, or when a manager asked it to.
    """

    def __init__(self, manager: Any) -> None:
        twin = object.__new__(type(manager))
        twin.__dict__.update(manager.__dict__)
        address, credentials, patience = twin._resolve_server()
        try:
            link = Link(
                address, credentials, timeout=twin._settings.timeout, reconnect_timeout=patience
            )
            twin._open(link)
        except BaseException:
            twin._abort_start()
            raise
        self.registry = {**BUILTIN_TYPES, **manager._hosted_types()}
        self.address = twin.address
        self.listener = _StdlibListener(self.address, twin.shutdown)
        self._manager = twin
        from multihost.serving.host import register_host  # only those who serve need it

        self._host = new_host()
        register_host(twin._open_session(), self._host, self.registry)

    def serve_forever(self) -> None:
        """Serve until a manager asks to end."""
        from multihost.serving.host import Host

        manager = self._manager
        host = Host(manager._open_session(), self._host, self.registry, manager)
        manager._host = self._host
        current_process()._manager_server = self  # type: ignore[attr-defined]
        try:
            try:
                host.start()
                host.stopped.wait()
            except (KeyboardInterrupt, SystemExit):
                pass
        finally:
            host.stop()
            manager.shutdown()
            sys.exit(0)


# -- a process of its own


class HostProcess(NamedTuple):
    """A process that was started to serve, the host in it, and a pipe to it."""

    process: Any
    host: str
    pipe: Any

    def end(self, timeout: float) -> None:
        """Ask it to end, and see to it that it does."""
        with contextlib.suppress(OSError):  # it has ended
            self.pipe.send_bytes(b"end")
        end_process(self.process, timeout)
        self.pipe.close()


def start_process(
    manager: Any,
    registry: Mapping[str, Any],
    address: Address,
    credentials: Credentials,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
) -> HostProcess:
    """Start a process that serves."""
    from multiprocessing.connection import Pipe

    ours, theirs = Pipe()
    process = manager._ctx.Process(
        target=_serve,
        args=(
            type(manager),
            dict(registry),
            manager._settings,
            address,
            AuthenticationString(credentials.pack()),  # which is pickled for a child alone
            theirs,
            initializer,
            initargs,
        ),
    )
    identity = ":".join(map(str, process._identity))
    process.name = f"{type(manager).__name__}-{identity}"
    try:
        process.start()
        theirs.close()
        return HostProcess(process, ours.recv(), ours)
    except BaseException:
        theirs.close()
        ours.close()
        if process.pid is not None:
            end_process(process, 0.0)
        raise


def end_process(process: Any, timeout: float) -> None:
    """Wait for the end of a process, and see to it that it comes."""
    process.join(timeout)
    if process.is_alive():
        util.info("trying to `terminate()` manager process")
        process.terminate()
        process.join(timeout)
        if process.is_alive():
            util.info("manager still alive after terminate")
            process.kill()
            process.join()


def _serve(
    cls: type[Any],
    registry: dict[str, Any],
    settings: Settings,
    address: Address,
    packed: bytes,
    pipe: Any,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
) -> None:
    """What the process does."""
    from multihost.serving.host import Host

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who has the manager
    if initializer is not None:
        initializer(*initargs)
    manager = object.__new__(cls)
    credentials = Credentials.unpack(bytes(packed))
    manager._server_address, manager._listen_address, manager._address_argument = (
        address,
        None,
        None,
    )
    manager._configure(settings, credentials, None)
    manager._registry = registry
    manager._ctx, manager._shutdown_timeout = None, 0.0
    manager._open(
        Link(
            address,
            credentials,
            timeout=settings.timeout,
            reconnect_timeout=reconnect_timeout_for(address),
        )
    )
    host = Host(manager._session, new_host(), {**BUILTIN_TYPES, **registry}, manager)
    manager._host = host.ident
    host.start()
    pipe.send(host.ident)
    threading.Thread(target=_wait_for_stop, args=(pipe, host.stopped), daemon=True).start()
    host.stopped.wait()
    host.stop()
    try:
        manager.shutdown()
    except MultihostError as error:
        util.info("the server had gone before: %s", error)
    sys.exit(0)


def _wait_for_stop(pipe: Any, stopped: threading.Event) -> None:
    """Stop when the process that started this one says so, or has ended."""
    from multiprocessing.connection import wait

    parent = parent_process()
    wait([pipe] if parent is None else [pipe, parent.sentinel])
    stopped.set()
