"""What pickles name changes only on purpose."""

from __future__ import annotations

import pickle

from multihost import Manager
from multihost.managers import DictProxy, SyncManager
from tests.pickling import pickled_names
from tests.support import tables


def test_pickles_name_what_the_table_says() -> None:
    changes = tables.differences(tables.read(pickled_names.TABLE), pickled_names.found())
    assert not changes, f"pickles changed; if that is meant: {pickled_names.COMMAND}\n{changes}"


def test_every_shared_type_is_in_the_table() -> None:
    assert {*SyncManager._native_types, "Pool"} <= set(tables.read(pickled_names.TABLE))


def test_a_class_that_moves_is_seen(monkeypatch) -> None:
    table = {"dict": tables.read(pickled_names.TABLE)["dict"]}
    monkeypatch.setattr(DictProxy, "__module__", "multihost.managers")
    with Manager() as m:
        found = {"dict": pickled_names.names_in(pickle.dumps(m.dict()))}
    assert tables.differences(table, found).startswith("changed:  dict: ")
    assert "multihost.managers:DictProxy" in found["dict"]
