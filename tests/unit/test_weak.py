"""A set of weakly referenced objects, that threads change while others look through it."""

from __future__ import annotations

import gc

from multihost.weak import WeakMembers


class Member:
    pass


def test_members_are_there_until_nothing_else_refers_to_them() -> None:
    one, other, members = Member(), Member(), WeakMembers[Member]()
    members.add(one)
    members.add(one)
    members.add(other)
    assert len(members) == 2
    assert set(members) == {one, other}
    members.discard(other)
    members.discard(other)
    assert list(members) == [one]
    del one
    gc.collect()
    assert list(members) == []
    assert not members._references


def test_what_is_added_while_somebody_looks_is_no_error() -> None:
    kept, members = [Member() for _ in range(3)], WeakMembers[Member]()
    for each in kept:
        members.add(each)
    seen = []
    for member in members:
        seen.append(member)
        kept.append(Member())
        members.add(kept[-1])
    assert set(seen) == set(kept[:3])
    assert len(members) == 6


def test_a_member_may_outlive_the_set() -> None:
    member, members = Member(), WeakMembers[Member]()
    members.add(member)
    references = members._references
    del members
    assert len(references) == 1
    del member
    gc.collect()
    assert not references
