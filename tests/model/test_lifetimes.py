"""The rules of docs/lifetimes.md: nothing is wrong with all of them, and something without any."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.model.lifetimes.configurations import LARGE, LAXER, MUTANTS, SMALL
from tests.model.lifetimes.search import HERE, search

PAGE = Path(__file__).parents[2] / "docs" / "lifetimes.md"
LIMIT = 3_000_000

RULE = re.compile(r'RULE\(\w+, "(.*?)"\)')
# Needed for no promise: without it looks take longer while others store.
KEPT_FOR_TIME = {"whole leaves it grey"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("configuration", SMALL, ids=lambda c: c.name)
def test_no_state_is_wrong(configuration):
    found = search(configuration.settings, limit=LIMIT)
    assert found.wrong == "right", found.way
    assert not found.is_cut_short
    assert found.states >= configuration.states


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.rule)
def test_without_a_rule_something_is_wrong(mutant):
    found = search(mutant.settings, leave_out=mutant.rule, limit=LIMIT)
    assert (found.wrong, found.steps) == (mutant.wrong, mutant.steps), found.way


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.rule)
def test_with_the_rule_nothing_is_wrong(mutant):
    found = search(mutant.settings, limit=LIMIT)
    assert found.wrong == "right", found.way
    assert not found.is_cut_short


@pytest.mark.timeout(300)
@pytest.mark.parametrize("configuration", LAXER, ids=lambda c: c.name)
def test_what_may_be_done_either_way(configuration):
    found = search(configuration.settings, leave_out=configuration.name, limit=LIMIT)
    assert found.wrong == "right", found.way
    assert found.states >= configuration.states


@pytest.mark.timeout(300)
def test_random_walks_find_nothing_wrong():
    found = search(
        "walks=2000 names=2 unnamed=4 clients=3 ops=6 ticks=6 looks=3 collectors=2 naps=1 mail=2"
        " pieces=1 backs=1 outages=1 invariants=1 start=Aa.ab.bc.0b.1d start=0a.ab.1c.cd.2b"
    )
    assert found.wrong == "right", found.way


def test_every_rule_is_left_out_once():
    rules = set(RULE.findall((HERE / "state.h").read_text()))
    left_out = {rule for mutant in MUTANTS for rule in mutant.rule.split(",")}
    assert rules == left_out | KEPT_FOR_TIME | {c.name for c in LAXER}
    assert len(MUTANTS) == len({m.rule for m in MUTANTS})


def test_configurations_have_their_own_names():
    names = [c.name for c in [*SMALL, *LARGE]]
    assert len(names) == len(set(names))


def test_the_page_tells_the_steps_of_each_counterexample():
    page = PAGE.read_text()
    for mutant in MUTANTS:
        rows = [line for line in page.splitlines() if line.startswith(f"| {mutant.rule} |")]
        assert len(rows) == 1, mutant.rule
        promise = mutant.wrong.partition(":")[0]
        cells = [cell.strip() for cell in rows[0].split("|")[1:-1]]
        assert cells[1].startswith(promise), mutant.rule
        assert cells[2] == str(mutant.steps), mutant.rule
