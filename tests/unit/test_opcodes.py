"""Hot calls do not become longer by accident: the table of bytecodes, and what a check says."""

from __future__ import annotations

import json
import random

import pytest

from bench import opcodes
from bench.hot_calls import HotCall
from bench.tracer import Count, trace

COUNTS = {"d[k]": Count(1000, 30), "d[k] = v": Count(500, 20)}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Write a table of this Python, for counts that are not measured again."""
    monkeypatch.setattr(opcodes, "measure", lambda: COUNTS)
    path = tmp_path / "opcodes.json"

    def write(**changes):
        opcodes.write(path, {opcodes.VERSION: COUNTS | changes})
        return path

    return write


def checked(path, capsys):
    status = opcodes.main(["--check"], path)
    out, err = capsys.readouterr()
    return status, out, err


def test_counts_of_the_table_pass_silently(table, capsys):
    assert checked(table(), capsys) == (0, "", "")


@pytest.mark.parametrize("bytecodes", [981, 1020])
def test_within_two_per_cent_is_within(bytecodes, table, capsys):
    assert checked(table(**{"d[k]": Count(bytecodes, 30)}), capsys) == (0, "", "")


def test_what_is_over_fails_and_is_named(table, capsys):
    status, out, err = checked(table(**{"d[k]": Count(980, 28)}), capsys)
    assert (status, out) == (1, "")
    assert "d[k]: 1000 bytecodes in 30 functions, the table has 980 in 28 (+2.0%)" in err
    assert "d[k] = v" not in err
    assert "python -m bench.opcodes --update" in err


def test_what_is_below_passes_and_is_said(table, capsys):
    status, out, err = checked(table(**{"d[k]": Count(1100, 30)}), capsys)
    assert (status, err) == (0, "")
    assert "may be lowered" in out
    assert "d[k]: 1000 bytecodes in 30 functions, the table has 1100 in 30 (-9.1%)" in out


def test_a_call_that_is_on_one_side_only_fails(table, capsys):
    path = table()
    tables = json.loads(path.read_text())
    tables[opcodes.VERSION]["q.get()"] = tables[opcodes.VERSION].pop("d[k]")
    path.write_text(json.dumps(tables))
    status, _, err = checked(path, capsys)
    assert status == 1
    assert "d[k]: not in the table" in err
    assert "q.get(): in the table, but not counted" in err


def test_a_python_without_a_table_passes_and_says_so(tmp_path, capsys):
    path = tmp_path / "opcodes.json"
    path.write_text('{"3.9": {}}')
    status, out, err = checked(path, capsys)
    assert (status, err) == (0, "")
    assert f"no table for Python {opcodes.VERSION}" in out


def test_an_update_leaves_other_versions_alone(table, capsys):
    path = table(**{"d[k]": Count(1, 1)})
    opcodes.write(path, opcodes.read(path) | {"3.9": {"d[k]": Count(7, 1)}})
    assert opcodes.main(["--update"], path) == 0
    assert opcodes.read(path) == {"3.9": {"d[k]": Count(7, 1)}, opcodes.VERSION: COUNTS}
    assert "1000" in capsys.readouterr().out


def test_a_count_is_exact_and_sees_one_statement_more():
    def short():
        return len("abc")

    def long():
        text = "abc"
        return len(text)

    assert trace(lambda: None) == Count(0, 0)
    assert trace(short) == trace(short)
    assert trace(long).bytecodes == trace(short).bytecodes + 2
    assert trace(lambda: short()).functions == 1


def test_what_a_few_executions_do_or_leave_to_others_does_not_count(monkeypatch):
    """On a busy machine another thread may have done a part of a call before."""
    usual, less, more = Count(517, 13), Count(474, 13), Count(683, 20)
    found = [*[less] * 2, *[usual] * 4, *[more] * (opcodes.REPEATS - 6)]
    for seed in range(5):
        counts = iter(random.Random(seed).sample(found, len(found)))
        monkeypatch.setattr(opcodes, "once", lambda hot, counts=counts: next(counts))
        assert opcodes.count(HotCall("q.get()", lambda: None)) == usual


def test_every_hot_call_is_counted_for_the_pythons_with_a_table():
    tables = opcodes.read(opcodes.TABLE)
    assert "3.11" in tables
    assert len({frozenset(table) for table in tables.values()}) == 1
