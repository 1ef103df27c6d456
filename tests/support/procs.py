"""Processes for tests: all at once behind a barrier, as separate programs, killed unannounced."""

from __future__ import annotations

import functools
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENCE

__all__ = [
    "ROOT",
    "ProcessFailed",
    "Script",
    "interpreter_flags",
    "interpreters",
    "is_alive",
    "kill9",
    "run_all",
    "send_signal",
    "spawn_script",
]

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")


class ProcessFailed(AssertionError):
    """A process of the test raised, died or did not end in time; the message holds what it said."""


# Functions in processes


def run_all(
    ctx: BaseContext,
    target: Callable[..., Any],
    argslist: Iterable[Sequence[Any]],
    timeout: float = PATIENCE,
) -> list[Any]:
    """Call ``target(*args)`` for each args, each in a process of its own, all let go at one moment.

    Returns the results in order. If one fails the others are killed and ``ProcessFailed`` says why.
    """
    argslist = list(argslist)
    barrier = ctx.Barrier(len(argslist))
    deadline = time.monotonic() + timeout
    processes: list[BaseProcess] = []
    pending: dict[Connection, int] = {}
    results: list[Any] = [None] * len(argslist)
    try:
        for number, args in enumerate(argslist):
            ours, theirs = ctx.Pipe(duplex=False)
            pending[ours] = number
            process = ctx.Process(  # type: ignore[attr-defined]
                target=_run_one, args=(barrier, theirs, target, tuple(args))
            )
            process.start()
            # With our copy closed, a killed child shows up as the end of its pipe.
            theirs.close()
            processes.append(process)
        while pending:
            ready = wait(list(pending), max(0.0, deadline - time.monotonic()))
            if not ready:
                raise ProcessFailed(f"processes {sorted(pending.values())} not done in {timeout} s")
            for connection in ready:
                assert isinstance(connection, Connection)
                number = pending.pop(connection)
                results[number] = _result(connection, number)
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode:
                raise ProcessFailed(f"{process.name} ended with {process.exitcode}")
        return results
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()
        for connection in pending:
            connection.close()


def _result(connection: Connection, number: int) -> Any:
    with connection:
        try:
            ok, result = connection.recv()
        except EOFError:
            raise ProcessFailed(f"process {number} died without a word") from None
    if not ok:
        raise ProcessFailed(f"process {number} raised:\n{result}")
    return result


