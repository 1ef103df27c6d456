"""Processes and waiting of the test layer."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.procs import ProcessFailed, interpreters, kill9, run_all, spawn_script
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
