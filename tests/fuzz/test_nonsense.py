"""A server that gives one and the same reply to everything: each call ends, with a value or an
error of ours, and so does what the background thread does, with one line in the log.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from multihost import MultihostError, RedisManager
from multihost.wire.link import link_to
from multihost.wire.session import registry
from tests.manager.test_echo import _calls
from tests.support.echo import EchoServer
from tests.support.server import Server

REPLIES = {
    "a text": b"$8\r\nnonsense\r\n",
    "a number": b":7\r\n",
    "no text": b"$4\r\n\xff\xfe\x80\x00\r\n",
    "numbers": b"*2\r\n:1\r\n:2\r\n",
    "a map": b"%1\r\n$1\r\na\r\n$1\r\nb\r\n",
}
if os.environ.get("MULTIHOST_FUZZ"):
    REPLIES |= {
        "an empty text": b"$0\r\n\r\n",
        "a negative number": b":-1\r\n",
        "a large number": b"(" + b"9" * 30 + b"\r\n",
        "nothing": b"_\r\n",
        "a status": b"+OK\r\n",
        "an empty list": b"*0\r\n",
        "texts": b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
        "lists": b"*2\r\n*1\r\n*1\r\n$1\r\nx\r\n_\r\n",
        "nothing twice": b"*2\r\n_\r\n_\r\n",
        "a fraction": b",1.5\r\n",
        "a truth": b"#t\r\n",
        "a set": b"~1\r\n:1\r\n",
        "a digit": b"$1\r\n1\r\n",
        "a code": b"$1\r\n.\r\n",
    }

# What the types have in common with those of Python, and raise by themselves.
OF_THE_TYPES = (AttributeError, KeyError, IndexError, ValueError, RuntimeError)


class Insistent(EchoServer):
    """Gives everybody the same reply, but for the greeting."""

    def __init__(self, upstream: str, ids: bool) -> None:
        super().__init__(upstream)
        self._ids = ids

    def _reply(self, answer: Any, command: bytes) -> bytes:
        if command == b"CLIENT" and self._ids:
            return b":7\r\n"
        return super()._reply(answer, command)


def is_ours(error: BaseException) -> bool:
    """Return whether an error was raised on purpose, not met."""
    if isinstance(error, MultihostError):
        return True
    *_, last = traceback.extract_tb(error.__traceback__)
    return (
        isinstance(error, OF_THE_TYPES)
        and "/multihost/proxies/" in last.filename
        and (last.line or "").startswith("raise ")
    )


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "reconnect_timeout_for", lambda address: 0.02)
    monkeypatch.setitem(link_to.__kwdefaults__, "reconnect_timeout", 0.02)
    yield


@pytest.mark.leaks_ok("the server told it that nothing can be deleted")
@pytest.mark.parametrize("reply", REPLIES)
def test_each_call_ends(reply: str, fresh_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "multihost")
    with Insistent(fresh_server.tcp_url, ids=reply != "a map") as server:
        manager = RedisManager(f"redis://127.0.0.1:{server.port}/0", timeout=3)
        calls = _calls(manager)
        del calls["delete"]  # of a hosted object: a host that is said to be there is waited for
        session = manager.runtime.session
        session.link.reconnect_timeout = 0.02
        background: list[Callable[[], Any]] = [
            session.references.renew,
            session.janitor.run,
            session.collector.take_turn,
            session.ring.stand,
            *[
                partial(session.registration.heartbeat, presence)
                for presence in session.heartbeat._schedules
            ],
        ]
        server.answer, server.greets = (lambda command, heard: REPLIES[reply]), True
        failed = {name: error for name, call in calls.items() if (error := outcome(call))}
        assert len(failed) > len(calls) / 4
        assert not {name: repr(e) for name, e in failed.items() if not is_ours(e)}
        for action in background:
            session.heartbeat._try(action)
        ended = outcome(manager.shutdown)
        assert ended is None or is_ours(ended)
        server.answer = None
    assert not [record for record in caplog.records if record.exc_info]
    lines = Counter(record.getMessage() for record in caplog.records)
    assert not {line: count for line, count in lines.items() if count > 1}


def outcome(call: Callable[[], Any]) -> BaseException | None:
    """Return what a call raised."""
    try:
        call()
    except Exception as error:
        return error
    return None
