"""Public names, and the modules that pickles name, change only on purpose."""

from __future__ import annotations

import importlib
import re

import pytest

from multihost import managers
from multihost.errors import ShutDown
from tests.support import tables
from tests.support.procs import ROOT
from tests.unit import public_names


def changes() -> str:
    return tables.differences(tables.read(public_names.TABLE), public_names.found())


def test_the_public_names_are_those_of_the_table() -> None:
    assert not changes(), f"names changed; if that is meant: {public_names.COMMAND}\n{changes()}"


@pytest.mark.parametrize("module", public_names.MODULES)
def test_a_name_is_listed_once(module: str) -> None:
    names = importlib.import_module(module).__all__
    assert len(names) == len(set(names))


def test_the_modules_of_the_reference_are_among_them() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    documented = re.findall(r"automodule:: (\S+)", reference)
    assert documented
    assert set(documented) <= set(public_names.MODULES)


def test_a_class_that_moves_is_seen(monkeypatch) -> None:
    monkeypatch.setattr(managers.DictProxy, "__module__", "multihost.elsewhere")
    assert changes() == (
        "changed:  multihost.managers.DictProxy: class multihost.proxies.dict:DictProxy -> "
        "class multihost.elsewhere:DictProxy"
    )


def test_a_name_that_goes_and_one_that_comes_are_seen(monkeypatch) -> None:
    names = [name for name in managers.__all__ if name != "ListProxy"]
    monkeypatch.setattr(managers, "__all__", [*names, "queue"])
    assert changes().splitlines() == [
        "went:     multihost.managers.ListProxy: class multihost.proxies.list:ListProxy",
        "appeared: multihost.managers.queue: module",
    ]


def test_an_exception_that_newer_pythons_have_is_one_name_everywhere() -> None:
    assert public_names.describe(ShutDown) == "class multihost.errors:ShutDown"
