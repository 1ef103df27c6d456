"""What the server executes changes only on purpose."""

from __future__ import annotations

from multihost.wire.script import source
from tests.scripts import shas
from tests.support import tables


def test_the_scripts_are_those_of_the_table() -> None:
    changes = tables.differences(tables.read(shas.TABLE), shas.found())
    assert not changes, f"scripts changed; if that is meant: {shas.COMMAND}\n{changes}"


def test_a_change_of_a_fragment_is_seen(monkeypatch) -> None:
    read = source._read

    def changed(name: str) -> str:
        text = read(name)
        return text + "local changed\n" if name == "lib/reply_cache" else text

    monkeypatch.setattr(source, "_read", changed)
    changes = tables.differences(tables.read(shas.TABLE), shas.found())
    assert "changed:  dict/create: " in changes
    assert "dict/set: " not in changes  # it does not include the fragment


def test_a_comment_is_no_change(monkeypatch) -> None:
    read = source._read
    monkeypatch.setattr(source, "_read", lambda name: read(name) + "-- more is said\n")
    assert not tables.differences(tables.read(shas.TABLE), shas.found())
