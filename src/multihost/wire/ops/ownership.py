"""Ownership: a persistent container owns the unnamed objects that its values refer to.

An object without a lease, named or owned, has to own what it contains, so that this needs no lease
either. The scripts count the references; here is the walk from object to object, each step in the
order in which a kill leaves an object that lives too long, not one that is lost. Disowning walks
the same way, with an epoch of the owner that tells an earlier release from a later adoption.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

from multihost.errors import ObjectGone
from multihost.wire.identity import NAMED
from multihost.wire.link import Reply
from multihost.wire.replies import DISOWN, OK, OWNED, MustRetain, ReplyError, pairs
from multihost.wire.script import Script, Target, transaction
from multihost.wire.script.source import Source
from multihost.wire.session import Handle, Session
from multihost.wire.stored import number
from multihost.wire.values.codec import Codec

__all__ = [
    "StoringScript",
    "disown_pending",
    "drop_stale_intent",
    "give_lease",
    "has_proxies",
    "is_unreachable",
    "owners_of",
    "retain",
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

_DISOWN = DISOWN[0]
# Fields of ``data:refs``, before an ident: references that were counted, and the epoch of the
# adoption. What was removed stays, with 0 references, until it is disowned.
REFERENCES, EPOCH = b"n:", b"e:"
NAMED_OBJECT = NAMED.encode()


class StoringScript(Script):
    """A script that stores values in a container, and refuses those that it has to own first.

    Then the container adopts what they refer to, and they are sent again as counted references.
    ``values`` says which arguments they are, for most scripts by a slice.
    """

    def __init__(self, name: str, values: slice | Callable[[Sequence[bytes]], slice]) -> None:
        super().__init__(name)
        self.values = values

    def handle_error(
        self, target: Target, args: Sequence[bytes], error: ReplyError, source: Source | None = None
    ) -> Reply:
        failure = self.to_exception(error, target.keys.ident, source)
        if not isinstance(failure, MustRetain):
            raise failure from None
        assert isinstance(target, Handle)
        stored = list(args)
        values = self.values if isinstance(self.values, slice) else self.values(args)
        stored[values] = retain(target, stored[values])
        return self.run_once(target, *stored)


def retain(handle: Handle, values: Sequence[bytes]) -> Sequence[bytes]:
    """Make a persistent container the owner of what values refer to; return the values as counted
    references, which it accepts then.

    Called when a script refused with MustRetain. 2 round trips and one for each object referred to,
    more if those contain others. Raises ObjectGone.
    """
    idents = [ident for value in values if Codec.is_linked(value) for ident in Codec.links(value)]
    keys = handle.keys
    creating = b"1" if keys.name is not None else b"0"
    answer = _prepare_adopt.run_once(handle, creating, *[ident.encode() for ident in idents])
    if answer is None:  # it has got a lease meanwhile
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
    if left != -1 and answer[:1] == OK:
        # The container lost its own owner meanwhile, and that walk was here before this one.
        for ident in dict.fromkeys(idents):
            _remove_owner(handle.session, ident, keys.ident, epoch)
        if left == -2:
            _disown_dropped(handle)
            return values
    return [Codec.counted(value) if Codec.is_linked(value) else value for value in values]


def has_proxies(values: Sequence[bytes]) -> bytes:
    """Return the ``linked`` argument of scripts that store many values."""
    return b"1" if Codec.any_linked(values) else b"0"


def _add_owner(session: Session, ident: str, owner: str, epoch: bytes) -> None:
    """Make an object persistent and, before it, everything that it contains.

    Every reference is recorded with the object that it leads to, also those of a cycle: see
    :func:`_break_cycle`.
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
            answer = OK  # a container may refer to what was deleted
        if answer == OK:
            path.pop()
            entered.discard(ident)
            continue
        entered.add(ident)
        taken, *children = answer[1:].split(b",")
        if len(adopted) == 1 or not set(adopted).isdisjoint(children):
            adopted[:] = [taken]  # it begins, or begins again: another client released it meanwhile
        adopted += children
        for child in map(bytes.decode, children):
            if child not in entered:
                path.append((child, ident, taken, [b"0"]))
                continue
            with contextlib.suppress(ObjectGone):
                _adopt.run_once(session.handle(child), ident.encode(), taken, b"1", b"0")


def without_flag(handle: Handle, answer: bytes) -> bytes:
    """Return the answer of a script without its flag, after disowning what the script removed. No
    round trip if it removed no proxies from a persistent container.
    """
    if answer[0] == _DISOWN:
        _disown_dropped(handle)
    return answer[1:]


def _disown_dropped(handle: Handle) -> None:
    """Disown the objects to which no reference is left in a container."""
    keys, session = handle.keys, handle.session
    refs = pairs(handle.link.execute(b"HGETALL", keys.refs))
    for field in refs:
        if _is_dropped(refs, field):
            ident = field[2:]
            epoch = refs.get(EPOCH + ident, b"0")
            _remove_owner(session, ident.decode(), keys.ident, epoch)
            _forget.run_once(handle, ident, epoch)


def _is_dropped(refs: Mapping[bytes, bytes], field: bytes) -> bool:
    """Return whether a field counts the references to an object of which none are left."""
    if field[:2] != REFERENCES:
        return False
    try:
        field.decode()
    except UnicodeDecodeError:
        return False
    count = number(refs[field])
    return count is not None and count <= 0


