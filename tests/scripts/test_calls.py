"""Calls of scripts on a real server: a failing line, a wrong number of arguments."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from multihost import BadPayload, InternalError, RedisManager
from multihost.wire.ops import dict as dict_ops
from multihost.wire.ops.keeping import StoringScript
from multihost.wire.ops.queue import send
from multihost.wire.script import Script, source, staged

FAILING = "local broken = nil .. 'x'"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], int]:
    """Put a line that fails into a Lua file, in front of one that is given; return its number."""
    read = source._read

    def insert(name: str, before: str) -> int:
        lines = read(name).splitlines()
        [at] = [number for number, line in enumerate(lines) if line.startswith(before)]
        lines.insert(at, FAILING)
        text = "\n".join(lines)
        with monkeypatch.context() as patch:  # other scripts are read without it
            patch.setattr(source, "_read", lambda asked: text if asked == name else read(asked))
            scripts = Script("dict/pop"), StoringScript("dict/update", slice(0))
            assert any(FAILING.encode() in script.source for script in scripts)
        monkeypatch.setattr(dict_ops, "_pop", scripts[0])
        monkeypatch.setattr(dict_ops, "_update", scripts[1])
        return at + 1

    return insert


def test_an_error_names_file_and_line(server: Any, failing: Callable[[str, str], int]) -> None:
    number = failing("dict/pop", "local value")
    with RedisManager(server.url) as manager:
        d = manager.dict(a=1)
        for _ in range(2):  # by its source, and by its digest
            with pytest.raises(InternalError, match=rf"dict/pop\.lua:{number}: attempt to conc"):
                d.pop("a")


def test_an_error_in_a_fragment_names_that(server: Any, failing: Callable[[str, str], int]) -> None:
    number = failing("lib/reply_cache", "  if redis.call('GETRANGE'")
    with RedisManager(server.url) as manager:
        d = manager.dict(a=1)
        with pytest.raises(InternalError, match=rf"lib/reply_cache\.lua:{number}: attempt to conc"):
            d.pop("a")


def test_an_error_behind_arguments_that_went_ahead(
    server: Any, failing: Callable[[str, str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = failing("dict/update", "local done")
    monkeypatch.setattr(staged, "MAX_ARGS", 8)
    with RedisManager(server.url) as manager:
        d = manager.dict()
        with pytest.raises(InternalError, match=rf"dict/update\.lua:{number}: attempt to conc"):
            d.update({str(n): n for n in range(20)})


def test_an_error_that_is_no_fault_of_a_script_names_no_line(server: Any) -> None:
    with RedisManager(server.url) as manager:
        d = manager.dict(a=1)
        keys = d._handle.keys
        server.command("DEL", keys.data)
        server.command("SET", keys.data, "of another program")
        with pytest.raises(BadPayload, match="by another program.*WRONGTYPE") as caught:
            d.pop("a")
        assert not re.search(r"\w+/\w+|\.lua|user_script", str(caught.value))
        server.command("DEL", keys.data)


def test_a_put_without_its_arguments_is_refused(server: Any) -> None:
    """It was answered as if it had been done."""
    with RedisManager(server.url) as manager:
        q = manager.Queue()
        with pytest.raises(TypeError, match="the script queue/put takes at least 3 arguments"):
            send._put.run_once(q._handle, b"0")
        assert q.qsize() == 0
