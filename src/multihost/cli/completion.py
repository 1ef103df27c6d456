"""What a shell completes: names of objects and types, as the server has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from multihost.cli.options import target_of
from multihost.errors import MultihostError
from multihost.inspection import names, opened, typeids_in_use
from multihost.wire.ops import kinds
from multihost.wire.session import Session

__all__ = ["complete_names", "complete_pools", "complete_types"]

OFFERED = 100  # names
TIMEOUT = 2.0  # seconds: somebody waits in a shell


def complete_names(context: click.Context, _: click.Parameter, prefix: str) -> list[str]:
    """Return the names of objects that begin so."""
    return _asked(context, lambda session: names(session, prefix, OFFERED))


def complete_pools(context: click.Context, _: click.Parameter, prefix: str) -> list[str]:
    """Return the names of pools that begin so."""
    pools = kinds.typeids("pools")
    return _asked(context, lambda session: names(session, prefix, OFFERED, pools))


def complete_types(context: click.Context, _: click.Parameter, prefix: str) -> list[str]:
    """Return the types that begin so."""
    known = {*kinds.KINDS, *_asked(context, typeids_in_use)}
    return sorted(typeid for typeid in known if typeid.startswith(prefix))


def _asked(context: click.Context, question: Callable[[Session], Iterable[str]]) -> list[str]:
    """Return what is printable of an answer; nothing if the server cannot be asked: a shell has no
    place for errors.
    """
    try:
        target, _ = target_of(context.params)
        with opened(
            target.url, target.namespace, authkey=target.authkey, timeout=TIMEOUT
        ) as session:
            return [name for name in question(session) if name.isprintable()]
    except (MultihostError, click.UsageError):
        return []
