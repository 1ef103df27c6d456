"""The proxy types of the standard library as bases of ours: generic on every Python, and where its
type stubs leave one out, it is a BaseProxy to type checkers.
"""

from __future__ import annotations

from multiprocessing import managers
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

__all__ = [
    "AcquirerProxy",
    "ArrayProxy",
    "AutoProxy",
    "BarrierProxy",
    "BaseProxy",
    "ConditionProxy",
    "DictProxy",
    "EventProxy",
    "IteratorProxy",
    "ListProxy",
    "MakeProxyType",
    "NamespaceProxy",
    "SetProxy",
    "State",
    "ValueProxy",
]

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import Callable, MutableSet
    from multiprocessing.managers import BaseProxy, DictProxy, ListProxy, ValueProxy

    AcquirerProxy: TypeAlias = BaseProxy
    BarrierProxy: TypeAlias = BaseProxy
    ConditionProxy: TypeAlias = BaseProxy
    EventProxy: TypeAlias = BaseProxy
    IteratorProxy: TypeAlias = BaseProxy
    NamespaceProxy: TypeAlias = BaseProxy

    class ArrayProxy(BaseProxy, Generic[T]):
        """Has items of one type."""

    class SetProxy(BaseProxy, MutableSet[T]):
        """Is in the stubs from Python 3.14 on."""

    class State:
        """The state of a manager."""

        INITIAL: int
        STARTED: int
        SHUTDOWN: int
        value: int

    AutoProxy: Callable[..., BaseProxy]
    MakeProxyType: Callable[..., type[BaseProxy]]
else:
    AcquirerProxy = managers.AcquirerProxy
    AutoProxy = managers.AutoProxy
    BarrierProxy = managers.BarrierProxy
    BaseProxy = managers.BaseProxy
    ConditionProxy = managers.ConditionProxy
    EventProxy = managers.EventProxy
    IteratorProxy = managers.IteratorProxy
    MakeProxyType = managers.MakeProxyType
    NamespaceProxy = managers.NamespaceProxy
    State = managers.State

    # Generic comes first: a GenericAlias of a base would have no parameters.

    class ArrayProxy(Generic[T], managers.ArrayProxy):  # noqa: PYI059
        """With a parameter."""

    class DictProxy(Generic[K, V], managers.DictProxy):  # noqa: PYI059
        """With two parameters, which it has from Python 3.13 on."""

    class ListProxy(Generic[T], managers.ListProxy):  # noqa: PYI059
        """With a parameter, which it has from Python 3.13 on."""

    class SetProxy(Generic[T], getattr(managers, "SetProxy", managers.BaseProxy)):  # noqa: PYI059
        """A BaseProxy before Python 3.14."""

    class ValueProxy(Generic[T], managers.ValueProxy):  # noqa: PYI059
        """With a parameter that classes can inherit."""
