"""multihost worker: tasks of a pool, logs, and the end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from multihost import RedisManager
from multihost.cli import run
from multihost.pool import Pool
from tests.cli.test_program import in_terminal, read_until
from tests.support.procs import ROOT, send_signal


@contextlib.contextmanager
def worker(url: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    """The installed program, which finds functions in the directory where it was started."""
    program = Path(sys.executable).with_name("multihost")
    process = subprocess.Popen(
        [program, "worker", "--pool", "p", "--processes", "1", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "MULTIHOST_URL": url},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        send_signal(process, signal.SIGKILL, group=True)
        process.communicate()


def hold_open(url: str) -> str:
    """A task that lasts until it is told to end."""
    with RedisManager(url) as m:
        m.Event("begun").set()
        m.Event("end").wait(10)
    return "done"


def test_it_finishes_what_it_has_begun(url: str) -> None:
    with (
        RedisManager(url) as m,
        Pool(0, url=url, name="p") as pool,
        worker(url, "--json") as process,
    ):
        assert pool.map(abs, [-1, -2]) == [1, 2]
        result = pool.apply_async(hold_open, (url,))
        assert m.Event("begun").wait(10)
        process.send_signal(signal.SIGTERM)
        events = [json.loads(process.stdout.readline())]
        while events[-1]["event"] != "stopping":
            events.append(json.loads(process.stdout.readline()))
        m.Event("end").set()
        assert result.get(10) == "done"
        out, err = process.communicate(timeout=10)
        assert (process.returncode, err) == (0, "")
        events += map(json.loads, out.splitlines())
        kinds = [event["event"] for event in events if event["event"] != "progress"]
        assert kinds == ["started", "stopping", "ended"]
        assert events[0]["pid"] not in (None, process.pid)
        last = events[-1]
        assert last["exitcode"] == 0
        assert last["begun"] == last["done"] + last["failed"]
        for name in ("begun", "end"):
            m.delete(name)
    with RedisManager(url) as m:
        m.delete("p")


def test_a_second_signal_ends_it_at_once(url: str) -> None:
    with RedisManager(url) as m, Pool(0, url=url, name="p") as pool:
        with worker(url) as process:
            pool.apply_async(hold_open, (url,))
            assert m.Event("begun").wait(10)
            process.send_signal(signal.SIGINT)
            while "stopping" not in (line := process.stderr.readline()):
                assert line
            assert "0 done, 0 raised, 1 running" in line
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=10)
            assert process.returncode == 1
            assert "was lost" in err
            assert "0 done, 0 raised, 1 lost, 0 running" in err
        pool.terminate()
        for name in ("begun", "p"):
            m.delete(name)


def test_what_a_terminal_shows(url: str) -> None:
    with RedisManager(url) as m, Pool(0, url=url, name="p") as pool:
        process, terminal = in_terminal("worker", url, "--pool", "p", "--processes", "1")
        said = bytearray()
        try:
            read_until(terminal, b"started", said)
            assert pool.apply(abs, (-1,)) == 1
            read_until(terminal, b"1 done", said)
            process.send_signal(signal.SIGINT)
            read_until(terminal, b"exited", said)
            assert process.wait(10) == 0
        finally:
            send_signal(process, signal.SIGKILL, group=True)
            process.wait()
            os.close(terminal)
        m.delete("p")


def test_a_pool_is_seen(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with RedisManager(url) as m, Pool(0, url=url, name="p") as pool:
        pool.apply_async(abs, (-1,))
        assert run(["queues", "--json", url]) == 0
        [info, *_] = json.loads(capsys.readouterr().out)
        assert (info["name"], info["typeid"], info["length"]) == ("p", "Pool", 1)
        assert run(["top", "--once", "--json", url]) == 0
        [found] = json.loads(capsys.readouterr().out)["pools"]
        assert (found["name"], found["waiting"], found["running"]) == ("p", 1, 0)
        assert found["workers"] == []
        assert run(["top", "--once", url]) == 0
        assert "POOL  WAITING" in capsys.readouterr().out
        pool.terminate()
        m.delete("p")
