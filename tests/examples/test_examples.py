"""What the README and examples/ promise, run as a stranger would run it."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from multihost import RedisManager
from tests.support.procs import ROOT
from tests.support.waiting import PATIENCE

TEN = "".join(f"{i}={i * 2}\n" for i in range(10))
NAMESPACE = "Namespace(x=10, y='hello')\n"

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)


def run(*argv: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *argv],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_dict_program_prints_what_it_prints_on_one_machine() -> None:
    assert run("examples/seed_dict.py") == TEN


def test_the_namespace_program_prints_what_it_prints_on_one_machine() -> None:
    assert run("examples/seed_namespace.py") == NAMESPACE


@pytest.mark.parametrize("program", ["seed_dict.py", "seed_namespace.py"])
def test_the_seed_programs_differ_from_the_standard_library_in_the_import_only(
    program: str, tmp_path: Path
) -> None:
    text = (ROOT / "examples" / program).read_text("utf-8")
    original = tmp_path / program
    original.write_text(text.replace("from multihost import", "from multiprocessing import"))
    assert run(str(original)) == run(f"examples/{program}")


def test_the_programs_of_the_readme(tmp_path: Path) -> None:
    outputs = []
    for number, block in enumerate(BLOCKS[:3]):
        program = tmp_path / f"block{number}.py"
        program.write_text(block)
        outputs.append(run(str(program)))
    assert outputs == ["81 285\n", TEN, NAMESPACE]


def test_two_programs_share_a_dict_by_its_name(url: str) -> None:
    assert run("examples/shared_writer.py", url) == "visit 1\n"
    assert run("examples/shared_writer.py", MULTIHOST_URL=url) == "visit 2\n"
    seen = run("examples/shared_reader.py", url)
    assert seen.startswith("total 2\n")
    assert seen.count("was here") == 2


def test_a_killed_worker_returns_what_it_took_from_the_pool() -> None:
    assert run("examples/resource_pool.py").splitlines() == [
        "3 of 5 workers have a machine, 0 are free",
        "one was killed; its machine went to another one",
        "4 workers finished",
        "3 machines are free",
    ]


def test_leaders_follow_each_other_with_rising_tokens() -> None:
    lines = run("examples/leader_election.py").splitlines()
    assert [line for line in lines if line.startswith("logged")] == [
        f"logged: 'term {term} begins'" for term in (1, 2, 3)
    ]
    assert sum(line.startswith("refused") for line in lines) == 2
    assert lines[-1] == "nobody is left to lead"


def test_processes_start_together() -> None:
    lines = run("examples/start_barrier.py").splitlines()
    assert lines[0::2] == ["all are here"] * 3
    for number, line in enumerate(lines[1::2], 1):
        assert re.fullmatch(rf"round {number}: begun within (20 ms|\d+\.\d\d\d s)", line)


def check_work(lines: list[str]) -> None:
    killed = [line for line in lines if "is killed" in line]
    assert len(killed) == 1
    victim, survivor = ("ab", "ba")["host b" in killed[0]]
    assert killed[0] == f"host {victim} is killed in the middle of job 7"
    assert f"host {survivor} has done job 7, deliveries == 2" in lines
    done = [line for line in lines if "has done" in line]
    assert sorted(int(re.findall(r"job (\d+)", line)[0]) for line in done) == list(range(20))
    assert lines[-1] == "20 jobs are done"


def test_the_job_of_a_killed_worker_is_done_by_the_other() -> None:
    check_work(run("examples/work_queue.py").splitlines())


def test_a_terminal_shows_a_progress_bar() -> None:
    pytest.importorskip("rich")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "examples/work_queue.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm", "COLUMNS": "80"},
        stdout=theirs,
    ) as program:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
        assert program.wait(PATIENCE) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "100%" in text
    check_work([line for line in re.split(r"[\r\n]+", text) if " job" in line])


def test_a_work_queue_between_two_programs(url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "examples/work_queue.py", "work", url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ) as worker:
        lines = run("examples/work_queue.py", "fill", url).splitlines()
        worker.send_signal(signal.SIGINT)
        assert worker.wait(PATIENCE) == 0
    assert len(lines) == 21
    assert lines[-1] == "20 jobs are done"


DIGESTS = "20 digests, the last one is d740c064a175a563\n"


def test_a_pool_maps() -> None:
    assert run("examples/pool_map.py") == DIGESTS


def test_a_pool_maps_with_the_workers_of_another_program(url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "examples/pool_map.py", "work", url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        assert run("examples/pool_map.py", "map", url) == DIGESTS
        worker.send_signal(signal.SIGINT)
        assert worker.stdout is not None
        assert re.fullmatch(r"ended \d+ [1-9]\d* done", worker.stdout.read().splitlines()[-1])
        assert worker.wait(PATIENCE) == 0
    with RedisManager(url) as manager:
        manager.delete("digests")


def test_many_processes_log_to_one_place() -> None:
    lines = run("examples/logging_queue.py").splitlines()
    for number in range(4):
        steps = [line for line in lines if line.startswith(f"INFO worker.{number}")]
        assert steps == [f"INFO worker.{number}: step {step}" for step in range(3)]
    assert "ERROR worker.2: worker 2 has failed" in lines
    assert "ZeroDivisionError: division by zero" in lines
    assert lines[-1] == "everything is written"


def test_the_package_ships_its_scripts_and_types() -> None:
    package = files("multihost")
    assert (package / "py.typed").is_file()
    assert (package / "wire" / "lua" / "dict" / "set.lua").is_file()


def test_importing_multihost_does_not_import_redis() -> None:
    code = (
        "import sys, multihost; print([m for m in ('redis', 'asyncio', 'ssl') if m in sys.modules])"
    )
    assert run("-c", code) == "[]\n"
