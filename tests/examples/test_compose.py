"""What docker-compose.yml starts, on hosts that are network namespaces.

Commands and server options are read from that file; containers, which need Docker, are not used.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from multihost import RedisManager
from tests.support.hosts import Hosts
from tests.support.procs import ROOT, spawn_script
from tests.support.replication import Replication
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
FOLDER = ROOT / "examples" / "compose"
WATCHED = yaml.safe_load((FOLDER / "sentinel.yml").read_text("utf-8"))["services"]
PASSWORD = "a-password-of-the-tests"
STEP = "100"
TASKS = 24
DONE = re.compile(r" *\d+ primes below +(\d+) by ([\w-]+)/\d+")
SPACES = {"redis": "a", "driver": "a", "worker-a": "b", "worker-b": "c"}


def server_options() -> dict[str, str]:
    """What the service says behind ``redis-server``, but for the password."""
    _, _, script = SERVICES["redis"]["command"]
    assert "\nrequirepass $$REDISCLI_AUTH\n" in script
    return {name.replace("-", "_"): value for name, value in re.findall(r"--(\S+) (\S+)", script)}


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Hosts(3) as three:
        yield three


@pytest.fixture
def server(hosts: Hosts) -> Iterator[Server]:
    with Server(
        tcp=True,
        host=hosts.address["a"],
        prefix=hosts.prefix("a"),
        password=PASSWORD,
        **server_options(),
    ) as redis:
        yield redis


GATED = """
import fcntl, importlib.util, os, pathlib, socket
spec = importlib.util.spec_from_file_location("theirs", os.environ["WORK"])
theirs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(theirs)

def primes_below(limit):
    gate = pathlib.Path(__file__).with_name(socket.gethostname())
    if limit > int(os.environ["STEP"]) and gate.exists():
        with gate.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
    return theirs.primes_below(limit)
"""
"""The tasks of the example; all but the first one wait at the gate of their host, if it has one."""


class Gate:
    """Closed until it is opened."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *exc: object) -> None:
        self.open()

    def open(self) -> None:
        self._file.close()


def one_server(server: Server) -> str:
    """The address that the file gives to all, where the server is."""
    url: str = SERVICES["driver"]["environment"]["MULTIHOST_URL"]
    assert re.fullmatch(r"redis://:\$\{REDIS_PASSWORD:\?[^}]+\}@redis:6379/0", url)
    return f"redis://:{PASSWORD}@{server.host}:{server.port}/0"


