"""What is under way when a program ends: as with the standard library."""

from __future__ import annotations

import itertools
import multiprocessing
import signal

import pytest

from tests.support.procs import is_alive, send_signal, spawn_script
from tests.support.waiting import wait_until

FORK = multiprocessing.get_context("fork")
PROGRAM = "from tests.pool.ending import main; main()"
STATUS = {
    "end": 0,
    "shutdown": 0,
    "sys.exit": 7,
    "exception": 1,
    "Ctrl-C": -signal.SIGINT,
    "os._exit": 3,
}
SAYS = {"exception": "ZeroDivisionError", "Ctrl-C": "KeyboardInterrupt"}
ORDERLY = [way for way in STATUS if way != "os._exit"]
ALL = [str(n) for n in range(6)]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "done"
    path.touch()
    return path


@pytest.fixture
def run(url, file):
    """Run a program of ``ending`` to its end; return what it printed, and what it complained of."""

    def run(kind, way="end"):
        with spawn_script(PROGRAM, args=[kind, way, url, str(file)]) as program:
            said = program.finish(status=STATUS[way])
        lines = program.stderr.splitlines(keepends=True)
        # Under python -X dev it hears of pools that it did not close, from the standard library.
        return said, "".join(line for line in lines if "ResourceWarning: unclosed" not in line)

    return run


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *itertools.product(["stdlib", "private", "named"], ORDERLY),
        ("manager's", "end"),
        ("not kept", "end"),
    ],
)
def test_what_was_submitted_is_done(run, file, manager, kind, way):
    said, complained = run(kind, way)
    assert sorted(file.read_text().split()) == ALL
    assert said == "callbacks 6\n"
    assert SAYS.get(way, "") in complained
    assert bool(complained) == (way in SAYS)
    if kind == "named":
        manager.delete("pool")


@pytest.mark.parametrize("way", ["end", "sys.exit", "exception"])
def test_children_of_multiprocessing_do_what_they_submitted(run, file, manager, way):
    with manager.Pool(2, name="pool", context=FORK):
        run("child", way)
        assert sorted(file.read_text().split()) == ALL
    manager.delete("pool")


@pytest.mark.parametrize("way", ["end", "sys.exit", "exception", "Ctrl-C"])
@pytest.mark.parametrize("kind", ["stdlib's Pool", "Pool"])
def test_a_pool_drops_its_tasks(run, file, kind, way):
    said, complained = run(kind, way)
    assert file.read_text() == ""
    assert bool(complained) == (way in SAYS)
    assert not any(is_alive(int(pid)) for pid in said.split())


@pytest.mark.parametrize("kind", ["private", "Pool"])
def test_nothing_is_done_after_os_exit(run, file, kind):
    said, complained = run(kind, "os._exit")
    assert complained == ""
    wait_until(lambda: not any(is_alive(int(pid)) for pid in said.split()))
    assert file.read_text() == ""


@pytest.mark.parametrize("kind", ["stdlib", "private"])
def test_what_is_submitted_after_the_end_is_refused(run, file, kind):
    said, complained = run(f"late {kind}")
    refusals = said.splitlines()
    assert len(refusals) == 2
    assert all(said.startswith("cannot schedule new futures after ") for said in refusals)
    assert complained == ""
    assert file.read_text() == "in time\n"


def test_interrupt_ends_the_wait_at_the_end(url, file):
    with spawn_script(PROGRAM, args=["stuck", "end", url, str(file)]) as program:
        workers = [int(pid) for pid in program.line().split()]
        assert program.line() == "waiting"
        send_signal(program, signal.SIGINT)
        program.finish()
        assert not any(map(is_alive, workers))
    assert file.read_text() == ""


def test_forked_child_leaves_inherited_work_to_its_parent(run, file, manager):
    with manager.Pool(2, name="pool", context=FORK):
        run("inherited")
        first, *done = file.read_text().split()
        assert first == "child"
        assert sorted(map(int, done)) == list(range(20))
    manager.delete("pool")
    manager.delete("gate")


def test_forked_child_does_what_it_submitted_itself(run, file, manager):
    with manager.Pool(2, name="pool", context=FORK):
        run("inherited and used")
        assert sorted(file.read_text().split()) == sorted([*map(str, range(20)), "child"])
    manager.delete("pool")
