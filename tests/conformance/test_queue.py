"""CPython's tests of queues, on the shared ones.

Only those of a queue that overrides the hooks ``_put`` and ``_get`` are not here: a proxy has none.
"""

from __future__ import annotations

import queue
import types

import pytest

import multihost
from multihost.proxies.queue import (
    JoinableQueueProxy,
    LifoQueueProxy,
    PriorityQueueProxy,
    QueueProxy,
    SimpleQueueProxy,
)
from tests.conformance.shared import Shared

borrowed = pytest.importorskip(
    "test.test_queue", reason="this interpreter has no test package", exc_type=ImportError
)

#: The module whose exceptions they expect: the one that the proxies raise them of.
names = types.SimpleNamespace(Empty=queue.Empty, Full=queue.Full, ShutDown=multihost.ShutDown)


class Bound:
    """Their mixin, with the type that it is about."""

    queue = names

    def setUp(self):
        name = self.proxytype._typeid_.removeprefix("Joinable")  # they tell the order by the name
        attributes = {
            "is_shutdown": property(lambda q: q.statistics().is_shut_down),
            "unfinished_tasks": property(lambda q: q.statistics().unfinished),
        }
        self.type2test = type(name, (Shared, self.proxytype), attributes)
        super().setUp()


class TestQueue(Bound, borrowed.BaseQueueTestMixin, borrowed.unittest.TestCase):
    proxytype = QueueProxy


class TestJoinableQueue(Bound, borrowed.BaseQueueTestMixin, borrowed.unittest.TestCase):
    proxytype = JoinableQueueProxy


class TestLifoQueue(Bound, borrowed.BaseQueueTestMixin, borrowed.unittest.TestCase):
    proxytype = LifoQueueProxy


class TestPriorityQueue(Bound, borrowed.BaseQueueTestMixin, borrowed.unittest.TestCase):
    proxytype = PriorityQueueProxy


class TestSimpleQueue(Bound, borrowed.BaseSimpleQueueTest, borrowed.unittest.TestCase):
    proxytype = SimpleQueueProxy
