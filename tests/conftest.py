"""Fixtures for all tests; what they return is in ``tests/support``."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings

from tests.conformance.counts import print_counts
from tests.support import leaks
from tests.support.cluster import SCHEMES, Cluster, ClusterCommands, ExternalCluster
from tests.support.faults import CuttingProxy
from tests.support.hosts import Hosts
from tests.support.leaks import AnyServer
from tests.support.ports import Port
from tests.support.procs import interpreter_flags
from tests.support.sentinel import Sentinel
from tests.support.server import (
    CLUSTER_VARIABLE,
    URL_VARIABLE,
    ExternalServer,
    Server,
    server_program,
    server_version,
)
from tests.support.succession import Succession
from tests.support.tls import TlsProxy

# A spawned child imports the test module to find its function there: ``tests`` must be on its path.
if (root := str(Path(__file__).resolve().parents[1])) not in sys.path:
    sys.path.insert(0, root)

# In the background of a shell a program ignores Ctrl-C, and hands that down to those it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples take as long as the machine lets them.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

SHARED: pytest.StashKey[AnyServer] = pytest.StashKey()
FAILED: pytest.StashKey[bool] = pytest.StashKey()

LONG = {"chaos", "explore"}  # folders


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "leaks_ok(reason): the test may leave connections, threads, children or keys behind",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Parallel workers get the options of this interpreter, ``-bb`` for instance."""
    for spec in specs:
        if spec.popen and not spec.python:
            spec.python = shlex.join([sys.executable, *interpreter_flags()])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    print_counts(terminalreporter)


def pytest_report_header() -> list[str]:
    if url := os.environ.get(URL_VARIABLE):
        try:
            server = _external(url)
            info = server.info()
            server.close()
            version = f"{info.get('server_name', 'redis')} {info['redis_version']} at {server!r}"
        except OSError as error:
            version = f"{URL_VARIABLE} cannot be reached: {error}"
    else:
        try:
            program = server_program()
            version = f"{server_version(program)}, {program}"
            if nodes := os.environ.get(CLUSTER_VARIABLE):
                version = f"cluster of {nodes}, {version}"
        except Exception as error:
            version = f"none ({error})"
    try:
        redis_version = metadata.version("redis")
    except metadata.PackageNotFoundError:
        redis_version = "none"
    methods = ", ".join(multiprocessing.get_all_start_methods())
    return [f"server: {version}", f"redis-py: {redis_version}", f"start methods: {methods}"]


@pytest.hookimpl(trylast=True)  # behind the one who shuffles
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests begin: a worker that has them is not the last one to end."""
    items.sort(key=lambda item: not LONG.intersection(item.path.parts))


def pytest_collection_finish() -> None:
    """Thousands of collected tests are no garbage: whoever looks for some need not visit them.

    In a forked child each visit would also copy what it visits, 150 ms for the first collection.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.failed:
        item.stash[FAILED] = True
    return report  # type: ignore[return-value]


def _start(**options: object) -> Server:
    try:
        program = server_program()
    except Exception as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"needs a server: {error}")
    return Server(program=program, **options)  # type: ignore[arg-type]


def _external(url: str) -> ExternalServer | ExternalCluster:
    return (ExternalCluster if url.startswith(SCHEMES) else ExternalServer)(url)


def _shared() -> AnyServer:
    if url := os.environ.get(URL_VARIABLE):
        return _external(url)
    if nodes := os.environ.get(CLUSTER_VARIABLE):
        return Cluster(int(nodes))
    return _start(tcp=True)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[AnyServer]:
    """The server that tests share, one for each parallel worker; emptied after every test."""
    shared = _shared()
    request.config.stash[SHARED] = shared
    yield shared
    del request.config.stash[SHARED]
    shared.close()


@pytest.fixture
def url(server: AnyServer) -> str:
    """The address of the shared server."""
    return server.url


@pytest.fixture
def start_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Start servers of the test's own, ``start_server(tcp=True, maxmemory="5mb")``.

    They end with the test.
    """
    started: list[Server] = []

    def start(**options: object) -> Server:
        started.append(_start(**options))
        return started[-1]

    yield start
    found: list[str] = []
    for own in started:
        if own.is_answering and not _is_excused(request):
            # What else the test itself put there goes with the server.
            found += leaks.ownerless_keys(own, leaks.ANY_NAMESPACE)
        own.close()
    _report(found)


@pytest.fixture
def fresh_server(start_server: Callable[..., Server]) -> Server:
    """A server for one test alone, which may kill, fill or restart it."""
    return start_server(tcp=True)


@pytest.fixture(scope="session")
def _sentinel() -> Iterator[Sentinel]:
    with _start(tcp=True) as watched, Sentinel(watched) as own:
        yield own


@pytest.fixture(params=["restart", "failover"])
def going_back(
    request: pytest.FixtureRequest, start_server: Callable[..., Server]
) -> Iterator[Server]:
    """A server that can go back to its last ``SAVE``: restarted from that, or as the replica that
    takes over with what it had got then.
    """

    def start() -> Server:
        return start_server(tcp=True, repl_diskless_sync_delay=0, repl_ping_replica_period=1)

    if request.param == "restart":
        yield start()
        return
    succession = Succession(start, request.getfixturevalue("_sentinel"))
    yield cast("Server", succession)
    succession.close()


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Cluster]:
    with Cluster(3) as own:
        yield own


@pytest.fixture
def cluster(_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of three masters that tests share, one for each parallel worker; emptied after
    every test. Who moves slots moves them back.
    """
    yield _cluster
    found = [] if _is_excused(request) else leaks.check_keys(_cluster)
    leaks.empty(_cluster)
    _report(found)


@pytest.fixture
def port() -> Iterator[int]:
    """A port for a server on 127.0.0.1; no other test gets it meanwhile."""
    with Port() as own:
        yield own.number


@pytest.fixture
def proxy(server: AnyServer) -> Iterator[CuttingProxy]:
    """A proxy in front of the shared server, to cut connections with."""
    if isinstance(server, ClusterCommands):
        pytest.skip("a proxy stands before one server; tests/cluster has cuts of its own")
    with CuttingProxy(server) as cutting:
        yield cutting


@pytest.fixture
def tls_proxy(server: AnyServer) -> Iterator[TlsProxy]:
    """TLS in front of the shared server."""
    with TlsProxy(server) as tls:
        yield tls


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Two hosts, ``a`` and ``b``."""
    with Hosts() as two:
        yield two


@pytest.fixture(autouse=True)
def leak_check(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing of a test may outlive it.

    Set up before the test's other fixtures, but after the shared server, it looks when they have
    gone.
    """
    stash = request.config.stash
    before = leaks.Snapshot.take(stash.get(SHARED, None))
    yield
    shared = stash.get(SHARED, None)
    found = [] if _is_excused(request) else leaks.check(before, shared)
    if shared is not None:
        _tidy(shared)
    _report(found)


def _is_excused(request: pytest.FixtureRequest) -> bool:
    marker = request.node.get_closest_marker("leaks_ok")
    if marker is not None and not (marker.args or marker.kwargs.get("reason")):
        pytest.fail("leaks_ok needs a reason")
    # The traceback of a failed test keeps its locals alive: they would only add noise.
    return marker is not None or request.node.stash.get(FAILED, False)


def _report(found: list[str]) -> None:
    if found:
        pytest.fail("the test leaves behind:\n  " + "\n  ".join(found), pytrace=False)


def _tidy(shared: AnyServer) -> None:
    if isinstance(shared, Server) and not shared.is_running:
        shared.restart()
    shared.tail()
    leaks.empty(shared)
