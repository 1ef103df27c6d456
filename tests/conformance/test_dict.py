"""CPython's tests of mappings, on the shared dict."""

from __future__ import annotations

import pytest

from tests.conformance.shared import SharedDict

mapping_tests = pytest.importorskip(
    "test.mapping_tests", reason="this interpreter has no test package", exc_type=ImportError
)


def taken_over(parent, child):
    """The tests that the child has from its parent unchanged: they run there."""
    names = [name for name in dir(parent) if name.startswith("test_")]
    return {name: None for name in names if getattr(child, name) is getattr(parent, name)}


class TestHashMapping(mapping_tests.TestHashMappingProtocol):
    type2test = SharedDict


class TestMapping(mapping_tests.TestMappingProtocol):
    type2test = SharedDict
    vars().update(
        taken_over(mapping_tests.TestMappingProtocol, mapping_tests.TestHashMappingProtocol)
    )


class TestBasicMapping(mapping_tests.BasicTestMappingProtocol):
    type2test = SharedDict
    vars().update(
        taken_over(mapping_tests.BasicTestMappingProtocol, mapping_tests.TestMappingProtocol)
    )
