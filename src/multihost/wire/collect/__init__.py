"""The collector: it removes unnamed objects without a lease that nothing leads to any more."""

from multihost.wire.collect.collector import Collector, Found, Survey
from multihost.wire.collect.objects import by_partition, contents, is_ident

__all__ = ["Collector", "Found", "Survey", "by_partition", "contents", "is_ident"]
