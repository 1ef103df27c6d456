"""Processes and waiting of the test layer."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.procs import (
    ProcessFailed,
    interpreters,
    is_alive,
    kill9,
    run_all,
    send_signal,
    spawn_script,
)
from tests.support.waiting import wait_until


def double(number: int) -> tuple[int, int]:
    return number * 2, os.getpid()


def fail_if_odd(number: int) -> None:
    if number % 2:
        raise ValueError(f"{number} is odd")
    os.read(os.pipe()[0], 1)  # until it is killed


def vanish() -> None:
    os._exit(0)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_all_run_and_answer_in_order(method: str) -> None:
    results = run_all(multiprocessing.get_context(method), double, [(1,), (2,)])
    assert [number for number, _ in results] == [2, 4]
    assert len({os.getpid(), *(pid for _, pid in results)}) == 3


def test_one_failure_ends_all() -> None:
    with pytest.raises(ProcessFailed, match=r"(?s)process 1 raised.*3 is odd"):
        run_all(multiprocessing.get_context("fork"), fail_if_odd, [(2,), (3,)])


def test_a_death_without_a_word_is_a_failure() -> None:
    with pytest.raises(ProcessFailed, match="without a word"):
        run_all(multiprocessing.get_context("fork"), vanish, [()])


def test_a_hanging_process_is_a_failure() -> None:
    with pytest.raises(ProcessFailed, match="not done in"):
        run_all(multiprocessing.get_context("fork"), fail_if_odd, [(2,)], timeout=0.2)


def test_a_script_talks_and_ends(tmp_path: Path) -> None:
    source = (
        "import os; print('up', flush=True)\n"
        "print(input(), os.environ['WORD'], 'HOME' in os.environ)"
    )
    path = tmp_path / "script.py"
    path.write_text(source)
    for what in (source, path):
        with spawn_script(what, {"WORD": "w", "HOME": None}) as script:
            assert script.line() == "up"
            script.tell("hello")
            assert script.finish() == "hello w False\n"


def test_a_failing_script_says_why() -> None:
    with (
        spawn_script("raise SystemExit('so it is')") as script,
        pytest.raises(ProcessFailed, match="so it is"),
    ):
        script.finish()
    with spawn_script("1 / 0") as script, pytest.raises(ProcessFailed, match="ZeroDivisionError"):
        script.line()


def test_a_silent_script_is_a_failure() -> None:
    with spawn_script("input()") as script, pytest.raises(ProcessFailed, match="silent"):
        script.line(timeout=0.05)


def test_kill9_waits_for_the_end() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        kill9(process)
        assert process.returncode == -9
    with spawn_script("input()") as script:
        kill9(script)
        assert script.wait() == -9


def test_this_python_is_among_the_interpreters() -> None:
    assert "{}.{}".format(*sys.version_info[:2]) in interpreters()


def test_wait_until_returns_the_answer_or_fails_in_time() -> None:
    answers = iter([0, None, "yes"])
    assert wait_until(lambda: next(answers)) == "yes"
    with pytest.raises(AssertionError, match=r"not within 0.01 s: the moon"):
        wait_until(lambda: False, 0.01, "the moon")


def test_a_signal_reaches_who_lives_and_nobody_else() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert send_signal(process, 0)
        assert send_signal(process, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert send_signal(process, signal.SIGKILL), "a zombie can be signalled"
        number = process.pid
        process.wait()
        assert not send_signal(number, signal.SIGKILL)
        process.pid = os.getpid()  # its number may have become somebody else's
        assert not send_signal(process, signal.SIGKILL)
    forked = multiprocessing.get_context("fork").Process(target=vanish)
    with pytest.raises(ValueError, match="is no process"):
        send_signal(forked, signal.SIGKILL)
    forked.start()
    forked.join()
    assert not send_signal(forked, signal.SIGKILL)
    forked.close()
    assert not send_signal(forked, signal.SIGKILL)
    for nobody in (0, -1):
        with pytest.raises(ValueError, match="is no process"):
            send_signal(nobody, signal.SIGKILL)


def test_a_group_is_reached_also_after_its_leader_has_ended() -> None:
    source = (
        "import os, time\nif os.fork(): os._exit(0)\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    )
    leader = subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, start_new_session=True
    )
    with leader:
        assert leader.stdout is not None
        member = int(leader.stdout.readline())
        leader.wait()
        assert send_signal(leader, signal.SIGKILL, group=True)
        wait_until(lambda: not is_alive(member))
