"""What can be an authkey, what is derived from it, and where it is not shown."""

from __future__ import annotations

import array
import hashlib
import multiprocessing
import os
import pickle
import secrets
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from multihost import Manager, RedisManager, SyncManager
from multihost.cli import run
from multihost.wire import authkey
from multihost.wire.authkey import check_authkey, stretched
from multihost.wire.values.signing import SigningKey

KEY = b"a key that is a text"


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authkey, "_warned", False)


# -- what can be one


@pytest.mark.parametrize("good", [KEY, bytearray(KEY), memoryview(KEY), array.array("B", KEY)])
def test_bytes_like_keys(good: Any) -> None:
    assert check_authkey(good) == KEY


@pytest.mark.parametrize("bad", [0, 32, "text", [1, 2], 1.5, object()])
def test_other_types_are_refused(bad: Any, url: str) -> None:
    for make in (
        lambda: SyncManager(authkey=bad),
        lambda: SyncManager(("127.0.0.1", 0), authkey=bad),
        lambda: RedisManager(url, authkey=bad),
    ):
        with pytest.raises(TypeError, match=f"an authkey is bytes, not {type(bad).__name__}"):
            make()


@pytest.mark.parametrize("empty", [b"", bytearray()])
def test_an_empty_key_is_refused(empty: Any, url: str) -> None:
    for make in (
        lambda: SyncManager(authkey=empty),
        lambda: SyncManager("/nowhere/socket", authkey=empty),
        lambda: RedisManager(url, authkey=empty),
    ):
        with pytest.raises(ValueError, match="the authkey is empty: make one with"):
            make()


@pytest.mark.parametrize("content", ["", "\n", "\r\n"])
def test_an_empty_key_of_the_command_line_is_refused(
    content: str,
    url: str,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    assert run(["ls", url, "--authkey-file", str(file)]) == 2
    assert f"{file}: the authkey is empty" in capsys.readouterr().err
    monkeypatch.setenv("MULTIHOST_AUTHKEY", "")
    assert run(["ls", url]) == 2
    assert "MULTIHOST_AUTHKEY: the authkey is empty" in capsys.readouterr().err


def test_a_short_key_is_warned_of_once() -> None:
    def make() -> None:
        for key in (b"abracadabra", b"sesame", b"x"):
            SyncManager(authkey=key)

    with pytest.warns(UserWarning, match="less than 16 bytes") as seen:
        make()
    assert [str(each.filename) for each in seen] == [__file__]
    assert "abracadabra" not in str(seen[0].message)


def test_the_keys_of_multiprocessing_are_not_warned_of(url: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Manager() as manager:
            manager.dict(a=1)
        with SyncManager(authkey=multiprocessing.current_process().authkey):
            pass
        with RedisManager(url, authkey=secrets.token_hex(8).encode()):
            pass


# -- what derives from it


@pytest.mark.parametrize(
    "weak", [b"abracadabra", b"word " * 20, "ü".encode() * 16, b"\xff" * 31, b"0" * 64]
)
def test_what_a_person_may_have_chosen_is_stretched(
    weak: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []

    def scrypt(*args: Any, **kwargs: Any) -> bytes:
        used.append(128 * kwargs["n"] * kwargs["r"] * kwargs["p"])
        return derive(*args, **kwargs)

    derive = hashlib.scrypt
    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    key = stretched.__wrapped__(weak)
    assert sum(used) >= 16 << 20, "bytes that each try has to go through"
    assert len(key) == 32
    assert key != weak


def test_it_is_the_same_everywhere() -> None:
    """Programs of two releases meet here: it changes only with the data format."""
    assert (
        stretched(b"abracadabra").hex()
        == "923063750c96197bb42362948fd83d2bbfb5c288fb4cbabfe5a90f2a55de9b33"
    )


def test_random_keys_are_not_stretched() -> None:
    key = b"\xff" + os.urandom(31)
    assert stretched(key) == key


def test_a_key_is_stretched_once_in_a_process(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []
    scrypt = authkey.hashlib.scrypt

    def counted(key: bytes, **options: Any) -> bytes:
        calls.append(key)
        return scrypt(key, **options)

    monkeypatch.setattr(authkey.hashlib, "scrypt", counted)
    key = b"a key of only this test"
    for _ in range(3):
        with RedisManager(url, authkey=key) as manager:
            manager.dict(a=1)
    with SyncManager(("127.0.0.1", 0), authkey=key) as manager:
        other = SyncManager(manager.address, authkey=key)
        other.connect()
        other.shutdown()
    assert calls == [key]


def fingerprint(key: bytes) -> bytes:
    return SigningKey(key, "multihost").fingerprint.encode()


def test_the_fingerprint_in_a_pickle_is_that_of_the_stretched_key(url: str) -> None:
    with RedisManager(url, authkey=KEY) as manager:
        proxy = manager.dict(a=1)
        pickled = pickle.dumps(proxy)
        assert fingerprint(KEY) not in pickled, "to be tried at the speed of a hash"
        assert fingerprint(stretched(KEY)) in pickled


# -- where it does not show


def members(thing: Any, seen: set[int]) -> Iterator[Any]:
    """All that objects of the package refer to by their attributes."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    yield thing
    inner: list[Any] = list(vars(thing).values()) if hasattr(thing, "__dict__") else []
    if isinstance(thing, (tuple, list)):
        inner += thing
    for each in inner:
        if type(each).__module__.startswith("multihost") or isinstance(each, (tuple, list)):
            yield from members(each, seen)


@pytest.mark.parametrize("where", ["url", "port", "private"])
def test_no_vars_show_it(where: str, url: str) -> None:
    made = {
        "url": lambda: RedisManager(url, authkey=KEY),
        "port": lambda: SyncManager(("127.0.0.1", 0), authkey=KEY),
        "private": lambda: SyncManager(authkey=KEY),
    }[where]()
    if where != "url":
        made.start()
    with made as manager:
        proxy = manager.dict(a=1)
        session = manager.runtime.session
        assert session is not None
        derived = bytes(stretched(KEY)), bytes(SigningKey(stretched(KEY), "multihost")._key)
        hidden = [repr(key)[2:-1] for key in (KEY, *derived) if key]
        hidden += [key.hex() for key in (KEY, *derived) if key]
        seen = list(members([manager, proxy, session, session.link], set()))
        assert len(seen) > 20
        for thing in seen:
            shown = f"{thing} {thing!r}"
            if hasattr(thing, "__dict__"):
                shown += f"{vars(thing)} {vars(thing)!r}"
            assert not [key for key in hidden if key in shown], type(thing)
