"""doctor finds what is wrong with a server, and says what to change."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import multihost
from multihost import RedisManager
from multihost.cli import run
from multihost.inspection import examine, opened, permissions, server_facts
from tests.cli.garbage_samples import SAMPLES
from tests.support.procs import ROOT
from tests.support.server import Server
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def sick() -> Iterator[Server]:
    """A server to be spoiled and healed."""
    with Server(password="hidden") as server:
        yield server


def verdicts(url: str) -> dict[str, tuple[str, str, str]]:
    with opened(url) as session:
        return {f.check: (f.verdict, f.found, f.advice) for f in examine(session)}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is idle, whatever it is."""
    trips, offset = server_facts.round_trips, server_facts.clock_offset
    monkeypatch.setattr(
        server_facts, "round_trips", lambda *args: [each / 1000 for each in trips(*args)]
    )
    monkeypatch.setattr(server_facts, "clock_offset", lambda link: offset(link) / 1000)


@pytest.mark.usefixtures("quick")
def test_a_healthy_server(sick: Server, capsys: pytest.CaptureFixture[str]) -> None:
    sick.command("CONFIG", "SET", "maxmemory", "100mb")
    sick.command("CONFIG", "SET", "appendonly", "yes")
    before = sick.keys()
    assert run(["doctor", sick.url, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["fit"] is True
    found = {each["check"]: each for each in document["findings"]}
    assert list(found) == [
        "version",
        "eviction",
        "memory",
        "persistence",
        "clients",
        "timeout",
        "permissions",
        "round trip",
        "script",
        "clock",
    ]
    assert {each["verdict"] for each in found.values()} == {"ok"}, found
    assert "up to a second" in found["persistence"]["found"]
    assert sick.keys() == before, "nothing is left there"
    assert run(["doctor", sick.url]) == 0
    out = capsys.readouterr().out
    assert "hidden" not in out
    assert out.startswith("ok  version")
    sick.command("CONFIG", "SET", "appendonly", "no")
    sick.command("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.parametrize(
    ("check", "verdict", "advice", "settings"),
    [
        ("eviction", "problem", "noeviction", {"maxmemory-policy": "allkeys-lru"}),
        ("memory", "problem", "raise maxmemory", {"maxmemory": "1mb"}),
        ("memory", "note", "maxmemory", {"maxmemory": "0"}),
        ("persistence", "note", "appendonly yes", {"save": ""}),
        ("persistence", "note", "appendonly yes", {"save": "3600 1"}),
        ("timeout", "note", "timeout 0", {"timeout": "100"}),
        ("clients", "problem", "maxclients", {"maxclients": "4"}),
        ("replicas", "problem", "min-replicas", {"min-replicas-to-write": "1"}),
    ],
)
def test_a_setting(
    check: str, verdict: str, advice: str, settings: dict[str, str], sick: Server
) -> None:
    before = {name: sick.command("CONFIG", "GET", name)[1] for name in settings}
    wait_until(lambda: not sick.clients(), what="those of another test are gone")
    others = [sick.connect() for _ in range(2)]
    try:
        for name, value in settings.items():
            sick.command("CONFIG", "SET", name, value)
        found = verdicts(sick.url)[check]
    finally:
        for name, value in before.items():
            sick.command("CONFIG", "SET", name, value)
        for other in others:
            other.close()
    assert found[0] == verdict
    assert advice in found[2]


def restricted(server: Server, *rules: str) -> str:
    server.command("ACL", "SETUSER", "some", "reset", "on", ">pw", *rules)
    return server.url_for("some", "pw")


def test_what_the_user_may_not_do(sick: Server, capsys: pytest.CaptureFixture[str]) -> None:
    url = restricted(sick, "~*", "+@all", "-zadd", "-evalsha")
    verdict, found, advice = verdicts(url)["permissions"]
    assert (verdict, found) == ("problem", "the user may not run EVALSHA ZADD")
    assert advice == "ACL SETUSER <user> +evalsha +zadd"
    assert run(["doctor", url]) == 1
    out = capsys.readouterr().out
    assert "+evalsha +zadd" in out
    assert "pw" not in out
    verdict, found, advice = verdicts(restricted(sick, "~other:*", "+@all"))["permissions"]
    assert (verdict, advice) == ("problem", "ACL SETUSER <user> ~{multihost:[0-9][0-9]}*")
    for missing in ("-multi", "-watch", "-exec", "-script|load"):
        url = restricted(sick, "~*", "+@all", missing.partition("|")[0])
        verdict, found, _ = verdicts(url)["permissions"]
        assert verdict == "problem"
        assert missing.strip("-").partition("|")[0].upper() in found
    verdict, found, _ = verdicts(restricted(sick, "~*", "+@all", "-discard"))["permissions"]
    assert verdict == "ok"
    url = restricted(sick, "~*", "+@all", "-info", "-config", "-memory", "-eval")
    findings = verdicts(url)
    assert {check for check, each in findings.items() if each[0] == "unknown"} == {
        "version",
        "eviction",
        "memory",
        "persistence",
        "clients",
        "timeout",
        "script",
    }
    assert findings["permissions"][1] == "the user may not run EVAL"


def test_the_least_rights_are_enough(sick: Server) -> None:
    """What doctor advises is what multihost needs."""
    url = restricted(sick, "~{multihost:*", "+ping", "+multi", "+time")
    verdict, found, advice = verdicts(url)["permissions"]
    assert verdict == "problem"
    url = restricted(
        sick, "~{multihost:*", "+ping", "+multi", "+time", *advice.split("<user> ")[1].split()
    )
    verdict, found, advice = verdicts(url)["permissions"]
    assert verdict == "note"
    assert "CLIENT LIST" in found
    with RedisManager(url) as m:
        d, l, s = m.dict("d", {"a": 1}), m.list([3, 1]), m.set([1])
        d["l"] = l
        l.sort()
        assert (d["l"][:], 1 in s, len(d)) == ([1, 3], True, 2)
        q, p = m.Queue("q", 5, redeliver=True), m.PriorityQueue("p")
        for queue in (q, p):
            queue.put_many([1, 2])
            assert queue.get() == 1
        with m.Lock("l"), m.Semaphore("s", 2), m.Condition("c"):
            m.Event("e").set()
        for name in m.names():
            m.delete(name)
    sick.command("FLUSHALL")


def test_an_old_server(sick: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    said = server_facts.Facts(
        {"redis_version": "6.0.9", "redis_mode": "cluster", "role": "slave"}, {}
    )
    monkeypatch.setattr(server_facts, "facts", lambda link: said)
    found = verdicts(sick.url)
    assert [found[check][0] for check in ("version", "cluster", "role")] == ["problem"] * 3


def test_replicas_that_nothing_waits_for(sick: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for least, verdict in (("0", "note"), ("1", "ok"), ("2", "note"), ("3", "problem")):
        said = server_facts.Facts({"connected_slaves": "2"}, {"min-replicas-to-write": least})
        monkeypatch.setattr(server_facts, "facts", lambda link, said=said: said)
        assert verdicts(sick.url)["replicas"][0] == verdict


def test_slow_and_wrong_clocks_are_told(sick: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_facts, "round_trips", lambda *args: [0.02] * 100)
    monkeypatch.setattr(server_facts, "clock_offset", lambda link: -90.0)
    found = verdicts(sick.url)
    assert found["script"][0] == "note"
    assert found["round trip"][1].startswith("p50 20.00 ms")
    assert "90.0 s behind" in found["clock"][1]


# -- the list of commands

WIRE = Path(multihost.__file__).parent / "wire"
ARGUMENTS = frozenset(
    "AUTH BYLEX COUNT HELLO ID IDLETIME KILL LEFT LIMIT LIST LOAD MATCH OBJECT OK ON QUEUED REPLY "
    "REV RIGHT SELECT SETNAME SKIP SLOTS USAGE".split()
)


def test_all_commands_of_python_are_known() -> None:
    found = {
        node.value.decode()
        for path in WIRE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, bytes)
        and re.fullmatch(rb"[A-Z]{2,}", node.value)
    }
    optional = {name.split()[0] for name in permissions.OPTIONAL}
    special = permissions.OF_TOOLS | permissions.OF_CLUSTERS | permissions.OF_REPLICAS
    elsewhere = special | optional
    assert found - ARGUMENTS - elsewhere == permissions.PLAIN - ARGUMENTS


def test_all_commands_can_be_tried(fresh_server: Server) -> None:
    wanted = permissions.needed() | permissions.OPTIONAL.keys()
    assert wanted - permissions._SAMPLE_CALLS.keys() == {"MULTI", "EXEC", "WATCH"}
    for name, words in permissions._SAMPLE_CALLS.items():
        answer = fresh_server.command("ACL", "GETUSER", "default") and _try(fresh_server, words)
        assert not re.search("wrong number|unknown|syntax", answer), (name, answer)


def _try(server: Server, words: list[str]) -> str:
    client = server.connect()
    try:
        client.call("MULTI")
        return str(client.call(*words))
    except Exception as error:
        return str(error)
    finally:
        client.close()


def test_the_rights_of_an_operator_are_enough(
    fresh_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that docs/operations.md and docs/howto/command-line.md name, and nothing else."""
    rules: list[str] = []
    for page in ("operations.md", "howto/command-line.md"):
        text = (ROOT / "docs" / page).read_text()
        [block] = re.findall(r"ACL SETUSER (.*?)```", text, re.DOTALL)
        rules += [word for word in shlex.split(block.replace("\\\n", " ")) if word[0] in "+~-r"]
    fresh_server.command("ACL", "SETUSER", "operator", "on", ">pw", *rules)
    url = fresh_server.url_for("operator", "pw")
    with RedisManager(fresh_server.url) as manager:
        manager.set([1], name="s")
        for kind in SAMPLES.values():
            for leave in kind:
                leave(fresh_server, manager)
        fresh_server.command("ACL", "LOG", "RESET")
        for command in ("ls --memory", "locks", "queues", "show s", "top --once", "gc", "gc --yes"):
            assert run([*command.split(), "--url", url]) == 0, command
        assert run(["doctor", url]) == 0
        assert "unknown" not in capsys.readouterr().out
        assert run(["rm", "--yes", "--url", url, "s"]) == 0
    assert [entry[7] for entry in fresh_server.command("ACL", "LOG")] == []
