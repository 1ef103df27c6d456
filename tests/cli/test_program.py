"""The program itself: how it starts, what it exits with, and what it never says."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import multihost
from multihost import AccessDenied, LinkLost, ObjectGone, RedisManager, ServerFull, ServerUnfit
from multihost.cli import commands, listing, run
from tests.support.server import Server
from tests.support.waiting import PATIENCE

SECRET = "s3cr3t@/?"
QUOTED = "s3cr3t%40%2F%3F"


def program(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "multihost", *args],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=150,
        check=False,
    )


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    shown = program("--help")
    assert shown.returncode == 0
    for name in commands.commands:
        assert f"\n  {name} " in shown.stdout
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"multihost {multihost.__version__}\n"


@pytest.mark.parametrize("name", commands.commands)
def test_help_of_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--url" in shown
    assert "--authkey-file" in shown
    assert "--json" in shown


EXIT_CODES = {
    0: ["ls"],
    1: ["show", "none"],
    2: ["ls", "--nonsense"],
    3: ["ls", "redis://localhost:1"],
}


@pytest.mark.parametrize("code", EXIT_CODES)
def test_exit_codes(code: int, url: str) -> None:
    done = program(*EXIT_CODES[code], **({} if code == 3 else {"MULTIHOST_URL": url}))
    assert done.returncode == code, done.stderr
    assert bool(done.stderr), "also of success: there are no objects"
    assert "Traceback" not in done.stderr


def test_help_names_the_exit_codes() -> None:
    shown = " ".join(program("--help").stdout.split())
    assert "Exit codes: 0 success, 1 problem found, 2 usage error, 3 server unreachable." in shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LinkLost("lost"), 3),
        (AccessDenied("refused"), 3),
        (ServerUnfit("too old"), 1),
        (ObjectGone("deleted"), 1),
        (ServerFull("full"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_exit_code_of_an_error(
    error: BaseException, code: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwds: object) -> None:
        raise error

    monkeypatch.setattr(listing, "objects", fail)
    assert run(["ls", url]) == code


def test_the_package_does_not_import_the_libraries() -> None:
    check = "import sys, multihost; print([m for m in sys.modules if m in ('click', 'rich')])"
    shown = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "[]\n"


def test_without_the_extra() -> None:
    """As in an environment with multihost and what it cannot do without."""
    hide = (
        "import sys\n"
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name in ('click', 'rich') else real(name)\n"
        "from multihost.__main__ import main\n"
        "sys.exit(main())\n"
    )
    shown = subprocess.run([sys.executable, "-c", hide, "ls"], capture_output=True, text=True)
    assert shown.returncode == 2
    assert shown.stderr == (
        "multihost: the command line needs click and rich: pip install 'multihost[cli]'\n"
    )


def test_the_address_may_come_from_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MULTIHOST_URL", raising=False)
    assert run(["ls"]) == 2
    assert "MULTIHOST_URL" in capsys.readouterr().err
    assert run(["ls", "http://host"]) == 2
    assert "MULTIHOST_URL" not in capsys.readouterr().err
    monkeypatch.setenv("MULTIHOST_URL", "http://:hush@host")
    assert run(["ls"]) == 2
    assert "multihost: MULTIHOST_URL: not a server URL: 'http://host'" in capsys.readouterr().err
    for private in ("--url=embedded://", "embedded://"):
        assert run(["ls", private]) == 2
        assert "which has no other clients" in capsys.readouterr().err
    monkeypatch.setenv("MULTIHOST_URL", url)
    assert run(["ls"]) == 0
    assert run(["ls", "redis://localhost:1"]) == 3, "what is said counts"
    assert run(["ls", url, "--url", url]) == 2
    assert run(["nonsense"]) == 2
    assert run(["ls", "--namespace", "a*b"]) == 2
    assert run(["show"]) == 2
    assert run(["ls", "--authkey-file", "/none"]) == 2
    assert run(["top", "--interval", "0"]) == 2


@pytest.mark.parametrize(
    "command", ["ls", "locks", "queues", "gc", "doctor", "top", "show", "rm", "worker"]
)
def test_a_server_that_is_not_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    more = {"show": ["x"], "rm": ["x", "--yes"], "worker": ["--pool", "p"]}
    address = f"redis://user:{QUOTED}@localhost:1"
    assert run([command, address, *more.get(command, [])]) == 3
    said = capsys.readouterr()
    assert not said.out
    assert "cannot reach the server at redis://localhost:1/0" in said.err
    assert "s3cr3t" not in said.err


@pytest.mark.parametrize("command", ["ls", "doctor", "top"])
def test_a_wrong_password(
    command: str, start_server: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    server = start_server(password="right")
    wrong = server.url.replace("right", QUOTED)
    assert run([command, wrong]) == 3
    said = capsys.readouterr()
    assert "refuses the user name or password" in said.err
    assert "s3cr3t" not in said.out + said.err


@pytest.mark.parametrize(
    "args",
    [
        [f"redis://:{QUOTED}@h"],
        ["ls", f"redis://:{QUOTED}@h", "more"],
        ["ls", f"--uri=redis://:{QUOTED}@h"],
        ["ls", f"--namespace=redis://:{QUOTED}@h{{"],
        ["ls", "--json", "--interval", f"redis://:{QUOTED}@h"],
        ["top", "--interval", f"redis://:{QUOTED}@h"],
        ["ls", f"redis://:{SECRET}@h"],
        ["ls", f"redis://h?password={QUOTED}#x"],
        ["ls", "--authkey-file", f"redis://:{QUOTED}@h"],
        ["show", f"redis://:{QUOTED}@h"],
        ["show", f"redis://:{QUOTED}@h", "a", "b"],
    ],
)
def test_no_mistake_shows_a_password(
    args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MULTIHOST_URL", raising=False)
    assert run(args) == 2
    said = capsys.readouterr()
    assert said.err
    assert "s3cr3t" not in said.out + said.err


def test_a_missing_permission(
    start_server: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    server = start_server(users={"some": "on >pw ~{multihost:* +ping +hscan +time"})
    url = server.url_for("some", "pw")
    assert run(["ls", url]) == 3
    said = capsys.readouterr().err
    assert "scan" in said.lower()
    assert ":pw" not in said
    server.command("ACL", "SETUSER", "some", "+scan", "+type")
    assert run(["ls", url]) == 0


def test_a_pipe_that_is_closed(url: str) -> None:
    with RedisManager(url) as m:
        for n in range(300):
            m.Value("i", n, name=f"a rather long name, so that the pipe is full {n:05}")
        reads, writes = os.pipe()
        os.close(reads)
        with os.fdopen(writes, "wb") as out:
            shown = subprocess.run(
                [sys.executable, "-m", "multihost", "ls", url],
                stdout=out,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert (shown.returncode, shown.stderr) == (1, b"")


# -- a terminal


def read_until(fd: int, mark: bytes, said: bytearray, seconds: float = PATIENCE) -> None:
    while mark not in said:
        assert select.select([fd], [], [], seconds)[0], bytes(said)
        said += os.read(fd, 65536)


def in_terminal(*args: str) -> tuple[subprocess.Popen[bytes], int]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "multihost", *args],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    )
    os.close(theirs)
    return process, ours


@pytest.mark.parametrize("how", ["q", "signal"])
def test_top_is_live(how: str, url: str) -> None:
    with RedisManager(url) as m:
        q = m.Queue("the queue")
        process, terminal = in_terminal("top", url, "--interval", "0.1")
        said = bytearray()
        try:
            read_until(terminal, b"the queue", said)
            q.put(1)
            read_until(terminal, b"+", said)
            m.Lock("a new lock")
            read_until(terminal, b"a new lock", said)
            if how == "q":
                os.write(terminal, b"xq")
            else:
                process.send_signal(signal.SIGINT)
            read_until(terminal, b"\x1b[?1049l", said)  # the screen is as it was
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()
            os.close(terminal)


def test_rm_asks(url: str) -> None:
    with RedisManager(url) as m:
        for answer, code, left in ((b"n\n", 1, ["x"]), (b"y\n", 0, [])):
            m.Value("i", 1, name="x")
            process, terminal = in_terminal("rm", url, "x")
            said = bytearray()
            try:
                read_until(terminal, b"delete?", said)
                assert b"x: Value" in said
                os.write(terminal, answer)
                assert process.wait(PATIENCE) == code
            finally:
                process.kill()
                process.wait()
                os.close(terminal)
            assert m.names() == left


def test_top_prints_a_line_for_each_look(url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "multihost", "top", url, "--json", "--interval", "0.1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        looks: list[Any] = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert looks[0]["time"] < looks[1]["time"] < looks[2]["time"]
