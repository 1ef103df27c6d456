"""What consumers cost that wait for an item which does not come.

``python -m bench.idle --consumers 300 --seconds 20`` prints how many commands the server executes
for each session in a second, those within scripts among them, and what that takes of its core.
Each consumer has a session of its own, as it would in a process of its own; they share a few
processes.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from bench.server import Server, run_server
from bench.socket_link import SocketLink

PER_PROCESS = 250
STACK = 256 * 1024  # bytes, of thousands of threads
SETTLING = 12.0  # seconds after which each session has sent its first heartbeat
MAKE = {
    "queue": lambda manager: manager.Queue("idle").get,
    "joinable": lambda manager: manager.JoinableQueue("idle").get,
    "lock": lambda manager: manager.Lock("idle").acquire,
    "condition": lambda manager: waits_for(manager.Condition("idle")),
}

_fork = multiprocessing.get_context("fork")


def waits_for(condition: Any) -> Any:
    """Return what waits for a notification."""

    def wait() -> None:
        with condition:
            condition.wait()

    return wait


def consume(url: str, kind: str, count: int, orders: Connection) -> None:
    """Wait for items in so many sessions until told otherwise."""
    from multihost import RedisManager

    threading.stack_size(STACK)
    managers = [RedisManager(url, timeout=60.0) for _ in range(count)]
    for manager in managers:
        get = MAKE[kind](manager)
        threading.Thread(target=lambda get=get: _until_the_end(get), daemon=True).start()
    orders.send(count)
    orders.recv()  # the parent ends it


def _until_the_end(get: Any) -> None:
    with contextlib.suppress(Exception):
        get()


@contextlib.contextmanager
def consumers(url: str, kind: str, count: int) -> Iterator[None]:
    """Have so many consumers wait while the block runs."""
    from multihost import RedisManager

    with RedisManager(url) as manager:
        if kind == "lock":
            manager.Lock("idle").acquire()
        else:
            MAKE[kind](manager)
        team = []
        try:
            for begun in range(0, count, PER_PROCESS):
                ours, theirs = _fork.Pipe()
                args = (url, kind, min(PER_PROCESS, count - begun), theirs)
                process = _fork.Process(target=consume, args=args)
                process.start()
                theirs.close()
                team.append((process, ours))
                ours.recv()  # one after the other: to begin takes more than to wait
            yield
        finally:
            for process, _ in team:
                process.kill()
            for process, _ in team:
                process.join()


def executed(server: Server) -> dict[str, int]:
    """Count the calls of each command, those within scripts among them."""
    with contextlib.closing(SocketLink(server.path, server.password)) as link:
        text = link.call("INFO", "commandstats").decode()
    rows = (line.partition(":") for line in text.splitlines() if line.startswith("cmdstat_"))
    return {name[8:]: int(stats.split(",")[0].removeprefix("calls=")) for name, _, stats in rows}


def used_cpu(server: Server) -> float:
    """Return how many seconds of CPU time the server has used."""
    info = server.info()
    return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])


def measure(kind: str, count: int, seconds: float) -> dict[str, float]:
    """Return commands for each session in a second, and percent of a core of the server."""
    with run_server() as server:
        with contextlib.closing(SocketLink(server.path, server.password)) as link:
            link.call("CONFIG", "SET", "maxclients", "19000")
        with consumers(server.url, kind, count):
            time.sleep(SETTLING)
            commands, cpu, begun = executed(server), used_cpu(server), time.monotonic()
            time.sleep(seconds)
            passed = time.monotonic() - begun
            cpu = used_cpu(server) - cpu
            calls = {name: n - commands.get(name, 0) for name, n in executed(server).items()}
            busiest = sorted(calls.items(), key=lambda each: -each[1])[:10]
            print({name: round(n / passed / count, 3) for name, n in busiest}, flush=True)
            clients = int(server.info()["blocked_clients"])
    assert clients >= count, f"only {clients} wait"
    return {"commands": sum(calls.values()) / passed / count, "percent": 100 * cpu / passed}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=MAKE, default="queue")
    parser.add_argument("--consumers", type=int, nargs="+", default=[300])
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    for count in options.consumers:
        found = measure(options.kind, count, options.seconds)
        print(
            f"{count} wait at a {options.kind}: {found['commands']:.2f} commands a second and "
            f"session, {found['percent']:.2f} % of a core of the server",
            flush=True,
        )


if __name__ == "__main__":
    main()
