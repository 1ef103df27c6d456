"""multihost worker: tasks of a pool, logs, and the end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from multihost import RedisManager
from multihost.cli import run
from multihost.pool import Pool
from tests.cli.test_program import in_terminal, read_until
from tests.support.procs import ROOT, send_signal
from tests.support.raw import RawClient
from tests.support.server import Server
from tests.support.waiting import PATIENCE


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
        # It has closed its connections. Once the server knows, nothing is moved to it any more: the
        # end mark of a pool that is deleted would stay there.
        with RawClient(url) as raw:
            raw.call("PING")


def hold_open(url: str) -> str:
    """A task that lasts until it is told to end."""
    with RedisManager(url) as m:
        m.Event("begun").set()
        m.Event("end").wait(PATIENCE)
    return "done"


def test_it_finishes_what_it_has_begun(url: str) -> None:
    with (
        RedisManager(url) as m,
        Pool(0, url=url, name="p") as pool,
        worker(url, "--json") as process,
    ):
        assert pool.map(abs, [-1, -2]) == [1, 2]
        result = pool.apply_async(hold_open, (url,))
        assert m.Event("begun").wait(PATIENCE)
        process.send_signal(signal.SIGTERM)
        events = [json.loads(process.stdout.readline())]
        while events[-1]["event"] != "stopping":
            events.append(json.loads(process.stdout.readline()))
        m.Event("end").set()
        assert result.get(PATIENCE) == "done"
        out, err = process.communicate(timeout=PATIENCE)
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
            assert m.Event("begun").wait(PATIENCE)
            process.send_signal(signal.SIGINT)
            while "stopping" not in (line := process.stderr.readline()):
                assert line
            assert "0 done, 0 raised, 1 running" in line
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 1
            assert "was lost" in err
            assert "0 done, 0 raised, 1 lost, 0 running" in err
        pool.terminate()
        for name in ("begun", "p"):
            m.delete(name)


CONTROL = re.compile(rb"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


def screen_after(said: bytes) -> list[str]:
    """The lines that a terminal shows after that output: each where the cursor was."""
    lines, row, column = [""], 0, 0
    for number, command, control, text in CONTROL.findall(said):
        if command == b"K":
            lines[row] = ""
        elif command == b"A":
            row = max(row - int(number or 1), 0)
        elif control == b"\r":
            column = 0
        elif control == b"\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif text:
            shown = text.decode()
            line = lines[row].ljust(column)
            lines[row] = line[:column] + shown + line[column + len(shown) :]
            column += len(shown)
    return lines


def raise_with_escapes() -> None:
    raise KeyError("\x1b[31mred")


def test_what_a_terminal_shows(url: str) -> None:
    with RedisManager(url) as m, Pool(0, url=url, name="p") as pool:
        process, terminal = in_terminal("worker", url, "--pool", "p", "--processes", "1")
        said = bytearray()
        try:
            read_until(terminal, b"started", said)
            assert pool.apply(abs, (-1,)) == 1
            read_until(terminal, b"1 done", said)
            with pytest.raises(TypeError):
                pool.apply(abs, ("text",))
            read_until(terminal, b"1 raised", said)
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(OSError):  # until nobody has the other end open
                while True:
                    said += os.read(terminal, 65536)
            assert process.wait(PATIENCE) == 0
        finally:
            send_signal(process, signal.SIGKILL, group=True)
            process.wait()
            os.close(terminal)
        m.delete("p")
    lines = [line.rstrip() for line in screen_after(bytes(said)) if line.strip()]
    text = "\n".join(lines)
    assert f"runs tasks of the pool p at {url.partition('?')[0]}" in text.replace(
        "\n" + " " * 29, ""
    )
    for mark in ("started", "stopping;", "exited", "builtins.abs raised TypeError"):
        assert len([line for line in lines if mark in line]) == 1, mark
    # The spinner is on a line of its own, and gone at the end.
    spun = re.compile("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]")
    assert spun.search(said.decode(errors="replace"))
    assert not spun.search(text)
    for line in lines:  # as a log has it: time, level, text; or the rest of one
        assert re.match(r"(\[\d\d/|\s{10,})", line), text


def test_a_failing_task_is_in_the_log(url: str) -> None:
    with RedisManager(url) as m, Pool(0, url=url, name="p") as pool:
        with worker(url) as process:
            assert f"runs tasks of the pool p at {url}" in process.stderr.readline()
            with pytest.raises(KeyError):
                pool.apply(raise_with_escapes)
            lines = [process.stderr.readline()]
            while "raise KeyError(" not in lines[-1]:  # of the traceback
                lines.append(process.stderr.readline())
                assert lines[-1]
            text = "".join(lines)
            assert "ERROR worker" in text
            assert (
                "tests.cli.test_worker.raise_with_escapes raised KeyError: '\\x1b[31mred'" in text
            )
            assert 'raise KeyError("\\x1b[31mred")' in text
            assert "\x1b" not in text
        m.delete("p")


def test_documents_name_pool_server_and_failures(url: str) -> None:
    with RedisManager(url) as m, Pool(0, url=url, name="p") as pool:
        with worker(url, "--json") as process:
            with pytest.raises(TypeError):
                pool.map(abs, ["text"])
            event = json.loads(process.stdout.readline())
            assert (event["pool"], event["server"]) == ("p", url)
            worker_pid = event["pid"]
            while event["event"] != "failed":
                event = json.loads(process.stdout.readline())
            assert (event["pid"], event["task"]) == (worker_pid, "builtins.abs")
            assert event["traceback"].startswith("Traceback")
        m.delete("p")


def test_the_password_is_not_shown(start_server: Callable[..., Server]) -> None:
    locked = start_server(tcp=True, password="s3cret")
    assert "s3cret" in locked.url
    with worker(locked.url) as process:
        line = process.stderr.readline()
        assert "runs tasks of the pool p at" in line
        assert "s3cret" not in line


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
