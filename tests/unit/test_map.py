"""The map of the tests is complete: tests/README.md."""

from __future__ import annotations

import re

from tests.support.procs import ROOT

TESTS = ROOT / "tests"
TEXT = (TESTS / "README.md").read_text("utf-8")


def test_every_folder_is_in_the_map() -> None:
    folders = {path.parent.name for path in TESTS.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", TEXT, re.MULTILINE)) == folders


def test_every_file_that_is_named_exists() -> None:
    folder = ""
    for name in re.findall(r"`([\w/]+\.py)`", TEXT.split("## Where a type is tested")[1]):
        if "/" in name:
            folder = name.rpartition("/")[0]
            assert (TESTS / name).is_file(), name
        else:  # of the folder that was named last, or of one that the text names
            places = (folder, "faults", "chaos")
            assert any((TESTS / place / name).is_file() for place in places), name
