"""What it costs that unnamed objects live as long as something leads to them.

``python -m bench.lifetimes`` prints for 100, 10,000 and 100,000 objects that a named dict leads to,
in three shapes: how long a collection takes, how much the server works for it, in how many scripts,
and which was the longest. Some find all in use, and then one removes all. ``--sizes 100`` is short.
Then, what a put of a proxy costs, and how much memory of the server an object takes in a container
with a lease and in one without. ``--only wait`` measures the time from the last reference to the
removal: over a minute.

The clock of the server tells how long a script took: on a busy machine that contains what others
got of the core. So of three collections that find all in use the least counts, script by script.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import gc
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

from bench.idle import used_cpu
from bench.server import Server, run_server
from bench.socket_link import SocketLink
from bench.tracer import trace

LEASE = 600.0  # nobody renews while it is measured
CHUNK = 1000
PUTS, TRACED, REPEATS = 300, 40, 3


class Scripts:
    """The scripts that a server ran while a block ran, with their times."""

    def __init__(self, server: Server) -> None:
        from multihost.wire.script import source

        self._server = server
        self._names = {
            hashlib.sha1(source.expand(name).code.encode()).hexdigest(): name
            for name in source.all_names()
        }
        self.times: dict[str, list[int]] = collections.defaultdict(list)
        self.seconds = self.cpu = 0.0

    def __enter__(self) -> Self:
        with contextlib.closing(SocketLink(self._server.path)) as link:
            link.call("CONFIG", "SET", "slowlog-max-len", 1_000_000)
            link.call("CONFIG", "SET", "slowlog-log-slower-than", 0)
            link.call("SLOWLOG", "RESET")
        self.cpu, self.seconds = used_cpu(self._server), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self.seconds
        self.cpu = used_cpu(self._server) - self.cpu
        with contextlib.closing(SocketLink(self._server.path)) as link:
            link.call("CONFIG", "SET", "slowlog-log-slower-than", -1)
            for _, _, took, args, *_ in link.call("SLOWLOG", "GET", -1):
                name = self._names.get(args[1].decode()) if args[0].upper() == b"EVALSHA" else None
                if name is not None:
                    self.times[name].append(took)
            link.call("SLOWLOG", "RESET")

    def longest(self) -> dict[str, int]:
        """Return the longest time of each, in microseconds."""
        return {name: max(times) for name, times in self.times.items()}

    def all(self) -> list[int]:
        """Return the times of all, in microseconds, in their order."""
        return sorted(took for times in self.times.values() for took in times)


def flat(manager: Any, root: Any, size: int) -> None:
    """Let the dict contain all objects."""
    for begun in range(0, size, CHUNK):
        root.update({n: manager.list() for n in range(begun, min(begun + CHUNK, size))})


def circle(manager: Any, root: Any, size: int) -> None:
    """Let the dict contain one of a circle."""
    root["first"] = last = first = manager.list()
    for _ in range(size - 1):
        following = manager.list()
        last.append(following)
        last = following
    last.append(first)


def wide(manager: Any, root: Any, size: int) -> None:
    """Let the dict contain one that contains all others."""
    root["all"] = members = manager.list()
    for begun in range(0, size - 1, CHUNK):
        members.extend([manager.list() for _ in range(min(CHUNK, size - 1 - begun))])


SHAPES: dict[str, Callable[[Any, Any, int], None]] = {"flat": flat, "circle": circle, "wide": wide}


def keys(link: SocketLink, pattern: str) -> Iterator[bytes]:
    """Yield the keys of a pattern."""
    cursor = b"0"
    while True:
        cursor, found = link.call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
        yield from found
        if cursor == b"0":
            return


def empty(server: Server) -> None:
    """Remove everything."""
    with contextlib.closing(SocketLink(server.path)) as link:
        link.call("FLUSHALL")


def let_go_long_ago(server: Server) -> None:
    """Say that nobody has held anything, nor let go of it, for a long time."""
    with contextlib.closing(SocketLink(server.path)) as link:
        for tail in ("held", "cut"):
            for key in keys(link, f"*}}:{tail}"):
                link.call("ZUNIONSTORE", key, 1, key, "WEIGHTS", 0)


@contextlib.contextmanager
def let_go(server: Server, shape: str, size: int) -> Iterator[tuple[Any, Any]]:
    """Offer a dict that leads to so many objects which nobody holds, and a collector."""
    from multihost import RedisManager
    from multihost.inspection import opened

    with RedisManager(server.url, lease=LEASE) as manager:
        root = manager.dict("root")
        root.clear()  # the server knows the script
        SHAPES[shape](manager, root, size)
        gc.collect()
        while manager.runtime.session.references.has_collected:  # its thread forgets them
            time.sleep(0.05)
        let_go_long_ago(server)
        with opened(server.url) as session:
            yield root, session.collector


def measure(server: Server, shape: str, size: int) -> None:
    """Print what collections cost that find everything in use, and one that removes it."""
    empty(server)
    with let_go(server, shape, size) as (root, collector):
        runs = []
        for _ in range(REPEATS):
            with Scripts(server) as scripts:
                assert collector.collect() == (0, True)
            runs.append(scripts)
        show(f"{shape} {size}, in use", *runs)
        with Scripts(server) as clear:
            root.clear()
        let_go_long_ago(server)
        with Scripts(server) as scripts:
            found = collector.collect()
        assert found.finished
        assert found.removed >= size
        show(f"{shape} {size}, removed", scripts)
        print(f"{'':25}clear() of the dict {clear.all()[-1] / 1000:.2f} ms", flush=True)


def show(title: str, *runs: Scripts) -> None:
    """Print the quickest of some collections."""
    best = min(runs, key=lambda each: each.seconds)
    longest = {
        name: min(run.longest().get(name, 0) for run in runs) / 1000 for name in best.longest()
    }
    first = sorted(longest.items(), key=lambda each: -each[1])[:3]
    count = len(best.all())
    print(
        f"{title:25}{best.seconds:7.2f} s, of the server {min(run.cpu for run in runs):.2f} s; "
        f"{count} scripts, most {best.all()[count // 2] / 1000:.2f} ms; longest "
        + ", ".join(f"{name} {took:.2f} ms" for name, took in first),
        flush=True,
    )


def measure_wait(server: Server, sizes: list[int], lease: float) -> None:
    """Print the time from the last reference to the removal, all sizes at once."""
    from multihost import RedisManager

    with contextlib.ExitStack() as stack:
        roots = []
        for size in sizes:
            manager = RedisManager(server.url, namespace=f"wait{size}", lease=lease)
            roots.append((size, stack.enter_context(manager), manager.dict("root")))
            flat(*roots[-1][1:], size)
        gc.collect()
        link = stack.enter_context(contextlib.closing(SocketLink(server.path)))
        waiting = {}
        for size, _, root in roots:
            root.clear()
            waiting[size] = time.monotonic()
        while waiting:
            time.sleep(0.2)
            for size, begun in list(waiting.items()):
                if not any(link.call("ZCARD", f"{{wait{size}:{n:02}}}:kept") for n in range(64)):
                    took = time.monotonic() - begun
                    print(
                        f"{size} objects, a lease of {lease:.0f} s: gone after {took:.1f} s",
                        flush=True,
                    )
                    del waiting[size]


def bytecodes(call: Callable[..., object], *args: object) -> int:
    """Count those of a call."""
    return trace(lambda: call(*args)).bytecodes


def measure_puts(server: Server) -> None:
    """Print what ``d[k] = x`` costs."""
    from multihost import RedisManager

    with RedisManager(server.url, namespace="puts", lease=LEASE) as manager:
        values: dict[str, Callable[[], Any]] = {
            "a number": lambda: 1,
            "a list": lambda: manager.list([1]),
            "a list in a list": lambda: manager.list([manager.list([1])]),
        }
        for where, d in (("an unnamed dict", manager.dict()), ("a named dict", manager.dict("d"))):
            for what, make in values.items():
                made = [make() for _ in range(PUTS + TRACED)]
                put = d.__setitem__
                counts = sorted(bytecodes(put, n, made[n]) for n in range(TRACED))
                with Scripts(server) as scripts:
                    for n in range(TRACED, PUTS + TRACED):
                        put(n, made[n])
                times = scripts.all()
                print(
                    f"{what + ' into ' + where:35}{len(times) / PUTS:5.1f} requests"
                    f"{sum(times) / PUTS:7.0f} us of scripts{counts[TRACED // 4]:7} bytecodes",
                    flush=True,
                )


def measure_memory(server: Server) -> None:
    """Print the bytes of the server for an object with a lease, and for one that a name keeps."""
    from multihost import RedisManager

    size = 10_000
    for where in ("an unnamed list", "a named list"):
        empty(server)
        with RedisManager(server.url, lease=LEASE) as manager:
            container = manager.list() if where.startswith("an") else manager.list("all")
            made = [manager.list([n]) for n in range(size)]
            before = server.used_memory()
            container.extend(made)
            put = (server.used_memory() - before) / size
            with contextlib.closing(SocketLink(server.path)) as link:
                sums: collections.Counter[str] = collections.Counter()
                for key in keys(link, "*"):
                    tail = key.rpartition(b":")[2].decode()
                    sums[tail] += link.call("MEMORY", "USAGE", key, "SAMPLES", 0)
            parts = {t: round(sums[t] / size) for t in ("contains", "kept", "held", "partial")}
            print(f"put into {where}: {put:.0f} bytes for each object; {parts}", flush=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.lifetimes", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10_000, 100_000])
    parser.add_argument("--shapes", choices=SHAPES, nargs="+", default=list(SHAPES))
    parser.add_argument("--only", choices=("collections", "puts", "memory", "wait"))
    parser.add_argument("--lease", type=float, default=3.0, help="that of --only wait")
    options = parser.parse_args()
    with run_server() as server:
        os.nice(19)  # not the server, nor what it tells of its own times
        if options.only == "wait":
            measure_wait(server, options.sizes, options.lease)
        if options.only in (None, "collections"):
            for shape in options.shapes:
                for size in options.sizes:
                    measure(server, shape, size)
        if options.only in (None, "puts"):
            measure_puts(server)
        if options.only in (None, "memory"):
            measure_memory(server)


if __name__ == "__main__":
    main()
