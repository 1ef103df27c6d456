"""Seeing the end of processes of this host, by the kernel alone."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from multihost.wire.session import siblings as module
from multihost.wire.session.process import host_identity, start_of
from multihost.wire.session.record import SessionRecord
from multihost.wire.session.siblings import MAX_WATCHED, Siblings
from tests.support.interrupts import Outcome, every_bytecode, interrupt

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="needs Linux with descriptors of processes"
)


def record(pid: int, start: int | None = None, host: bytes | None = None) -> SessionRecord:
    start = start_of(pid) if start is None else start
    host = host_identity() if host is None else host
    return SessionRecord(1, b"", frozenset(), host, pid, start, 5.0, 30.0, "h")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def siblings() -> Iterator[Siblings]:
    made = Siblings()
    yield made
    made.close()
    assert made.fds == set()


def test_process_that_lives_is_watched(siblings: Siblings, child: subprocess.Popen[bytes]) -> None:
    assert siblings.has_ended(record(child.pid)) is False
    assert siblings.has_ended(record(child.pid)) is False
    [fd] = siblings.fds
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(0) == []
    child.kill()
    assert poll.poll(30_000), "it is readable as soon as it ended, and before anybody waited for it"
    assert siblings.has_ended(record(child.pid, start=1)) is True


def test_zombie_has_ended(siblings: Siblings, child: subprocess.Popen[bytes]) -> None:
    mine = record(child.pid)
    assert siblings.has_ended(mine) is False
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert siblings.has_ended(mine) is True
    assert siblings.fds == set()


def test_an_end_is_told_once(siblings: Siblings, child: subprocess.Popen[bytes]) -> None:
    """Whoever waits for descriptors would find it again and again."""
    mine = record(child.pid)
    assert siblings.has_ended(mine) is False
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    siblings.forget_ended()
    assert siblings.fds == set()
    assert siblings.has_ended(mine) is True


def test_process_that_is_no_more_has_ended(
    siblings: Siblings, child: subprocess.Popen[bytes]
) -> None:
    mine = record(child.pid)
    child.kill()
    child.wait()
    assert siblings.has_ended(mine) is True
    assert siblings.fds == set()


def test_pid_that_is_used_again(siblings: Siblings, child: subprocess.Popen[bytes]) -> None:
    assert siblings.has_ended(record(child.pid, start=start_of(child.pid) - 1)) is True


def test_start_that_cannot_be_read_is_no_evidence(
    siblings: Siblings, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "start_of", lambda pid: 0)
    assert siblings.has_ended(record(child.pid, start=12345)) is False


@pytest.mark.parametrize("host", [b"", b"another"])
def test_nothing_is_seen_of_another_host(siblings: Siblings, host: bytes) -> None:
    assert siblings.has_ended(record(2**22 - 1, start=1, host=host)) is None


def test_what_the_kernel_refuses_is_no_evidence(
    siblings: Siblings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert siblings.has_ended(record(os.getpid())) is None


def test_as_many_as_there_may_be(siblings: Siblings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pidfd_open", lambda pid: os.open(os.devnull, os.O_RDONLY))
    for pid in range(1, MAX_WATCHED + 1):
        siblings._fds[pid, 0] = os.open(os.devnull, os.O_RDONLY)
    assert siblings.has_ended(record(os.getpid())) is None
    assert len(siblings.fds) == MAX_WATCHED


def test_host_is_this_boot_and_these_pids() -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert host_identity().decode().split()[:2] == [boot, os.readlink("/proc/self/ns/pid")]


def test_start_is_read_behind_any_name(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-c", "input()"], stdin=subprocess.PIPE) as process:
        first = start_of(process.pid)
        process.communicate(b"\n")
    assert first > start_of(1)
    assert start_of(process.pid) == 0


def descriptors_of(pid: int) -> list[str]:
    """The descriptors by which this process watches that one."""
    found = []
    for path in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one by which the directory is read
            if f"Pid:\t{pid}\n" in path.read_text():
                found.append(path.name)
    return found


def test_who_is_interrupted_closes_all(child: subprocess.Popen[bytes]) -> None:
    """A signal handler raises at any bytecode, and what is not closed then is at the second
    attempt; nothing is closed twice.
    """

    def act(at: int) -> Outcome:
        siblings = Siblings()
        assert siblings.has_ended(record(child.pid)) is False
        outcome = interrupt(siblings.close, at)
        siblings.close()
        assert not descriptors_of(child.pid), outcome
        return outcome

    assert sum(1 for _ in every_bytecode(1, act)) > 20
