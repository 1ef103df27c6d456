"""Random operations on a proxy and on a builtin: the same results, exceptions and contents."""

from __future__ import annotations

import copy
import operator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run

from tests.parity.transcript import plain, raised

# Keys of bytes and of str in one dict, which python -b would warn of.
pytestmark = pytest.mark.filterwarnings("ignore::BytesWarning")

BOUNDED = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

# Few and near to each other, so that they meet.
NUMBERS = st.sampled_from(
    [0, 1, -1, 2, True, False, 0.0, -0.0, 1.0, 2.0, 0.5, -1.5, 1 + 0j, 2**63, 2.0**63, 2**70]
)
TEXTS = st.sampled_from(["", "a", "b", "1", "é", "\ud800", "x" * 300, b"", b"a", b"1", b"\x00"])
ATOMS = st.one_of(NUMBERS, TEXTS, st.none(), st.integers(), st.text(max_size=3))
KEYS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(tuple), st.frozensets(inner, max_size=2)
    ),
    max_leaves=3,
)
UNHASHABLE = [[], {}, ([],), (1, {2: 3})]
ANY_KEY = st.one_of(KEYS, KEYS, KEYS, KEYS, KEYS, st.sampled_from(UNHASHABLE))
VALUES = st.one_of(KEYS, st.lists(ATOMS, max_size=2), st.dictionaries(ATOMS, ATOMS, max_size=2))
INDEXES = st.one_of(st.integers(-7, 7), st.sampled_from([2**40, -(2**40), 2**70, -(2**70), True]))
BOUNDS = st.one_of(st.none(), st.integers(-7, 7), st.sampled_from([2**70, -(2**70)]))
STEPS = st.one_of(st.none(), st.none(), st.integers(-3, 3))
SLICES = st.builds(slice, BOUNDS, BOUNDS, STEPS)


def outcome(function, *args, **kwds):
    try:
        return plain(function(*args, **kwds))
    except Exception as error:
        return raised(error)


class Twins(RuleBasedStateMachine):
    """A proxy and the builtin that it should be like."""

    manager = None

    def both(self, function, /, *args, **kwds):
        """Each of the two gets arguments of its own: a builtin would keep them."""
        theirs = outcome(function, self.model, *copy.deepcopy(args), **copy.deepcopy(kwds))
        ours = outcome(function, self.proxy, *copy.deepcopy(args), **copy.deepcopy(kwds))
        assert ours == theirs
        return ours


def method(name):
    def call(subject, /, *args, **kwds):
        return getattr(subject, name)(*args, **kwds)

    return call


def in_place(operation):
    def call(subject, other):
        return operation(subject, other) is subject

    return call


class Dicts(Twins):
    @initialize(content=st.lists(st.tuples(KEYS, VALUES), max_size=4))
    def begin(self, content):
        self.model, self.proxy = dict(content), self.manager.dict(content)

    @rule(key=ANY_KEY, value=VALUES)
    def put(self, key, value):
        self.both(operator.setitem, key, value)

    @rule(key=ANY_KEY)
    def get(self, key):
        self.both(operator.getitem, key)
        self.both(method("get"), key, "default")
        self.both(operator.contains, key)

    @rule(key=ANY_KEY)
    def delete(self, key):
        self.both(operator.delitem, key)

    @rule(key=ANY_KEY, default=st.lists(st.none(), max_size=1))
    def pop(self, key, default):
        if self.model or key not in UNHASHABLE:  # see the differences
            self.both(method("pop"), key, *default)

    @rule()
    def popitem(self):
        self.both(method("popitem"))

    @rule(key=ANY_KEY, value=VALUES)
    def setdefault(self, key, value):
        self.both(method("setdefault"), key, value)

    @rule(
        entries=st.lists(st.tuples(KEYS, VALUES), max_size=4),
        form=st.sampled_from([list, dict, tuple]),
        kwds=st.dictionaries(st.sampled_from(["a", "b", "self"]), ATOMS, max_size=2),
    )
    def update(self, entries, form, kwds):
        self.both(method("update"), form(entries), **kwds)

    @rule(bad=st.sampled_from([5, None, [1], ["abc"], [([], 1)], "xyz", [None]]))
    def update_with_nonsense(self, bad):
        self.both(method("update"), bad)

    @rule(entries=st.dictionaries(KEYS, VALUES, max_size=3))
    def merge(self, entries):
        self.both(lambda d, other: d | other, entries)
        self.both(lambda d, other: other | d, entries)
        self.both(in_place(operator.ior), entries)

    @rule(keys=st.lists(ANY_KEY, max_size=3))
    def fromkeys(self, keys):
        self.both(method("fromkeys"), keys, 1)

    @rule()
    def clear(self):
        self.both(method("clear"))

    @invariant()
    def same_content(self):
        self.both(lambda d: d.copy())
        self.both(lambda d: list(d.items()))
        self.both(lambda d: list(reversed(d)))
        self.both(len)


