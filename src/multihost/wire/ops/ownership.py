"""What contains what: a kept container owns the unnamed objects that it refers to.

An object without a lease, named or kept, has to own what it takes in, so that this needs no lease
either. The scripts count the references; here is the walk from object to object, each step in the
order in which a kill leaves something kept too long, not lost. Letting go walks the same way,
with an epoch of the owner that tells an earlier letting-go from a later taking-in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from multihost.errors import ObjectGone
from multihost.wire.replies import pairs
from multihost.wire.script import Script, transaction
from multihost.wire.session import Handle, Session
from multihost.wire.values.codec import Codec

__all__ = [
    "drop_stale_intent",
    "give_lease",
    "is_unreachable",
    "has_proxies",
    "owners_of",
    "retain",
    "disown_pending",
    "without_flag",
]

_prepare_adopt = Script("object/prepare_adopt")
_adopt = Script("object/adopt")
_disown = Script("object/disown")
_forget = Script("object/forget")
_release = Script("object/release")
_recount = Script("object/recount")
_abort_adopt = Script("object/abort_adopt")
_record_dead_owner = Script("object/record_dead_owner")
_drop_stale_intent = Script("object/drop_stale_intent")


def retain(handle: Handle, values: Sequence[bytes]) -> Sequence[bytes]:
    """Make a kept container the owner of what the values refer to; the values as it takes them in
    then.

    Called when a script refused with MustRetain. Two round trips and one for each object referred
    to, more if those contain others.
    """
    idents = [ident for value in values if Codec.is_linked(value) for ident in Codec.links(value)]
    keys = handle.keys
    creating = b"1" if keys.name is not None else b"0"
    answer = _prepare_adopt.run_once(handle, creating, *[ident.encode() for ident in idents])
    if answer is None:
        return values
    epoch = answer[1:]
    try:
        for ident in dict.fromkeys(idents):
            _add_owner(handle.session, ident, keys.ident, epoch)
    except ObjectGone:
        _abort_adopt.run_once(handle, *map(str.encode, idents))
        _disown_dropped(handle)
        raise
    left = int(handle.link.execute(b"PTTL", keys.data))
    if left != -1 and answer[:1] == b".":
        # Meanwhile it was let go itself, and whoever did that came before us.
        for ident in dict.fromkeys(idents):
            _remove_owner(handle.session, ident, keys.ident, epoch)
        if left == -2:
            _disown_dropped(handle)
            return values
    return [Codec.counted(value) if Codec.is_linked(value) else value for value in values]


def has_proxies(values: Sequence[bytes]) -> bytes:
    """The ``linked`` argument of scripts that take many values."""
    return b"1" if Codec.any_linked(values) else b"0"


def _add_owner(session: Session, ident: str, owner: str, epoch: bytes) -> None:
    """Keep an object and, before it, everything that it contains.

    Every reference of what is kept is noted with the object that it leads to, also those that go
    round in a circle: see _circle.
    """
    path: list[tuple[str, str, bytes, list[bytes]]] = [(ident, owner, epoch, [b"0"])]
    entered: set[str] = set()
    while path:
        ident, owner, epoch, adopted = path[-1]
        try:
            answer = _adopt.run_once(session.handle(ident), owner.encode(), epoch, b"0", *adopted)
        except ObjectGone:
            if len(path) == 1:
                raise
            answer = b"."  # a container may hold what was deleted
        if answer == b".":
            path.pop()
            entered.discard(ident)
            continue
        entered.add(ident)
        taken, *children = answer[1:].split(b",")
        if len(adopted) == 1 or not set(adopted).isdisjoint(children):
            adopted[:] = [taken]  # it begins, or begins again: another client let it go meanwhile
        adopted += children
        for child in map(bytes.decode, children):
            if child not in entered:
                path.append((child, ident, taken, [b"0"]))
                continue
            with contextlib.suppress(ObjectGone):
                _adopt.run_once(session.handle(child), ident.encode(), taken, b"1", b"0")


def without_flag(handle: Handle, answer: bytes) -> bytes:
    """The answer of a script without its flag, after disowning what the script let go."""
    if answer[0] == 0x21:
        _disown_dropped(handle)
    return answer[1:]


def _disown_dropped(handle: Handle) -> None:
    keys, session = handle.keys, handle.session
    refs = pairs(handle.link.execute(b"HGETALL", keys.refs))
    for field, number in refs.items():
        if field[:2] == b"n:" and int(number) <= 0:
            ident, epoch = field[2:], refs.get(b"e:" + field[2:], b"0")
            _remove_owner(session, ident.decode(), keys.ident, epoch)
            _forget.run_once(handle, ident, epoch)


def _remove_owner(session: Session, ident: str, owner: str, epoch: bytes) -> None:
    """An object lost an owner; if it was the last that leads to a name, it lives on a lease again,
    and so does what it contains.
    """
    waiting = [(ident, owner, epoch)]
    while waiting:
        ident, owner, epoch = waiting.pop()
        answer = _disown.run_once(session.handle(ident), owner.encode(), epoch, session.lease_ms)
        if answer == b"?":
            waiting += _break_cycle(session, ident)
        else:
            waiting += _contents(ident, answer)


def _contents(ident: str, answer: bytes) -> list[tuple[str, str, bytes]]:
    """What has to be disowned next: object, owner, epoch."""
    if answer == b".":
        return []
    taken, *children = answer[1:].split(b",")
    return [(child.decode(), ident, taken) for child in children]


def _break_cycle(session: Session, ident: str) -> list[tuple[str, str, bytes]]:
    """An object has other owners. If those only keep each other, give all of them a lease again."""
    circle = _cycle(session, ident)
    let_go: list[tuple[str, str, bytes]] = []
    kept: list[str] = []
    for each, owners in circle.items():
        pairs_of = [part for pair in owners.items() for part in pair]
        answer = _release.run_once(session.handle(each), session.lease_ms, *pairs_of)
        if answer == b"?":
            kept.append(each)
        else:
            let_go += _contents(each, answer)
    # Another client has stored these meanwhile; what they contain may just have been let go.
    for each in kept:
        handle = session.handle(each)
        held = _contents(each, _recount.run_once(handle))
        for child, owner, taken in held:
            with contextlib.suppress(ObjectGone):
                _add_owner(session, child, owner, taken)
        if held:
            _abort_adopt.run_once(handle, *[child.encode() for child, _, _ in held])
            _disown_dropped(handle)
    return let_go


def _cycle(session: Session, ident: str) -> dict[str, dict[bytes, bytes]]:
    """The object and all that it is in, directly or not, with their owners.

    Empty if that leads to a name, or to what is on a lease: whoever gave it that disowns what it
    contains.
    """
    circle: dict[str, dict[bytes, bytes]] = {}
    waiting = [ident]
    while waiting:
        each = waiting.pop()
        if each in circle:
            continue
        keys = session.handle(each).keys
        left, reply = transaction(session.link, (b"PTTL", keys.data), (b"HGETALL", keys.owners))
        owners = pairs(reply)
        if left != -1 or not owners or any(owner[:2] == b"n:" for owner in owners):
            return {}
        circle[each] = owners
        waiting += [owner.decode() for owner in owners]
    return circle


# What nobody came to let go of, because he was killed on the way


def owners_of(session: Session, ident: str) -> dict[str, bytes]:
    """Who owns an object: ident -> the epoch in which he took it in. 1 round trip."""
    owners = pairs(session.link.execute(b"HGETALL", session.handle(ident).keys.owners))
    return {owner.decode(): epoch for owner, epoch in owners.items()}


def is_unreachable(session: Session, ident: str) -> bool:
    """Whether an object has no lease, though neither a name leads to it, nor what has a lease, nor
    what is being made. 2 round trips for each object on the way up.
    """
    if session.link.execute(b"PTTL", session.handle(ident).keys.data) != -1:
        return False
    seen: set[str] = set()
    waiting = [ident]
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        for owner in owners_of(session, each):
            keys = session.handle(owner).keys
            left, noted = session.link.pipeline([(b"PTTL", keys.data), (b"EXISTS", keys.refs)])
            if left >= 0 or (left == -2 and noted) or (left == -1 and keys.name is not None):
                return False
            if left == -1:
                waiting.append(owner)
    return True


def give_lease(session: Session, ident: str) -> bool:
    """Let an object that nothing keeps live on a lease, the session's, and what it contains;
    whether that was so. Whoever holds it renews that. Few round trips for each object.
    """
    if not is_unreachable(session, ident):
        return False
    handle = session.handle(ident)
    owners = owners_of(session, ident)
    for owner, epoch in owners.items():
        theirs = session.handle(owner)
        if session.link.execute(b"EXISTS", theirs.keys.data):
            continue  # one of a circle
        if _record_dead_owner.run_idempotent(theirs, ident.encode(), epoch):
            _disown_dropped(theirs)
    for child, owner, epoch in _break_cycle(session, ident):
        _remove_owner(session, child, owner, epoch)
    if not owners:  # lost by other programs
        for child, owner, epoch in _contents(ident, _release.run_once(handle, session.lease_ms)):
            _remove_owner(session, child, owner, epoch)
    return bool(session.link.execute(b"PTTL", handle.keys.data) != -1)


def disown_pending(handle: Handle) -> bool:
    """Disown what a container let go; whether there was something. Few round trips an object."""
    before = pairs(handle.link.execute(b"HGETALL", handle.keys.refs))
    if not any(field[:2] == b"n:" and int(count) <= 0 for field, count in before.items()):
        return False
    _disown_dropped(handle)
    return True


def drop_stale_intent(handle: Handle, seconds: int) -> bool:
    """Let go what a container that is not there was to own, if its note was not touched for so
    long; whether that was so. 1 round trip, few more for each object.
    """
    answer = _drop_stale_intent.run_idempotent(handle, b"%d" % seconds)
    if answer == b"!":
        _disown_dropped(handle)
    return answer is not None
