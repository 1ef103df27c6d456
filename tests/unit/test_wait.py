"""Waiting, with a stub for the server: each round, each failure, each way to end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import hiredis
import pytest

from multihost.errors import InternalError, LinkError, LinkLost, ObjectGone, ServerFull
from multihost.wire import wait as module
from multihost.wire.address import Address, Credentials
from multihost.wire.completion import run_or_undo, run_to_completion
from multihost.wire.keys import Keys
from multihost.wire.link import ConnectionBroken, Link, ReplyTimeout, Route
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.wait import BLOCK_GRACE, MAX_BLOCK, WAKE_GRACE, token_pop, wait

ENQUEUE, CLAIM, CANCEL = (Script(f"condition/{name}") for name in ("enqueue", "claim", "cancel"))
KEYS = Keys("ns", "n:x")
POP = [b"BLPOP", KEYS.tokens]


class Server:
    """Returns the replies that a test has set, and logs every command."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.log: list[tuple[str, bytes, list[bytes]]] = []
        """Name, request number and arguments of each command."""
        self.replies: dict[str, list[Any]] = {}
        """The next replies for each name; the last one is repeated."""
        self.limits: list[float | None] = []
        self.graces: list[float] = []
        self.refuses = False
        self.names = {script.sha: script.name for script in (ENQUEUE, CLAIM, CANCEL)}
        self.names |= {script.source: script.name for script in (ENQUEUE, CLAIM, CANCEL)}

    def open(self, timeout: float) -> Channel:
        if self.refuses:
            raise ConnectionRefusedError("refused")
        self.channels.append(Channel(self))
        return self.channels[-1]

    def execute(self, args: list[bytes]) -> Any:
        name = args[0].decode()
        number = b""
        if name in ("EVAL", "EVALSHA"):
            name = self.names[args[1]].rpartition("/")[2]
            number = args[3 + int(args[2])]
        self.log.append((name, number, args))
        known = {"PING": "PONG", "enqueue": b".", "BLPOP": None, "claim": None, "cancel": b"."}
        queue = self.replies.get(name)
        if not queue:
            return known.get(name)
        reply = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(reply, BaseException) and not isinstance(reply, ReplyError):
            raise reply
        return reply() if callable(reply) else reply

    def sent(self, name: str) -> list[bytes]:
        """Return the request numbers of the commands of that name."""
        return [number for each, number, _ in self.log if each == name]

    @property
    def names_sent(self) -> list[str]:
        return [name for name, _, _ in self.log]


class Channel:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.loaded_scripts: set[object] = set()
        self.node = None
        self.client_id, self.run = b"", b""
        self.is_closed = False

    def _all(self, requests: bytes) -> list[Any]:
        assert not self.is_closed
        reader = hiredis.Reader()
        reader.feed(requests)
        replies = []
        while (args := reader.gets()) is not False:
            replies.append(self.server.execute(args))
        return replies

    def exchange(self, request: bytes) -> Any:
        [reply] = self._all(request)
        return reply

    def exchange_many(self, requests: bytes, count: int) -> list[Any]:
        return self._all(requests)

    def block(
        self,
        requests: bytes,
        seconds: float | None,
        count: int = 3,
        grace: float = 0.0,
    ) -> list[Any]:
        assert count == 3
        self.server.limits.append(seconds)
        self.server.graces.append(grace)
        replies = self._all(requests)
        return replies[:1] if type(replies[0]) is ReplyError else replies

    def limit(self, seconds: float) -> None:
        pass

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.is_closed = True

    shutdown = close


class Janitor:
    def __init__(self) -> None:
        self.deferred: list[Callable[[], object]] = []

    def defer(self, action: Callable[[], object]) -> None:
        self.deferred.append(action)


class Registration:
    names: ClassVar = {KEYS.prefix: b"sid~1"}


class Session:
    registration = Registration

    def __init__(self) -> None:
        self.janitor = Janitor()


class Handle:
    keys = KEYS
    watched = None

    def __init__(self, link: Link) -> None:
        self.link = link
        self.command_prefixes: dict[Any, Any] = {}
        self.session = Session()


