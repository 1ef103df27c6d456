"""Check types as users see them: ``python -m tests.typing``.

- mypy and pyright find nothing in the programs of the README and of the tutorial, in ``examples/``
  and in this folder, and they find what is wrong in ``mistakes.py``;
- of the symbols of the package, ``pyright --verifytypes`` knows the type of at least 95 %.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import blocks

PAGES = ("README.md", "docs/tutorial.md")
PROGRAMS = Path("build/pages")
LEAST = 0.95  # of the symbols have a type that is declared


def programs(page: Path) -> Iterator[tuple[str, str]]:
    """Return name and text of the programs of a page; what is typed into one session is one."""
    session: list[str] = []
    for block in blocks(page.read_text("utf-8")):
        if block.language != "python":
            continue
        if re.match(r"# \w+\.py\n", block.text) or "if __name__" in block.text:
            yield f"{page.stem.lower()}_{block.line}.py", block.text
        else:
            session.append(block.text)
    if session:
        yield f"{page.stem.lower()}.py", "\n".join(session)


def write_programs() -> None:
    """Write the programs of all pages."""
    shutil.rmtree(PROGRAMS, ignore_errors=True)
    PROGRAMS.mkdir(parents=True)
    for page in PAGES:
        for name, text in programs(Path(page)):
            (PROGRAMS / name).write_text(text, "utf-8")


def run(tool: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment. Its output is printed if it fails."""
    command = str(Path(sys.executable).with_name(tool))
    done = subprocess.run([command, *args], capture_output=True, text=True, check=False)
    if done.returncode and "--outputjson" not in args:
        print(done.stdout, done.stderr)
    return done


def completeness() -> float:
    """Return the share of the symbols whose types are declared, and print the others."""
    os.environ["PYTHONPATH"] = "src"  # where it looks for the package
    args = ["--verifytypes", "multihost", "--ignoreexternal", "--outputjson"]
    report = json.loads(run("basedpyright", "--pythonpath", sys.executable, *args).stdout)
    found = report["typeCompleteness"]
    if found["completenessScore"] < LEAST:
        for symbol in found["symbols"]:
            for diagnostic in symbol["diagnostics"]:
                line = diagnostic["range"]["start"]["line"] + 1 if "range" in diagnostic else ""
                print(f"{diagnostic['file']}:{line}: {symbol['name']}: {diagnostic['message']}")
    return float(found["completenessScore"])


def main() -> int:
    write_programs()
    failed = [
        tool
        for tool, *args in (
            ("mypy", *map(str, sorted(PROGRAMS.glob("*.py")))),
            ("basedpyright", "--pythonpath", sys.executable),
        )
        if run(tool, *args).returncode
    ]
    score = completeness()
    print(f"types of {score:.1%} of the symbols are declared; at least {LEAST:.0%} have to be")
    return int(bool(failed) or score < LEAST)


if __name__ == "__main__":
    sys.exit(main())
