"""Shared dicts and sets beside plain ones, by many processes with equal keys in other spellings.

The keys are encoded in processes of every Python that works here, with different hash seeds; what
they come to is stored by this one, on a real server.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from multihost import RedisManager
from multihost.wire.values.codec import Codec
from tests.support import key_spellings
from tests.support.key_spellings import GROUPS, evaluate, fields_of, hashable
from tests.support.procs import Script, interpreters, spawn_script

SPELLINGS = [spelling for group in GROUPS for spelling in group if hashable(spelling)]
if sys.flags.bytes_warning > 1:  # a plain dict does not take both b"a" and "a" then
    SPELLINGS = [spelling for spelling in SPELLINGS if not isinstance(evaluate(spelling), bytes)]
RELATED = [spelling for group in GROUPS if len(group) > 1 for spelling in group]


class Spelled(NamedTuple):
    """A key as another process writes it. The proxies hand it to the codec."""

    text: str


class ElsewhereCodec(Codec):
    """Encodes keys in another process, and all else here."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self.script = script
        self.known: dict[str, tuple[bytes, bytes]] = {}

    def canonical_field(self, key: object) -> tuple[bytes, bytes]:
        assert isinstance(key, Spelled)
        if key.text not in self.known:
            (found,) = fields_of(self.script, [key.text])
            assert found is not None, f"that Python has no {key.text}"
            self.known[key.text] = found
        return self.known[key.text]

    def canonical_fields(self, keys: Any) -> tuple[list[bytes], list[bytes]]:
        pairs = [self.canonical_field(key) for key in keys]
        return [field for field, _ in pairs], [part for pair in pairs if pair[1] for part in pair]


@pytest.fixture
def codecs() -> Iterator[list[ElsewhereCodec]]:
    """Codecs in processes: two with this Python, one with each other, each with its own seed."""
    here = "{}.{}".format(*sys.version_info[:2])
    programs = [sys.executable, *(path for name, path in interpreters().items() if name != here)]
    with ExitStack() as stack:
        yield [
            ElsewhereCodec(stack.enter_context(key_spellings.start(program, seed)))
            for seed, program in enumerate([sys.executable, *programs])
        ]


def spelled(keys: Any) -> list[str]:
    """Return a form of keys that shows their class, and not the order of what has none."""
    return [f"{type(key).__name__} {key if isinstance(key, str) else hash(key)}" for key in keys]


def distinct(texts: list[str]) -> list[Spelled]:
    """Return the first spelling of each key, as a plain dict or set keeps it."""
    first: dict[object, str] = {}
    for text in texts:
        first.setdefault(evaluate(text), text)
    return [Spelled(text) for text in first.values()]


keys = st.sampled_from(SPELLINGS) | st.sampled_from([s for s in RELATED if s in SPELLINGS])
many = st.lists(keys, max_size=4)
values = st.integers(0, 9)
processes = st.integers(0, 63)


def machine(dicts: list[Any], sets: list[Any]) -> Callable[[], RuleBasedStateMachine]:
    """Return a machine over proxies of one dict and of one set, one of each for a process."""

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            dicts[0].clear()
            sets[0].clear()
            self.d: dict[Any, int] = {}
            self.s: set[Any] = set()

        @rule(process=processes, key=keys, value=values)
        def store(self, process: int, key: str, value: int) -> None:
            dicts[process % len(dicts)][Spelled(key)] = value
            self.d[evaluate(key)] = value

        @rule(process=processes, key=keys)
        def look_up(self, process: int, key: str) -> None:
            d = dicts[process % len(dicts)]
            assert d.get(Spelled(key)) == self.d.get(evaluate(key))
            assert (Spelled(key) in d) == (evaluate(key) in self.d)

        @rule(process=processes, key=keys)
        def remove(self, process: int, key: str) -> None:
            removed = dicts[process % len(dicts)].pop(Spelled(key), None)
            assert removed == self.d.pop(evaluate(key), None)

        @rule(process=processes, key=keys, value=values)
        def store_if_new(self, process: int, key: str, value: int) -> None:
            found = dicts[process % len(dicts)].setdefault(Spelled(key), value)
            assert found == self.d.setdefault(evaluate(key), value)

        @rule(process=processes, key=keys, value=values)
        def add_new(self, process: int, key: str, value: int) -> None:
            d, s = dicts[process % len(dicts)], sets[process % len(sets)]
            assert d.add_new(Spelled(key), value) == (evaluate(key) not in self.d)
            assert s.add_new(Spelled(key)) == (evaluate(key) not in self.s)
            self.d.setdefault(evaluate(key), value)
            self.s.add(evaluate(key))

        @rule(process=processes, keys=many, value=values)
        def update_new(self, process: int, keys: list[str], value: int) -> None:
            d, s = dicts[process % len(dicts)], sets[process % len(sets)]
            stored = d.update_new(dict.fromkeys(distinct(keys), value))
            assert stored == [key for key in distinct(keys) if evaluate(key.text) not in self.d]
            added = s.update_new(distinct(keys))
            assert added == [key for key in distinct(keys) if evaluate(key.text) not in self.s]
            for key in map(evaluate, keys):
                self.d.setdefault(key, value)
                self.s.add(key)

        @rule(process=processes, key=keys, value=values)
        def count(self, process: int, key: str, value: int) -> None:
            self.d[evaluate(key)] = self.d.get(evaluate(key), 0) + value
            total = dicts[process % len(dicts)].increment(Spelled(key), value)
            assert total == self.d[evaluate(key)]

        @rule(process=processes, keys=many, value=values)
        def update(self, process: int, keys: list[str], value: int) -> None:
            dicts[process % len(dicts)].update(dict.fromkeys(distinct(keys), value))
            self.d.update(dict.fromkeys(map(evaluate, keys), value))

        @rule()
        def take_last(self) -> None:
            if self.d:
                key, value = dicts[0].popitem()
                expected = self.d.popitem()
                assert (spelled([key]), value) == (spelled([expected[0]]), expected[1])

        @rule(process=processes, members=many)
        def add(self, process: int, members: list[str]) -> None:
            sets[process % len(sets)].update(distinct(members))
            self.s.update(map(evaluate, members))

        @rule(process=processes, key=keys)
        def discard(self, process: int, key: str) -> None:
            s = sets[process % len(sets)]
            assert (Spelled(key) in s) == (evaluate(key) in self.s)
            s.discard(Spelled(key))
            self.s.discard(evaluate(key))

        @rule(process=processes, members=many)
        def keep(self, process: int, members: list[str]) -> None:
            sets[process % len(sets)].intersection_update(distinct(members))
            self.s = {member for member in self.s if member in set(map(evaluate, members))}

        @rule(process=processes, members=many)
        def toggle(self, process: int, members: list[str]) -> None:
            sets[process % len(sets)].symmetric_difference_update(distinct(members))
            self.s.symmetric_difference_update(dict.fromkeys(map(evaluate, members)))

        @invariant()
        def agree(self) -> None:
            assert dicts[0].copy() == self.d
            assert spelled(dicts[0].keys()) == spelled(self.d), "the first spelling stays"
            assert len(dicts[0]) == len(self.d)
            assert sets[0].copy() == self.s
            assert sorted(spelled(sets[0])) == sorted(spelled(self.s))

    return Machine


