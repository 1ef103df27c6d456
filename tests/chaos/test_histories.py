"""Judges find what is wrong in a history, and a short campaign finds nothing."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.chaos import judges
from tests.chaos.journal import Journal, Line


def history(*steps: str) -> list[Line]:
    """Return the lines of a history: who, what, which number."""
    lines = []
    for number, step in enumerate(steps):
        who, what, *value = step.split(":")
        lines.append(Line(100.0 + number, int(who), what, int(*value) if value else 0))
    return lines


ONE, TWO = judges.never_more_than(1), judges.never_more_than(2, tokens_rise=False)
AGAIN, ONCE = judges.nothing_lost(True), judges.nothing_lost(False)
HELD = ("1:enter:5", "2:enter:6")
GOT_TWICE = ("1:puts:7", "1:put:7", "2:got:7", "3:got:7")
OVER = ("0:saving", "0:failing over")
BACK = ("0:saving", "0:going back", "0:back")


@pytest.mark.parametrize(
    ("judge", "steps"),
    [
        (ONE, ["1:enter:5", "1:leave:5", "2:enter:6"]),
        (ONE, ["1:enter:5", "1:kill", "2:enter:6"]),
        (ONE, ["0:saving", "1:enter:5", "0:going back", *["0:back"] * 3, "2:enter:6", "1:lost"]),
        (ONE, ["1:enter:5", "1:stopped for long", "2:enter:6", "1:lost"]),
        (ONE, [*OVER, "1:enter:5", "2:enter:6", "2:leave", *BACK[1:], "1:lost"]),
        (TWO, HELD),
        (AGAIN, [*GOT_TWICE[:2], *OVER, "2:got:7", "3:got:7", *BACK[1:]]),
        (AGAIN, ["1:puts:7", "1:put:7", "2:got:7", "2:kill", "3:got:7"]),
        (AGAIN, ["1:puts:7", "0:saving", "1:put:7", "0:going back", "0:back"]),
        (AGAIN, [*GOT_TWICE[:3], *BACK, "3:got:7"]),
        (ONCE, ["1:puts:7", "1:put:7", "2:kill"]),
        (judges.in_order, ["1:got:0", "1:got:1", "0:restarting", "1:got:1", "1:got:2"]),
        (judges.woken_by_somebody, ["1:waits", "2:sets", "1:woken"]),
        (judges.woken_by_somebody, ["2:sets", *OVER, "2:cleared", "1:waits", "1:woken"]),
        (judges.met(2), ["1:comes", "2:comes", "1:passed:0", "2:passed:1"]),
        (judges.met(2), ["1:comes", "1:kill", "2:comes", "2:passed:1"]),
        (judges.all_counted, ["1:adds", "1:added:1", "2:adds", "2:kill", "1:adds", "1:added:3"]),
        (judges.called_once, ["1:counted:1", "1:host lost", "1:counted:3"]),
    ],
)
def test_a_history_that_is_right(judge, steps):
    assert judge(history(*steps)) == []


@pytest.mark.parametrize(
    ("judge", "steps", "what"),
    [
        (ONE, HELD, "2 have it"),
        (ONE, ["1:enter:5", "1:leave:5", "2:enter:5"], "does not rise"),
        (ONE, ["1:enter:5", *BACK, *["0:back"] * 3, "2:enter:6"], "2 have it"),
        (ONE, ["1:enter:5", *BACK, "1:lost"], "lost what it had"),
        (ONE, ["1:enter:5", *OVER, *BACK[1:], "1:lost"], "lost what it had"),
        (AGAIN, [*GOT_TWICE[:2], *OVER, *BACK[1:]], "are lost"),
        (ONE, ["1:enter:5", "1:lost"], "lost what it had"),
        (TWO, ["1:enter:5", "2:enter:5"], "a token comes twice"),
        (TWO, [*HELD, "3:enter:7"], "3 have it"),
        (AGAIN, ["1:puts:7", "1:put:7", "2:kill"], "are lost"),
        (AGAIN, ["1:puts:7", "1:put:7", *BACK], "are lost"),
        (ONCE, GOT_TWICE, "comes twice"),
        (ONCE, ["2:got:7"], "nobody put"),
        (ONCE, ["1:puts:7", "1:full:7", "2:got:7"], "refused"),
        (judges.in_order, ["1:got:0", "1:got:2"], "out of order"),
        (judges.in_order, ["1:got:0", "1:got:1", "1:got:0"], "out of order"),
        (judges.in_order, ["1:got:0", "0:restarting", "1:got:2"], "out of order"),
        (judges.tickets_taken_once, ["1:gives", "2:took", "2:took"], "2 tickets"),
        (judges.woken_by_somebody, ["2:sets", "2:cleared", "1:waits", "1:woken"], "no reason"),
        (
            judges.woken_by_somebody,
            [*OVER, *BACK[1:], "2:sets", "2:cleared", "1:waits", "1:woken"],
            "no reason",
        ),
        (judges.met(2), ["1:comes", "1:passed:0"], "passed with 1 of 2"),
        (judges.all_counted, ["1:adds", "1:added:1", "2:adds", "2:added:1"], "comes twice"),
        (judges.all_counted, ["1:adds", "1:added:2"], "of 1 calls"),
        (judges.called_once, ["1:counted:1", "2:counted:1"], "came twice"),
        (judges.called_once, ["1:counted:1", "1:counted:3"], "excused"),
        (judges.worked, ["1:wrong result:4"], "wrong result"),
    ],
)
def test_a_history_that_is_wrong(judge, steps, what):
    (problem, *_) = judge(history(*steps))
    assert what in problem


def test_a_journal_keeps_what_was_noted(tmp_path):
    journal = Journal(str(tmp_path / "journal"))
    journal.note("raised", 3, "two\nlines\t«»")
    journal.note("kill", pid=7)
    first, second = journal.read()
    journal.close()
    assert first[2:] == ("raised", 3, "two\nlines\t«»")
    assert second.pid == 7
    assert second.at >= first.at


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("way", "what"),
    [
        ("kills", ("kills", "cuts")),
        ("sentinel", ("cuts", "failovers|kills of a master|stopped masters")),
        ("cluster", ("cuts", "failovers|kills of a master|kills with a lag|stopped masters")),
        (
            "resharding",
            ("cuts", "moved slots|slots moved at once|masters that came and went"),
        ),
    ],
)
def test_a_campaign(way, what):
    """In a process of its own: it forks those that it kills, and must have no threads."""
    args = ["--seconds", "2", "--kinds", "3", "--way", way]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *args],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert all(re.search(rf"\b[1-9]\d* ({each})[,;]", last) for each in what), last
