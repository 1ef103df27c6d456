"""Calls of scripts: what is sent, what is refused before, what an error says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import hiredis
import pytest

from multihost import errors
from multihost.wire.keys import Keys
from multihost.wire.link import Link
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script, source, transaction
from multihost.wire.script import staged as staged_module
from multihost.wire.script.script import CommandPrefix
from tests.unit.fake_channel import FakeChannel, make_link

FILES = {
    "type/write": """\
-- type/write: change something.
--
-- KEYS
--   reply_cache  string  the last request
--   data        hash    the object
--   names       hash    the names
--   data:index  zset    derived
-- ARGV
--   request   int    its number
--   field     bytes  which
--   values... bytes  any number
-- RETURNS  '.'
-- ERRORS   none

local reply_cache, data, names = KEYS[1], KEYS[2], KEYS[3]
local request, field = ARGV[1], ARGV[2]

-- @include lib/part
return fail(data)
""",
    "type/read": """\
-- type/read: read something. May be repeated.
--
-- KEYS
--   data  hash  the object
-- ARGV
--   field  bytes  which
--   count  int    how many
-- RETURNS  '.'
-- ERRORS   none

local data = KEYS[1]
local field, count = ARGV[1], ARGV[2]

return redis.call('HGET', data, field)
""",
    "type/bare": """\
-- type/bare: take no arguments. May be repeated.
--
-- KEYS
--   data  hash  the object
-- ARGV
-- RETURNS  '.'
-- ERRORS   none

local data = KEYS[1]
return data
""",
    "lib/part": """\
-- lib/part: a fragment.

-- It fails.
local function fail(data)
  return data .. nil
