"""The loader of Lua files: a header that does not match the code is refused."""

from __future__ import annotations

import pytest

from multihost.wire.script import Script, check, source
from multihost.wire.script.header import parse
from multihost.wire.script.source import BadScript, expand

GOOD = """\
-- dict/do: do something.
--
-- KEYS
--   reply_cache  string  last request of the connection and its reply
--   data    hash    the dict
--   data:index  zset  its order
-- ARGV
--   request  int    number of the request
--   field    bytes  canonical key
--   values...  bytes  encoded values
-- RETURNS  '.'
-- ERRORS   GONE

-- @include lib/reply_cache
local reply_cache, data = KEYS[1], KEYS[2]
local request, field = ARGV[1], ARGV[2]

redis.call('HSET', data, field, ARGV[3])
return reply_cache
"""


def changed(*changes: tuple[str, str]) -> str:
    text = GOOD
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_a_good_header_is_read() -> None:
    header = parse("dict/do", GOOD)
    assert header.summary == "do something."
    assert header.keys == ("reply_cache", "data", "data:index")
    assert header.args == ("request", "field", "values...")
    assert header.writes


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ([("-- dict/do: do something.\n", "")], "first line"),
        ([("dict/do:", "dict/other:")], "first line"),
        ([("-- KEYS\n", "--\n")], "no KEYS"),
        ([("-- ARGV\n", "--\n")], "no ARGV"),
        ([("-- RETURNS  '.'\n", "")], "no RETURNS"),
        ([("-- ERRORS   GONE\n", "")], "no ERRORS"),
        # bindings
        ([("KEYS[1], KEYS[2]", "KEYS[2], KEYS[1]")], "out of order"),
        ([("ARGV[1], ARGV[2]", "ARGV[1], ARGV[3]")], "out of order"),
        ([("local reply_cache, data = KEYS[1], KEYS[2]\n", "")], "KEYS"),
        ([("reply_cache, data = KEYS[1], KEYS[2]", "reply_cache = KEYS[1]")], "names KEYS"),
        ([("reply_cache, data = ", "data, reply_cache = ")], "names KEYS"),
        ([("request, field = ", "field, request = ")], "names ARGV"),
        ([("--   field    bytes  canonical key\n", "")], "names ARGV"),
        ([("local request, field = ARGV[1], ARGV[2]\n", "")], "names ARGV"),
        # outside
        ([("return reply_cache", "return KEYS[1]")], "KEYS is used outside"),
        ([("return reply_cache", "return #KEYS")], "KEYS is used outside"),
        (
            [("--   values...  bytes  encoded values\n", "")],
            "ARGV is used outside",
        ),
        # the reply cache and the request
        (
            [("--   reply_cache  string  last request of the connection and its reply\n", ""),
             ("local reply_cache, data = KEYS[1], KEYS[2]", "local data = KEYS[1]"),
             ("return reply_cache", "return 1")],
            "reply_cache and request",
        ),
        (
            [("--   request  int    number of the request\n", ""),
             ("local request, field = ARGV[1], ARGV[2]", "local field = ARGV[1]")],
            "reply_cache and request",
        ),
        (
            [("--   request  int    number of the request\n--   field    bytes  canonical key\n",
              "--   field    bytes  canonical key\n--   request  int    number of the request\n"),
             ("local request, field =", "local field, request =")],
            "reply_cache and request",
        ),
    ],
)  # fmt: skip
def test_a_broken_header_is_refused(changes: list[tuple[str, str]], why: str) -> None:
    with pytest.raises(BadScript, match=why) as caught:
        parse("dict/do", changed(*changes))
    assert str(caught.value).startswith("dict/do.lua: ")


