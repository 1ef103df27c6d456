"""Classes of the standard library that compare in a way of their own.

They are looked up by their names, so that none of their modules is imported for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multihost.wire.values.structures.structure import Rule, Structure

__all__ = ["STANDARD"]


def _path(key: Any) -> Structure:
    names = {cls.__name__ for cls in type(key).__mro__}
    if "PureWindowsPath" in names:
        return Structure("Windows path", (str(key).lower(),))
    return Structure("path", (str(key),))


def _address(kind: str) -> Rule:
    return lambda key: Structure(kind, (key.version, str(key)))


def _range(key: range) -> Structure:
    # A range equals others with the same elements, whatever its end.
    steps = (key[0], key.step) if len(key) > 1 else tuple(key)
    return Structure("range", (len(key), *steps))


def _slice(key: slice) -> Structure:
    return Structure("slice", (key.start, key.stop, key.step))


def _method(key: Any) -> object:
    if isinstance(key.__self__, type):
        return Structure("method", (key.__self__, key.__func__.__qualname__))
    return key


def _union(key: Any) -> Structure:
    return Structure("union", (frozenset(key.__args__),))


def _literal(key: Any) -> Structure:
    return Structure("literal", (frozenset((type(value), value) for value in key.__args__),))


def _signature(key: Any) -> Structure:
    parameters = tuple(key.parameters.values())
    by_name = frozenset(p for p in parameters if p.kind == p.KEYWORD_ONLY)
    in_order = tuple(p for p in parameters if p.kind != p.KEYWORD_ONLY)
    return Structure("signature", (in_order, by_name, key.return_annotation))


STANDARD: Mapping[str, Rule] = {
    "builtins.method": _method,
    "builtins.range": _range,
    "builtins.slice": _slice,
    "collections.UserString": lambda key: str(key.data),
    "importlib.metadata.EntryPoint": lambda key: Structure(
        "entry point", (key.name, key.value, key.group)
    ),
    "inspect.Parameter": lambda key: Structure(
        "parameter", (key.name, int(key.kind), key.default, key.annotation)
    ),
    "inspect.Signature": _signature,
    "ipaddress._BaseAddress": _address("IP address"),
    "ipaddress.IPv6Address": _address("IP address"),
    "ipaddress.IPv4Interface": _address("IP interface"),
    "ipaddress.IPv6Interface": _address("IP interface"),
    "ipaddress._BaseNetwork": _address("IP network"),
    "pathlib.PurePath": _path,
    "pathlib._local.PurePath": _path,
    "plistlib.UID": lambda key: Structure("plist UID", (key.data,)),
    "re.Pattern": lambda key: Structure("pattern", (key.pattern, key.flags)),
    "statistics.NormalDist": lambda key: Structure("normal distribution", (key.mean, key.stdev)),
    "tracemalloc.Frame": lambda key: Structure("frame", (key.filename, key.lineno)),
    "tracemalloc.Traceback": lambda key: Structure("traceback", tuple(key)),
    "types.GenericAlias": lambda key: Structure(
        "alias", (key.__unpacked__, key.__origin__, *key.__args__)
    ),
    "types.UnionType": _union,
    "typing.Union": _union,
    "typing._AnnotatedAlias": lambda key: Structure(
        "annotated", (key.__origin__, key.__metadata__)
    ),
    "typing._GenericAlias": lambda key: Structure("typing", (key.__origin__, *key.__args__)),
    "typing._LiteralGenericAlias": _literal,
    "typing._UnionGenericAlias": _union,
    "uuid.UUID": lambda key: Structure("UUID", (key.int,)),
    "xml.etree.ElementTree.QName": lambda key: str(key.text),
}
"""By the class that defines ``__eq__``. Classes of one kind equal each other."""
