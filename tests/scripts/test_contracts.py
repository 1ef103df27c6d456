"""What every Lua file promises, so that it runs on every server that we name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import multihost
from multihost.wire.ops import kinds
from multihost.wire.script import check, header
from multihost.wire.script.source import all_names, expand

SOURCES = Path(multihost.__file__).parent
LUA = SOURCES / "wire" / "lua"
FILES = sorted(LUA.rglob("*.lua"))
NAMES = all_names()


def code(path: Path) -> str:
    """A file without its comments."""
    lines = path.read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--"))


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


def test_operations_call_the_scripts_of_their_type() -> None:
    for name, [module] in used().items():
        folder = name.partition("/")[0]
        assert module.startswith("wire/")
        if module.startswith("wire/ops/") and folder != "object":
            assert module.startswith((f"wire/ops/{folder}.py", f"wire/ops/{folder}/"))


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
    source = expand(name).code
    assert header.check(name).summary.endswith("."), "a header starts with a sentence"
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
        assert match[1].count(",") >= 2 or match[1] == "keys_of(data)", match[0]
    # The server's clock gives the first fencing token; what expires does so by itself.
    assert path.stem == "first_fence" or "'TIME'" not in text
    # Numbers go to commands as they are: tostring(1e15) is not an integer.
    assert "tostring(" not in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(LUA).as_posix())
def test_files_are_short_and_say_what_they_are(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 80
    assert all(len(line) <= 120 for line in lines)
    name = path.relative_to(LUA).with_suffix("").as_posix()
    assert lines[0].startswith(f"-- {name}: ")


def test_scripts_that_read_only_are_not_taken_for_writers() -> None:
    readers = [n for n in NAMES if not header.check(n).writes]
    for name in readers:
        assert "ay be repeated." in expand(name).file, name


def test_the_checker_is_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main() == 0
    assert capsys.readouterr().out == f"{len(NAMES)} scripts, 0 with a broken header\n"
