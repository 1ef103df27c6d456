"""Containers without a lease keep what they contain.

An unnamed object has a lease, which its holders renew, until a container without one is about to
contain it: a named object, or one that is kept itself. Before that it is *kept*, it loses its
lease, and so does everything that it contains. From then on only the collector removes it
(:mod:`multihost.wire.collect`), or a ``delete()``.

The value then says in which epoch that was, its *stamp*: a container refuses one that is older than
the collection under way in its partition, which would not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from multihost.wire.collect import by_partition, contents, is_ident
from multihost.wire.keys import Keys
from multihost.wire.link import Reply
from multihost.wire.replies import CUT, GONE, MustKeep, ReplyError, altered, misread, to_exception
from multihost.wire.script import Script, Target
from multihost.wire.script.source import Source
from multihost.wire.session import Handle, Session
from multihost.wire.values.codec import Codec

__all__ = ["StoringScript", "has_proxies", "keep", "without_flag"]

_keep = Script("object/keep")
_whole = Script("object/whole")

PER_CALL = 100  # objects: to take the lease from one takes longer than to renew it
_CUT = CUT[0]
LOST = b"-"  # in place of contents: the object is about to be removed
MANY = b"+"  # in place of contents: there are very many


class _Attempt(Script):
    """A script whose refusals its caller handles."""


class StoringScript(Script):
    """A script that stores values in a container, and refuses those whose contents have to be kept.

    Then they are, and the values are sent again. ``values`` says which arguments they are, for most
    scripts by a slice.

    A script that stores in any case need not be refused first: with proxies it is run by
    :meth:`run_linked`. Others may find that they have nothing to store, and nothing is kept then.
    """

    def __init__(self, name: str, values: slice | Callable[[Sequence[bytes]], slice]) -> None:
        super().__init__(name)
        self.values = values
        self._again = _Attempt(name)

    def run_linked(self, handle: Handle, *args: bytes) -> Reply:
        """Run it with values that contain proxies. 1 round trip; if the container has no lease,
        those of :func:`keep` before.
        """
        if not handle.is_persistent:
            return self.run_once(handle, *args)
        return self._keep_and_run(handle, args, 0)

    def way(self, values: Sequence[bytes]) -> tuple[Callable[..., Reply], bytes]:
        """Return by which method to run it with many values, and its ``linked`` argument."""
        if Codec.any_linked(values):
            return self.run_linked, b"1"
        return self.run_once, b"0"

    def handle_error(
        self, target: Target, args: Sequence[bytes], error: ReplyError, source: Source | None = None
    ) -> Reply:
        failure = self.to_exception(error, target.keys.ident, source)
        if not isinstance(failure, MustKeep):
            raise failure from None
        assert isinstance(target, Handle)
        target.was_kept = True
        return self._keep_and_run(target, args, failure.epoch)

    def _keep_and_run(self, handle: Handle, args: Sequence[bytes], want: int) -> Reply:
        sent = list(args)
        values = self.values if isinstance(self.values, slice) else self.values(args)
        while True:
            sent[values] = keep(handle, args[values], want)
            try:
                return self._again.run_once(handle, *sent)
            except MustKeep as refusal:  # a collection has begun meanwhile
                want = refusal.epoch


def keep(handle: Handle, values: Sequence[bytes], want: int) -> list[bytes]:
    """Keep what values refer to, in the epoch ``want`` or later; return the values with their
    stamps.

    1 round trip for each level of containers with a lease, and one more if there are any. Raises
    ObjectGone.
    """
    links = [Codec.links(value) if Codec.is_linked(value) else [] for value in values]
    direct = dict.fromkeys(ident for idents in links for ident in idents)
    if not direct:  # damaged bytes that look like a value with a stamp, and are put back
        raise altered("put back", handle.keys.ident, "what a value refers to")
    epochs = _keep_all(handle.session, direct, want)
    return [
        Codec.stamped(value, min(map(epochs.__getitem__, idents))) if idents else value
        for value, idents in zip(values, links, strict=True)
    ]


def _keep_all(session: Session, direct: Iterable[str], want: int) -> dict[str, int]:
    """Keep objects and all that they contain; return the epoch of each."""
    session.collector.note_kept()
    epochs: dict[str, int] = {}
    partial: list[str] = []
    level = list(direct)
    while level:
        below: dict[str, None] = {}
        for chunk, (epoch, *found) in _run(session, _keep, level, b"%d" % want, session.ttl_ms):
            for keys, contained in zip(chunk, found, strict=True):
                # What is lost below comes from a process that was paused for longer than its lease:
                # the container is not whole, and must not become it.
                if contained == LOST or (contained is None and keys.ident in direct):
                    raise to_exception(GONE, "store a proxy of it", keys.ident)
                if contained is None:
                    continue  # a container may refer to what was deleted
                epochs[keys.ident] = epoch
                if contained:
                    partial.append(keys.ident)
                    told = contents(session.link, keys.data) if contained == [MANY] else contained
                    below.update((each.decode(), None) for each in told if is_ident(each))
        level = [ident for ident in below if ident not in epochs]
    if partial:
        for _ in _run(session, _whole, partial, b"%d" % min(epochs.values())):
            pass
    return epochs


def _run(
    session: Session, script: Script, idents: Iterable[str], *args: bytes
) -> Iterable[tuple[list[Keys], list[Reply]]]:
    """Run a script on objects, those of each partition at once; yield them with the replies."""
    chunks = list(by_partition((Keys(session.namespace, ident) for ident in idents), PER_CALL))
    calls = [([keys.data for keys in chunk], args) for chunk in chunks]
    return zip(chunks, script.run_many(session.link, calls), strict=True)


def has_proxies(values: Sequence[bytes]) -> bytes:
    """Return the ``linked`` argument of scripts that store many values."""
    return b"1" if Codec.any_linked(values) else b"0"


def without_flag(handle: Handle, answer: bytes) -> bytes:
    """Return the answer of a script without its flag. No round trip."""
    try:
        if answer[0] == _CUT:
            handle.session.has_cut = True
        return answer[1:]
    except (LookupError, TypeError):
        raise misread("object/change", handle.keys.ident) from None
