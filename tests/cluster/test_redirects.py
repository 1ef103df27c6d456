"""MOVED and ASK, as text and in packed requests."""

from __future__ import annotations

import pytest

from multihost.wire.link.cluster.redirects import asks, key_of, prefix_of, redirected, with_asking
from multihost.wire.link.resp import pack, pack_all
from multihost.wire.replies import ReplyError

GET, SET = (b"GET", b"{n:01}:a"), (b"SET", b"{n:01}:a", b"*1\r\n$3\r\nFOO\r\n")
MULTI, EXEC = (b"MULTI",), (b"EXEC",)
ASK = ReplyError("ASK 7 10.0.0.2:2")
ABORTED = ReplyError("EXECABORT Transaction discarded because of previous errors.")
ASKING = pack((b"ASKING",))


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("MOVED 7 10.0.0.2:6380", ("10.0.0.2", 6380)),
        ("ASK 7 some.host.example:6380", ("some.host.example", 6380)),
        ("MOVED 7 :6380", ("asked", 6380)),
        ("MOVED 7 ?:6380", ("asked", 6380)),
        ("MOVED 7 fe80::1:6380", ("fe80::1", 6380)),
        ("MOVED 7 [fe80::1]:6380", ("fe80::1", 6380)),
        ("EXECABORT Transaction discarded because of: MOVED 7 h:1", ("h", 1)),
    ],
)
def test_where_a_redirect_leads(text: str, node: tuple[str, int]) -> None:
    assert redirected(ReplyError(text), ("asked", 1), lambda each: each) == node
    assert redirected(ReplyError(text), ("asked", 1), lambda each: ("x", each[1] + 1)) == (
        "x",
        node[1] + 1,
    )


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (GET, b"{n:01}:a"),
        ((b"EVALSHA", b"0" * 40, b"1", b"{n:01}:a", b"{n:02}:b"), b"{n:01}:a"),
        ((b"eval", b"return 1", b"0", b"x"), None),
        ((b"MEMORY", b"USAGE", b"{n:01}:a"), b"{n:01}:a"),
        ((b"PING",), None),
        ((b"SCAN", b"0"), None),
    ],
)
def test_the_key_of_a_command(command: tuple[bytes, ...], key: bytes | None) -> None:
    assert key_of(command) == key


def test_the_partition_of_a_key() -> None:
    assert prefix_of(b"{n:01}:n:a}:b") == b"{n:01}:"


def test_each_command_is_asked_for_but_a_transaction_once() -> None:
    packed, own = with_asking(pack_all([GET, SET, MULTI, SET, GET, EXEC, GET]))
    assert packed == b"".join(
        [
            *(ASKING, pack(GET), ASKING, pack(SET)),
            *(ASKING, pack(MULTI), pack(SET), pack(GET), pack(EXEC)),
            *(ASKING, pack(GET)),
        ]
    )
    assert own == [1, 3, 5, 6, 7, 8, 10]


def test_only_what_was_asked_for_as_a_whole_goes_elsewhere() -> None:
    """What one server has must not be done at the other, where the key is not there yet."""
    two, transaction = pack_all([GET, SET]), pack_all([MULTI, SET, GET, EXEC])
    assert asks(two, [ASK, ASK]) is ASK
    assert asks(two, [ASK, b"OK"]) is None
    assert asks(two, [b"value", ASK]) is None
    assert asks(two, [ASK, ReplyError("TRYAGAIN")]) is None
    assert asks(transaction, [b"OK", ASK, ASK, ABORTED]) is ASK
    assert asks(transaction, [b"OK", b"QUEUED", ASK, ABORTED]) is None
    assert asks(transaction, [b"OK", b"QUEUED", b"QUEUED", ASK]) is ASK
    assert asks(transaction, [b"OK", b"QUEUED", b"QUEUED", [b"OK", b"1"]]) is None
    assert asks(transaction, [b"OK", ReplyError("TRYAGAIN"), ASK, ABORTED]) is None
