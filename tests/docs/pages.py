"""Run what a page shows: ``python -m tests.docs.pages PAGE``, in an empty directory.

Blocks are run in their order, by their language:

- ``python`` that starts with ``# name.py`` is saved under that name; with ``if __name__`` it is a
  program and is run; any other belongs to the session;
- ``pycon`` is typed into the session, and must be answered as it says;
- ``console``: what follows a ``$``, or ``host$``, is run, and must print what stands below; ``...``
  stands for anything.

A comment in the line above changes that: ``<!-- not run: why -->``, and ``<!-- terminal -->`` for a
program that goes on in a terminal of its own.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>python|pycon|console)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
ANYHOST = "redis://host:6379/0"  # the server of all pages
CHECKER = doctest.OutputChecker()
FLAGS = doctest.ELLIPSIS | doctest.FAIL_FAST


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str
    mark: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        yield Block(match["language"], match["text"], match["mark"] or "", line)


class Stage:
    """Where a page is played."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.session: dict[str, Any] = {"__name__": "session"}
        self.background: list[subprocess.Popen[str]] = []
        self.variables: dict[str, str] = {}

    def play(self, block: Block) -> None:
        if block.mark.startswith("not run: "):
            return
        assert block.mark in ("", "terminal"), f"{self.name}:{block.line}: what is {block.mark!r}?"
        getattr(self, block.language)(block)

    def python(self, block: Block) -> None:
        if match := re.match(r"# (\w+\.py)\n", block.text):
            Path(match[1]).write_text(block.text, "utf-8")
        elif "if __name__" in block.text:
            Path("program.py").write_text(block.text, "utf-8")
            subprocess.run([sys.executable, "program.py"], check=True)
        else:
            code = "\n" * (block.line - 1) + block.text
            exec(compile(code, self.name, "exec"), self.session)

    def pycon(self, block: Block) -> None:
        parser = doctest.DocTestParser()
        test = parser.get_doctest(block.text, self.session, self.name, self.name, block.line - 1)
        test.globs = self.session  # not a copy: the next block goes on with it
        failed, _ = doctest.DocTestRunner(optionflags=FLAGS).run(test, clear_globs=False)
        if failed:
            raise SystemExit(1)

    def console(self, block: Block) -> None:
        commands = re.split(r"^\w*\$ ", block.text, flags=re.MULTILINE)[1:]
        for number, command in enumerate(commands, 1):
            line, _, expected = command.partition("\n")
            if match := re.fullmatch(r"export (\w+)=(\S+)", line):
                os.environ[match[1]] = match[2]
            elif match := re.fullmatch(r"(\w+)=\$\((.*)\)", line):
                os.environ[match[1]] = self.run(match[2]).strip()
            elif block.mark == "terminal" and number == len(commands):
                self.start(line, expected)
            else:
                self.compare(line, expected, self.run(line))

    def run(self, command: str) -> str:
        shell = ["bash", "-c", command]
        return subprocess.run(shell, stdout=subprocess.PIPE, text=True, check=False).stdout

    def start(self, command: str, expected: str) -> None:
        """Go on as soon as it has printed what is expected."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], stdout=subprocess.PIPE, text=True
        )
        self.background.append(process)
        assert process.stdout is not None
        printed = ""
        while not CHECKER.check_output(expected, printed, FLAGS):
            line = process.stdout.readline()
            if not line:
                self.compare(command, expected, printed)
            printed += line

    def compare(self, command: str, expected: str, printed: str) -> None:
        if not CHECKER.check_output(expected, printed, FLAGS):
            raise SystemExit(
                f"{self.name}: $ {command}\nexpected:\n{expected}\nprinted:\n{printed}"
            )

    def clear(self) -> None:
        for process in reversed(self.background):
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def main(page: str, *replacements: str) -> None:
    text = Path(page).read_text("utf-8")
    for old, new in (pair.split("=", 1) for pair in replacements):
        text = text.replace(old, new)
    sys.path.insert(0, os.getcwd())
    stage = Stage(Path(page).name)
    try:
        for block in blocks(text):
            stage.play(block)
    finally:
        stage.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
