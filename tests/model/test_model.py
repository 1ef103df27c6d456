"""The rules of docs/holds.md: nothing is wrong with all of them, and something without any one."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from multihost.wire.script import source
from tests.model.configurations import LARGE, MUTANTS, SMALL
from tests.model.search import search

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "holds.md"
LIMIT = 3_000_000

RULE = re.compile(r'RULE\(\w+, "(.*?)"\)')
# Needed for no promise: without them things take longer, or nothing differs behind a closed gate.
KEPT_FOR_TIME = {"siblings watch once", "former name left", "settling empties places in use"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("configuration", SMALL, ids=lambda c: c.name)
def test_no_state_is_wrong(configuration):
    found = search(configuration.settings, limit=LIMIT)
    assert found.wrong == "right", found.way
    assert found.is_cut_short == ("limit=" in configuration.settings)
    assert found.states >= configuration.states


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.rule)
def test_without_a_rule_something_is_wrong(mutant):
    found = search(mutant.settings, leave_out=mutant.rule, limit=LIMIT)
    assert (found.wrong, found.steps) == (mutant.wrong, mutant.steps), found.way


def test_every_rule_is_left_out_once():
    rules = set(RULE.findall((HERE / "state.h").read_text()))
    left_out = {rule for mutant in MUTANTS for rule in mutant.rule.split(",")}
    assert rules == left_out | KEPT_FOR_TIME
    assert len(MUTANTS) == 26


def test_configurations_have_their_own_names():
    names = [c.name for c in SMALL]
    assert len(names) == len(set(names))
    assert not {(c.name, c.settings) for c in SMALL} & {(c.name, c.settings) for c in LARGE}


def _implementations() -> list[tuple[str, str]]:
    """Return rule and name of each place that the table of the page names."""
    section = PAGE.read_text().partition("## Implemented by")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| ")][1:]
    return [
        (rule.strip(), name) for rule, places in rows for name in re.findall(r"`(.*?)`", places)
    ]


def test_what_the_page_names_exists():
    names = _implementations()
    assert len(names) > 10
    scripts = set(source.all_names())
    for rule, name in names:
        if "/" in name:
            assert name in scripts, (rule, name)
            continue
        module, _, attributes = name.partition(":")
        thing = importlib.import_module(f"multihost.{module}")
        for attribute in filter(None, attributes.split(".")):
            thing = getattr(thing, attribute)
