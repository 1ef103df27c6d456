"""Scripts that store values: which of their arguments those are, and what happens on RETAIN."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from multihost.errors import ObjectGone
from multihost.wire import ops
from multihost.wire.ops import keeping
from multihost.wire.ops.keeping import StoringScript
from multihost.wire.replies import MustKeep, ReplyError
from tests.unit.queue_stubs import StubSession, handle_of

ENTRIES = [b"2", b"f", b"F", b"g", b"G", b"f", b"<1>", b"g", b"<2>", b"h", b"<3>"]
ATTACH = [b"name", b"kind", b"30000"]
ARGS: dict[str, list[bytes]] = {
    "barrier/create": [*ATTACH, b"2", b"<1>"],
    "condition/create": [*ATTACH, b"<1>"],
    "dict/create": [*ATTACH, b"1", *ENTRIES],
    "dict/replace": [b"field", b"expected", b"<1>", b"original"],
    "dict/set": [b"field", b"<1>", b"original"],
    "dict/setdefault": [b"field", b"<1>", b"original"],
    "dict/update": [b"1", *ENTRIES],
    "dict/update_new": [b"1", *ENTRIES],
    "list/create": [*ATTACH, b"1", b"<1>", b"<2>"],
    "list/extend": [b"1", b"<1>", b"<2>"],
    "list/insert": [b"0", b"<1>"],
    "list/set": [b"0", b"<1>"],
    "list/set_slice": [b"0", b"2", b"1", b"1", b"<1>", b"<2>"],
    "list/splice": [b"0", b"2", b"1", b"<1>", b"<2>"],
    "namespace/create": [*ATTACH, b".a", b"<1>", b".b", b"<2>"],
    "namespace/set": [b".a", b"<1>"],
    "value/create": [*ATTACH, b"<1>"],
    "value/replace": [b"expected", b"<1>"],
    "value/set": [b"<1>"],
}
"""Arguments of each script, with the values in angle brackets."""


def storing_scripts() -> Iterator[StoringScript]:
    for info in pkgutil.iter_modules(ops.__path__, f"{ops.__name__}."):
        for found in vars(importlib.import_module(info.name)).values():
            if isinstance(found, StoringScript):
                yield found


SCRIPTS = {script.name: script for script in storing_scripts()}


def test_every_storing_script_has_a_case() -> None:
    assert SCRIPTS.keys() == ARGS.keys()


@pytest.mark.parametrize("name", ARGS)
def test_the_values_are_sent_again_with_stamps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And once more with later ones, if a collection has begun meanwhile."""
    sent: list[Sequence[bytes]] = []

    def keep(_: object, values: Sequence[bytes], epoch: int) -> list[bytes]:
        return [b"kept in %d " % epoch + value for value in values]

    def run_once(_: object, *args: bytes) -> bytes:
        sent.append(args)
        if len(sent) < 3:
            raise MustKeep(7 + len(sent))
        return b"."

    monkeypatch.setattr(keeping, "keep", keep)
    monkeypatch.setattr(SCRIPTS[name]._again, "run_once", run_once)
    args = ARGS[name]
    reply = SCRIPTS[name].handle_error(handle_of(StubSession()), args, ReplyError("KEEP 7"))
    assert reply == b"."
    assert sent == [
        tuple(b"kept in %d " % epoch + arg if arg[:1] == b"<" else arg for arg in args)
        for epoch in (7, 8, 9)
    ]


def test_other_errors_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(*_: Any) -> None:
        raise AssertionError("called")

    monkeypatch.setattr(keeping, "keep", keep)
    with pytest.raises(ObjectGone, match="the value 'q'"):
        SCRIPTS["value/set"].handle_error(
            handle_of(StubSession()), [b"<1>"], ReplyError("GONE the object does not exist")
        )
