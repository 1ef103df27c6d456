"""What every Lua file promises, so that it runs on every server that we name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import multihost
from multihost.wire import places, replies
from multihost.wire.keys import LAYOUT, REPLY_CACHE_SECONDS, Keys
from multihost.wire.ops import (
    barrier,
    condition,
    event,
    kinds,
    pool,
    semaphore,
    value,
)
from multihost.wire.ops import dict as dict_ops
from multihost.wire.ops.queue import constants as queue_constants
from multihost.wire.ops.queue import items, priority, settings
from multihost.wire.rpc import frames
from multihost.wire.rpc.frames import FRAME_TTL
from multihost.wire.script import check, header
from multihost.wire.script.source import all_names, expand
from tests.scripts.lua_globals import global_names

SOURCES = Path(multihost.__file__).parent
LUA = SOURCES / "wire" / "lua"
FILES = sorted(LUA.rglob("*.lua"))
NAMES = all_names()
LUA_GLOBALS = set("redis KEYS ARGV string table math tonumber type unpack ipairs pairs".split())
FIELDS = {"lock": "hold_fields", "pool": "queue_fields", "semaphore": "hold_fields"}
DATA = re.MULTILINE | re.DOTALL


def code(path: Path) -> str:
    """Return a file without its comments."""
    lines = path.read_text().splitlines()
    return "\n".join(
        line.partition(" -- ")[0] for line in lines if not line.lstrip().startswith("--")
    )


def names_in(text: str) -> set[str]:
    """Return the constants that Lua code uses."""
    return set(re.findall(r"\b[A-Z][A-Z_]+\b", re.sub(r"'[^']*'", "", text)))


def used() -> dict[str, list[str]]:
    """Name of each ``Script("...")`` in the package -> the modules that have one.

    The table of types has names of scripts that belong to other modules.
    """
    found: dict[str, list[str]] = {}
    for path in set(SOURCES.rglob("*.py")) - {SOURCES / "wire" / "ops" / "kinds.py"}:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"Script", "StoringScript"}
            ):
                assert isinstance(node.args[0], ast.Constant), "a script is named by a literal"
                found.setdefault(node.args[0].value, []).append(
                    path.relative_to(SOURCES).as_posix()
                )
    return found


def test_every_file_has_one_script_and_every_script_a_file() -> None:
    assert sorted(used()) == NAMES
    assert all(len(modules) == 1 for modules in used().values())


ROOMS = {
    "hold": "wire/(places|take|session/blocked).py",
    "host": "wire/rpc/",
    "hosted": "wire/rpc/",
    "collect": "wire/collect/",
    "object": "(wire/ops|wire/session|wire/collect|inspection)/",
    "queue": "wire/ops/queue/",
    "server": "(wire/script|inspection)/",
    "session": "wire/session/",
}
"""The modules that may call scripts which belong to no type with one module in ``wire/ops/``."""


def test_operations_call_the_scripts_of_their_type() -> None:
    for name, [module] in used().items():
        folder = name.partition("/")[0]
        assert re.match(ROOMS.get(folder, f"wire/ops/{folder}.py"), module), (name, module)


def test_the_table_of_types_names_scripts() -> None:
    assert {name for kind in kinds.KINDS.values() for name in kind.reap} <= set(NAMES)


def test_every_fragment_is_included() -> None:
    included = {
        match[1]
        for path in FILES
        for match in re.finditer(r"^\s*-- @include lib/(\w+)$", path.read_text(), re.MULTILINE)
    }
    included.add("staged")  # which goes in front of any script
    assert included == {path.stem for path in (LUA / "lib").glob("*.lua")}


@pytest.mark.parametrize("name", NAMES)
def test_headers_hold(name: str) -> None:
    flags, source = expand(name).code.split("\n", 1)
    assert header.check(name).summary.endswith("."), "a header starts with a sentence"
    assert flags == "--!df flags=allow-undeclared-keys"
    assert "@include" not in source
    assert not re.search(r"^\s*--", source, re.MULTILINE), "comments are not sent"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(LUA).as_posix())
def test_only_what_every_server_has(path: Path) -> None:
    text = code(path)
    # fakeredis has none of these, and the last is not the same everywhere.
    assert not re.search(r"\b(cmsgpack|struct|cjson|bit)\.", text)
    assert not re.search(r"\.(err|ok)\b", text)
    assert not re.search(r"\bmath\.random|\bos\.|redis\.(log|setresp|replicate_commands)", text)
    # A stack of a few thousand is all that unpack has.
    for match in re.finditer(r"unpack\(([^()]*(?:\([^()]*\)[^()]*)*)\)", text):
        assert match[1].count(",") >= 2 or match[1] == "keys", match[0]
    # The server's clock gives fencing tokens, and tells for how long the dead are
    # remembered; what expires does so by itself.
    allowed = ("clock", "draw_fence", "first_fence", "buried", "former_places", "looker")
    assert path.stem in allowed or "'TIME'" not in text
    # Numbers go to commands as they are: tostring(1e15) is not an integer.
    assert "tostring(" not in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(LUA).as_posix())
def test_files_are_short_and_begin_with_their_names(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 80
    assert all(len(line) <= 120 for line in lines)
    name = path.relative_to(LUA).with_suffix("").as_posix()
    assert lines[0].startswith(f"-- {name}: ")


def test_scripts_that_read_only_are_not_taken_for_writers() -> None:
    readers = [n for n in NAMES if not header.check(n).writes]
    for name in readers:
        assert "Idempotent." in expand(name).file, name


@pytest.mark.parametrize("name", NAMES)
def test_a_script_has_no_globals(name: str) -> None:
    """A misspelled name, or one of a fragment that is not included, is nil only when it is used."""
    assert global_names(expand(name).code) <= LUA_GLOBALS


# -- one name for each code, field and duration


def constants(fragment: str) -> dict[str, str]:
    """Return the constants of a fragment: name -> value."""
    text = (LUA / "lib" / f"{fragment}.lua").read_text()
    found = dict(re.findall(r"^local ([A-Z_]+) = '([^']*)'", text, re.MULTILINE))
    numbers = re.findall(r"^local ([A-Z_]+) = (\d+)", text, re.MULTILINE)
    return found | {name: chr(int(value)) for name, value in numbers}


def codes() -> dict[str, bytes]:
    """Return the reply codes in ``wire/replies.py``."""
    return {
        name: value
        for name, value in vars(replies).items()
        if name.isupper() and isinstance(value, bytes)
    }


# The constants of Python that scripts have, too: module -> fragment -> name here -> name there.
OURS: dict[object, dict[str, dict[str, str]]] = {
    barrier: {"barrier_fields": {"ARRIVED": "ARRIVED", "STATE": "STATE"}},
    condition: {"condition_fields": {"WAITER": "WAITER", "NOTIFIED": "NOTIFIED"}},
    dict_ops: {"dict_fields": {"COUNTER": "COUNTER"}},
    event: {"event_fields": {"STATE": "STATE"}},
    frames: {"frames": {"CLOSE": "CLOSE", "CHECK": "CHECK"}},
    items: {"stored_bytes": {"DELIVERED": "DELIVERED"}},
    kinds: {"object_fields": {"TYPE": "TYPE"}},
    places: {
        "object_fields": {"TYPE": "TYPE"},
        "hold_fields": {
            "FENCE": "FENCE",
            "HOLDER": "HOLDER",
            "RELEASED": "RELEASED",
            "WAITER": "WAITER",
        },
        "refs_fields": {"REGISTERED": "CONSUMER"},
    },
    pool: {"task": {"LOST": "LOST"}},
    priority: {"queue_fields": {"NUMBERS": "NUMBERS", "TUPLES": "TUPLES", "OTHERS": "OTHERS"}},
    queue_constants: {
        "queue_fields": {
            "MAXSIZE": "MAXSIZE",
            "UNFINISHED": "UNFINISHED",
            "SHUT_DOWN": "SHUT_DOWN",
            "PUTTERS": "PUTTERS",
            "GETTERS": "GETTERS",
            "KIND": "KIND",
        },
        "refs_fields": {"LISTS_OF": "CONSUMER"},
    },
    semaphore: {
        "hold_fields": {"INITIAL": "INITIAL_VALUE", "RESERVE": "RESERVE", "TALLY": "TALLY"}
    },
    settings: {"queue_fields": {"FIFO": "FIFO", "LIFO": "LIFO", "PRIORITY": "PRIORITY"}},
    value: {"value_fields": {"VALUE": "VALUE"}},
}
SAME = [
    pytest.param(module, ours, fragment, theirs, id=f"{fragment}-{theirs}-{ours}")
    for module, fragments in OURS.items()
    for fragment, names in fragments.items()
    for ours, theirs in names.items()
]


@pytest.mark.parametrize(("module", "ours", "fragment", "theirs"), SAME)
def test_lua_and_python_have_the_same_constants(
    module: object, ours: str, fragment: str, theirs: str
) -> None:
    here, there = getattr(module, ours), constants(fragment)[theirs]
    if isinstance(here, int):
        assert [here] == [ord(each) for each in there]
    else:
        assert here == (there.encode() if isinstance(here, bytes) else there)


# For each row, by its first type, the fields or prefixes of each purpose.
HELD = {"fence": ["FENCE"], "waiters": ["WAITER"], "wake": ["FENCE"]}
ROWS: dict[str, dict[str, list[str]]] = {
    "Lock": HELD,
    "Semaphore": HELD,
    "Event": {"wake": ["TIMES_SET"]},
    "Barrier": {"waiters": ["WAITER"], "wake": ["WAITER"], "internal": ["ACTION"]},
    "Queue": {"waiters": ["PUTTER"], "wake": ["PUTTER", "ORDER", "JOINED"]},
    "PriorityQueue": {
        "waiters": ["PUTTER", "GETTER"],
        "wake": ["PUTTER", "GETTER", "JOINED"],
    },
    "Pool": {"waiters": ["PUTTER"], "wake": ["PUTTER", "ORDER", "JOINED"]},
}
PURPOSES = ("fence", "waiters", "wake")


def fields_of(typeid: str) -> dict[str, str]:
    """Return the fields of the scripts of a type."""
    family = kinds.KINDS[typeid].family
    return constants(FIELDS.get(family, f"{family}_fields"))


@pytest.mark.parametrize("typeid", ROWS)
def test_a_row_of_the_table_of_types_has_the_fields_of_the_scripts(typeid: str) -> None:
    fields, kind = fields_of(typeid), kinds.KINDS[typeid]
    for purpose in {*PURPOSES, *ROWS[typeid]}:
        found = getattr(kind, purpose)
        wanted = {fields[name] for name in ROWS[typeid].get(purpose, [])}
        assert ({found} - {""} if isinstance(found, str) else set(found)) == wanted, purpose


def test_every_row_that_names_fields_is_compared() -> None:
    compared = {id(kinds.KINDS[typeid]) for typeid in [*ROWS, "Condition"]}
    for typeid, kind in kinds.KINDS.items():
        if any(getattr(kind, purpose) for purpose in PURPOSES):
            assert id(kind) in compared, typeid


# For each type fields by their names in the scripts, and the state of an object with these.
STATES: list[tuple[str, dict[str, str], str]] = [
    ("Semaphore", {"FREE": "1", "RESERVE": "2", "INITIAL_VALUE": "4"}, "3 of 4 free"),
    ("Event", {"STATE": "1"}, "set"),
    ("Event", {"STATE": "0"}, "unset"),
    ("Barrier", {"STATE": "broken"}, "broken"),
    ("Barrier", {"STATE": "", "ARRIVED": "1", "PARTIES": "2"}, "1 of 2 arrived"),
    ("Queue", {"ORDER": "f"}, "open"),
    ("Queue", {"SHUT_DOWN": "1"}, "shut down"),
    ("PriorityQueue", {"SHUT_DOWN": "1"}, "shut down"),
    ("Pool", {"SHUT_DOWN": "1"}, "shut down"),
]


@pytest.mark.parametrize(("typeid", "fields", "state"), STATES)
def test_the_state_of_an_object_is_read_from_the_fields_of_the_scripts(
    typeid: str, fields: dict[str, str], state: str
) -> None:
    names = fields_of(typeid) | {"FREE": kinds.FREE}
    found = {names[name]: value for name, value in fields.items()}
    kind = kinds.KINDS[typeid]
    assert kind.state is not None
    assert kind.state(found) == state
    if kind.consumers and kind.length is not None and kind.length.end_marker:
        assert kind.length.end_marker == names["SHUT_DOWN"]


def test_the_row_of_a_condition_has_the_fields_of_two_types() -> None:
    kind = kinds.KINDS["Condition"]
    own, its_lock = constants("condition_fields"), constants("hold_fields")
    assert kind.fence == own["FENCE"] == its_lock["FENCE"]
    assert kind.waiters == (its_lock["WAITER"], own["WAITER"], own["NOTIFIED"])
    assert set(kind.wake) == {its_lock["FENCE"], own["WAITER"]}


def test_the_rows_of_queues_have_the_fields_of_the_scripts() -> None:
    fields = constants("queue_fields")
    for typeid, extra in (("Queue", "ORDER"), ("PriorityQueue", "GETTER"), ("Pool", "ORDER")):
        kind = kinds.KINDS[typeid]
        assert set(kind.wake) == {fields["PUTTER"], fields[extra], fields["JOINED"]}
        assert set(kind.waiters) <= {fields["PUTTER"], fields["GETTER"]}
    assert kinds.KINDS["Queue"].length.end_marker == fields["SHUT_DOWN"]  # type: ignore[union-attr]


def with_fragments(name: str) -> str:
    """Return the code of a script and of its fragments, but for the lines that bind constants."""
    text = (LUA / f"{name}.lua").read_text()
    fragments = re.findall(r"^ *-- @include (lib/\w+)$", text, re.MULTILINE)
    own = re.sub(r"^local [A-Z_]+ = .*$", "", code(LUA / f"{name}.lua"), flags=re.MULTILINE)
    return "\n".join([own, *map(with_fragments, fragments)])


def test_lua_and_python_have_the_same_codes() -> None:
    assert {name: value.encode() for name, value in constants("codes").items()} == codes()


def test_each_code_is_another() -> None:
    assert len(set(codes().values())) == len(codes())


@pytest.mark.parametrize("name", NAMES)
def test_a_header_names_the_codes_that_the_script_returns(name: str) -> None:
    text = expand(name).file
    returns = re.search(r"^-- RETURNS +(.*?)^-- [A-Z]", text, re.MULTILINE | re.DOTALL)
    assert returns
    named = names_in(returns[1]) & codes().keys()
    replies_here = re.findall(r"^.*\b(?:return|code) .*$", code(LUA / f"{name}.lua"), re.MULTILINE)
    assert names_in("\n".join(replies_here)) & codes().keys() <= named


@pytest.mark.parametrize("name", NAMES)
def test_a_header_names_the_fields_that_the_script_uses(name: str) -> None:
    folder = name.partition("/")[0]
    fragment = FIELDS.get(folder, f"{folder}_fields")
    entry = re.search(r"^--   data +hash +(.*?)^--(?:   \w| \w)", expand(name).file, DATA)
    if not entry or not (LUA / "lib" / f"{fragment}.lua").exists() or folder == "dict":
        return
    fields = names_in(with_fragments(name)) & constants(fragment).keys()
    values = {"FIFO", "LIFO", "PRIORITY", "NUMBERS", "TUPLES", "OTHERS", "GRANTED"}
    assert names_in(entry[1]) == fields - values


def test_the_layout_has_every_key() -> None:
    listed = {re.sub(r"<.*", "", key.partition("}:")[2] or key) for key, _, _ in LAYOUT}
    named = Keys("multihost", "u:" + "x" * 22)
    parts = [
        named.in_flight(b""),
        named.channel(b"req", b""),
        named.channel(b"res", b""),
        *(value for name in dir(Keys) if type(value := getattr(named, name)) is bytes),
    ]
    found = {
        part.replace(named.data, b"data").replace(named.prefix, b"").decode() for part in parts
    } - {"", "data", "s", "u"}
    found |= {
        re.sub(r"<.*", "", key.replace("...", ""))
        for name in NAMES
        for key in re.findall(r"^--   (data(?:\.\.\.)?:\S+)", expand(name).file, re.MULTILINE)
    } - {"data:tokens:get", "data:tokens:join", "data:"}  # the last is any list of tokens
    assert found <= listed


def test_one_minute_is_one_minute() -> None:
    assert float(constants("ttl")["TTL"]) == REPLY_CACHE_SECONDS * 1000
    assert FRAME_TTL.decode() == constants("ttl")["TTL"]
    for path in FILES:
        if path.stem != "ttl":
            assert not re.search(r"'(60000|1000)'", code(path)), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(LUA).as_posix())
def test_bytes_of_stored_values_have_one_reader(path: Path) -> None:
    assert path.stem in {"stored", "delivery"} or not re.search(r"[=~]= (64|35|42)\b", code(path))


def test_the_checker_is_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main() == 0
    assert capsys.readouterr().out == f"{len(NAMES)} scripts, 0 with a broken header\n"
