"""CPython's tests of sets, on the shared set."""

from __future__ import annotations

import pytest

from tests.conformance.shared import SharedSet

borrowed = pytest.importorskip(
    "test.test_set", reason="this interpreter has no test package", exc_type=ImportError
)


class TestSet(borrowed.TestSet):
    thetype = SharedSet
    basetype = set


# The older tests have no seam but the sets that they set up.

PREPARED = [
    "TestBasicOpsEmpty",
    "TestBasicOpsSingleton",
    "TestBasicOpsTuple",
    "TestBasicOpsTriple",
    "TestBasicOpsString",
    "TestBasicOpsBytes",
    "TestBasicOpsMixedStringBytes",
    "TestBinaryOps",
    "TestUpdateOps",
    "TestMutate",
    "TestSubsetEqualEmpty",
    "TestSubsetEqualNonEmpty",
    "TestSubsetEmptyNonEmpty",
    "TestSubsetPartial",
    "TestSubsetNonOverlap",
    "TestOnlySetsNumeric",
    "TestOnlySetsDict",
    "TestOnlySetsOperator",
    "TestOnlySetsTuple",
    "TestOnlySetsString",
    "TestOnlySetsGenerator",
    "TestIdentities",
]


def prepared(name):
    class Bound(getattr(borrowed, name)):
        def setUp(self):
            super().setUp()
            for attribute in ("set", "left", "right", "a"):
                plain = getattr(self, attribute, None)
                if type(plain) is set:
                    setattr(self, attribute, SharedSet(plain))

    Bound.__name__ = Bound.__qualname__ = name
    return Bound


for name in PREPARED:
    globals()[name] = prepared(name)


class TestVariousIteratorArgs(borrowed.TestVariousIteratorArgs):
    @pytest.fixture(autouse=True)
    def shared_set(self, monkeypatch):
        monkeypatch.setattr(borrowed, "set", SharedSet, raising=False)