def start(hosts: Hosts, url: str, service: str, folder: Path, *more: str) -> subprocess.Popen[str]:
    """What the container runs, where its host name is that of the service."""
    program, *args = SERVICES[service]["command"]
    command = [str(Path(sys.executable).parent / program), *args, *more]
    name = SERVICES[service]["hostname"]
    env = {"PYTHONPATH": str(ROOT / "src"), "MULTIHOST_URL": url}
    return hosts.run(
        SPACES[service],
        ["unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh", *command],
        cwd=folder,
        env={**os.environ, **env, "WORK": str(FOLDER / "work.py"), "STEP": STEP},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def done_by(driver: subprocess.Popen[str], count: int) -> Iterator[tuple[str, str]]:
    """What the driver says of the next tasks: which one, and the host that did it."""
    assert driver.stdout is not None
    for _ in range(count):
        line = driver.stdout.readline()
        found = DONE.fullmatch(line.rstrip())
        assert found, line
        yield found[1], found[2]


def test_two_hosts_work_and_one_is_cut_off_meanwhile(
    hosts: Hosts, server: Server, tmp_path: Path
) -> None:
    """Each of the four processes is in the middle of a task when one host is cut off; the other
    host does all tasks but those two, which are done when the host is back.
    """
    shutil.copy(FOLDER / "driver.py", tmp_path)
    (tmp_path / "work.py").write_text(GATED)
    url = one_server(server)
    with (
        Gate(tmp_path / "worker-a") as of_a,
        Gate(tmp_path / "worker-b") as of_b,
        RedisManager(server.url) as manager,
        manager.Pool(0, name="primes", attempts=3) as pool,
    ):
        workers = [start(hosts, url, "worker-a", tmp_path)]
        driver = start(hosts, url, "driver", tmp_path, STEP)
        assert driver.stdout is not None

        def read(count: int) -> Iterator[tuple[str, str]]:
            return done_by(driver, count)

        def under_way() -> int:
            return sum(worker.running for worker in pool.statistics().workers)

        lines = list(read(1))
        wait_until(lambda: under_way() == 2)
        workers.append(start(hosts, url, "worker-b", tmp_path))
        wait_until(lambda: under_way() == 4)
        hosts.cut("b")
        of_b.open()
        lines += read(TASKS - 3)
        assert {host for _, host in lines[1:]} == {"worker-b"}
        hosts.heal("b")
        of_a.open()
        lines += read(2)
        done = Counter(host for _, host in lines)
        assert done == {"worker-a": 3, "worker-b": TASKS - 3}
        said = [line.rstrip() for line in driver.stdout]
        assert said == [
            f"{host} did {tasks} of {TASKS} tasks" for host, tasks in sorted(done.items())
        ]
        assert len({limit for limit, _ in lines}) == TASKS
        assert driver.wait(PATIENCE) == 0
        assert [worker.wait(PATIENCE) for worker in workers] == [0, 0]


def of_the_sentinels(group: Replication) -> str:
    """The address that examples/compose/sentinel.yml gives to all, where the Sentinels are."""
    url: str = WATCHED["driver"]["environment"]["MULTIHOST_URL"]
    found = re.fullmatch(
        r"redis\+sentinel://:\$\{REDIS_PASSWORD:\?[^}]+\}@sentinel-1,sentinel-2,sentinel-3/primes/0",
        url,
    )
    assert found, url
    return group.url.replace("://", f"://:{PASSWORD}@")


def test_the_master_dies_while_two_hosts_work(hosts: Hosts, tmp_path: Path) -> None:
    """Each of the four processes is in the middle of a task; no task is lost, and none is done
    twice for the driver.
    """
    shutil.copy(FOLDER / "driver.py", tmp_path)
    (tmp_path / "work.py").write_text(GATED)
    with (
        Gate(tmp_path / "worker-a") as of_a,
        Gate(tmp_path / "worker-b") as of_b,
        Replication(1, sentinels=3, hosts=hosts, password=PASSWORD) as group,
    ):
        url, first = of_the_sentinels(group), group.master
        workers = [start(hosts, url, name, tmp_path) for name in ("worker-a", "worker-b")]
        driver = start(hosts, url, "driver", tmp_path, STEP)
        lines = list(done_by(driver, 1))
        with RedisManager(first.url) as manager:
            pool = manager.Pool(0, name="primes", attempts=3)
            wait_until(
                lambda: sum(worker.running for worker in pool.statistics().workers) == 4,
                what="all four are at a task",
            )
            group.await_replicas(first, 1)
        first.kill()
        group.await_other_master(first)
        of_a.open()
        of_b.open()
        lines += done_by(driver, TASKS - 1)
        assert len({limit for limit, _ in lines}) == TASKS
        assert {host for _, host in lines} == {"worker-a", "worker-b"}
        assert driver.wait(PATIENCE) == 0
        assert [worker.wait(PATIENCE) for worker in workers] == [0, 0]


def test_the_second_file_adds_to_the_first() -> None:
    """It names no other services than that, but for the replica and the Sentinels."""
    added = set(WATCHED) - set(SERVICES)
    assert added == {"replica", "sentinel-1", "sentinel-2", "sentinel-3"}
    for service in added:
        assert WATCHED[service]["image"] == SERVICES["redis"]["image"]
        for name, value in COMPOSE["x-confined"].items():
            assert WATCHED[service][name] == value
    for service in ("worker-a", "worker-b", "driver"):
        assert WATCHED[service]["depends_on"].keys() == added - {"replica"}


WORKER = """
import sys
sys.path[:0] = sys.argv[1:3]
from multihost import RedisManager
from multihost.pool import serve
manager = RedisManager(sys.argv[3], lease=float(sys.argv[4]), timeout=10.0)
print("ready", flush=True)
serve(manager, "primes", 1, until_deleted=True)
"""


def test_a_host_that_stays_away_loses_its_tasks_to_others(hosts: Hosts, server: Server) -> None:
    """For longer than its lease; when it is back nothing is done twice for the client."""
    folder = str(FOLDER)
    args = [str(ROOT / "src"), folder, server.tcp_url]
    with contextlib.ExitStack() as stack:
        stack.enter_context(importing(folder))
        from work import primes_below

        manager = stack.enter_context(RedisManager(server.url))
        pool = stack.enter_context(manager.Pool(0, name="primes", attempts=100))
        far = stack.enter_context(
            spawn_script(WORKER, args=[*args, "1.0"], prefix=hosts.prefix("b"))
        )
        assert far.line() == "ready"
        wait_until(lambda: len(pool.statistics().workers) == 1)
        hosts.cut("b")
        results = pool.map_async(primes_below, range(1000, 9000, 1000), chunksize=1)
        near = stack.enter_context(
            spawn_script(WORKER, args=[*args, "300.0"], prefix=hosts.prefix("c"))
        )
        assert near.line() == "ready"
        assert [result[0] for result in results.get(PATIENCE)] == list(range(1000, 9000, 1000))
        hosts.heal("b")
        assert pool.apply(primes_below, (100,))[:2] == (100, 25)
        pool.delete()
        far.finish()
        near.finish()


@contextlib.contextmanager
def importing(folder: str) -> Iterator[Any]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        sys.modules.pop("work", None)
