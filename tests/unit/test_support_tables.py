"""Tables that are updated only on purpose."""

from __future__ import annotations

from tests.support import tables


def test_what_changed_appeared_and_went() -> None:
    table = {"same": "1", "other": "1", "gone": "1"}
    assert tables.differences(table, {"same": "1", "other": "2", "new": "1"}).splitlines() == [
        "went:     gone: 1",
        "appeared: new: 1",
        "changed:  other: 1 -> 2",
    ]


def test_equal_tables_do_not_differ() -> None:
    assert tables.differences({"b": "1", "a": "2"}, {"a": "2", "b": "1"}) == ""


def test_a_table_is_written_and_read(tmp_path, capsys) -> None:
    path = tmp_path / "table.json"
    tables.write(path, {"b": "2", "a": "1"})
    assert capsys.readouterr().out == "appeared: a: 1\nappeared: b: 2\n"
    assert path.read_text() == '{\n "a": "1",\n "b": "2"\n}\n'
    tables.write(path, tables.read(path))
    assert capsys.readouterr().out == "nothing changed\n"
