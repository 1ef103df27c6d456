"""Whatever one key on the server holds, every listing ends soon, well, and shows all others."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from typing import Any

import pytest

from multihost.cli import run
from multihost.inspection import names, opened, typeids_in_use
from multihost.wire import keys as key_names
from multihost.wire.keys import Keys
from multihost.wire.ops import kinds
from tests.damage.bounds import MEGABYTES, soon
from tests.damage.harm import batches, fields_of_the_protocol, keys_of_row, with_key
from tests.damage.world import NAMESPACE, TYPEIDS, World

OUTPUT = 500_000  # characters of one listing

WELL = {f"well {typeid}" for typeid in TYPEIDS}
QUEUES = {name for name in WELL if name.endswith(("Queue", "Pool"))}
LOCKS = {f"well {typeid}" for typeid in kinds.typeids("locks")}


def idents(found: set[str]) -> set[str]:
    return {f"n:{name}" for name in found}


def test_the_world_has_every_key_and_field(world: World) -> None:
    """So that what is added to the protocol is damaged, too."""
    for row, type_, *_ in key_names.LAYOUT:
        if type_ == "none":  # the guard, which never exists
            continue
        found = keys_of_row(row, NAMESPACE, world.keys())
        assert found, f"tests/damage/world.py has no key of the form {row}"
    fields = {
        field
        for key in world.keys()
        if world.server.command("TYPE", key) in (b"hash", "hash")
        for field in world.server.command("HKEYS", key)
    }
    for fragment, name, field in fields_of_the_protocol():
        wanted = field.encode()
        assert any(
            each.startswith(wanted) if field.endswith(":") else each == wanted for each in fields
        ), f"tests/damage/world.py has no field {name} = {field!r} of {fragment}"


class Listings:
    """Runs every listing, and complains of what is wrong with one."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url, self.capsys = url, capsys

    def program(self, command: str, *args: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command; what it printed."""
        words = [command, "--url", self.url, "--namespace", NAMESPACE, *args]
        with soon():
            code = run(words)
        said = self.capsys.readouterr()
        assert code in codes, (command, args, code, said.err[-2000:])
        for text in (said.out, said.err):
            assert len(text) < OUTPUT, (command, args, len(text))
            assert "Traceback" not in text, text[-3000:]
            assert all(char.isprintable() or char == "\n" for char in text), (command, args)
        return said.out

    def documents(self, command: str, *args: str) -> dict[str, Any]:
        return {each["ident"]: each for each in json.loads(self.program(command, "--json", *args))}

    def objects(self) -> dict[str, Any]:
        """What ``ls`` shows, by ident."""
        listed = self.documents("ls", "--memory")
        assert listed.keys() >= idents(WELL), idents(WELL) - listed.keys()
        damaged = [ident for ident in idents(WELL) if listed[ident]["damage"]]
        assert not damaged, damaged
        return listed

    def all(self, turn: int, ill: str) -> None:
        """Run those that read the most, and of the others some, by turns."""
        self.objects()
        self.program("top", "--once", "--json")
        self.program("gc", "--json")
        others: list[Callable[[], object]] = [
            lambda: self.shows(WELL, "ls"),
            lambda: self.shows(LOCKS, "locks"),
            lambda: self.shows(QUEUES, "queues"),
            lambda: self.shows({"well Queue"}, "top", "--once"),
            lambda: self.program("show", ill, codes=(0, 1)),
            lambda: self.program("show", "--json", ill, codes=(0, 1)),
            self.completed,
        ]
        for number in range(2):
            others[(2 * turn + number) % len(others)]()

    def shows(self, wanted: set[str], command: str, *args: str) -> None:
        """A table has a row for each of these."""
        table = self.program(command, *args)
        assert all(name in table for name in wanted), table

    def completed(self) -> None:
        """What a shell completes."""
        with soon(), opened(self.url, NAMESPACE) as session:
            assert set(names(session, "well", 100)) >= WELL
            assert typeids_in_use(session) >= {*TYPEIDS}


@pytest.fixture
def listings(url: str, capsys: pytest.CaptureFixture[str]) -> Listings:
    return Listings(url, capsys)


@pytest.mark.parametrize("row", [row for row, *_ in key_names.LAYOUT])
def test_listings(world: World, listings: Listings, row: str) -> None:
    listings.objects()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for turn, done in batches(world.server, world.ill_keys(row)):
        for harm in done:
            world.server.commands(*harm.commands)
        try:
            listings.all(turn, "ill " + TYPEIDS[turn % len(TYPEIDS)])
            with soon():
                assert set(world.manager.names()) >= WELL
        except BaseException as error:
            error.add_note("\n".join(f"{harm.commands[0][1]!r}: {harm.what}" for harm in done))
            raise
        world.restore()
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert used < MEGABYTES


# what is harmed, how, and how that place is called
MARKS: list[tuple[str, str, tuple[str | bytes, ...], str]] = [
    ("dict", "data", ("RPUSH", "KEY", "x"), "its type"),
    ("dict", "contains", ("SET", "KEY", "x"), "contains"),
    ("dict", "contains", ("HSET", "KEY", "x", "1"), "an object that it contains"),
    ("list", "names", ("HSET", "KEY", "ill list", "x"), "the entry of its name"),
    ("Array", "names", ("HSET", "KEY", "ill Array", "2 pickle Array long"), "its parameters"),
    ("Lock", "data", ("HSET", "KEY", "f", b"\xff"), "field 'f'"),
    ("Lock", "data", ("HSET", "KEY", "h:ill-session.1", "a.b"), "participant 'ill-session.1.a.b'"),
    ("Lock", "refs", ("HSET", "KEY", "f:ill-session", "999999999"), "its places"),
    ("Lock", "free", ("SET", "KEY", "x"), "free"),
    ("Condition", "data", ("HSET", "KEY", b"q:\xff\x1b", "1"), "field 'q:"),
    ("Barrier", "data", ("HSET", "KEY", "t", "x"), "its type"),
    ("Semaphore", "data", ("HSET", "KEY", "k:ill-session", "many"), "field 'k:ill-session'"),
    ("Queue", "data", ("HSET", "KEY", "u", "9" * 400), "field 'u'"),
    ("Queue", "refs", ("HSET", "KEY", "f:ill-session", "999999999"), "its in-flight lists"),
    ("JoinableQueue", "dead", ("SET", "KEY", "x"), "dead"),
    ("LifoQueue", "items", ("SET", "KEY", "x"), "items"),
    ("Pool", "session", ("SET", "KEY", "x"), "session 'ill-session'"),
    ("Pool", "session", ("SADD", "KEY", "x"), "session 'ill-session'"),
]


@pytest.mark.parametrize(("typeid", "part", "command", "place"), MARKS)
def test_what_is_damaged_is_marked(
    world: World,
    listings: Listings,
    typeid: str,
    part: str,
    command: tuple[str | bytes, ...],
    place: str,
) -> None:
    keys = world.data(typeid)
    key = keys.sessions + b":ill-session" if part == "session" else getattr(keys, part)
    if command[0] != "HSET":
        world.server.command("DEL", key)
    world.server.command(*with_key(command, key))
    found = listings.objects()[keys.ident]
    assert any(place in each for each in found["damage"]), found["damage"]
    assert "damaged" in next(
        line for line in listings.program("ls").splitlines() if line.startswith(f"ill {typeid} ")
    )
    assert "damaged" in listings.program("show", f"ill {typeid}")


def test_keys_that_no_object_has(world: World, listings: Listings) -> None:
    strays = [
        b"\xff",
        b"n:\xff",
        b"u:\xff:refs",
        b"u:short",
        b"n:",
        b"n:x:\xff",
        b"h:",
        b"",
        b":::",
    ]
    commands = [("RPUSH", b"{%b:07}:%b" % (NAMESPACE.encode(), tail), "x") for tail in strays]
    world.server.commands(*commands, ("SET", f"{{{NAMESPACE}:99}}:n:x", "x"))
    for turn in range(4):
        listings.all(turn, "x")


def test_gc_goes_on_behind_what_it_cannot_remove(world: World, listings: Listings) -> None:
    """``ill`` objects are damaged where a removal looks, and something else is garbage."""
    server = world.server
    (inner,) = (k for k in world.keys() if k.endswith(b":n:ill dict:contains"))
    server.commands(("DEL", inner), ("SET", inner, "x"))
    for typeid in ("Queue", "Lock", "Barrier", "Condition", "Semaphore"):
        keys = world.data(typeid)
        server.command("DEL", keys.sessions + b":ill-session")  # it is dead
        server.command("HSET", keys.data, "c", "x", "g", "x", "w", "x", "v", "x", "n", "x")
    server.command("HSET", world.data("Queue").refs, "f:ill-session", "many")
    server.command("HSET", Keys(NAMESPACE, "n:gone").names, "gone", "2 pickle dict")
    with soon():
        done = json.loads(listings.program("gc", "--yes", "--json"))
    assert ("gone", "orphaned name", True) in [
        (each["name"], each["kind"], each["removed"]) for each in done
    ]
    assert "gone" not in world.manager.names()
    listings.objects()