end
""",
    "lib/staged": "-- lib/staged: in front.\n\nlocal ARGV = {}\n",
}


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_read", FILES.__getitem__)


class Target:
    def __init__(self, link: Link, ident: str = "n:x") -> None:
        self.link = link
        self.keys = Keys("ns", ident)
        self.command_prefixes: dict[tuple[Script, int], CommandPrefix] = {}


def sent(channel: FakeChannel) -> list[list[bytes]]:
    reader = hiredis.Reader()
    reader.feed(b"".join(channel.requests))
    commands = []
    while (command := reader.gets()) is not False:
        commands.append(command)
    return commands


WRITE, READ, BARE = "type/write", "type/read", "type/bare"

WRONG: dict[str, tuple[str, Callable[[Script, Target], Any], str]] = {
    "once, too few": (
        WRITE,
        lambda script, target: script.run_once(target),
        r"the script type/write takes at least 1 argument \(field, values...\), not 0",
    ),
    "once, too many for a reader": (
        READ,
        lambda script, target: script.run_once(target, b"1", b"2", b"3"),
        r"takes 2 arguments \(field, count\), not 3",
    ),
    "once, far too many": (
        READ,
        lambda script, target: script.run_once(target, *[b"x"] * 50),
        "takes 2 arguments .*, not 50",
    ),
    "idempotent, too few": (
        READ,
        lambda script, target: script.run_idempotent(target, b"1"),
        "takes 2 arguments .*, not 1",
    ),
    "idempotent, none wanted": (
        BARE,
        lambda script, target: script.run_idempotent(target, b"1"),
        "type/bare takes 0 arguments, not 1",
    ),
    "readonly, too few": (
        READ,
        lambda script, target: script.run_readonly(target.link, [b"k"], b"1"),
        "takes 2 arguments",
    ),
    "readonly, too many keys": (
        READ,
        lambda script, target: script.run_readonly(target.link, [b"k", b"l"], b"1", b"2"),
        r"takes 1 key \(data\), not 2",
    ),
    "readonly, no key": (
        BARE,
        lambda script, target: script.run_readonly(target.link, []),
        "takes 1 key .*, not 0",
    ),
    "pack_request": (
        WRITE,
        lambda script, target: script.pack_request(target, target.link.peek(), ()),
        "at least 1 argument",
    ),
    "pack_request of a reader": (
        READ,
        lambda script, target: script.pack_request(target, target.link.peek(), ()),
        "takes 2 arguments",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_call_with_the_wrong_number_sends_nothing(case: str) -> None:
    name, call, message = WRONG[case]
    channel = FakeChannel()
    target = Target(make_link(channel))
    script = Script(name)
    for _ in range(2):  # it is not stored that the call was wrong
        with pytest.raises(TypeError, match=message) as caught:
            call(script, target)
        assert "nothing was sent" in str(caught.value)
    assert channel.requests == []
    assert len(target.link._connections) <= 1, "the connection was checked in"
    assert target.link.peek().sequence == 0


def test_arguments_that_would_be_staged_are_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_module, "MAX_BYTES", 10)
    channel = FakeChannel()
    target = Target(make_link(channel))
    script = Script(READ)
    with pytest.raises(TypeError, match="takes 2 arguments"):
        script.run_once(target, *[b"long"] * 9)
    assert channel.requests == []


def test_a_decision_with_the_wrong_number_of_arguments_changes_nothing() -> None:
    channel = FakeChannel(b"OK", [])
    target = Target(make_link(channel))
    with pytest.raises(TypeError, match="at least 1 argument"):
        Script(WRITE).run_watching(target, (b"GET", b"k"), lambda reply: ())
    assert [command[0] for command in sent(channel)] == [b"WATCH", b"GET", b"UNWATCH"]
    assert len(target.link._threads.free) == 1


@pytest.mark.parametrize("count", [1, 2, 6, 7, 50])
def test_a_script_that_writes_has_reply_key_and_number(count: int) -> None:
    channel = FakeChannel()
    target = Target(make_link(channel))
    script = Script(WRITE)
    args = [b"%d" % n for n in range(count)]
    for number in (1, 2):
        channel.requests.clear()
        assert script.run_once(target, *args) == b"OK"
        connection = target.link.peek()
        assert sent(channel) == [
            [
                b"EVALSHA",
                script.sha,
                b"3",
                target.keys.prefix + connection.name,
                target.keys.data,
                target.keys.names,
                b"%012d" % number,
                *args,
            ]
        ]


def test_an_unknown_script_is_sent_with_the_same_number() -> None:
    channel = FakeChannel(ReplyError("NOSCRIPT no"), b".")
    target = Target(make_link(channel))
    script = Script(WRITE)
    assert script.run_once(target, b"f") == b"."
    by_digest, whole = sent(channel)
    assert whole == [b"EVAL", script.source, *by_digest[2:]]


@pytest.mark.parametrize("way", ["idempotent", "once", "readonly"])
def test_an_unknown_script_that_reads_is_sent(way: str) -> None:
    channel = FakeChannel(ReplyError("NOSCRIPT no"), b"1")
    target = Target(make_link(channel))
    script = Script(READ)
    if way == "readonly":
        assert script.run_readonly(target.link, [target.keys.data], b"f", b"1") == b"1"
    else:
        assert getattr(script, f"run_{way}")(target, b"f", b"1") == b"1"
    by_digest, whole = sent(channel)
    assert by_digest == [b"EVALSHA", script.sha, b"1", target.keys.data, b"f", b"1"]
    assert whole == [b"EVAL", script.source, *by_digest[2:]]


# -- prefixes


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Script]:
    """Each building of a prefix."""
    found: list[Script] = []
    build = Script._command_prefix

    def counted(self: Script, target: Any, args: int) -> CommandPrefix:
        found.append(self)
        return build(self, target, args)

    monkeypatch.setattr(Script, "_command_prefix", counted)
    return found


def test_threads_that_use_one_object_in_turn_share_the_prefix(builds: list[Script]) -> None:
    script, channels = Script(WRITE), [FakeChannel(), FakeChannel()]
    target = Target(make_link(*channels))
    turns = threading.Barrier(2)

    def work(even: int) -> None:
        for turn in range(1000):
            turns.wait()
            if turn % 2 == even:
                script.run_once(target, b"f")

    threads = [threading.Thread(target=work, args=(even,)) for even in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert len(target.command_prefixes) == 1
    names = set()
    for channel in channels:
        commands = sent(channel)
        names.add(commands[0][3])
        assert [int(command[6]) for command in commands] == list(range(1, 501))
        assert {command[3] for command in commands} == {commands[0][3]}
    assert len(names) == 2, "each thread has a reply key of its own"


def test_what_is_stored_does_not_grow_with_connections_or_calls(builds: list[Script]) -> None:
    script, link = Script(WRITE), make_link()
    target = Target(link)
    connections = [link.checkout() for _ in range(20)]
    for connection in connections:
        for _ in range(10):
            script.pack_request(target, connection, (b"f",))
            script.pack_request(target, connection, (b"f",) * 50)
    assert len(target.command_prefixes) == 1
    assert {len(connection.packed_reply_keys) for connection in connections} == {1}
    idents = [f"n:{number}" for number in range(500)]
    for ident in idents:
        script.pack_request(Target(link, ident), connections[0], (b"f",))
    assert len(connections[0].packed_reply_keys) == 64, "one for each partition"


def test_prefixes_of_one_object_are_not_mixed_up() -> None:
    channel = FakeChannel()
    target = Target(make_link(channel))
    scripts = Script(WRITE), Script(READ)
    for _ in range(2):
        scripts[0].run_once(target, b"f")
        scripts[0].run_once(target, b"f", b"v")
        scripts[1].run_once(target, b"f", b"1")
    assert [command[1] for command in sent(channel)] == 2 * [
        scripts[0].sha,
        scripts[0].sha,
        scripts[1].sha,
    ]
    assert len(target.command_prefixes) == 3


# -- long argument lists


def test_long_arguments_go_ahead_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_module, "MAX_ARGS", 8)
    monkeypatch.setattr(staged_module, "CHUNK_ARGS", 7)
    ok = [b"OK", b"QUEUED", b"QUEUED", [1, 1]]
    ahead, last = FakeChannel(0, *ok, *ok), FakeChannel(b".")
    target = Target(make_link(ahead, last))
    script = Script(WRITE)
    args = [b"%d" % n for n in range(10)]
    assert script.run_once(target, *args) == b"."
    commands = sent(ahead)
    pushed = [part for command in commands if command[0] == b"RPUSH" for part in command[2:]]
    assert pushed == [b"%012d" % 1, *args]
    [command] = sent(last)
    reply_key = target.keys.prefix + target.link.peek().name
    assert command[2:] == [
        b"3", reply_key, target.keys.data, target.keys.names, b"11", b"%012d" % 1
    ]  # fmt: skip
    flags = b"--!df flags=allow-undeclared-keys\n"
    assert command[1] == flags + b"local ARGV = {}\n" + script.source
    assert commands[0] == [b"UNLINK", reply_key + b":args"]


def test_chunks_that_did_not_arrive_once_each_are_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(staged_module, "MAX_ARGS", 8)
    ok = [0, b"OK", b"QUEUED", b"QUEUED", [1, 1]]
    ahead, last = FakeChannel(*ok, *ok), FakeChannel(ReplyError("STAGED no"), b".")
    target = Target(make_link(ahead, last))
    assert Script(WRITE).run_once(target, *[b"x"] * 9) == b"."
    assert [command[-1] for command in sent(last)] == [b"%012d" % 1, b"%012d" % 2]
    assert len([command for command in sent(ahead) if command[0] == b"RPUSH"]) == 2


# -- the guard of a cluster

GUARD = Keys("ns", "n:x").prefix + b"-"

WAYS: dict[str, Callable[[Target], object]] = {
    "once": lambda target: Script(WRITE).run_once(target, b"f"),
    "idempotent": lambda target: Script(READ).run_idempotent(target, b"f", b"1"),
    "readonly": lambda target: Script(READ).run_readonly(
        target.link, [target.keys.data], b"f", b"1"
    ),
    "many": lambda target: Script(READ).run_many(target.link, [([target.keys.data], [b"f", b"1"])]),
    "commands": lambda target: target.link.pipeline_raw(
        Script(READ).commands(target.link, [([target.keys.data], [b"f", b"1"])] * 2)
    ),
    "watching": lambda target: Script(WRITE).run_watching(
        target, (b"GET", target.keys.data), lambda _: [b"f"]
    ),
    "staged": lambda target: Script(WRITE).run_once(target, *[b"x"] * 9),
}


@pytest.mark.parametrize(
    ("way", "knows"),
    [*((way, True) for way in WAYS), *((way, False) for way in WAYS if way != "watching")],
)
def test_each_call_of_a_guarded_link_declares_the_guard_last(
    way: str, knows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_module, "MAX_ARGS", 8)

    class Server(FakeChannel):
        """Answers each command, and knows no script that it was not sent."""

        def exchange(self, request: bytes) -> Any:
            return self.exchange_many(request, 1)[-1]

        def exchange_many(self, requests: bytes, count: int) -> list[Any]:
            already = len(sent(self))
            self.requests.append(requests)
            replies = [self.answer(command) for command in sent(self)[already:]]
            return replies[-count:]

        def answer(self, command: list[bytes]) -> Any:
            unknown = not knows and command[0] == b"EVALSHA"
            if command[0] == b"EXEC":
                return [b"."]
            return ReplyError("NOSCRIPT no such script") if unknown else b"."

    channels = Server(), Server()
    link = make_link(*channels)
    link.guarded = True
    target = Target(link)
    WAYS[way](target)
    commands = [command for channel in channels for command in sent(channel)]
    calls = [command for command in commands if command[0] in (b"EVAL", b"EVALSHA")]
    assert calls
    for command in calls:
        end = 3 + int(command[2])
        assert command[end - 1] == GUARD
        assert command.count(GUARD) == 1
        assert target.keys.data in command[3:end]


def test_each_partition_of_a_cluster_is_brought_the_source() -> None:
    """They may be at several nodes."""
    link = make_link(FakeChannel())
    keys = [Keys("ns", f"n:{name}") for name in ("x", "y", "x")]
    assert keys[0].prefix != keys[1].prefix
    calls = [((each.data,), (b"f", b"1")) for each in keys]
    assert [c[0] for c in Script(READ).commands(link, calls)] == [b"EVAL", b"EVALSHA", b"EVALSHA"]
    link.guarded = True
    assert [c[0] for c in Script(READ).commands(link, calls)] == [b"EVAL", b"EVAL", b"EVALSHA"]


# -- errors


SHA = "@SHA@"
FORMATS = {
    "Redis 6.2": f"ERR Error running script (call to f_{SHA}): @user_script:{{line}}: "
    "user_script:{line}: {what}",
    "Redis 7": f"ERR user_script:{{line}}: {{what}} script: {SHA}, on @user_script:{{line}}.",
    "Valkey 9": "ERR user_script:{line}: {what} script: on @user_script:{line}.",
    "fakeredis": f"ERR Error running script (call to f_{SHA}): @user_script:?: "
    '[string "<python>"]:{line}: {what}\nstack traceback:\n\t[string "<python>"]:9: in main chunk',
}


@pytest.mark.parametrize("server", FORMATS)
@pytest.mark.parametrize(
    ("line", "place"),
    [
        (1, "type/write.lua:1"),
        (2, "type/write.lua:15"),
        (3, "type/write.lua:16"),
        (5, "lib/part.lua:5"),
        (7, "type/write.lua:19"),
        (99, "type/write.lua"),
    ],
)
def test_an_error_names_the_line_of_the_file(server: str, line: int, place: str) -> None:
    script = Script(WRITE)
    text = FORMATS[server].format(line=line, what="attempt to concatenate a nil value")
    reply = ReplyError(text.replace(SHA, script.sha.decode()))
    target = Target(make_link(FakeChannel(reply)))
    with pytest.raises(errors.InternalError) as caught:
        script.run_once(target, b"f")
    assert str(caught.value) == (
        f"the type 'x': {place}: attempt to concatenate a nil value (in type/write)"
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "ERR Error running script (call to f_0a): @user_script:4: WRONGTYPE Operation against",
            errors.BadPayload,
        ),
        ("WRONGTYPE Operation against script: 0a, on @user_script:4.", errors.BadPayload),
        ("WRONGTYPE Operation against script: on @user_script:4.", errors.BadPayload),
        (
            "ERR Error running script (call to f_0a): @user_script:4: @user_script: 4: -OOM no",
            errors.ServerFull,
        ),
        ("OOM command not allowed script: 0a, on @user_script:4.", errors.ServerFull),
        (
            "ERR ACL failure in script: User bob has no script: 0a, on @user_script:4.",
            errors.AccessDenied,
        ),
    ],
)
def test_an_error_of_a_command_keeps_its_kind(text: str, kind: type[Exception]) -> None:
    error = Script(WRITE).to_exception(ReplyError(text), "n:x")
    assert type(error) is kind
    assert "user_script" not in str(error)
    if kind is errors.BadPayload:
        assert str(error).endswith("(WRONGTYPE Operation against)")


def test_a_line_of_another_script_is_not_looked_up() -> None:
    text = FORMATS["Redis 7"].format(line=4, what="boom").replace(SHA, "f" * 40)
    assert str(Script(WRITE).to_exception(ReplyError(text), "n:x")) == (
        "the type 'x': line 4 of the script: boom (in type/write)"
    )


def test_a_staged_script_has_more_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_module, "MAX_ARGS", 8)
    text = FORMATS["Redis 7"].format(line=7, what="boom").replace(SHA, "f" * 40)
    target = Target(make_link(FakeChannel(), FakeChannel(ReplyError(text))))
    with pytest.raises(errors.InternalError, match=r"lib/part.lua:5: boom"):
        Script(WRITE).run_once(target, *[b"x"] * 9)


def test_an_error_that_the_script_returns_has_no_line() -> None:
    error = Script(READ).to_exception(ReplyError("GONE the dict does not exist"), "n:x")
    assert type(error) is errors.ObjectGone


# -- transactions


def test_a_transaction_has_the_replies_of_one_moment() -> None:
    channel = FakeChannel(b"OK", b"QUEUED", b"QUEUED", [b"1", [b"2"]])
    link = make_link(channel)
    assert transaction(link, (b"GET", b"a"), (b"LRANGE", b"b", b"0", b"-1")) == [b"1", [b"2"]]
    assert [command[0] for command in sent(channel)] == [b"MULTI", b"GET", b"LRANGE", b"EXEC"]


def test_an_error_in_a_transaction_is_that_of_its_command() -> None:
    channel = FakeChannel(b"OK", b"QUEUED", b"QUEUED", [b"1", ReplyError("WRONGTYPE no")])
    with pytest.raises(errors.BadPayload, match="b: the stored data"):
        transaction(make_link(channel), (b"GET", b"a"), (b"LRANGE", b"b", b"0", b"-1"))


def test_a_full_server_is_read_by_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # with the script as it is
    oom = ReplyError("OOM command not allowed")
    channel = FakeChannel(b"OK", oom, oom, ReplyError("EXECABORT"), [b"1", [b"2"]])
    link = make_link(channel)
    assert transaction(link, (b"GET", b"a"), (b"LRANGE", b"b", b"0", b"-1")) == [b"1", [b"2"]]
    assert sent(channel)[-1][2:] == [
        b"2", b"a", b"b", b"0", b"GET", b"2", b"LRANGE", b"0", b"-1"
    ]  # fmt: skip
