"""Keys of classes that attrs and pydantic made are compared by their fields."""

from __future__ import annotations

import functools
from typing import Generic, TypeVar

import attrs
import pydantic
import pytest

from multihost.wire.values.codec import Codec
from tests.support.key_spellings import LETTERS

PLAIN = Codec()
T = TypeVar("T")


@attrs.frozen(cache_hash=True)
class Slotted:
    name: str = attrs.field(eq=str.lower)
    tags: frozenset[str] = frozenset()
    note: str = attrs.field(default="", eq=False)


@attrs.define(frozen=True, slots=False)
class Job:
    name: str
    steps: list[int] = attrs.field(factory=list, hash=False)

    @functools.cached_property
    def title(self) -> str:
        return self.name.title()


@attrs.define(frozen=True)
class Urgent(Job):
    level: int = 0


@attrs.frozen(eq=False)
class ByHand:
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByHand) and self.name.lower() == other.name.lower()

    def __hash__(self) -> int:
        return hash(self.name.lower())


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    x: float
    y: int = 0
    tags: frozenset[str] = frozenset()

    @functools.cached_property
    def double(self) -> float:
        return 2 * self.x


class More(Model):
    pass


class Open(Model):
    model_config = pydantic.ConfigDict(extra="allow")


class Of(pydantic.BaseModel, Generic[T]):
    model_config = pydantic.ConfigDict(frozen=True)
    x: T


class Root(pydantic.RootModel[int]):
    model_config = pydantic.ConfigDict(frozen=True)


class Loud(Model):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loud) and int(self.x) == int(other.x)

    def __hash__(self) -> int:
        return hash(int(self.x))


def after(key: object, name: str) -> object:
    getattr(key, name)
    return key


GROUPS: list[tuple[object, ...]] = [
    (Slotted("A", frozenset(LETTERS), "n"), Slotted("a", frozenset(LETTERS[::-1]))),
    (Slotted("b"),),
    (Job("a", [1]), after(Job("a", [True]), "title")),
    (Job("a", [2]),),
    (Urgent("a"), Urgent("a", [], 0)),
    (Model(x=1), Model(x=1.0, y=0), after(Model(x=1), "double"), Model.model_construct(x=1, y=0)),
    (Model(x=1, y=1),),
    (More(x=1),),
    (Open(x=1, z=2), Open(z=2.0, x=1)),
    (Open(x=1, z=3),),
    (Of(x=1), Of[int](x=1), Of[float](x=1)),
    (Root(1), Root(True)),
]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: type(group[0]).__name__)
def test_equal_keys_have_one_field(group: tuple[object, ...]) -> None:
    for key in group:
        assert hash(key) == hash(group[0])
        assert key == group[0]
    assert len({PLAIN.field(key) for key in group}) == 1


def test_other_keys_have_others() -> None:
    assert len({PLAIN.field(group[0]) for group in GROUPS}) == len(GROUPS)


@pytest.mark.parametrize("key", [ByHand("a"), Loud(x=1)], ids=repr)
def test_an_equality_by_hand_is_refused(key: object) -> None:
    with pytest.raises(TypeError, match="__multihost_key__"):
        PLAIN.field(key)
