"""Many objects: what is listed and read is bounded, and can be chosen."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.shell_completion import BashComplete

from multihost import RedisManager
from multihost.cli import commands, completion, output, run
from multihost.inspection import Monitor, activity, opened
from tests.hosted.hosted_classes import Our
from tests.support.server import Server

Capture = pytest.CaptureFixture[str]
fork = multiprocessing.get_context("fork")


@pytest.fixture
def manager(url: str) -> Iterator[RedisManager]:
    with RedisManager(url) as manager:
        yield manager


@pytest.fixture
def names(url: str, capsys: Capture) -> Callable[..., list[str]]:
    """The names that a command lists, without the header, and with what it said beside."""

    def names(*args: str) -> tuple[list[str], str]:
        assert run([*args, "--url", url]) == 0
        said = capsys.readouterr()
        return [line.split()[0] for line in said.out.splitlines()[1:]], said.err

    return names


def commands_of(server: Server, action: Callable[[], object]) -> int:
    """How many commands the server executed meanwhile."""
    before = server.calls()
    action()
    return (server.calls() - before).total()


def test_a_page_and_the_next(manager: RedisManager, names: Any) -> None:
    for n in range(5):
        manager.dict(f"d{n}")
    kept = [manager.list() for _ in range(3)]
    behind = sorted(each._token.ident for each in kept)
    first, said = names("ls", "--limit", "2")
    assert first == ["d0", "d1"]
    assert "more than 2 objects: pass --after 'd1'" in said
    second, said = names("ls", "--limit", "4", "--after", "d1")
    assert second == ["d2", "d3", "d4", behind[0]]
    assert f"pass --after {behind[0]!r}, --limit or --match" in said
    assert names("ls", "--after", behind[0]) == (behind[1:], "")
    assert names("ls", "--limit", "0", "--named") == ([f"d{n}" for n in range(5)], "")


def test_matching_names(manager: RedisManager, names: Any, url: str, capsys: Capture) -> None:
    for name in ("job-1", "job-20", "jobs", "report"):
        manager.Lock(name)
    assert names("ls", "--match", "job-*")[0] == ["job-1", "job-20"]
    assert names("locks", "--match", "*[st]")[0] == ["jobs", "report"]
    assert names("locks", "--limit", "1")[0] == ["job-1"]
    assert run(["locks", "--match", "x*", url]) == 0
    assert capsys.readouterr() == ("", "no such locks in namespace 'multihost'\n")


def test_the_largest_first(manager: RedisManager, names: Any) -> None:
    for name, size in (("a", 3), ("b", 500), ("c", 40)):
        manager.list(name, range(size))
    assert names("ls", "--sort", "length", "--limit", "2")[0] == ["b", "c"]
    assert names("ls", "--sort", "memory")[0] == ["b", "c", "a"]


def test_a_limit_bounds_what_is_read(server: Server, manager: RedisManager, names: Any) -> None:
    for n in range(600):
        manager.Event(f"e{n:03}")
    assert commands_of(server, lambda: names("ls", "--limit", "10")) < 1200
    assert len(names("ls")[0]) == 500


def test_json_is_whole(manager: RedisManager, url: str, capsys: Capture) -> None:
    for n in range(510):
        manager.Event(f"e{n:03}")
    assert run(["ls", "--json", url]) == 0
    said = capsys.readouterr()
    assert (len(json.loads(said.out)), said.err) == (510, "")
    assert run(["ls", "--json", "--limit", "5", url]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 5


def test_an_unknown_type(manager: RedisManager, url: str, capsys: Capture) -> None:
    manager.dict("d")
    assert run(["ls", "--type", "Foo", url]) == 2
    said = capsys.readouterr().err
    assert "no type 'Foo': there are Array, Barrier, BoundedSemaphore, " in said
    assert "dict" in said
    assert run(["ls", "--type", "Lock", url]) == 0


def test_a_type_that_a_process_serves(url: str, capsys: Capture) -> None:
    with Our(url, ctx=fork) as manager:
        counter = manager.Counter()
        assert run(["ls", "--type", "Counter", url]) == 0
        assert run(["ls", "--type", "Foo", url]) == 2
        assert ", Counter, " in capsys.readouterr().err
        del counter


def test_a_look_of_top_is_bounded(
    server: Server, manager: RedisManager, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(300):
        manager.dict(f"d{n}", {n: n})
    kept = [manager.dict() for _ in range(30)]
    manager.Lock("l"), manager.Queue("q")
    monkeypatch.setattr(activity, "NEW", 20)
    with opened(url) as session:
        monitor = Monitor(session)
        looks = [monitor.look()]
        assert commands_of(server, lambda: looks.append(monitor.look())) < 150
        assert commands_of(server, lambda: looks.append(monitor.look())) < 110
    assert [each.types["dict"] for each in looks] == [320, 330, 330]
    assert [each.is_whole for each in looks] == [False, True, True]
    assert [info.ident for info in looks[-1].objects] == ["n:l", "n:q"]
    del kept
    monkeypatch.setattr(activity, "READ", 1)
    with opened(url) as session:
        look = Monitor(session).look()
    assert ([info.ident for info in look.objects], look.is_whole) == (["n:l"], False)


def test_lines_are_those_of_a_table() -> None:
    columns = ("name", "length", "type")
    rows = [("ä", 1, "x"), ("日本", 1000, None), ("long name", None, "dict")]
    console = output.console()
    with console.capture() as drawn:
        console.print(output.table(columns, rows))
    fitted = [line.rstrip() for line in drawn.get().splitlines()]
    assert list(output._lines(columns, rows)) == fitted


# completion by a shell


@pytest.fixture
def offered(url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """What is offered for the last of the words, however long the machine takes."""
    monkeypatch.setattr(completion, "TIMEOUT", 30.0)
    monkeypatch.setenv("MULTIHOST_URL", url)

    def offered(words: str) -> list[str]:
        *args, last = words.split(" ")
        bash = BashComplete(commands, {}, "multihost", "_MULTIHOST_COMPLETE")
        return [each.value for each in bash.get_completions(args, last)]

    return offered


def completed(words: str, url: str) -> list[str]:
    """What bash gets from the program."""
    done = subprocess.run(
        [sys.executable, "-m", "multihost"],
        env=os.environ
        | {
            "_MULTIHOST_COMPLETE": "bash_complete",
            "COMP_WORDS": f"multihost {words}",
            "COMP_CWORD": str(len(f"multihost {words}".split(" ")) - 1),
            "MULTIHOST_URL": url,
        },
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    assert not done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_a_shell_completes_names(
    manager: RedisManager, url: str, offered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("report-1", "report-2", "other", "report\nodd"):
        manager.dict(name)
    pool = manager.Pool(0, name="render")
    assert offered("show rep") == ["report-1", "report-2"]
    assert offered("rm oth") == ["other"]
    assert offered("ls --type Prio") == ["PriorityQueue"]
    assert offered("ls --after re") == ["render", "report-1", "report-2"]
    assert offered("worker --pool r") == ["render"]
    monkeypatch.setenv("MULTIHOST_URL", "redis://nowhere.invalid:1")
    assert offered(f"show --url {url} oth") == ["other"]
    pool.terminate()
    pool.join()


def test_a_shell_sees_no_error(url: str) -> None:
    assert completed("show x", "redis://127.0.0.1:1") == []
    assert completed("show x", "") == []
    assert completed("sho", url) == ["show"]
