"""Write docs/protocol.md from the headers of the Lua files; with ``--check`` see that it is so."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template

from multihost.wire.keys import PARTITIONS, PROTOCOL
from multihost.wire.replies import MustRetain, ReplyError, to_exception
from multihost.wire.script.header import check
from multihost.wire.script.source import all_names, expand

PAGE = Path(__file__).resolve().parents[1] / "docs" / "protocol.md"

START = Path(__file__).with_suffix(".md")


def header(name: str) -> tuple[str, str]:
    """Purpose and contract of a script, without the marks of a comment."""
    check(name)
    text = expand(name).file
    comment = itertools.takewhile(lambda line: line.startswith("--"), text.splitlines())
    lines = [line.removeprefix("--").removeprefix(" ") for line in comment]
    body = lines.index("KEYS")
    purpose = " ".join(filter(None, lines[:body])).removeprefix(f"{name}: ")
    return purpose[:1].upper() + purpose[1:], "\n".join(lines[body:])


def errors(contracts: list[str]) -> Iterator[str]:
    """The rows of the codes that scripts may return."""
    codes = {
        code
        for contract in contracts
        for line in contract.splitlines()
        if line.startswith("ERRORS")
        for code in line.split()[1:]
        if code != "none"
    }
    for code in sorted(codes):
        error = to_exception(ReplyError(code), "", "")
        what = f"`{type(error).__name__}`"
        if isinstance(error, MustRetain):
            what = "none: the client lets the container own the value first, and repeats"
        yield f"| `{code}` | {what} |"
    yield "| any other | `InternalError` |"


def page() -> str:
    """The whole page."""
    names = all_names()
    headers = {name: header(name) for name in names}
    start = Template(START.read_text("utf-8")).substitute(PROTOCOL=PROTOCOL, PARTITIONS=PARTITIONS)
    parts = [start + "\n".join(errors([contract for _, contract in headers.values()]))]
    for folder, members in itertools.groupby(names, lambda name: name.partition("/")[0]):
        parts.append(f"## {folder}")
        for name in members:
            purpose, contract = headers[name]
            parts.append(f"### {name}\n\n{purpose}\n\n```text\n{contract}\n```")
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write or check."""
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != text:
        print("docs/protocol.md is out of date; run: make format", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