@pytest.mark.parametrize("first", ["ARGV", "KEYS", "RETURNS", "ERRORS"])
def test_sections_out_of_order_are_refused(first: str) -> None:
    """KEYS, ARGV, RETURNS, ERRORS: whoever reads many of them finds each at its place."""
    head, _, body = GOOD.partition("\n\n")
    lines = head.splitlines()
    starts = [n for n, line in enumerate(lines) if line[3:].split(" ")[0].isupper()]
    parts = [lines[a:b] for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    moved = sorted(parts, key=lambda part: part[0].startswith(f"-- {first}"))
    text = "\n".join(lines[: starts[0]] + [line for part in moved for line in part])
    if moved == parts:
        parse("dict/do", f"{text}\n\n{body}")
        return
    with pytest.raises(BadScript, match="order"):
        parse("dict/do", f"{text}\n\n{body}")


def test_a_derived_key_must_be_named() -> None:
    parse("dict/do", GOOD, "redis.call('ZADD', data .. ':index', 1, 'x')")
    with pytest.raises(BadScript, match="data:originals"):
        parse("dict/do", GOOD, "redis.call('HSET', data .. ':originals', 'x', 'y')")


def test_a_script_that_reads_needs_no_reply_key() -> None:
    text = changed(
        ("--   reply_cache  string  last request of the connection and its reply\n", ""),
        ("--   request  int    number of the request\n", ""),
        ("local reply_cache, data = KEYS[1], KEYS[2]", "local data = KEYS[1]"),
        ("local request, field = ARGV[1], ARGV[2]", "local field = ARGV[1]"),
        ("ARGV[3]", "ARGV[2]"),
        ("return reply_cache", "return 1"),
    )
    assert not parse("dict/do", text).writes


# -- includes


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Lua files by name, in place of those of the package."""
    files: dict[str, str] = {}
    monkeypatch.setattr(source, "_read", files.__getitem__)
    return files


FLAGS = "--!df flags=allow-undeclared-keys\n"  # as Dragonfly spells it


def test_includes_are_put_in_once_and_comments_left_out(tree: dict[str, str]) -> None:
    tree["dict/do"] = "-- head\n-- @include lib/a\n-- @include lib/b\nbody()\n"
    tree["lib/a"] = "-- about a\na()\n"
    tree["lib/b"] = "-- @include lib/a\nb()\n  -- indented comment\n\n"
    assert expand("dict/do").code == FLAGS + "a()\nb()\nbody()\n"


@pytest.mark.parametrize(
    "files",
    [
        {"dict/do": "-- @include lib/a", "lib/a": "-- @include lib/a"},
        {
            "dict/do": "-- @include lib/a",
            "lib/a": "-- @include lib/b",
            "lib/b": "-- @include lib/a",
        },
        {
            "dict/do": "if x then\n  -- @include lib/a\nend",
            "lib/a": "if x then\n  -- @include lib/a\nend",
        },
    ],
)
def test_a_cycle_of_includes_is_refused(tree: dict[str, str], files: dict[str, str]) -> None:
    tree.update(files)
    with pytest.raises(BadScript, match="cycle.*lib/a"):
        expand("dict/do")


def test_a_script_is_read_at_its_first_call(tree: dict[str, str]) -> None:
    tree["dict/do"] = GOOD
    script = Script("dict/do")
    with pytest.raises(KeyError):
        _ = script.source  # lib/reply_cache is missing
    tree["lib/reply_cache"] = "local once\n"
    tree["dict/do"] = GOOD
    code = script.source
    tree["dict/do"] = "changed"
    assert script.source is code
    assert script.header.summary == "do something."
    assert len(script.sha) == 40


def test_a_broken_script_is_not_sent(tree: dict[str, str]) -> None:
    tree["lib/reply_cache"] = ""
    tree["dict/do"] = GOOD.replace("KEYS[1], KEYS[2]", "KEYS[2], KEYS[1]")
    with pytest.raises(BadScript):
        _ = Script("dict/do").header


def test_the_checker_counts_and_names_what_is_broken(
    tree: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "all_names", lambda: ["dict/do", "dict/bad"])
    tree.update({"dict/do": GOOD, "dict/bad": "return 1", "lib/reply_cache": ""})
    assert check.main() == 1
    said = capsys.readouterr()
    assert said.out == "2 scripts, 1 with a broken header\n"
    assert "dict/bad.lua: the first line" in said.err