class Lists(Twins):
    @initialize(content=st.lists(VALUES, max_size=6))
    def begin(self, content):
        self.model, self.proxy = copy.deepcopy(content), self.manager.list(content)

    @rule(index=INDEXES)
    def get(self, index):
        self.both(operator.getitem, index)

    @rule(where=SLICES)
    def get_slice(self, where):
        self.both(operator.getitem, where)

    @rule(index=INDEXES, value=VALUES)
    def put(self, index, value):
        self.both(operator.setitem, index, value)

    @rule(where=SLICES, values=st.one_of(st.lists(VALUES, max_size=4), st.sampled_from(["ab", 5])))
    def put_slice(self, where, values):
        self.both(operator.setitem, where, values)

    @rule(index=st.one_of(INDEXES, SLICES))
    def delete(self, index):
        self.both(operator.delitem, index)

    @rule(value=VALUES)
    def append(self, value):
        self.both(method("append"), value)

    @rule(values=st.one_of(st.lists(VALUES, max_size=4), st.sampled_from(["ab", (), {1: 2}, 5])))
    def extend(self, values):
        self.both(method("extend"), values)
        self.both(in_place(operator.iadd), values)

    @rule(index=INDEXES, value=VALUES)
    def insert(self, index, value):
        self.both(method("insert"), index, value)

    @rule(index=st.lists(INDEXES, max_size=1))
    def pop(self, index):
        self.both(method("pop"), *index)

    @rule(value=VALUES)
    def look_for(self, value):
        self.both(operator.contains, value)
        self.both(method("count"), value)
        self.both(method("index"), value)

    @rule(value=ATOMS, start=st.integers(-7, 7), stop=st.integers(-7, 7))
    def index_within(self, value, start, stop):
        self.both(method("index"), value, start, stop)

    @rule(value=VALUES)
    def remove(self, value):
        self.both(method("remove"), value)

    @rule(data=st.data())
    def remove_one_that_is_there(self, data):
        if self.model:
            self.both(method("remove"), data.draw(st.sampled_from(self.model)))

    @rule(key=st.sampled_from([str, repr, lambda x: 0]), reverse=st.booleans())
    def sort_by_a_key(self, key, reverse):
        self.both(method("sort"), key=key, reverse=reverse)

    @rule(values=st.lists(st.one_of(st.integers(), st.floats(allow_nan=False)), max_size=6))
    def sort_numbers(self, values):
        self.both(lambda l, new: operator.setitem(l, slice(None), new), values)
        self.both(method("sort"))

    @rule()
    def reverse(self):
        self.both(method("reverse"))

    @rule(times=st.integers(-1, 2))
    def multiply(self, times):
        self.both(operator.mul, times)
        if len(self.model) < 40:
            self.both(in_place(operator.imul), times)

    @rule(values=st.one_of(st.lists(VALUES, max_size=2), st.sampled_from([(1,), "a", None])))
    def add(self, values):
        self.both(lambda l, other: l + other, values)

    @rule()
    def clear(self):
        self.both(method("clear"))

    @invariant()
    def same_content(self):
        self.both(lambda l: l.copy())
        self.both(len)


