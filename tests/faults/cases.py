"""Every operation that changes a shared object, with its result and what must be there afterwards.

``test_exactly_once`` breaks the connection at every request of each of them.
"""

from __future__ import annotations

import array
import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from multihost import ObjectGone
from multihost.proxies.array import ArrayProxy
from multihost.proxies.base import BaseProxy
from multihost.proxies.dict import DictProxy
from multihost.proxies.list import ListProxy
from multihost.proxies.namespace import NamespaceProxy
from multihost.proxies.set import SetProxy
from multihost.proxies.value import ValueProxy
from multihost.wire.ops.list import NEAR

__all__ = ["BULK", "CASES", "INTERLOPERS", "Case", "Scene", "labels", "shown"]


class Scene:
    """What a case acts on: a manager, the object in question and proxies to be stored in it."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        self.main: Any = None
        self.other: Any = None
        self.inner: list[Any] = []

    @property
    def value(self) -> Any:
        return shown(self, self.main._getvalue())


def shown(scene: Scene, thing: Any) -> Any:
    """``thing`` with a label in place of each proxy."""
    if isinstance(thing, BaseProxy):
        for label, proxy in labels(scene).items():
            if proxy._token.ident == thing._token.ident:
                return f"<{label}>"
        return f"<{thing._token.ident}>"
    if isinstance(thing, dict):
        return {key: shown(scene, value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return type(thing)(shown(scene, item) for item in thing)
    if type(thing).__name__ == "Namespace":
        return shown(scene, dict(thing.__dict__))
    if type(thing).__name__ == "Value":
        return shown(scene, thing.value)
    if isinstance(thing, array.array):
        return thing.tolist()
    return thing


def labels(scene: Scene) -> dict[str, Any]:
    found = {f"inner{number}": proxy for number, proxy in enumerate(scene.inner)}
    return {"main": scene.main, **found} if scene.main is not None else found


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[Scene], None]
    act: Callable[[Scene], Any]
    result: Any
    state: Any
    authkey: bytes | None = None
    serializer: str = "pickle"

    def run(self, scene: Scene) -> Any:
        return shown(scene, self.act(scene))


# How another client changes an object of each type. Whatever arrives late must leave that alone.
INTERLOPERS: dict[type, Callable[[Any], None]] = {
    DictProxy: lambda d: (d.clear(), d.update(other=1)),
    ListProxy: lambda l: l.__setitem__(slice(None), ["other"]),
    SetProxy: lambda s: (s.clear(), s.add("other")),
    NamespaceProxy: lambda n: [setattr(n, name, "other") for name in "xyz"],
    ValueProxy: lambda v: v.set("other"),
    ArrayProxy: lambda a: a.__setitem__(slice(None), array.array(a._packing.typecode, [9])),
}


def _dict(content: dict[Any, Any]) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.main = scene.manager.dict(content)

    return make


def _list(content: list[Any]) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.main = scene.manager.list(content)

    return make


def _set(content: set[Any]) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.main = scene.manager.set(content)

    return make


def _namespace(**content: Any) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.main = scene.manager.Namespace(**content)

    return make


def _value(content: Any) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.main = scene.manager.Value("i", content)

    return make


def _array(content: list[int]) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.main = scene.manager.Array("i", content)

    return make


def _call(method: str, *args: Any, **kwds: Any) -> Callable[[Scene], Any]:
    return lambda scene: getattr(scene.main, method)(*args, **kwds)


def _in_place(operator: str, operand: Any) -> Callable[[Scene], Any]:
    def act(scene: Scene) -> None:
        assert getattr(scene.main, operator)(copy.copy(operand)) is scene.main

    return act


AB = {"a": 1, "b": 2}
FIVE = [0, 1, 2, 3, 4]

ON_DICT = [
    ("setitem new", AB, _call("__setitem__", "c", 3), None, {"a": 1, "b": 2, "c": 3}),
    ("setitem overwrite", AB, _call("__setitem__", "a", 9), None, {"a": 9, "b": 2}),
    ("setitem respelled", {1: "x"}, _call("__setitem__", True, "y"), None, {1: "y"}),
    ("delitem", AB, _call("__delitem__", "a"), None, {"b": 2}),
    ("pop", AB, _call("pop", "a"), 1, {"b": 2}),
    ("popitem", AB, _call("popitem"), ("b", 2), {"a": 1}),
    ("setdefault new", AB, _call("setdefault", "c", 3), 3, {"a": 1, "b": 2, "c": 3}),
    ("setdefault old", AB, _call("setdefault", "a", 3), 1, AB),
    ("update", AB, _call("update", {"b": 5, "c": 6, 1.0: 7}), None, AB | {"b": 5, "c": 6, 1.0: 7}),
    ("add_new", AB, _call("add_new", "c", 3), True, AB | {"c": 3}),
    ("add_new old", AB, _call("add_new", "a", 3), False, AB),
    ("add_new respelled", AB, _call("add_new", 1.0, 3), True, AB | {1.0: 3}),
    (
        "update_new",
        AB,
        _call("update_new", {"z": 9, "b": 5, 1.0: 7}),
        ["z", 1.0],
        AB | {"z": 9, 1.0: 7},
    ),
    ("update_new old", AB, _call("update_new", {"b": 5}), [], AB),
    ("update, one respelled", {1: "x"}, _call("update", {1.0: 2, 2: 3}), None, {1: 2, 2: 3}),
    ("clear", AB, _call("clear"), None, {}),
    ("increment", AB, _call("increment", "b", 5), 7, {"a": 1, "b": 7}),
    ("increment new", AB, _call("increment", "c"), 1, {"a": 1, "b": 2, "c": 1}),
    ("increment float", AB, _call("increment", "b", 0.5), 2.5, {"a": 1, "b": 2.5}),
    ("increment float new", AB, _call("increment", "c", 0.5), 0.5, AB | {"c": 0.5}),
    ("increment beyond 64 bits", {"a": 2**63 - 1}, _call("increment", "a"), 2**63, {"a": 2**63}),
    ("|=", AB, _in_place("__ior__", {"a": 0, "z": 1}), None, {"a": 0, "b": 2, "z": 1}),
]

ON_LIST = [
    ("append", FIVE, _call("append", 5), None, [0, 1, 2, 3, 4, 5]),
    ("extend", FIVE, _call("extend", [5, 6]), None, [0, 1, 2, 3, 4, 5, 6]),
    ("insert first", FIVE, _call("insert", 0, 9), None, [9, 0, 1, 2, 3, 4]),
    ("insert middle", FIVE, _call("insert", 2, 9), None, [0, 1, 9, 2, 3, 4]),
    ("insert last", FIVE, _call("insert", 99, 9), None, [0, 1, 2, 3, 4, 9]),
    ("setitem", FIVE, _call("__setitem__", -2, 9), None, [0, 1, 2, 9, 4]),
    ("delitem", FIVE, _call("__delitem__", 1), None, [0, 2, 3, 4]),
    ("pop", FIVE, _call("pop"), 4, [0, 1, 2, 3]),
    ("pop first", FIVE, _call("pop", 0), 0, [1, 2, 3, 4]),
    ("pop middle", FIVE, _call("pop", 2), 2, [0, 1, 3, 4]),
    ("slice assign", FIVE, _call("__setitem__", slice(1, 3), "abc"), None, [0, *"abc", 3, 4]),
    (
        "slice assign extended",
        FIVE,
        _call("__setitem__", slice(None, None, -2), "abc"),
        None,
        ["c", 1, "b", 3, "a"],
    ),
    ("slice delete", FIVE, _call("__delitem__", slice(1, 4)), None, [0, 4]),
    ("slice delete extended", FIVE, _call("__delitem__", slice(None, None, 2)), None, [1, 3]),
    ("sort", [2, 1, 3], _call("sort"), None, [1, 2, 3]),
    ("sort key reverse", [-2, 1, 3], _call("sort", key=abs, reverse=True), None, [3, -2, 1]),
    ("remove", [1, 2, 1, 1.0], _call("remove", True), None, [2, 1, 1.0]),
    (
        "remove far behind",
        list(range(NEAR + 9)),
        _call("remove", NEAR + 5),
        None,
        [n for n in range(NEAR + 9) if n != NEAR + 5],
    ),
    ("reverse", FIVE, _call("reverse"), None, [4, 3, 2, 1, 0]),
    ("*=", [1, 2], _in_place("__imul__", 3), None, [1, 2, 1, 2, 1, 2]),
    ("*= 0", [1, 2], _in_place("__imul__", 0), None, []),
    ("+=", [1], _in_place("__iadd__", [2, 3]), None, [1, 2, 3]),
    ("clear", FIVE, _call("clear"), None, []),
]

ON_SET = [
    ("add", {1, 2}, _call("add", 3), None, {1, 2, 3}),
    ("add respelled", {1, 2}, _call("add", 3.0), None, {1, 2, 3.0}),
    ("add_new", {1, 2}, _call("add_new", 3.0), True, {1, 2, 3.0}),
    ("add_new old", {1, 2}, _call("add_new", 2.0), False, {1, 2}),
    ("update_new", {1}, _call("update_new", [2, 1.0], [3.5]), [2, 3.5], {1, 2, 3.5}),
    ("update_new old", {1}, _call("update_new", [1.0]), [], {1}),
    ("discard", {1, 2}, _call("discard", 2), None, {1}),
    ("discard absent", {1, 2}, _call("discard", 3), None, {1, 2}),
    ("remove", {1, 2}, _call("remove", 2), None, {1}),
    ("pop", {1}, _call("pop"), 1, set()),
    ("update", {1}, _call("update", [2], [3.5]), None, {1, 2, 3.5}),
    ("|=", {1}, _in_place("__ior__", {2}), None, {1, 2}),
    ("&=", {1, 2, 3}, _in_place("__iand__", {2, 3, 4}), None, {2, 3}),
    ("-=", {1, 2, 3}, _in_place("__isub__", {2, 3, 4}), None, {1}),
    ("^=", {1, 2, 3}, _in_place("__ixor__", {2, 3, 4}), None, {1, 4}),
    ("clear", {1, 2}, _call("clear"), None, set()),
]

ON_NAMESPACE = [
    ("set new", {"x": 1}, lambda s: setattr(s.main, "y", 2), None, {"x": 1, "y": 2}),
    ("set old", {"x": 1}, lambda s: setattr(s.main, "x", 2), None, {"x": 2}),
    ("delete", {"x": 1, "y": 2}, lambda s: delattr(s.main, "x"), None, {"y": 2}),
]

ON_VALUE = [
    ("set", 1, _call("set", "other type"), None, "other type"),
    ("add", 1, _call("add", 2), 3, 3),
    ("add float", 1, _call("add", 0.5), 1.5, 1.5),
    ("add beyond 64 bits", -(2**63), _call("add", -1), -(2**63) - 1, -(2**63) - 1),
]

ON_ARRAY = [
    ("setitem", [1, 2, 3], _call("__setitem__", -1, 9), None, [1, 2, 9]),
    (
        "slice assign",
        [1, 2, 3],
        _call("__setitem__", slice(1, 2), array.array("i", [7, 8])),
        None,
        [1, 7, 8, 3],
    ),
    (
        "slice assign extended",
        [1, 2, 3],
        _call("__setitem__", slice(None, None, 2), array.array("i", [7, 8])),
        None,
        [7, 2, 8],
    ),
]

CASES: list[Case] = []
for _type, _maker, _table in (
    ("dict", _dict, ON_DICT),
    ("list", _list, ON_LIST),
    ("set", _set, ON_SET),
    ("Namespace", lambda content: _namespace(**content), ON_NAMESPACE),
    ("Value", _value, ON_VALUE),
    ("Array", _array, ON_ARRAY),
):
    CASES += [
        Case(f"{_type} {name}", _maker(content), act, result, state)  # type: ignore[operator]
        for name, content, act, result, state in _table
    ]

CASES += [
    Case(
        "signed dict increment",
        _dict(AB),
        _call("increment", "a"),
        2,
        {"a": 2, "b": 2},
        b"a key of the tests",
    ),
    Case("signed dict pop", _dict(AB), _call("pop", "a"), 1, {"b": 2}, b"a key of the tests"),
    Case("signed Value add", _value(1), _call("add", 1), 2, 2, b"a key of the tests"),
    Case(
        "signed list remove",
        _list([1, 2, 1]),
        _call("remove", 1),
        None,
        [2, 1],
        b"a key of the tests",
    ),
    Case("JSON list pop", _list([1, [2]]), _call("pop"), [2], [1], serializer="json"),
    Case(
        "JSON dict increment",
        _dict({"a": 1.5}),
        _call("increment", "a"),
        2.5,
        {"a": 2.5},
        serializer="json",
    ),
]


# -- creating and deleting


def _nothing(scene: Scene) -> None:
    pass


def _created(factory: str, *args: Any, **kwds: Any) -> Callable[[Scene], Any]:
    def act(scene: Scene) -> None:
        scene.main = getattr(scene.manager, factory)(*args, **kwds)

    return act


def _named(factory: str, *args: Any, **kwds: Any) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.main = getattr(scene.manager, factory)(*args, **kwds)

    return make


CONTENTS: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = [
    ("dict", ({"a": 1, 2.0: 3},), {}, {"a": 1, 2.0: 3}),
    ("list", ([1, "x"],), {}, [1, "x"]),
    ("set", ([1, 2.0],), {}, {1, 2.0}),
    ("Namespace", (), {"x": 1, "y": "z"}, {"x": 1, "y": "z"}),
    ("Value", ("i", 5), {}, 5),
    ("Array", ("i", [1, 2]), {}, [1, 2]),
]

for _type, _args, _kwds, _content in CONTENTS:
    _with_name = (
        (("obj", *_args), _kwds)
        if _type not in ("Value", "Array")
        else (_args, {**_kwds, "name": "obj"})
    )
    CASES += [
        Case(f"create {_type}", _nothing, _created(_type, *_args, **_kwds), None, _content),
        Case(
            f"create named {_type}",
            _nothing,
            _created(_type, *_with_name[0], **_with_name[1]),
            None,
            _content,
        ),
        Case(
            f"attach to {_type}",
            _named(_type, *_with_name[0], **_with_name[1]),
            _created(_type, *_with_name[0], **_with_name[1]),
            None,
            _content,
        ),
        Case(
            f"delete {_type}",
            _named(_type, *_args, **_kwds),
            _call("_delete" if _type == "Namespace" else "delete"),
            None,
            None,
        ),
        Case(
            f"delete named {_type}",
            _named(_type, *_with_name[0], **_with_name[1]),
            lambda scene: scene.manager.delete("obj"),
            True,
            None,
        ),
    ]


# -- proxies inside


def _holding(factory: str, fill: Callable[[Scene], tuple[tuple[Any, ...], dict[str, Any]]]) -> Any:
    """A container with two inner objects at hand, the second of which contains a third."""

    def make(scene: Scene) -> None:
        scene.inner = [scene.manager.dict(v=1), scene.manager.list([2]), scene.manager.dict(v=3)]
        scene.inner[1].append(scene.inner[2])
        args, kwds = fill(scene)
        scene.main = getattr(scene.manager, factory)(*args, **kwds)

    return make


def _create_holding(
    factory: str, fill: Callable[[Scene], tuple[tuple[Any, ...], dict[str, Any]]]
) -> tuple[Any, Any]:
    def make(scene: Scene) -> None:
        scene.inner = [scene.manager.dict(v=1), scene.manager.list([2]), scene.manager.dict(v=3)]
        scene.inner[1].append(scene.inner[2])

    def act(scene: Scene) -> None:
        args, kwds = fill(scene)
        scene.main = getattr(scene.manager, factory)(*args, **kwds)

    return make, act


I0, I1 = "<inner0>", "<inner1>"

_named_dict = _holding("dict", lambda s: (("c", {"a": 1, "p": s.inner[0], "q": s.inner[0]}), {}))
_named_list = _holding("list", lambda s: (("c", [0, s.inner[0], s.inner[0], 3]), {}))
_named_ns = _holding("Namespace", lambda s: (("c",), {"p": s.inner[0]}))
_named_value = _holding("Value", lambda s: (("i", s.inner[0]), {"name": "c"}))
_unnamed_dict = _holding("dict", lambda s: (({"a": 1, "p": s.inner[0]},), {}))
_unnamed_list = _holding("list", lambda s: (([0, s.inner[0]],), {}))


def _put(key: Any) -> Callable[[Scene], Any]:
    return lambda s: s.main.__setitem__(key, s.inner[1])


CASES += [
    Case(f"holding {name}", make, act, result, state)
    for name, make, act, result, state in [
        (
            "dict setitem new",
            _named_dict,
            _put("n"),
            None,
            {"a": 1, "p": I0, "q": I0, "n": I1},
        ),
        ("dict setitem overwrite", _named_dict, _put("p"), None, {"a": 1, "p": I1, "q": I0}),
        ("dict delitem", _named_dict, _call("__delitem__", "p"), None, {"a": 1, "q": I0}),
        ("dict pop", _named_dict, _call("pop", "q"), I0, {"a": 1, "p": I0}),
        ("dict popitem", _named_dict, _call("popitem"), ("q", I0), {"a": 1, "p": I0}),
        (
            "dict setdefault",
            _named_dict,
            lambda s: s.main.setdefault("n", s.inner[1]),
            I1,
            {"a": 1, "p": I0, "q": I0, "n": I1},
        ),
        (
            "dict update",
            _named_dict,
            lambda s: s.main.update(p=s.inner[1], q=5, n=s.inner[1]),
            None,
            {"a": 1, "p": I1, "q": 5, "n": I1},
        ),
        (
            "dict add_new",
            _named_dict,
            lambda s: s.main.add_new("n", s.inner[1]),
            True,
            {"a": 1, "p": I0, "q": I0, "n": I1},
        ),
        (
            "dict add_new old",
            _named_dict,
            lambda s: s.main.add_new("p", s.inner[1]),
            False,
            {"a": 1, "p": I0, "q": I0},
        ),
        (
            "dict update_new",
            _named_dict,
            lambda s: s.main.update_new(p=s.inner[1], q=5, n=s.inner[1], o=s.inner[0]),
            ["n", "o"],
            {"a": 1, "p": I0, "q": I0, "n": I1, "o": I0},
        ),
        (
            "dict update_new with one that is not stored",
            _named_dict,
            lambda s: s.main.update_new(p=s.inner[1], n=s.inner[0]),
            ["n"],
            {"a": 1, "p": I0, "q": I0, "n": I0},
        ),
        (
            "unnamed dict update_new",
            _unnamed_dict,
            lambda s: s.main.update_new(p=s.inner[1], n=s.inner[1]),
            ["n"],
            {"a": 1, "p": I0, "n": I1},
        ),
        ("dict clear", _named_dict, _call("clear"), None, {}),
        ("dict delete", _named_dict, _call("delete"), None, None),
        ("list append", _named_list, lambda s: s.main.append(s.inner[1]), None, [0, I0, I0, 3, I1]),
        (
            "list extend",
            _named_list,
            lambda s: s.main.extend([s.inner[1], s.inner[1]]),
            None,
            [0, I0, I0, 3, I1, I1],
        ),
        (
            "list insert",
            _named_list,
            lambda s: s.main.insert(1, s.inner[1]),
            None,
            [0, I1, I0, I0, 3],
        ),
        ("list setitem", _named_list, _put(1), None, [0, I1, I0, 3]),
        ("list pop", _named_list, _call("pop", 1), I0, [0, I0, 3]),
        (
            "list slice assign",
            _named_list,
            lambda s: s.main.__setitem__(slice(1, 3), [s.inner[1]]),
            None,
            [0, I1, 3],
        ),
        (
            "list slice assign extended",
            _named_list,
            lambda s: s.main.__setitem__(slice(0, 3, 2), [s.inner[1], 7]),
            None,
            [I1, I0, 7, 3],
        ),
        ("list slice delete", _named_list, _call("__delitem__", slice(1, 3)), None, [0, 3]),
        (
            "list slice delete extended",
            _named_list,
            _call("__delitem__", slice(None, None, 2)),
            None,
            [I0, 3],
        ),
        ("list remove", _named_list, _call("remove", 3), None, [0, I0, I0]),
        ("list reverse", _named_list, _call("reverse"), None, [3, I0, I0, 0]),
        ("list *=", _named_list, _in_place("__imul__", 2), None, [0, I0, I0, 3, 0, I0, I0, 3]),
        ("list clear", _named_list, _call("clear"), None, []),
        (
            "Namespace set new",
            _named_ns,
            lambda s: setattr(s.main, "q", s.inner[1]),
            None,
            {"p": I0, "q": I1},
        ),
        ("Namespace set old", _named_ns, lambda s: setattr(s.main, "p", 1), None, {"p": 1}),
        ("Namespace delete", _named_ns, lambda s: delattr(s.main, "p"), None, {}),
        ("Value set", _named_value, lambda s: s.main.set(s.inner[1]), None, I1),
        ("unnamed dict setitem", _unnamed_dict, _put("p"), None, {"a": 1, "p": I1}),
        ("unnamed list pop", _unnamed_list, _call("pop"), I0, [0]),
    ]
]


def _gone_inside(make: Callable[[Scene], None]) -> Callable[[Scene], None]:
    def made(scene: Scene) -> None:
        make(scene)
        scene.inner[1].delete()

    return made


def _refused(act: Callable[[Scene], Any]) -> Callable[[Scene], Any]:
    def acting(scene: Scene) -> None:
        try:
            act(scene)
        except ObjectGone:
            return
        raise AssertionError("what was deleted was stored")

    return acting


def _circle(scene: Scene) -> None:
    """A named dict holds a list and a dict that contain each other, and the list itself too."""
    one, two = scene.manager.list(), scene.manager.dict()
    one.append(one)
    one.append(two)
    two["one"] = one
    scene.inner = [one, two]
    scene.main = scene.manager.dict("c", p=one)
    scene.other = scene.manager.dict("other")


CASES += [
    Case("circle let go", _circle, _call("__delitem__", "p"), None, {}),
    Case("circle cleared", _circle, _call("clear"), None, {}),
    Case("circle deleted", _circle, _call("delete"), None, None),
    Case(
        "holding dict setitem of what was deleted",
        _gone_inside(_named_dict),
        _refused(_put("p")),
        None,
        {"a": 1, "p": I0, "q": I0},
    ),
    Case(
        "holding list extend with what was deleted",
        _gone_inside(_named_list),
        _refused(lambda s: s.main.extend([5, s.inner[0], s.inner[1]])),
        None,
        [0, I0, I0, 3],
    ),
]

for _type, _fill, _content in (
    ("dict", lambda s: (("c", {"p": s.inner[1]}), {}), {"p": I1}),
    ("list", lambda s: (("c", [s.inner[1], s.inner[0]]), {}), [I1, I0]),
    ("Namespace", lambda s: (("c",), {"p": s.inner[1]}), {"p": I1}),
    ("Value", lambda s: (("i", s.inner[1]), {"name": "c"}), I1),
):
    _make, _act = _create_holding(_type, _fill)  # type: ignore[arg-type]
    CASES.append(Case(f"holding create named {_type}", _make, _act, None, _content))


# Many arguments, to be sent ahead in parts where a server does not take so many at once.
NUMBERS = list(range(20))

BULK = [
    Case("bulk list extend", _list([0]), _call("extend", NUMBERS), None, [0, *NUMBERS]),
    Case("bulk list create", _nothing, _created("list", NUMBERS), None, NUMBERS),
    Case(
        "bulk dict update",
        _dict(AB),
        _call("update", dict.fromkeys(NUMBERS)),
        None,
        {**AB, **dict.fromkeys(NUMBERS)},
    ),
    Case(
        "bulk set ^=",
        _set({1, 2, 99}),
        _in_place("__ixor__", set(NUMBERS)),
        None,
        {0, 99, *NUMBERS[3:]},
    ),
    Case("bulk set &=", _set({1, 2, 99}), _in_place("__iand__", set(NUMBERS)), None, {1, 2}),
]
