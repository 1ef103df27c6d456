"""The list of deviations names tests that exist."""

from __future__ import annotations

import contextlib
import importlib
from unittest import SkipTest

import pytest

from tests.conformance.known_differences import KNOWN_DIFFERENCES, NOT_EVERYWHERE

MODULES = ("between_processes", "dict", "list", "lock", "queue", "set")


def test_every_listed_test_exists_and_has_a_reason():
    pytest.importorskip(
        "test.list_tests", reason="this interpreter has no test package", exc_type=ImportError
    )
    modules = [importlib.import_module(f"tests.conformance.test_{name}") for name in MODULES]
    with contextlib.suppress(SkipTest):  # some distributions leave these tests out
        modules.append(importlib.import_module("tests.conformance.test_executor"))
    # One that was skipped before is imported as far as it got.
    has_executors = "TestWaitFork" in vars(modules[-1])
    for listed, reason in KNOWN_DIFFERENCES.items():
        name, method = listed.split("::")
        if "Executor" in name or "ProcessPool" in name:
            if not has_executors:
                continue
        classes = [vars(module)[name] for module in modules if name in vars(module)]
        assert len(classes) == 1, listed
        assert listed in NOT_EVERYWHERE or callable(getattr(classes[0], method, None)), listed
        assert reason
