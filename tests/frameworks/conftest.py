"""What the programs of other projects need; see ``make test-frameworks``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.procs import Script, spawn_script

EXTRA = "pip install 'multihost[frameworks]'"


def need(*modules: str) -> None:
    """Skip the test where a project is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: {EXTRA}")


@pytest.fixture
def start() -> Iterator[Callable[..., Script]]:
    """Start a program of the environment by its name: ``start("gunicorn", args, env=...)``."""
    started: list[Script] = []

    def program(name: str, args: Sequence[str], env: dict[str, str | None]) -> Script:
        path = Path(sys.executable).with_name(name)
        assert path.exists(), f"{path} is missing: {EXTRA}"
        started.append(spawn_script(path, env, args=args))
        return started[-1]

    yield program
    for each in started:
        each.close()
