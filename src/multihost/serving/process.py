"""Where objects are hosted: a process that a manager starts, or the one that asks to serve."""

from __future__ import annotations

import contextlib
import functools
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import parent_process, util
from multiprocessing.managers import RemoteError
from multiprocessing.process import AuthenticationString  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, NamedTuple

from multihost.errors import MultihostError
from multihost.proxies.base import BaseProxy, IteratorProxy
from multihost.runtime import Runtime, Settings
from multihost.wire.address import Address, Credentials, ListenAddress
from multihost.wire.identity import new_host

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from multihost.serving.host import Host
    from multihost.serving.objects import Registered

__all__ = ["HostProcess", "Server", "run_initializer", "start_process"]

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

    >>> server = QueueManager(address=("", 50000), authkey=key).get_server()
    >>> server.serve_forever()

    ``address`` is where it listens. ``serve_forever()`` does not return: it raises
    ``SystemExit(0)`` after Ctrl-C, when ``stop_event`` is set, or at the request of a manager. That
    ends the process, or the thread in which it was called.
    """

    def __init__(
        self, runtime: Runtime, types: Mapping[str, Registered], natives_on: NativesOn
    ) -> None:
        self.stop_event: threading.Event = threading.Event()
        self._serving: list[Host] = []  # while it serves; the runtime must not refer to this object
        runtime.start_server()
        runtime.open(functools.partial(_stop_all, self._serving))
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
        natives = self._natives_on(runtime)
        host = Host(runtime.session, self._host, self.registry, natives, self.stop_event)
        self._serving.append(host)
        try:
            try:
                host.start()
                self.stop_event.wait()
            except (KeyboardInterrupt, SystemExit):
                pass
        finally:
            runtime.close()
            sys.exit(0)


def _stop_all(hosts: list[Host]) -> None:
    while hosts:
        hosts.pop().stop()


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


class _Failure(NamedTuple):
    """What a process raised before it was ready, as it tells the one that started it."""

    pickled: bytes  # the exception; empty if it cannot be pickled
    text: str

    @classmethod
    def of(cls, error: BaseException) -> _Failure:
        text = "".join(traceback.format_exception(error))
        try:
            return cls(pickle.dumps(error), text)
        except Exception:  # noqa: BLE001 - whatever its __reduce__ raises
            return cls(b"", text)

    def exception(self) -> BaseException:
        """Return the exception, with the traceback as a note; a RemoteError if it cannot be made
        again.
        """
        try:
            error = pickle.loads(self.pickled)
            error.add_note(f"\nIn the process that was started:\n\n{self.text}")
        except Exception:  # noqa: BLE001 - its class may raise anything, or be missing
            return RemoteError(self.text)
        assert isinstance(error, BaseException)
        return error


def start_process(
    context: Any,
    name: str,
    runtime: Runtime,
    types: Mapping[str, Registered],
    natives_on: NativesOn,
    initialize: Callable[[], object] | None,
) -> HostProcess:
    """Start a process that serves ``types`` at the server of ``runtime``, and wait until it does.

    ``context`` is one of multiprocessing. The process calls ``initialize()`` first. Raises EOFError
    if it ends before it serves, as the standard library does; the cause is what it raised.
    """
    # It can be pickled for a child that is being spawned, and for nothing else.
    credentials = AuthenticationString(runtime.credentials.pack())
    place = runtime.settings, runtime.address, credentials
    return HostProcess(*_start(context, name, _serve, (*place, types, natives_on, initialize)))


def run_initializer(context: Any, name: str, initialize: Callable[[], object]) -> None:
    """Call ``initialize()`` in a process that ends afterwards; wait for that. Raises EOFError if it
    fails, as :func:`start_process` does.
    """
    process, _, pipe = _start(context, name, _initialize, (initialize,))
    pipe.close()
    process.join()


def _start(
    context: Any, name: str, target: Callable[..., object], args: tuple[Any, ...]
) -> tuple[Any, Any, Connection]:
    """Start a process that calls ``target(*args, pipe)``; return it, what it sends first, and our
    end of the pipe.
    """
    from multiprocessing.connection import Pipe

    ours, theirs = Pipe()
    process = context.Process(target=target, args=(*args, theirs))
    process.name = f"{name}-{process.name.rpartition('-')[2]}"
    try:
        process.start()
        theirs.close()
        return process, _receive(process, ours), ours
    except BaseException:
        theirs.close()
        ours.close()
        if process.pid is not None:
            end_process(process, 0.0)
        raise


def _receive(process: Any, pipe: Connection) -> Any:
    """Return what the process sends first. Raises EOFError for an exception, and for its end."""
    try:
        sent = pipe.recv()
    except EOFError:
        process.join()
        raise EOFError(
            f"{process.name} ended with exit code {process.exitcode} before it was ready"
        ) from None
    if isinstance(sent, _Failure):
        process.join()
        error = sent.exception()
        raise EOFError(f"{process.name} ended before it was ready: {error!r}") from error
    return sent


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
    """The target of a process that serves."""
    from multihost.serving.host import Host

    stopped = threading.Event()
    with _reporting_failure(pipe):
        if initialize is not None:
            initialize()
        runtime = Runtime(settings, address, Credentials.unpack(bytes(packed)))
        runtime.open()
        registry, natives = {**BUILTIN_TYPES, **types}, natives_on(runtime)
        host = Host(runtime.session, new_host(), registry, natives, stopped)
        host.start()
    pipe.send(host.ident)
    threading.Thread(target=_wait_for_stop, args=(pipe, stopped), daemon=True).start()
    stopped.wait()
    host.stop()
    try:
        runtime.close()
    except MultihostError as error:
        util.info("the server was lost before the host ended: %s", error)
    sys.exit(0)


def _initialize(initialize: Callable[[], object], pipe: Connection) -> None:
    """The target of a process that only initialises."""
    with _reporting_failure(pipe):
        initialize()
    pipe.send(None)


@contextlib.contextmanager
def _reporting_failure(pipe: Connection) -> Iterator[None]:
    """Send what is raised to the process that started this one, and exit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process with the manager
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - the other process raises it, whatever it is
        pipe.send(_Failure.of(error))
        sys.exit(1)


def _wait_for_stop(pipe: Connection, stopped: threading.Event) -> None:
    """Set ``stopped`` when the process that started this one asks for it, or has ended."""
    from multiprocessing.connection import wait

    parent = parent_process()
    wait([pipe] if parent is None else [pipe, parent.sentinel])
    stopped.set()
