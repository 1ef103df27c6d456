"""Each way in which a key of the protocol can be damaged, by whoever may write to the server."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from multihost.wire import keys

__all__ = [
    "VALUES",
    "Harm",
    "batches",
    "fields_of_the_protocol",
    "harms",
    "keys_of_row",
    "spoilt",
    "with_key",
]

STEP = int(os.environ.get("MULTIHOST_DAMAGE", "16"))
"""Each so many-th batch is done. ``make damage`` does all."""

LUA = Path(keys.__file__).parent / "lua" / "lib"

Command = tuple[str | bytes | int, ...]

VALUES: dict[str, bytes] = {
    "empty": b"",
    "not UTF-8": b"\xff\xfe\x80.1",
    "one word": b"x",
    "a count": b"999999999",
    "huge": b"9" * 400,
    "negative": b"-7",
    "infinite": b"1e999",
    "JSON": b'[{"a": [',
    "null": b"null",
    "escapes": b"\x1b]0;PWNED\x07\n\xe2\x80\xae.1.a b c",
    "long": b"a" * 100_000,
}
"""What stands in the place of what was stored."""

OTHER_TYPES: dict[str, Command] = {
    "string": ("SET", "KEY", "x"),
    "list": ("RPUSH", "KEY", "x", b"\xff"),
    "hash": ("HSET", "KEY", "x", b"\xff"),
    "set": ("SADD", "KEY", "x", b"\xff"),
    "zset": ("ZADD", "KEY", "1", b"\xff"),
}


class Harm(NamedTuple):
    """One way to damage one key."""

    what: str
    commands: tuple[Command, ...]


def spoilt(value: bytes) -> Iterator[tuple[str, bytes]]:
    """What may stand in the place of a value."""
    yield from VALUES.items()
    yield "truncated", value[: len(value) // 2]
    yield "more words", value + b" x y z"


def with_key(command: Iterable[str | bytes], key: bytes) -> tuple[str | bytes, ...]:
    """Return a command with a key in the place of ``KEY``. Other words may be bytes."""
    return tuple(key if isinstance(word, str) and word == "KEY" else word for word in command)


def harms(server: Any, key: bytes, spared: bytes = b"well") -> Iterator[Harm]:
    """Every way to damage a key; of one that several objects share, not what ``spared`` is in."""
    kind = server.command("TYPE", key)
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    content = {
        "hash": _of_hash,
        "list": _of_list,
        "set": _of_set,
        "zset": _of_zset,
        "string": _of_string,
    }[kind]
    yield from content(server, key, spared)
    if key.endswith((b":names", b":hosts")):
        return  # everything would be gone: nothing else could be shown
    yield Harm("deleted", (("DEL", key),))
    for other, command in OTHER_TYPES.items():
        if other != kind:
            made = with_key(command, key)
            yield Harm(f"a {other}", (("DEL", key), made))


def batches(server: Any, keys: list[bytes]) -> Iterator[tuple[int, list[Harm]]]:
    """Of each key one harm after the other, numbered. What differs from key to key comes in one
    batch.
    """
    harmed = [list(harms(server, key)) for key in keys]
    for turn, batch in enumerate(itertools.zip_longest(*harmed)):
        if turn % STEP == 0:
            yield turn, [harm for harm in batch if harm is not None]


def _of_string(server: Any, key: bytes, _: bytes) -> Iterator[Harm]:
    for what, value in spoilt(server.command("GET", key)):
        yield Harm(what, (("SET", key, value, "KEEPTTL"),))


def _of_hash(server: Any, key: bytes, spared: bytes) -> Iterator[Harm]:
    flat = server.command("HGETALL", key)
    content = dict(zip(flat[0::2], flat[1::2], strict=True))
    prefixes = {field[:2] for field in content if field[1:2] == b":"}
    for field, stored in content.items():
        if spared in field:
            continue
        name = field.decode("utf-8", "replace")
        yield Harm(f"{name!r} deleted", (("HDEL", key, field),))
        for what, value in spoilt(stored):
            yield Harm(f"{name!r} {what}", (("HSET", key, field, value),))
    for prefix in sorted({b"", *prefixes}):
        for what, value in VALUES.items():
            name = (prefix + value).decode("utf-8", "replace")[:30]
            for stored in (b"1", b"\xff"):
                commands = (("HSET", key, prefix + value, stored),)
                yield Harm(f"a field {name!r} ({what}) with {stored!r}", commands)


def _of_list(server: Any, key: bytes, _: bytes) -> Iterator[Harm]:
    content = server.command("LRANGE", key, 0, -1)
    for index, stored in enumerate(content):
        for what, value in spoilt(stored):
            yield Harm(f"[{index}] {what}", (("LSET", key, index, value),))


def _of_set(server: Any, key: bytes, _: bytes) -> Iterator[Harm]:
    content = server.command("SMEMBERS", key)
    for what, value in spoilt(content[0]):
        yield Harm(f"with one {what}", (("SADD", key, value),))
        yield Harm(f"only one {what}", (("SREM", key, *content), ("SADD", key, value)))


def _of_zset(server: Any, key: bytes, _: bytes) -> Iterator[Harm]:
    content = server.command("ZRANGE", key, 0, -1)
    for what, value in spoilt(content[-1]):
        yield Harm(f"with one {what}", (("ZADD", key, "0.5", value),))
    for score in ("-inf", "inf", "1e300", "-1"):
        yield Harm(f"score {score}", (("ZADD", key, score, content[-1]),))


# -- what there is, by the protocol


def keys_of_row(row: str, namespace: str, all_keys: list[bytes]) -> list[bytes]:
    """The keys that are of a row of ``LAYOUT``."""
    data = r"\{namespace:NN\}:[nuh]:[^:]+"
    pattern = re.escape(row).replace(r"\{namespace", "{namespace").replace("NN\\}", "NN}")
    pattern = pattern.replace("{namespace:NN}", r"\{namespace:NN\}")
    pattern = pattern.replace("{namespace:00}", r"\{namespace:00\}")
    pattern = re.sub(r"^data", lambda _: data, pattern)
    pattern = re.sub(r"<session>\\.<n>|<[^>]*>", "[^:]+", pattern)
    pattern = pattern.replace("namespace", re.escape(namespace)).replace("NN", r"\d\d")
    matched = re.compile(pattern.encode())
    return [key for key in all_keys if matched.fullmatch(key)]


def fields_of_the_protocol() -> Iterator[tuple[str, str, str]]:
    """Fragment, name and field of each field of a hash."""
    for path in sorted(LUA.glob("*_fields.lua")):
        text = path.read_text("utf-8")
        # What stands below "Values" is what fields hold.
        fields = re.split(r"^-- Values", text, flags=re.MULTILINE)[0]
        for name, field in re.findall(r"^local (\w+) = '([^']*)'", fields, re.MULTILINE):
            yield path.stem.removesuffix("_fields"), name, field