def _run_one(
    barrier: Any, connection: Connection, target: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    try:
        barrier.wait(PATIENCE)
        connection.send((True, target(*args)))
    except BaseException:
        connection.send((False, traceback.format_exc()))


def send_signal(
    victim: BaseProcess | subprocess.Popen[Any] | Script | int, number: int, *, group: bool = False
) -> bool:
    """Send a signal to a process, or to the group that it leads; whether anybody was there to get
    it.

    Who is about to end may be gone at any moment: that is no error here. Where it would be one, the
    answer is asserted. A process whose end is known gets nothing: its number may have a new owner.
    """
    if isinstance(victim, int):
        pid = victim
    else:
        if not group and _has_ended(victim):
            return False
        pid = victim.pid or 0
    if pid <= 0:
        raise ValueError(f"{victim!r} is no process: this would reach others, and ourselves")
    try:
        (os.killpg if group else os.kill)(pid, number)
    except ProcessLookupError:
        return False
    return True


def _has_ended(process: BaseProcess | subprocess.Popen[Any] | Script) -> bool:
    """Whether its end is known. Nobody is awaited here: that may be another thread's business."""
    if isinstance(process, BaseProcess):
        if process._closed:  # type: ignore[attr-defined]
            return True
        handle = process._popen  # type: ignore[attr-defined]
    else:
        handle = process._process if isinstance(process, Script) else process
    return getattr(handle, "returncode", None) is not None


def kill9(process: BaseProcess | subprocess.Popen[Any] | Script | int) -> None:
    """SIGKILL, and wait until it is dead (a bare number is only killed)."""
    if isinstance(process, int):
        send_signal(process, signal.SIGKILL)
        return
    process.kill()
    if isinstance(process, BaseProcess):
        process.join()
    else:
        process.wait()


def is_alive(pid: int) -> bool:
    """Whether any process of this machine, related to us or not, still runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return False


# Separate programs


class Script:
    """A separate program with captured output, from ``spawn_script``; killed after ``with``."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._errors, path = tempfile.mkstemp()
        os.unlink(path)
        self._process = subprocess.Popen(
            argv,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        self._unread = b""
        self._closed = False
        self.stderr = ""
        """What it has written to standard error; complete once it has ended."""

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def line(self, timeout: float = PATIENCE) -> str:
        """Wait for the next line that it prints; it must flush."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._unread:
            if not self._read(deadline):
                raise ProcessFailed(f"the script ended early; its last words:\n{self._words()}")
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def tell(self, text: str) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")

    def finish(self, timeout: float = PATIENCE, status: int = 0) -> str:
        """Wait until it has ended with this status; return what it printed after the last
        ``line``.
        """
        deadline = time.monotonic() + timeout
        assert self._process.stdin is not None
        self._process.stdin.close()
        while self._read(deadline):
            pass
        ended = self._process.wait(max(0.0, deadline - time.monotonic()))
        output, words = self._unread.decode(), self._words()
        self.close()
        if ended != status:
            raise ProcessFailed(f"the script ended with {ended}:\n{words}")
        return output

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for its end, whatever its status."""
        return self._process.wait(timeout)

    def close(self) -> None:
        self.kill()
        self.wait()
        self._words()
        if not self._closed:
            self._closed = True
            os.close(self._errors)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _read(self, deadline: float) -> bool:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise ProcessFailed(f"the script is silent; so far:\n{self._words()}")
        data = os.read(fd, 1 << 16)
        self._unread += data
        return bool(data)

    def _words(self) -> str:
        if not self._closed:
            size = os.fstat(self._errors).st_size
            self.stderr = os.pread(self._errors, size, 0).decode(errors="replace")
        return f"{self._unread.decode(errors='replace')}{self.stderr}"


def spawn_script(
    source_or_path: str | os.PathLike[str],
    env: Mapping[str, str | None] | None = None,
    *,
    args: Sequence[str] = (),
    python: str = sys.executable,
    prefix: Sequence[str] = (),
) -> Script:
    """Run Python source text, or a file if given a ``Path``, as a program of its own.

    It sees this tree's ``src``. ``env`` is added to our environment; None removes a variable.
    ``prefix`` stands before the interpreter: ``Hosts.prefix("a")``.
    """
    full: dict[str, str | None] = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")])
        ),
        **(env or {}),
    }
    what = (
        ["-c", source_or_path] if isinstance(source_or_path, str) else [os.fspath(source_or_path)]
    )
    present = {name: value for name, value in full.items() if value is not None}
    # As strict as this interpreter, where it is the same one: another may know other options.
    flags = interpreter_flags() if python == sys.executable else []
    return Script([*prefix, python, *flags, *what, *args], present)


def interpreter_flags() -> list[str]:
    """Return the options with which this interpreter was started, such as ``-bb``: multiprocessing
    passes the same ones to what it spawns.
    """
    return subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined, no-any-return]


@functools.cache
def interpreters() -> dict[str, str]:
    """The Pythons that work here: ``{"3.11": path, ...}``."""
    found = {}
    for version in VERSIONS:
        for candidate in _candidates(version):
            try:
                said = subprocess.run(
                    [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE,
                )
            except OSError:
                continue
            # The status too: on PATH may be a version manager's stub without an interpreter.
            if said.returncode == 0 and said.stdout.strip() == version:
                found[version] = candidate
                break
    return found


def _candidates(version: str) -> list[str]:
    name = f"python{version}"
    found = [sys.executable] if version == "{}.{}".format(*sys.version_info[:2]) else []
    if on_path := shutil.which(name):
        found.append(on_path)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found += [
        str(path) for path in sorted(root.glob(f"versions/{version}*/bin/{name}"), reverse=True)
    ]
    return found
