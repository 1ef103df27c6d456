"""The list of deviations names tests that exist."""

from __future__ import annotations

import importlib

import pytest

from tests.conformance.known_differences import KNOWN_DIFFERENCES


def test_every_listed_test_exists_and_has_a_reason():
    pytest.importorskip(
        "test.list_tests", reason="this interpreter has no test package", exc_type=ImportError
    )
    modules = [
        importlib.import_module(f"tests.conformance.test_{n}") for n in ("list", "mapping", "set")
    ]
    for listed, reason in KNOWN_DIFFERENCES.items():
        name, method = listed.split("::")
        assert any(callable(getattr(getattr(m, name, None), method, None)) for m in modules), listed
        assert reason
