"""Our proxies in the shape of the builtins that CPython's tests construct and compare.

What these classes add is what proxies leave out on purpose, as the standard library's do: a
constructor, equality by value, a repr that shows the object, and operators between two proxies. All
methods are the proxies' own, so it is their behaviour that is tested.
"""

from __future__ import annotations

import functools

from multihost.managers import DictProxy, ListProxy, SetProxy
from multihost.proxies.base import Token

__all__ = ["Shared", "SharedDict", "SharedList", "SharedSet", "factory", "in_this_process"]


def value(thing):
    return thing.copy() if isinstance(thing, Shared) else thing


class Shared:
    """A proxy that compares and prints as what it refers to."""

    manager = None  # set for the session

    def __init__(self, *args, **kwds):
        if len(args) == 2 and isinstance(args[1], Token):  # from a pickle
            super().__init__(*args)
        elif "_token" in vars(self):  # once more: a new content
            self._refill(*args, **kwds)
        else:
            made = getattr(self.manager, self._typeid_)(*args, **kwds)
            super().__init__(made._handle, made._token, made._manager)

    def __eq__(self, other):
        return value(self) == value(other)

    __hash__ = None

    _showing = set()

    def __repr__(self):
        ident = self._token.ident
        if ident in self._showing:
            return "[...]" if self._typeid_ == "list" else "{...}"
        self._showing.add(ident)
        try:
            return self._show()
        finally:
            self._showing.discard(ident)

    __str__ = __repr__


def factory(typeid):
    """Make proxies as the manager does, for types that need nothing added."""

    def make(*args, **kwds):
        return getattr(Shared.manager, typeid)(*args, **kwds)

    return make


_actions = []


def _act(number):
    return _actions[number]()


def in_this_process(action):
    """The local function of a test, so that it can be pickled; it runs only in this process."""
    _actions.append(action)
    return functools.partial(_act, len(_actions) - 1)


class SharedDict(Shared, DictProxy):
    pass


class SharedList(Shared, ListProxy):
    def _refill(self, *args):
        content = list(*args)
        self.clear()
        self.extend(content)

    def __add__(self, other):
        return super().__add__(value(other))

    def __radd__(self, other):
        return other + self.copy()


def _between_sets(name):
    method = getattr(SetProxy, name)

    def operate(self, other):
        return method(self, value(other))

    return operate


class SharedSet(Shared, SetProxy):
    def _refill(self, *args):
        content = set(*args)
        self.clear()
        self.update(content)

    __and__ = _between_sets("__and__")
    __or__ = _between_sets("__or__")
    __sub__ = _between_sets("__sub__")
    __xor__ = _between_sets("__xor__")
    __contains__ = _between_sets("__contains__")
    discard = _between_sets("discard")

    def remove(self, member):
        plain = value(member)
        try:
            super().remove(plain)
        except KeyError as error:
            raise KeyError(member if error.args[0] is plain else error.args[0]) from None
