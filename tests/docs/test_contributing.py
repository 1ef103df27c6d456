"""The commands and files that CONTRIBUTING.md names exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from tests.support.procs import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
CODE = re.findall(r"`([^`\n]+)`", re.sub(r"^```sh\n.*?^```$", "", TEXT, flags=re.DOTALL | re.M))
COMMANDS = sorted(
    {
        *(line.partition("#")[0].strip() for block in BLOCKS for line in block.splitlines()),
        *(code for code in CODE if re.match(r"make |\.venv/bin/|\.ci/", code)),
    }
)
PLACES = ("", "tests", "tests/faults", "src/multihost", "src/multihost/wire/lua")
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
TOOLS = {"ruff": "ruff", "mypy": "mypy", "lint-imports": "import-linter"}


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 15


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists(command: str) -> None:
    program, *args = shlex.split(command)
    if program == "make":
        assert args[0] in TARGETS or args[0] == ".venv/.dev"
        for variable in args[1:]:
            name, _, value = variable.partition("=")
            assert re.search(rf"^{name} \?=", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
            check_tests(value.split())
    elif program == ".venv/bin/python" and args[0] == "-m":
        assert importlib.util.find_spec(args[1]), args[1]
        check_options(args[1], args[2:])
        check_tests(args[2:])
    elif program == ".venv/bin/python":
        assert (ROOT / args[0]).is_file()
        check_options(args[0], args[1:])
    elif program.startswith(".venv/bin/"):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
        packages = [
            re.split(r"[^\w-]", each)[0]
            for each in project["project"]["optional-dependencies"]["dev"]
        ]
        assert TOOLS[Path(program).name] in packages
    else:
        assert (ROOT / program).is_file()


def check_options(name: str, options: list[str]) -> None:
    """A program of ours knows the options that begin with two hyphens."""
    path = ROOT / name if "/" in name else None
    if path is None and name.startswith(("bench.", "tests.")):
        path = ROOT / f"{name.replace('.', '/')}.py"
    for option in options:
        if path is not None and option.startswith("--"):
            assert option in path.read_text("utf-8"), option


def check_tests(args: list[str]) -> None:
    for arg in args:
        if arg.startswith("tests/"):
            assert (ROOT / arg).exists(), arg


@pytest.mark.parametrize(
    "name", sorted({c for c in CODE if re.fullmatch(r"[\w./]+(/|\.(py|md|json|toml|lua))", c)})
)
def test_a_file_exists(name: str) -> None:
    assert "TYPE" in name or any((ROOT / place / name).exists() for place in PLACES), name
