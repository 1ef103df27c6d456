"""Where objects are hosted: a process that a manager starts, or the one that asks to serve."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing import parent_process, util
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, NamedTuple

from multihost.errors import MultihostError
from multihost.proxies.base import BaseProxy, IteratorProxy
from multihost.runtime import Runtime, Settings
from multihost.wire.address import Address, Credentials, ListenAddress
from multihost.wire.identity import new_host

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from multihost.serving.objects import Registered

__all__ = ["HostProcess", "Server", "start_process"]

BUILTIN_TYPES = {"Iterator": (None, IteratorProxy._exposed_, None, IteratorProxy)}
"""Types that no manager need register."""

NativesOn = Callable[[Runtime], Mapping[str, Callable[..., BaseProxy]]]
"""Returns the factories of the types that the server itself holds, by typeid."""


class _StdlibListener:
    """Where a server listens, as the standard library's servers have it."""

    def __init__(self, address: ListenAddress | None, close: Callable[[], object]) -> None:
        self.address = address
        self.close = close


class Server:
    """Serves the registered types of a manager in this process.

    >>> server = QueueManager(address=("", 50000), authkey=b"abracadabra").get_server()
    >>> server.serve_forever()

    ``address`` is where it listens. ``serve_forever()`` does not return: it ends the process with
    ``SystemExit(0)`` after Ctrl-C, or at the request of a manager.
    """

    def __init__(
        self, runtime: Runtime, types: Mapping[str, Registered], natives_on: NativesOn
    ) -> None:
        runtime.start_server()
        runtime.open()
        self.registry: dict[
            str, tuple[None, tuple[str, ...], None, type[IteratorProxy]] | Registered
        ] = {**BUILTIN_TYPES, **types}
        self.address: ListenAddress | None = runtime.listen_address
        self.listener: _StdlibListener = _StdlibListener(self.address, runtime.close)
        self._runtime = runtime
        self._natives_on = natives_on
        from multihost.serving.host import register_host  # slow, and only hosts need it

        self._host = new_host()
        register_host(runtime.session, self._host, self.registry)

    def serve_forever(self) -> None:
        """Serve until a manager requests the end."""
        from multihost.serving.host import Host

        runtime = self._runtime
        host = Host(runtime.session, self._host, self.registry, self._natives_on(runtime))
        try:
            try:
                host.start()
                host.stopped.wait()
            except (KeyboardInterrupt, SystemExit):
                pass
        finally:
            host.stop()
            runtime.close()
            sys.exit(0)


# -- a process of its own


class HostProcess(NamedTuple):
    """A process that was started to serve, the ident of the host in it, and a pipe to it."""

    process: Any
    host: str
    pipe: Connection

    def end(self, timeout: float) -> None:
        """Ask it to end; after ``timeout`` seconds terminate it, and at last kill it."""
        with contextlib.suppress(OSError):  # it has ended
            self.pipe.send_bytes(b"end")
        end_process(self.process, timeout)
        self.pipe.close()


def start_process(
    context: Any,
    name: str,
    runtime: Runtime,
    types: Mapping[str, Registered],
    natives_on: NativesOn,
    initialize: Callable[[], object] | None,
) -> HostProcess:
    """Start a process that serves ``types`` at the server of ``runtime``, and wait until it does.

    ``context`` is one of multiprocessing. The process calls ``initialize()`` first.
    """
    from multiprocessing.connection import Pipe

    ours, theirs = Pipe()
    process = context.Process(
        target=_serve,
        args=(
            runtime.settings,
            runtime.address,
            # It can be pickled for a child that is being spawned, and for nothing else.
            AuthenticationString(runtime.credentials.pack()),
            types,
            natives_on,
            initialize,
            theirs,
        ),
    )
    process.name = f"{name}-{process.name.rpartition('-')[2]}"
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
    """Wait for a process to end; terminate it after ``timeout`` seconds, then kill it."""
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
    settings: Settings,
    address: Address,
    packed: bytes,
    types: Mapping[str, Registered],
    natives_on: NativesOn,
    initialize: Callable[[], object] | None,
    pipe: Connection,
) -> None:
    """The target of the process."""
    from multihost.serving.host import Host

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process with the manager
    if initialize is not None:
        initialize()
    runtime = Runtime(settings, address, Credentials.unpack(bytes(packed)))
    runtime.open()
    host = Host(runtime.session, new_host(), {**BUILTIN_TYPES, **types}, natives_on(runtime))
    host.start()
    pipe.send(host.ident)
    threading.Thread(target=_wait_for_stop, args=(pipe, host.stopped), daemon=True).start()
    host.stopped.wait()
    host.stop()
    try:
        runtime.close()
    except MultihostError as error:
        util.info("the server was lost before the host ended: %s", error)
    sys.exit(0)


def _wait_for_stop(pipe: Connection, stopped: threading.Event) -> None:
    """Set ``stopped`` when the process that started this one asks for it, or has ended."""
    from multiprocessing.connection import wait

    parent = parent_process()
    wait([pipe] if parent is None else [pipe, parent.sentinel])
    stopped.set()