def _remove_owner(session: Session, ident: str, owner: str, epoch: bytes) -> None:
    """Remove an owner of an object; if it was the last that leads to a name, the object lives on a
    lease again, and so does what it contains.
    """
    pending = [(ident, owner, epoch)]
    while pending:
        ident, owner, epoch = pending.pop()
        answer = _disown.run_once(session.handle(ident), owner.encode(), epoch, session.ttl_ms)
        if answer == OWNED:
            pending += _break_cycle(session, ident)
        else:
            pending += _contents(ident, answer)


def _contents(ident: str, answer: bytes) -> list[tuple[str, str, bytes]]:
    """Return what has to be disowned next: object, owner, epoch."""
    if answer == OK:
        return []
    taken, *children = answer[1:].split(b",")
    return [(child.decode(), ident, taken) for child in children]


def _break_cycle(session: Session, ident: str) -> list[tuple[str, str, bytes]]:
    """Give the owners of an object a lease again if they only own each other; return what has to be
    disowned next.
    """
    cycle = _cycle(session, ident)
    released: list[tuple[str, str, bytes]] = []
    persistent: list[str] = []
    for each, owners in cycle.items():
        flat = [part for pair in owners.items() for part in pair]
        answer = _release.run_once(session.handle(each), session.ttl_ms, *flat)
        if answer == OWNED:
            persistent.append(each)
        else:
            released += _contents(each, answer)
    # Another client has stored these meanwhile; what they contain may just have been released.
    for each in persistent:
        handle = session.handle(each)
        held = _contents(each, _recount.run_once(handle))
        for child, owner, taken in held:
            with contextlib.suppress(ObjectGone):
                _add_owner(session, child, owner, taken)
        if held:
            _abort_adopt.run_once(handle, *[child.encode() for child, _, _ in held])
            _disown_dropped(handle)
    return released


def _cycle(session: Session, ident: str) -> dict[str, dict[bytes, bytes]]:
    """Return the object and all that it is in, directly or not, with their owners.

    Empty if that leads to a name, or to an object with a lease: the client that gave it the lease
    disowns what it contains.
    """
    cycle: dict[str, dict[bytes, bytes]] = {}
    pending = [ident]
    while pending:
        each = pending.pop()
        if each in cycle:
            continue
        keys = session.handle(each).keys
        left, reply = transaction(session.link, (b"PTTL", keys.data), (b"HGETALL", keys.owners))
        owners = pairs(reply)
        if left != -1 or not owners or any(owner[:2] == NAMED_OBJECT for owner in owners):
            return {}
        cycle[each] = owners
        pending += [owner.decode("utf-8", "surrogateescape") for owner in owners]
    return cycle


# -- what a killed client did not come to disown


def owners_of(session: Session, ident: str) -> dict[str, bytes]:
    """Return the owners of an object: ident -> the epoch of the adoption. 1 round trip."""
    owners = pairs(session.link.execute(b"HGETALL", session.handle(ident).keys.owners))
    return {owner.decode("utf-8", "surrogateescape"): epoch for owner, epoch in owners.items()}


def is_unreachable(session: Session, ident: str) -> bool:
    """Return whether an object has no lease, though no name leads to it, nor an object with a
    lease, nor one that is being created. 2 round trips for each object on the way up.
    """
    if session.link.execute(b"PTTL", session.handle(ident).keys.data) != -1:
        return False
    seen: set[str] = set()
    pending = [ident]
    while pending:
        each = pending.pop()
        if each in seen:
            continue
        seen.add(each)
        for owner in owners_of(session, each):
            keys = session.handle(owner).keys
            left, has_refs = session.link.pipeline([(b"PTTL", keys.data), (b"EXISTS", keys.refs)])
            if left >= 0 or (left == -2 and has_refs) or (left == -1 and keys.name is not None):
                return False
            if left == -1:
                pending.append(owner)
    return True


def give_lease(session: Session, ident: str) -> bool:
    """Give an unreachable object, and what it contains, the lease of the session; return whether it
    was one. Processes that hold it renew that. A few round trips for each object.
    """
    if not is_unreachable(session, ident):
        return False
    handle = session.handle(ident)
    owners = owners_of(session, ident)
    for owner, epoch in owners.items():
        container = session.handle(owner)
        if session.link.execute(b"EXISTS", container.keys.data):
            continue  # one of a cycle
        if _record_dead_owner.run_idempotent(container, ident.encode(), epoch):
            _disown_dropped(container)
    for child, owner, epoch in _break_cycle(session, ident):
        _remove_owner(session, child, owner, epoch)
    if not owners:  # removed by other programs
        for child, owner, epoch in _contents(ident, _release.run_once(handle, session.ttl_ms)):
            _remove_owner(session, child, owner, epoch)
    return bool(session.link.execute(b"PTTL", handle.keys.data) != -1)


def disown_pending(handle: Handle) -> bool:
    """Disown what a container does not refer to any more; return whether there was something. A few
    round trips an object.
    """
    before = pairs(handle.link.execute(b"HGETALL", handle.keys.refs))
    if not any(_is_dropped(before, field) for field in before):
        return False
    _disown_dropped(handle)
    return True


def drop_stale_intent(handle: Handle, seconds: int) -> bool:
    """Disown what a container that does not exist was to own, if its references were not touched
    for so many seconds; return whether that was so. 1 round trip, a few more for each object.
    """
    answer = _drop_stale_intent.run_idempotent(handle, b"%d" % seconds)
    if answer == DISOWN:
        _disown_dropped(handle)
    return answer is not None
