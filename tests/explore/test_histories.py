"""What histories are right, and which are not."""

from __future__ import annotations

import math

import pytest

from tests.explore import objects
from tests.explore.histories import UNKNOWN, Call, Raised, explain


def _call(client, name, *args, at, result, **more):
    begin, end = at
    return Call(client, name, args, begin, math.inf if end is None else end, result, **more)


def _event(client, name, at):
    return Call(client, name, begin=at, is_event=True)


FIRST = _call("A", "acquire", at=(1, 2), result=7)
LEFT = _call("A", "release", at=(5, 6), result=None)

RIGHT = {
    "one after the other": [FIRST, LEFT, _call("B", "acquire", at=(3, 7), result=8)],
    "the holder was killed": [
        FIRST,
        _event("A", "dies", 3),
        _call("B", "acquire", at=(4, 5), result=8),
    ],
    "the holder is told": [
        FIRST,
        _event("A", "lapses", 3),
        _call("B", "acquire", at=(4, 5), result=8),
        _call("A", "release", at=(6, 7), result=Raised("LeaseLost")),
    ],
    "nobody knows whether it was acquired": [
        _call("A", "acquire", at=(1, None), result=UNKNOWN),
        _event("A", "dies", 2),
        _call("B", "acquire", at=(3, 4), result=8),
    ],
    "forgotten by the server": [
        _call("A", "acquire", at=(1, 2), result=7, may_be_forgotten=True),
        _call("B", "acquire", at=(3, 4), result=8),
    ],
    "full": [_call("A", "acquire", at=(1, 2), result=Raised("ServerFull"))],
}

WRONG = {
    "two holders": [FIRST, _call("B", "acquire", at=(3, 4), result=8)],
    "a token does not rise": [FIRST, LEFT, _call("B", "acquire", at=(7, 8), result=7)],
    "nor behind what was forgotten": [
        _call("A", "acquire", at=(1, 2), result=7, may_be_forgotten=True),
        _call("B", "acquire", at=(3, 4), result=7),
    ],
    "a living holder is told that it lost it": [
        FIRST,
        _call("A", "release", at=(3, 4), result=Raised("LeaseLost")),
    ],
    "an error that nothing explains": [_call("A", "acquire", at=(1, 2), result=Raised("LinkLost"))],
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_history_of_a_lock(name):
    assert explain(RIGHT[name], objects.Lock()) is None


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_history_of_a_lock(name):
    problem = explain(WRONG[name], objects.Lock())
    assert problem is not None and "no order of the calls" in problem


@pytest.mark.parametrize(
    ("got", "is_right"),
    [(("p", "q"), True), (("q", "p"), False), (("p", "p"), False), (("p",), True)],
)
def test_items_of_a_queue_come_once_and_in_order(got, is_right):
    calls = [
        _call("A", "get", at=(2 * i + 1, 2 * i + 2), result=item) for i, item in enumerate(got)
    ]
    left = ("q",) if len(got) == 1 else ()
    calls.append(_call("Z", "drain", at=(20, 21), result=left))
    assert (explain(calls, objects.Queue("p", "q")) is None) is is_right


def test_an_item_that_nobody_has_is_lost():
    calls = [
        _call("A", "put", "x", at=(1, 2), result=None),
        _call("Z", "drain", at=(3, 4), result=()),
    ]
    assert explain(calls, objects.Queue()) is not None


def test_what_a_killed_consumer_was_given_comes_back_or_not():
    for left in ((), ("p",)):
        calls = [
            _call("A", "get", at=(1, None), result=UNKNOWN),
            _event("A", "dies", 2),
            _call("Z", "drain", at=(3, 4), result=left),
        ]
        assert explain(calls, objects.Queue("p")) is None


@pytest.mark.parametrize("left", [("q",), ("p", "q"), ("q", "p")])
def test_what_a_killed_consumer_was_given_comes_back_whenever_somebody_looks(left):
    calls = [
        _call("A", "get", at=(1, None), result=UNKNOWN),
        _event("A", "dies", 2),
        _call("Z", "drain", at=(3, 4), result=left),
    ]
    assert explain(calls, objects.Queue("p", "q")) is None
    calls[2:] = [
        _call("B", "get", at=(3, 4), result=left[0]),
        _call("Z", "drain", at=(5, 6), result=left[1:]),
    ]
    assert explain(calls, objects.Queue("p", "q")) is None


def test_what_a_living_consumer_was_given_does_not_come_back():
    calls = [
        _call("A", "get", at=(1, 2), result="p"),
        _event("A", "lapses", 3),
        _call("B", "get", at=(4, 5), result="p"),
    ]
    assert explain(calls, objects.Queue("p")) is not None


def test_who_waits_for_what_cannot_come_does_not_hang():
    waits = _call("B", "acquire", at=(3, None), result=UNKNOWN)
    assert explain([FIRST, waits], objects.Lock(), hang=True) is None
    assert explain([FIRST, LEFT, waits], objects.Lock(), hang=True) is not None
    dead = _event("A", "dies", 4)
    assert explain([FIRST, waits, dead], objects.Lock(), hang=True) is not None


def test_permits_are_not_more_than_there_are():
    calls = [
        _call("A", "acquire", at=(1, 2), result=True),
        _call("B", "acquire", at=(3, 4), result=True),
    ]
    assert explain(calls, objects.Semaphore(2)) is None
    assert explain(calls, objects.Semaphore(1)) is not None


def test_values_of_a_dict_are_those_that_were_written():
    def calls(result):
        return [
            _call("A", "set", "k", 5, at=(1, 4), result=None),
            _call("B", "pop", "k", at=(2, 3), result=result),
        ]

    assert explain(calls(1), objects.Dict(k=1)) is None
    assert explain(calls(5), objects.Dict(k=1)) is None
    assert explain(calls(6), objects.Dict(k=1)) is not None
