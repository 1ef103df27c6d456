"""CPython's tests of lists, on the shared list."""

from __future__ import annotations

import pytest

from tests.conformance.shared import SharedList

list_tests = pytest.importorskip(
    "test.list_tests", reason="this interpreter has no test package", exc_type=ImportError
)


class TestList(list_tests.CommonTest):
    type2test = SharedList