@pytest.fixture
def server() -> Server:
    return Server()


class Clock:
    """The time of a wait, which passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def handle(server: Server) -> Iterator[Any]:
    address = Address("redis", host="nowhere", port=1)
    link = Link(address, Credentials(), reconnect_timeout=30.0, route=Route(server.open))
    yield Handle(link)
    link.close_now()


numbers: list[bytes] = []


def cancel(before: bytes) -> Any:
    numbers.append(before)
    return CANCEL, (b"waiter",)


def wait_for(handle: Any, seconds: float | None = None, **options: Any) -> Any:
    return wait(
        handle,
        seconds,
        (ENQUEUE, (b"waiter",)),
        token_pop(KEYS.tokens),
        (CLAIM, (b"waiter", b"5")),
        cancel,
        **options,
    )


# -- rounds


def test_round_is_one_write_with_the_claim_behind_the_pop(handle: Any, server: Server) -> None:
    server.replies["claim"] = [b"7"]
    assert wait_for(handle) == b"7"
    assert server.names_sent == ["enqueue", "BLPOP", "claim"]
    assert server.log[1][2] == [*POP, b"%.3f" % MAX_BLOCK]
    assert server.limits == [MAX_BLOCK + BLOCK_GRACE]
    assert server.sent("enqueue") < server.sent("claim")
    assert wait_for(handle) == b"7"
    assert len(server.channels) == 1, "on the connection that the thread has anyway"
    assert server.log[3][2][0] == b"EVALSHA", "by then the server knows the script"


def test_claim_that_gets_nothing_begins_another_round(handle: Any, server: Server) -> None:
    server.replies["claim"] = [None, None, b"7"]
    assert wait_for(handle) == b"7"
    numbers = [number for _, number, _ in server.log if number]
    assert len(numbers) == 6
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("seconds", [0, -1, float("-inf")])
def test_wait_without_time_does_not_enqueue(handle: Any, server: Server, seconds: float) -> None:
    assert wait_for(handle, seconds) is None
    assert server.names_sent == ["cancel"]


def test_last_round_ends_by_the_clock_of_the_client(
    handle: Any, server: Server, clock: Clock
) -> None:
    def fall_silent() -> None:
        clock.now += 0.03
        raise ReplyTimeout("silence")

    server.replies["BLPOP"] = [fall_silent]
    assert wait_for(handle, 0.03) is None
    blocked = [float(args[2]) for name, _, args in server.log if name == "BLPOP"]
    assert all(0 < each < 0.03 for each in blocked), "over when the server gets the empty command"
    assert all(limit is not None and 0 < limit <= 0.03 for limit in server.limits)
    assert set(server.graces) == {WAKE_GRACE}, "then the server may take a little longer"
    assert server.names_sent[-1] == "cancel"
    assert server.channels[0].is_closed, "with it the server forgets the pop"


def test_long_waits_are_made_of_several_pops(
    handle: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BLOCK", 0.02)
    server.replies["claim"] = [None, None, b"7"]
    assert wait_for(handle, 60) == b"7"
    assert {args[2] for name, _, args in server.log if name == "BLPOP"} == {b"0.020"}


# -- broken connections


@pytest.mark.parametrize(
    "error", [ConnectionBroken("cut"), ReplyTimeout("silence")], ids=["broken", "late"]
)
def test_claim_is_sent_again_after_a_break(
    handle: Any, server: Server, error: ConnectionBroken
) -> None:
    server.replies["claim"] = [error, b"7"]
    assert wait_for(handle) == b"7"
    assert server.names_sent == ["enqueue", "BLPOP", "claim", "PING", "claim"]
    first, again = server.sent("claim")
    assert first == again, "under its number: it may have been executed"
    assert [channel.is_closed for channel in server.channels] == [True, False]
    assert handle.link.disconnects == 1


def test_repeated_claim_that_gets_nothing_begins_another_round(handle: Any, server: Server) -> None:
    server.replies["claim"] = [ConnectionBroken("cut"), None, b"7"]
    assert wait_for(handle) == b"7"
    first, again, second = server.sent("claim")
    assert first == again < second


def test_claim_is_sent_again_after_several_breaks(handle: Any, server: Server) -> None:
    server.replies["claim"] = [
        ConnectionBroken("cut"),
        ConnectionBroken("cut"),
        ConnectionBroken("cut"),
        b"7",
    ]
    assert wait_for(handle) == b"7"
    assert len(set(server.sent("claim"))) == 1
    assert len(server.sent("enqueue")) == 1


def test_lost_server_is_an_error_and_the_cancel_is_deferred(handle: Any, server: Server) -> None:
    def cut() -> None:
        server.refuses = True
        raise ConnectionBroken("cut")

    handle.link.reconnect_timeout = 0.05
    server.replies["BLPOP"] = [cut]
    with pytest.raises(LinkError):
        wait_for(handle)
    [send] = handle.session.janitor.deferred
    server.refuses = False
    send()
    assert server.names_sent[-1] == "cancel"
    assert server.sent("cancel")[0] > server.sent("claim")[-1] if server.sent("claim") else True


@pytest.mark.usefixtures("clock")
def test_wait_with_a_timeout_reconnects_no_longer_than_that(handle: Any, server: Server) -> None:
    def cut() -> None:
        server.refuses = True
        raise ConnectionBroken("cut")

    server.replies["BLPOP"] = [cut]
    with pytest.raises(LinkError):
        wait_for(handle, 0.05)
    assert handle.session.janitor.deferred


def test_cancel_is_sent_again_after_a_break(handle: Any, server: Server) -> None:
    server.replies["cancel"] = [ConnectionBroken("cut"), b"."]
    assert wait_for(handle, 0) is None
    assert len(server.sent("cancel")) == 2
    assert len(set(server.sent("cancel"))) == 1
    assert not handle.session.janitor.deferred


def test_cancel_does_not_wait_for_a_silent_server(handle: Any, server: Server) -> None:
    server.replies["cancel"] = [ReplyTimeout("silence"), b"."]
    assert wait_for(handle, 0) is None
    assert len(server.sent("cancel")) == 1
    [send] = handle.session.janitor.deferred
    send()
    assert len(set(server.sent("cancel"))) == 1


# -- error replies


def test_an_error_of_the_cancel_names_its_file_and_line(handle: Any, server: Server) -> None:
    server.replies["cancel"] = [
        ReplyError(
            "ERR Error running script (call to f_0a): @user_script:1: attempt to index a nil"
        )
    ]
    with pytest.raises(InternalError, match=r"\.lua:\d+: attempt to index a nil"):
        wait_for(handle, 0)


def test_deleted_object_raises_and_cancels(handle: Any, server: Server) -> None:
    server.replies["enqueue"] = [ReplyError("GONE the semaphore does not exist")]
    with pytest.raises(ObjectGone):
        wait_for(handle)
    assert server.names_sent[-1] == "cancel"


def test_forgotten_scripts_are_loaded_again(handle: Any, server: Server) -> None:
    server.replies["claim"] = [b"1"]
    wait_for(handle)
    server.replies["enqueue"] = [ReplyError("NOSCRIPT"), b"."]
    server.replies["claim"] = [ReplyError("NOSCRIPT"), None, b"7"]
    assert wait_for(handle) == b"7"


@pytest.mark.parametrize("code", ["LOADING", "BUSY", "MASTERDOWN", "READONLY", "UNBLOCKED"])
def test_transient_errors_are_retried(handle: Any, server: Server, code: str) -> None:
    server.replies["BLPOP"] = [ReplyError(f"{code} not now"), None]
    if code != "UNBLOCKED":
        server.replies["enqueue"] = [ReplyError(f"{code} not now"), b"."]
        server.replies["claim"] = [ReplyError(f"{code} not now"), None, b"7"]
    else:  # in a failover: the connection was blocked on what is a replica now
        server.replies["claim"] = [None, b"7"]
    assert wait_for(handle) == b"7"


def test_transient_errors_are_not_retried_for_ever(handle: Any, server: Server) -> None:
    handle.link.reconnect_timeout = 0.05
    error = ReplyError("LOADING the data set")
    server.replies = {name: [error] for name in ("enqueue", "BLPOP", "claim", "cancel")}
    with pytest.raises(LinkError, match="LOADING"):
        wait_for(handle)
    assert len(handle.session.janitor.deferred) == 1


def test_full_server_that_refuses_the_pop_may_still_claim(handle: Any, server: Server) -> None:
    server.replies["BLPOP"] = [ReplyError("OOM command not allowed")]
    server.replies["claim"] = [b"1"]
    assert wait_for(handle) == b"1"
    server.replies["claim"] = [None]
    with pytest.raises(ServerFull):
        wait_for(handle)


# -- interruptions


@pytest.mark.parametrize("name", ["enqueue", "BLPOP", "claim"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupted_wait_is_cancelled(
    handle: Any, server: Server, name: str, error: type[BaseException]
) -> None:
    server.replies[name] = [error()]
    with pytest.raises(error):
        wait_for(handle)
    assert server.names_sent[-1] == "cancel"
    assert server.channels[0].is_closed, "its replies must not be read"
    assert numbers[-1] == b"%012d" % 0, "the last request before the wait"
    assert len(server.channels) == 2


def test_interrupted_cancel_is_sent_again(handle: Any, server: Server) -> None:
    server.replies["cancel"] = [KeyboardInterrupt(), b"."]
    with pytest.raises(KeyboardInterrupt):
        wait_for(handle, 0)
    assert len(server.sent("cancel")) == 2


def test_connection_is_checked_in_once_however_a_wait_ends(handle: Any, server: Server) -> None:
    server.replies["claim"] = [b"7"]
    for error in (None, KeyboardInterrupt(), ConnectionBroken("cut"), ReplyError("GONE")):
        for name in ("enqueue", "BLPOP", "claim", "cancel"):
            server.replies = {"claim": [b"7"]}
            if error is not None:
                server.replies[name] = [error, b"."] if name != "BLPOP" else [error, None]
            with contextlib.suppress(KeyboardInterrupt, ObjectGone):
                wait_for(handle)
            with contextlib.suppress(KeyboardInterrupt, ObjectGone):
                wait_for(handle, 0)
            connections = [handle.link.checkout() for _ in range(3)]
            assert len(set(map(id, connections))) == 3
            for connection in connections:
                handle.link.checkin(connection)


# -- single requests


def test_run_or_undo_returns_the_reply(handle: Any, server: Server) -> None:
    server.replies["claim"] = [b"7"]
    assert run_or_undo(handle, (CLAIM, (b"waiter", b"5")), cancel) == b"7"
    assert server.names_sent == ["claim"]


def test_run_or_undo_cancels_if_the_outcome_is_unknown(handle: Any, server: Server) -> None:
    def cut() -> None:
        server.refuses = True
        raise ConnectionBroken("cut")

    handle.link.reconnect_timeout = 0.05
    server.replies["claim"] = [cut]
    with pytest.raises(LinkLost):
        run_or_undo(handle, (CLAIM, (b"waiter", b"5")), cancel)
    server.refuses = False
    handle.session.janitor.deferred[0]()
    assert server.names_sent[-1] == "cancel"
    assert server.sent("claim") < server.sent("cancel")


def test_run_to_completion_sends_again_when_interrupted(handle: Any, server: Server) -> None:
    server.replies["claim"] = [KeyboardInterrupt(), b"7"]
    results: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        run_to_completion(handle, (CLAIM, (b"waiter", b"5")), results.append)
    first, again = server.sent("claim")
    assert first == again
    assert results == [None], "it has run, and its reply is unknown"


def test_threads_wait_independently(handle: Any, server: Server) -> None:
    server.replies["claim"] = [b"7"]
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(wait_for(handle))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [b"7"] * 20
    reply_keys = {args[3] for name, _, args in server.log if name == "claim"}
    numbers = [(args[3], number) for name, number, args in server.log if number]
    assert len(numbers) == len(set(numbers)), "no two requests share a reply key and a number"
    assert reply_keys