@pytest.mark.timeout(120)
def test_against_plain_containers(url: str, codecs: list[ElsewhereCodec]) -> None:
    with RedisManager(url) as m:
        m.dict("d").clear()
        m.set("s").clear()
        dicts, sets = [], []
        for codec in codecs:
            dicts.append(m.dict("d"))
            sets.append(m.set("s"))
            dicts[-1]._handle.codec = sets[-1]._handle.codec = codec
        run_state_machine_as_test(
            machine(dicts, sets),
            settings=settings(
                max_examples=30,
                stateful_step_count=30,
                suppress_health_check=list(HealthCheck),
            ),
        )
        m.dict("d").delete()
        m.set("s").delete()


MAIN_PROGRAM = """
import dataclasses, enum, multiprocessing, sys
from multihost import RedisManager

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass(frozen=True)
class Job:
    tags: frozenset

class Plain:
    pass

def function():
    pass

def keys():
    return [Colour.RED, Job(frozenset("abcdefgh")), Job, function, (Colour.RED, 1), Plain()]

def child(d, s):
    for number, key in enumerate(keys()):
        assert d[key] == number, key
        d[key] += 10
        s.add(key)

if __name__ == "__main__":
    with RedisManager(sys.argv[1]) as m:
        d, s = m.dict(), m.set(keys())
        d.update({key: number for number, key in enumerate(keys())})
        process = multiprocessing.get_context("spawn").Process(target=child, args=(d, s))
        process.start()
        process.join()
        print(process.exitcode, list(d.values()), len(s))
"""


def test_a_spawned_child_has_the_keys_of_the_main_program(url: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(MAIN_PROGRAM)
    with spawn_script(program, args=[url]) as script:
        assert script.finish() == "0 [10, 11, 12, 13, 14, 15] 6\n"


def test_every_spelling_finds_the_first(url: str) -> None:
    with RedisManager(url) as m:
        d, s = m.dict(), m.set()
        for number, group in enumerate(GROUPS):
            for one, other in itertools.pairwise([g for g in group if hashable(g)]):
                d[evaluate(one)] = number
                s.add(evaluate(one))
                assert d[evaluate(other)] == number, (one, other)
                assert evaluate(other) in s, (one, other)


class Loud(str):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loud) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


def test_a_key_that_is_refused_changes_nothing(url: str) -> None:
    with RedisManager(url) as m:
        d, s = m.dict({1: 1}), m.set([1])
        bad = Loud("a")
        for change in (
            lambda: d.update({1: 2, 2: 2, bad: 2}),
            lambda: d.update_new({2: 2, bad: 2}),
            lambda: d.setdefault(bad),
            lambda: d.increment(bad),
            lambda: d.__setitem__(bad, 1),
            lambda: s.update([2, bad]),
            lambda: s.add(bad),
            lambda: s.intersection_update([bad]),
            lambda: m.dict({bad: 1}),
            lambda: m.set([bad]),
        ):
            with pytest.raises(TypeError, match="'Loud' cannot be a key of a shared dict"):
                change()
        assert (d.copy(), s.copy()) == ({1: 1}, {1})


class Plain:
    """Equals itself only; there, a copy of it is never found."""


def test_keys_of_one_field_within_one_call(url: str) -> None:
    with RedisManager(url) as m:
        s = m.set([Plain(), Plain()])
        assert len(s) == 1
        s.symmetric_difference_update([Plain(), Plain()])
        assert len(s) == 0
        s.symmetric_difference_update([Plain(), Plain()])
        assert len(s) == 1
        d = m.dict()
        assert len(d.update_new([(Plain(), 1), (Plain(), 2)])) == 1
        assert list(d.values()) == [1]
