"""Each cell of docs/guarantees.md is backed by a test that exists, or says it is not covered."""

from __future__ import annotations

import re

from tests.support.procs import ROOT

TEXT = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
NUMBERED = re.findall(r"^\| \[(\d+)\] \| `(\S+)` \|$", TEXT, re.MULTILINE)
TESTS = dict(NUMBERED)
TABLES = [
    [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    for table in re.findall(
        r"^(\| primitive .*\n(?:\|.*\n)+)", TEXT.split("## The tests")[0], re.MULTILINE
    )
]
# What is a consequence of the cell beside it, or of there being nothing to lose.
BY_REFERENCE = re.compile(r"as Lock|nothing is held|once, or it is undone")


def test_every_cell_names_its_tests() -> None:
    assert len(TABLES) == 4
    for (_, *columns), _, *rows in TABLES:
        for primitive, *cells in rows:
            assert len(cells) == len(columns), primitive
            for cell in cells:
                assert (
                    re.search(r"\[\d+\]", cell) or cell == "not covered" or BY_REFERENCE.match(cell)
                ), (primitive, cell)


def test_every_test_that_is_named_exists_and_is_used() -> None:
    used = set(re.findall(r"\[(\d+)\]", TEXT.split("## The tests")[0]))
    assert used == set(TESTS)
    assert len(NUMBERED) == len(TESTS), "a number has two tests"
    for test in TESTS.values():
        path, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), test
