"""Proxy types as programs derive them from those of the standard library, in every way."""

from __future__ import annotations

import functools
from multiprocessing import managers

__all__ = ["Thing", "register"]


class Thing:
    """An object with attributes."""

    def __init__(self, number=0):
        self.number = number
        self.name = "thing"

    def next(self):
        self.number += 1
        return self.number

    def fail(self):
        raise KeyError("thing")

    def parts(self):
        return [self.number]

    def another(self):
        return Thing(self.number + 1)

    def __repr__(self):
        return f"Thing {self.number}"


class ByName(managers.BaseProxy):
    """Calls the methods of its base by the name of that, as before there was ``super()``."""

    _exposed_ = ("next", "fail")

    def __init__(self, *args, **kwds):
        managers.BaseProxy.__init__(self, *args, **kwds)
        self.name = "an attribute of the proxy"

    def next(self):
        return managers.BaseProxy._callmethod(self, "next")

    def fail(self):
        return managers.BaseProxy._callmethod(self, "fail")

    def value(self):
        return managers.BaseProxy._getvalue(self)


class BySuper(managers.BaseProxy):
    """Wraps each call."""

    _exposed_ = ("next", "parts", "another")
    _method_to_typeid_ = {"parts": "list", "another": "Another"}

    def __init__(self, token, serializer, **kwds):
        super().__init__(token, serializer, **kwds)
        self.calls = 0

    def _callmethod(self, methodname, args=(), kwds={}):  # noqa: B006 - as it is there
        self.calls += 1
        return super()._callmethod(methodname, args, kwds)

    def next(self):
        return self._callmethod("next")

    def parts(self):
        return self._callmethod("parts")

    def another(self):
        return self._callmethod("another")


class ByAttribute(managers.NamespaceProxy):
    """Sends every attribute to its object."""

    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__", "next")

    def next(self):
        callmethod = object.__getattribute__(self, "_callmethod")
        return callmethod("next")


Made = managers.MakeProxyType("Made", ("next", "__repr__"))


class Derived(managers.MakeProxyType("DerivedBase", ("next",))):
    """Has more than what was made for it."""

    def twice(self):
        self.next()
        return self.next()


class WithOption(managers.BaseProxy):
    """Takes an argument of its own."""

    _exposed_ = ("next",)

    def __init__(self, *args, step=1, **kwds):
        super().__init__(*args, **kwds)
        self._step = step

    def next(self):
        return [self._callmethod("next") for _ in range(self._step)][-1]


def register(cls):
    for proxytype in (ByName, BySuper, ByAttribute, Made, Derived):
        cls.register(proxytype.__name__, Thing, proxytype)
    cls.register("Another", proxytype=BySuper, create_method=False)
    cls.register("Auto", Thing, managers.AutoProxy)
    cls.register("Partial", Thing, functools.partial(WithOption, step=3), exposed=("next",))
    return cls
