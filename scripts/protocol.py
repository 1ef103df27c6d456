"""Write docs/protocol.md from the sources; with ``--check`` return 1 if it is out of date.

Its tables come from ``wire/keys.py`` (keys), ``wire/replies.py`` (reply codes, errors) and
``lua/lib/*_fields.lua`` (fields of hashes), the rest from the headers of the Lua files.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template

from multihost.wire import keys, replies
from multihost.wire.replies import MustKeep, ReplyError, to_exception
from multihost.wire.script.header import check
from multihost.wire.script.source import all_names, expand

PAGE = Path(__file__).resolve().parents[1] / "docs" / "protocol.md"

START = Path(__file__).with_suffix(".md")

LUA = Path(keys.__file__).parent / "lua"


def header(name: str) -> tuple[str, str]:
    """Return purpose and contract of a script, without the marks of a comment."""
    check(name)
    comment = itertools.takewhile(
        lambda line: line.startswith("--"), expand(name).file.splitlines()
    )
    lines = [line.removeprefix("--").removeprefix(" ") for line in comment]
    body = lines.index("KEYS")
    purpose = " ".join(filter(None, lines[:body])).removeprefix(f"{name}: ")
    return purpose[:1].upper() + purpose[1:], "\n".join(lines[body:])


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    heads = tuple(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    cells = ("|".join(f" {cell} " if cell != "---" else cell for cell in line) for line in lines)
    return "\n".join(f"|{line}|" for line in cells)


def layout() -> Iterator[tuple[str, str, str]]:
    """The rows of the keys."""
    for key, kind, what in keys.LAYOUT:
        yield f"`{key}`", kind, what


def reply_codes() -> Iterator[tuple[str, str, str]]:
    """The rows of the reply codes: constants of the module, each with a docstring behind it."""
    body = ast.parse(Path(replies.__file__).read_text("utf-8")).body
    for constant, docstring in itertools.pairwise(body):
        match constant, docstring:
            case (
                ast.Assign(targets=[ast.Name(name)], value=ast.Constant(bytes(code))),
                ast.Expr(ast.Constant(str(text))),
            ):
                code_text = code.decode().replace("|", r"\|")
                yield f"`{name}`", f"`{code_text}`", " ".join(text.split())


def fields() -> Iterator[str]:
    """A table of the fields of each type: the constants of its fragment and the comments."""
    for path in sorted((LUA / "lib").glob("*_fields.lua")):
        text = path.read_text("utf-8")
        head = text.splitlines()[0].partition(": ")[2]
        found = re.findall(r"^local (\w+) = '([^']*)'(?: -- (.*))?$", text, re.MULTILINE)
        rows = [(f"`{name}`", f"`'{field}'`", escape(what)) for name, field, what in found]
        title = head[:1].upper() + escape(head[1:])
        yield f"{title}\n\n{table(('field', 'in the hash', 'what'), rows)}"


def escape(text: str) -> str:
    """Return a comment as text in Markdown."""
    text = text.replace("->", "→")
    return re.sub(r"<[^>]*>(?:\.<[^>]*>)*|'[^']*'|\bdata:\S*", lambda found: f"`{found[0]}`", text)


def errors(contracts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The rows of the error codes that scripts may return."""
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
        if isinstance(error, MustKeep):
            what = "none: the client keeps what the value refers to, and repeats"
        yield f"`{code}`", what
    yield "any other", "`InternalError`"


def page() -> str:
    """Return the whole page."""
    names = all_names()
    headers = {name: header(name) for name in names}
    start = Template(START.read_text("utf-8")).substitute(
        PROTOCOL=keys.PROTOCOL,
        PARTITIONS=keys.PARTITIONS,
        KEYS=table(("key", "type", "what"), layout()),
        FIELDS="\n\n".join(fields()),
        CODES=table(("name", "code", "meaning"), reply_codes()),
        ERRORS=table(("code", "exception"), errors(contract for _, contract in headers.values())),
    )
    parts = [start.rstrip()]
    for folder, members in itertools.groupby(names, lambda name: name.partition("/")[0]):
        parts.append(f"## {folder}")
        for name in members:
            purpose, contract = headers[name]
            parts.append(f"### {name}\n\n{purpose}\n\n```text\n{contract}\n```")
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write the page, or check it."""
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != text:
        print("docs/protocol.md is out of date; run: make format", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
