"""What the model in C leaves out: nothing is wrong with all rules, something without any one."""

from __future__ import annotations

import pytest

from tests.model import barriers, permits, queues
from tests.model.small import explore

MUTANTS = [
    (permits.Permits, permits.AGAIN, permits.NOT_THERE, 10),
    (permits.Permits, permits.LEFT, permits.GHOST, 4),
    (permits.Permits, permits.KEPT, permits.GHOST, 7),
    (permits.Permits, permits.UNMARKED, permits.NOT_THERE, 4),
    (queues.Queues, queues.PUT_BACK, queues.TWICE, 8),
    (queues.Queues, queues.ANY_LIST, queues.LOST, 7),
    (queues.Queues, queues.UNDER_WAY, queues.LOST, 5),
    (queues.Queues, queues.NOT_KEPT, queues.TWICE, 7),
    (queues.Queues, queues.NOT_GIVEN_BACK, queues.LOST, 4),
    (barriers.Barriers, barriers.FORGOTTEN, barriers.HANGS, 4),
    (barriers.Barriers, barriers.OF_OTHERS, barriers.TOO_MANY, 10),
    (barriers.Barriers, barriers.STILL_COUNTED, barriers.TOO_MANY, 9),
    (barriers.Barriers, barriers.LET_PASS, barriers.TOO_MANY, 9),
]


@pytest.mark.parametrize(
    ("model", "states"),
    [(permits.Permits, 15_000), (queues.Queues, 31_000), (barriers.Barriers, 26_000)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_no_state_is_wrong(model, states):
    found = explore(model())
    assert not found.wrong, found.way
    assert found.states >= states


@pytest.mark.parametrize(("model", "rule", "wrong", "steps"), MUTANTS)
def test_without_a_rule_something_is_wrong(model, rule, wrong, steps):
    found = explore(model(rule))
    assert (found.wrong, len(found.way)) == (wrong, steps), found.way


def test_every_rule_is_left_out_once():
    rules = *permits.RULES, *queues.RULES, *barriers.RULES
    assert sorted(rules) == sorted(rule for _, rule, _, _ in MUTANTS)