SET_METHODS = ["union", "intersection", "difference", "symmetric_difference"]
SET_TESTS = ["isdisjoint", "issubset", "issuperset"]
SET_OPERATORS = [operator.and_, operator.or_, operator.sub, operator.xor]
SET_ORDER = [operator.lt, operator.le, operator.gt, operator.ge]
SET_IN_PLACE = [operator.ior, operator.isub, operator.ixor, operator.iand]
SET_CHANGES = ["update", "difference_update", "symmetric_difference_update", "intersection_update"]
ODD = st.sampled_from(["ab", 5, None, [[]]])
ITERABLES = st.one_of(st.frozensets(KEYS, max_size=3), st.lists(KEYS, max_size=4), ODD)
SETS = st.one_of(st.frozensets(KEYS, max_size=3), st.frozensets(KEYS, max_size=3).map(set))


def unspelled(thing):
    """Which of two equal members stays, a builtin set leaves to chance."""
    return len(thing), frozenset(map(hash, thing))


class Sets(Twins):
    @initialize(content=st.lists(KEYS, max_size=5))
    def begin(self, content):
        self.model, self.proxy = set(content), self.manager.set(content)
        self.forget_spelling()

    def forget_spelling(self):
        assert self.proxy.copy() == self.model
        self.model = self.proxy.copy()

    @rule(member=ANY_KEY)
    def look_for(self, member):
        self.both(operator.contains, member)

    @rule(member=ANY_KEY)
    def add(self, member):
        self.both(method("add"), member)

    @rule(member=st.one_of(ANY_KEY, SETS))
    def discard(self, member):
        self.both(method("discard"), member)

    @rule(member=st.one_of(ANY_KEY, SETS))
    def remove(self, member):
        self.both(method("remove"), member)

    @rule()
    def pop(self):
        if self.model:
            popped = self.proxy.pop()
            assert popped in self.model
            self.model.remove(popped)
        else:
            self.both(method("pop"))

    @rule(name=st.sampled_from(SET_METHODS), other=ITERABLES)
    def method(self, name, other):
        self.both(lambda s, other: unspelled(getattr(s, name)(other)), other)

    @rule(name=st.sampled_from(SET_TESTS), other=ITERABLES)
    def test(self, name, other):
        self.both(method(name), other)

    @rule(operation=st.sampled_from(SET_OPERATORS), other=SETS)
    def operate(self, operation, other):
        self.both(lambda s, other: unspelled(operation(s, other)), other)
        self.both(lambda s, other: unspelled(operation(other, s)), other)

    @rule(operation=st.sampled_from(SET_ORDER), other=SETS)
    def compare(self, operation, other):
        self.both(operation, other)
        self.both(lambda s, other: operation(other, s), other)

    @rule(operation=st.sampled_from(SET_IN_PLACE), other=SETS)
    def change_in_place(self, operation, other):
        self.both(in_place(operation), other)
        self.forget_spelling()

    @rule(name=st.sampled_from(SET_CHANGES), other=ITERABLES)
    def change(self, name, other):
        if other == [[]]:  # what comes first a builtin set has changed before it fails
            other = [[]] if name != "symmetric_difference_update" else []
        self.both(method(name), other)
        self.forget_spelling()

    @rule()
    def clear(self):
        self.both(method("clear"))

    @invariant()
    def same_content(self):
        self.both(lambda s: s.copy())
        self.both(len)


def test_dict_like_a_builtin(embedded):
    run(type("Dicts", (Dicts,), {"manager": embedded}), settings=BOUNDED)


def test_list_like_a_builtin(embedded):
    run(type("Lists", (Lists,), {"manager": embedded}), settings=BOUNDED)


def test_set_like_a_builtin(embedded):
    run(type("Sets", (Sets,), {"manager": embedded}), settings=BOUNDED)
