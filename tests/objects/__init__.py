"""The shared types against real servers, from many processes."""

import pytest

# Not a test module by its name, but its assertions are to explain themselves too.
pytest.register_assert_rewrite("tests.objects.bodies")
