"""The standard library's manager with the methods that its proxies have since 3.14.

Older releases run the same server: only the lists of exposed methods grew. So here, too, every
answer comes from a builtin object in another process.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import MutableMapping, MutableSequence, MutableSet
from multiprocessing import managers

__all__ = ["ReferenceManager"]


class ReferenceManager(managers.SyncManager):
    """What our managers are compared with."""


SET_METHODS = (
    "__and__ __contains__ __ge__ __gt__ __iand__ __ior__ __isub__ __iter__ __ixor__ __le__ __len__ "
    "__lt__ __or__ __rand__ __ror__ __rsub__ __rxor__ __sub__ __xor__ add clear copy difference "
    "difference_update discard intersection intersection_update isdisjoint issubset issuperset pop "
    "remove symmetric_difference symmetric_difference_update union update"
).split()
IN_PLACE = ("__iand__", "__ior__", "__isub__", "__ixor__")


def _forward(name):
    def method(self, *args, **kwds):
        return self._callmethod(name, args, kwds)

    method.__name__ = name
    return method


def _in_place(name):
    def method(self, other):
        answer = self._callmethod(name, (other,))
        return NotImplemented if answer is NotImplemented else self

    return method


def _proxy(name, base, added, in_place=()):
    body = {method: _forward(method) for method in added}
    body |= {method: _in_place(method) for method in in_place}
    body["_exposed_"] = (*(getattr(base, "_exposed_", None) or ()), *added, *in_place)
    return type(name, (base,), body)


DictProxy = _proxy(
    "DictProxy",
    managers.DictProxy,
    ("__or__", "__ror__", "__reversed__", "fromkeys"),
    ("__ior__",),
)
ListProxy = _proxy("ListProxy", managers.ListProxy, ("clear", "copy"))
SetProxy = _proxy(
    "SetProxy", managers.BaseProxy, [m for m in SET_METHODS if m not in IN_PLACE], IN_PLACE
)
AcquirerProxy = _proxy("AcquirerProxy", managers.AcquirerProxy, ("locked",))
ConditionProxy = _proxy("ConditionProxy", managers.ConditionProxy, ("locked",))
# Registered in 3.14 too (where SetProxy is called a mapping by mistake).
MutableMapping.register(DictProxy)
MutableSequence.register(ListProxy)
MutableSet.register(SetProxy)

if sys.version_info < (3, 14):
    SetProxy._method_to_typeid_ = {"__iter__": "Iterator"}
    ReferenceManager.register("dict", dict, DictProxy)
    ReferenceManager.register("list", list, ListProxy)
    ReferenceManager.register("set", set, SetProxy)

    class RLock:
        """That of threading, which since 3.14 tells whether it is locked."""

        def __init__(self):
            self._lock = threading.RLock()

        def __getattr__(self, name):
            return getattr(self._lock, name)

        def __repr__(self):
            return repr(self._lock)

        def locked(self):
            if self._lock._is_owned():
                return True
            if free := self._lock.acquire(False):
                self._lock.release()
            return not free

    class Condition(threading.Condition):
        """That of threading, which since 3.14 tells whether its lock is."""

        def __init__(self, lock=None):
            lock = RLock() if lock is None else lock
            super().__init__(lock)
            self.locked = lock.locked

    ReferenceManager.register("Lock", threading.Lock, AcquirerProxy)
    ReferenceManager.register("RLock", RLock, AcquirerProxy)
    ReferenceManager.register("Condition", Condition, ConditionProxy)
