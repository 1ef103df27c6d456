"""Classes of users: those with fields, enums, and those that say what their keys equal."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from typing import Any

from multihost.wire.values.structures.structure import Rule, Structure, name_of, owner_of

__all__ = [
    "MUTABLE",
    "by_name",
    "by_state",
    "declared_rule",
    "fields_rule",
    "has_fields",
    "member_of_enum",
    "refuse",
]

DECLARED = "__multihost_key__"
"""The method that says what a key equals."""


def refuse(key: object) -> object:
    """Raise the TypeError for a key that compares in a way that only Python can."""
    name = type(key).__qualname__
    raise TypeError(
        f"{name!r} cannot be a key of a shared dict or a member of a shared set: it overrides the "
        "__eq__ or __hash__ of its base, which the server cannot ask. Use a tuple, a NamedTuple, "
        f"a frozen dataclass or a str instead, or give {name} a method {DECLARED}() that returns "
        "one, the same for all that are equal"
    )


def _kind(cls: type) -> str:
    return ":".join(name_of(cls))


def declared_rule(cls: type) -> Rule | None:
    """Return the rule for a class that has a method ``__multihost_key__``, None for others."""
    for owner in cls.__mro__:
        if DECLARED in vars(owner):
            kind = _kind(owner)
            return lambda key: Structure(kind, (getattr(key, DECLARED)(),))
    return None


def by_name(key: Any) -> object:
    """Return the name of a class or function."""
    return name_of(key) if isinstance(key.__module__, str) else key


def member_of_enum(key: Any) -> Structure:
    """Return class and name of a member. Flags that are combined have no name, but a value."""
    name = key._name_
    return Structure(_kind(type(key)), (name if name in type(key).__members__ else key._value_,))


def has_fields(cls: type) -> bool:
    """Return whether a decorator made the class from its fields."""
    return "__dataclass_fields__" in vars(cls) or "__attrs_attrs__" in vars(cls)


def fields_rule(owner: type) -> Rule | None:
    """Return the rule for what has the ``__eq__`` of a class, if that compares the fields."""
    if "__attrs_attrs__" in vars(owner):
        return _attrs_rule(owner)
    if "__dataclass_fields__" in vars(owner):
        return _dataclass_rule(owner)
    if owner.__module__ in ("pydantic.main", "pydantic.root_model"):
        return _model
    return None


def _attrs_rule(owner: type) -> Rule | None:
    code = getattr(vars(owner).get("__eq__"), "__code__", None)
    if code is None or not code.co_filename.startswith("<attrs generated"):
        return None
    compared = [(a.name, a.eq_key) for a in vars(owner)["__attrs_attrs__"] if a.eq]

    def rule(key: Any) -> Structure:
        values = [(getattr(key, name), convert) for name, convert in compared]
        parts = (_part(convert(value) if convert else value) for value, convert in values)
        return Structure(_kind(type(key)), tuple(parts))

    return rule


def _model(key: Any) -> Structure:
    """Return the fields of a model of pydantic, given or not."""
    cls = type(key)
    fields = {name: vars(key).get(name) for name in cls.__pydantic_fields__}
    rest = (key.__pydantic_extra__ or {}, key.__pydantic_private__ or {})
    origin = cls.__pydantic_generic_metadata__["origin"] or cls
    return Structure(_kind(origin), tuple(map(_part, (fields, *rest))))


def _dataclass_rule(owner: type) -> Rule | None:
    import dataclasses

    fields = dataclasses.fields(owner)
    # Written by hand, it may be anything; what the decorator writes depends on nothing but this.
    model = dataclasses.make_dataclass(
        "Model",
        [(f.name, object, dataclasses.field(default=None, compare=f.compare)) for f in fields],
        init=False,
        repr=False,
    )
    if not _same_code(vars(owner).get("__eq__"), vars(model)["__eq__"]):
        return None
    names = [field.name for field in fields if field.compare]
    return lambda key: Structure(
        _kind(type(key)), tuple(_part(getattr(key, name)) for name in names)
    )


def _same_code(one: Any, other: Any) -> bool:
    code, same = getattr(one, "__code__", None), other.__code__
    return code is not None and (code.co_code, code.co_names, code.co_consts) == (
        same.co_code,
        same.co_names,
        same.co_consts,
    )


def by_state(key: Any) -> object:
    """Return what a key is pickled as, so that it equals others of the same state."""
    cls = type(key)
    reduce: Any = copyreg.dispatch_table.get(cls, _reduce)
    reduced = reduce(key)
    if isinstance(reduced, str):
        return key  # the name of a global
    make, args, state, elements, entries = (*reduced, None, None, None)[:5]
    return Structure(
        "state",
        (
            make,
            _part(args),
            _part(_without_caches(cls, state)),
            _part(list(elements)) if elements else None,
            _part(dict(entries)) if entries else None,
        ),
    )


def _reduce(key: object) -> Any:
    return key.__reduce_ex__(4)


def _without_caches(cls: type, state: Any) -> object:
    if type(state) is tuple and len(state) == 2:  # with slots
        return tuple(_without_caches(cls, part) for part in state)
    if type(state) is not dict:
        return state
    return {name: value for name, value in state.items() if not _is_cache(cls, name)}


def _is_cache(cls: type, name: str) -> bool:
    """Return whether an attribute was set by ``functools.cached_property`` or one of its kin."""
    found = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    return "cached_property" in type(found).__name__


def _part(value: Any) -> object:
    """Return a part of a key as a key. It may be a list or an object that has no hash."""
    try:
        hash(value)
    except TypeError:
        owner = owner_of(type(value), "__eq__")
        if owner is tuple:
            return tuple(map(_part, value))
        rule = MUTABLE.get(owner) or fields_rule(owner) or by_state
        return rule(value)
    return value


def _dict(key: dict[Any, Any]) -> Structure:
    entries = (Structure("entry", (name, _part(value))) for name, value in dict.items(key))
    return Structure("dict", (frozenset(entries),))


MUTABLE: Mapping[type, Rule] = {
    list: lambda key: Structure("list", tuple(map(_part, list.__iter__(key)))),
    dict: _dict,
    set: lambda key: frozenset(set.__iter__(key)),
    bytearray: lambda key: bytes(memoryview(key)),
}
"""By the class that defines ``__eq__``. Subclasses may have a hash."""
