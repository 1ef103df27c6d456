"""``import multihost`` stays fast: what is slow or seldom needed is imported by the functions that
need it.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORTED = "import multihost"
OPENED = """
import multihost
with multihost.Manager() as manager:
    shared, queue, lock = manager.dict(), manager.Queue(), manager.Lock()
    shared["a"] = 1
    queue.put(shared.copy())
    with lock:
        assert queue.get() == {"a": 1}
"""

# What a program does not import by each of these, beyond multiprocessing.managers. A name that goes
# makes every program, and every process that it spawns, slower.
NEVER = {
    "asyncio",
    "concurrent.futures",
    "copy",
    "dataclasses",
    "decimal",
    "fractions",
    "inspect",
    "numbers",
    "pathlib",
    "redis",
    "multihost.cli",
    "multihost.inspection",
    "multihost.pool",
    "multihost.pooling",
    "multihost.wire.ops.pool",
}
TABLE = {
    IMPORTED: NEVER | {"json", "subprocess", "multihost.embedded"},
    OPENED: NEVER,
}


# Compiled when they are first used: each costs as much as a module.
FIND_PATTERNS = """
import re, sys, multiprocessing.managers
compile, found = re.compile, []
def noted(pattern, flags=0):
    if sys._getframe(1).f_globals["__name__"].startswith("multihost"):
        found.append(pattern)
    return compile(pattern, flags)
re.compile = noted
import multihost
print(*found, sep="\\n")
"""


def run(program: str) -> str:
    """Return what a program prints. It begins with the modules of the standard library's."""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return found.stdout.decode()


@pytest.mark.parametrize("program", TABLE, ids=["imported", "opened"])
def test_what_a_program_does_not_import(program: str) -> None:
    before = run("import multiprocessing.managers, sys; print(*sys.modules)").split()
    modules = set(run(f"{program}\nimport sys; print(*sys.modules)").split())
    assert "multihost.managers" in modules
    assert not modules & (TABLE[program] - set(before))


def test_no_pattern_is_compiled_by_an_import() -> None:
    assert run(FIND_PATTERNS).split() == []
