"""The waiting primitive against a server that is made up: each round, each break, each end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import hiredis
import pytest

from multihost.errors import LinkError, LinkLost, ObjectGone, ServerFull
from multihost.wire import wait as module
from multihost.wire.address import Address, Credentials
from multihost.wire.keys import Keys
from multihost.wire.link import ConnectionBroken, Link, ReplyTimeout
from multihost.wire.replies import ReplyError
from multihost.wire.script import Script
from multihost.wire.wait import (
    BLOCK_GRACE,
    MAX_BLOCK,
    WAKE_GRACE,
    run_or_undo,
    run_to_completion,
    token_pop,
    wait,
)

ENQUEUE, CLAIM, CANCEL = (Script(f"semaphore/{name}") for name in ("enqueue", "claim", "cancel"))
KEYS = Keys("ns", "n:x")
POP = [b"BLPOP", KEYS.tokens]


class Server:
    """Executes what a test tells it to, and remembers all that it was sent."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.log: list[tuple[str, bytes, list[bytes]]] = []
        """Name, number and all of each command."""
        self.answers: dict[str, list[Any]] = {}
        """What comes next for each name; the last one for ever."""
        self.limits: list[float | None] = []
        self.overdue: list[float] = []
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
        queue = self.answers.get(name)
        if not queue:
            return known.get(name)
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, BaseException) and not isinstance(answer, ReplyError):
            raise answer
        return answer() if callable(answer) else answer

    def sent(self, name: str) -> list[bytes]:
        """The numbers of the requests of that name."""
        return [number for each, number, _ in self.log if each == name]

    @property
    def names_sent(self) -> list[str]:
        return [name for name, _, _ in self.log]


class Channel:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.loaded_scripts: set[object] = set()
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
        skip_first_reply: bool = False,
        count: int = 3,
        grace: float = 0.0,
    ) -> list[Any]:
        assert not skip_first_reply
        assert count == 3
        self.server.limits.append(seconds)
        self.server.overdue.append(grace)
        replies = self._all(requests)
        return replies[:1] if type(replies[0]) is ReplyError else replies

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.is_closed = True

    shutdown = close


class Janitor:
    def __init__(self) -> None:
        self.owed: list[Callable[[], object]] = []

    def defer(self, action: Callable[[], object]) -> None:
        self.owed.append(action)


class Session:
    def __init__(self) -> None:
        self.janitor = Janitor()


class Handle:
    keys = KEYS
    contended = False
    watched = None

    def __init__(self, link: Link) -> None:
        self.link = link
        self.command_prefixes: dict[Any, Any] = {}
        self.session = Session()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def handle(server: Server) -> Iterator[Any]:
    address = Address("redis", host="nowhere", port=1)
    link = Link(address, Credentials(), reconnect_timeout=0.05, connector=server.open)
    yield Handle(link)
    link.close_now()


def leave(since: bytes) -> Any:
    return CANCEL, (b"waiter", b"session", since)


def waited(handle: Any, seconds: float | None = None, **how: Any) -> Any:
    return wait(
        handle,
        seconds,
        (ENQUEUE, (b"waiter", b"session")),
        token_pop(KEYS.tokens),
        (CLAIM, (b"waiter", b"session")),
        leave,
        **how,
    )


# -- rounds


def test_a_round_is_one_write_with_the_decision_behind_the_pop(handle: Any, server: Server) -> None:
    server.answers["claim"] = [b"7"]
    assert waited(handle) == b"7"
    assert server.names_sent == ["enqueue", "BLPOP", "claim"]
    assert server.log[1][2] == [*POP, b"%.3f" % MAX_BLOCK]
    assert server.limits == [MAX_BLOCK + BLOCK_GRACE]
    assert server.sent("enqueue") < server.sent("claim")
    assert waited(handle) == b"7"
    assert len(server.channels) == 1, "on the connection that the thread has anyway"
    assert server.log[3][2][0] == b"EVALSHA", "by then the server knows the script"


def test_a_hint_that_was_none_begins_another_round(handle: Any, server: Server) -> None:
    server.answers["claim"] = [None, None, b"7"]
    assert waited(handle) == b"7"
    numbers = [number for _, number, _ in server.log if number]
    assert len(numbers) == 6
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("seconds", [0, -1, float("-inf")])
def test_who_has_no_time_does_not_begin(handle: Any, server: Server, seconds: float) -> None:
    assert waited(handle, seconds) is None
    assert server.names_sent == ["cancel"]


def test_the_last_round_ends_by_our_clock(handle: Any, server: Server) -> None:
    server.answers["BLPOP"] = [ReplyTimeout("silence")]
    assert waited(handle, 0.03) is None
    blocked = [float(args[2]) for name, _, args in server.log if name == "BLPOP"]
    assert all(0 < each < 0.03 for each in blocked), "it has ended when the server is nudged"
    assert all(limit is not None and 0 < limit <= 0.03 for limit in server.limits)
    assert set(server.overdue) == {WAKE_GRACE}, "a silent server does not end it"
    assert server.names_sent[-1] == "cancel"
    assert server.channels[0].is_closed, "with it the server forgets what it blocks"


def test_longer_waits_are_cut_into_slices(
    handle: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BLOCK", 0.02)
    server.answers["claim"] = [None, None, b"7"]
    assert waited(handle, 60) == b"7"
    assert {args[2] for name, _, args in server.log if name == "BLPOP"} == {b"0.020"}


# -- what breaks


@pytest.mark.parametrize(
    "error", [ConnectionBroken("cut"), ReplyTimeout("silence")], ids=["broken", "late"]
)
def test_after_a_break_the_decision_is_asked_for_again(
    handle: Any, server: Server, error: ConnectionBroken
) -> None:
    server.answers["claim"] = [error, b"7"]
    assert waited(handle) == b"7"
    assert server.names_sent == ["enqueue", "BLPOP", "claim", "PING", "claim"]
    first, again = server.sent("claim")
    assert first == again, "under its number: it may have been executed"
    assert [channel.is_closed for channel in server.channels] == [True, False]
    assert handle.link.disconnects == 1


def test_if_nothing_was_decided_another_round_begins(handle: Any, server: Server) -> None:
    server.answers["claim"] = [ConnectionBroken("cut"), None, b"7"]
    assert waited(handle) == b"7"
    first, again, second = server.sent("claim")
    assert first == again < second


def test_breaks_in_a_row(handle: Any, server: Server) -> None:
    server.answers["claim"] = [
        ConnectionBroken("cut"),
        ConnectionBroken("cut"),
        ConnectionBroken("cut"),
        b"7",
    ]
    assert waited(handle) == b"7"
    assert len(set(server.sent("claim"))) == 1
    assert len(server.sent("enqueue")) == 1


def test_a_server_that_is_lost_is_an_error_and_leaves_a_debt(handle: Any, server: Server) -> None:
    def cut() -> None:
        server.refuses = True
        raise ConnectionBroken("cut")

    server.answers["BLPOP"] = [cut]
    with pytest.raises(LinkError):
        waited(handle)
    [debt] = handle.session.janitor.owed
    server.refuses = False
    debt()
    assert server.names_sent[-1] == "cancel"
    assert server.sent("cancel")[0] > server.sent("claim")[-1] if server.sent("claim") else True


def test_a_server_that_is_lost_is_not_looked_for_longer_than_there_is_time(
    handle: Any, server: Server
) -> None:
    def cut() -> None:
        server.refuses = True
        raise ConnectionBroken("cut")

    handle.link.reconnect_timeout = 60.0
    server.answers["BLPOP"] = [cut]
    with pytest.raises(LinkError):
        waited(handle, 0.05)
    assert handle.session.janitor.owed


def test_the_end_of_a_wait_survives_one_break(handle: Any, server: Server) -> None:
    server.answers["cancel"] = [ConnectionBroken("cut"), b"."]
    assert waited(handle, 0) is None
    assert len(server.sent("cancel")) == 2
    assert len(set(server.sent("cancel"))) == 1
    assert not handle.session.janitor.owed


def test_who_does_not_wait_any_more_does_not_wait_for_a_silent_server(
    handle: Any, server: Server
) -> None:
    server.answers["cancel"] = [ReplyTimeout("silence"), b"."]
    assert waited(handle, 0) is None
    assert len(server.sent("cancel")) == 1
    [debt] = handle.session.janitor.owed
    debt()
    assert len(set(server.sent("cancel"))) == 1


# -- errors


def test_an_object_that_is_gone(handle: Any, server: Server) -> None:
    server.answers["enqueue"] = [ReplyError("GONE the semaphore does not exist")]
    with pytest.raises(ObjectGone):
        waited(handle)
    assert server.names_sent[-1] == "cancel"


def test_scripts_that_are_forgotten(handle: Any, server: Server) -> None:
    server.answers["claim"] = [b"1"]
    waited(handle)
    server.answers["enqueue"] = [ReplyError("NOSCRIPT"), b"."]
    server.answers["claim"] = [ReplyError("NOSCRIPT"), None, b"7"]
    assert waited(handle) == b"7"


@pytest.mark.parametrize("code", ["LOADING", "BUSY", "MASTERDOWN", "READONLY", "UNBLOCKED"])
def test_a_server_that_says_not_now_is_asked_again(handle: Any, server: Server, code: str) -> None:
    server.answers["BLPOP"] = [ReplyError(f"{code} not now"), None]
    if code != "UNBLOCKED":
        server.answers["enqueue"] = [ReplyError(f"{code} not now"), b"."]
        server.answers["claim"] = [ReplyError(f"{code} not now"), None, b"7"]
    else:  # in a failover: the connection was blocked on what is a replica now
        server.answers["claim"] = [None, b"7"]
    assert waited(handle) == b"7"


def test_but_not_for_ever(handle: Any, server: Server) -> None:
    error = ReplyError("LOADING the data set")
    server.answers = {name: [error] for name in ("enqueue", "BLPOP", "claim", "cancel")}
    with pytest.raises(LinkError, match="LOADING"):
        waited(handle)
    assert len(handle.session.janitor.owed) == 1


def test_a_full_server_that_refuses_to_pop_and_decides(handle: Any, server: Server) -> None:
    server.answers["BLPOP"] = [ReplyError("OOM command not allowed")]
    server.answers["claim"] = [b"1"]
    assert waited(handle) == b"1"
    server.answers["claim"] = [None]
    with pytest.raises(ServerFull):
        waited(handle)


# -- interruptions


@pytest.mark.parametrize("name", ["enqueue", "BLPOP", "claim"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_wait_is_left(
    handle: Any, server: Server, name: str, error: type[BaseException]
) -> None:
    server.answers[name] = [error()]
    with pytest.raises(error):
        waited(handle)
    assert server.names_sent[-1] == "cancel"
    assert server.channels[0].is_closed, "its replies are for nobody"
    before = server.log[-1][2][-1]
    assert before == b"%012d" % 0, "it is told what was before"
    assert len(server.channels) == 2


def test_an_interruption_while_the_answer_is_noted_undoes_it(handle: Any, server: Server) -> None:
    def note(reply: Any) -> None:
        raise KeyboardInterrupt

    server.answers["claim"] = [b"7"]
    with pytest.raises(KeyboardInterrupt):
        waited(handle, on_result=note)
    assert server.names_sent[-1] == "cancel"
    noted: list[Any] = []
    assert waited(handle, on_result=noted.append) == b"7"
    assert noted == [b"7"]
    assert server.names_sent[-1] == "claim"


def test_an_interruption_at_the_end_does_not_end_it_halfway(handle: Any, server: Server) -> None:
    server.answers["cancel"] = [KeyboardInterrupt(), b"."]
    with pytest.raises(KeyboardInterrupt):
        waited(handle, 0)
    assert len(server.sent("cancel")) == 2


def test_no_caller_is_used_twice_at_a_time(handle: Any, server: Server) -> None:
    """Whatever ended a wait, it is given back once."""
    server.answers["claim"] = [b"7"]
    for error in (None, KeyboardInterrupt(), ConnectionBroken("cut"), ReplyError("GONE")):
        for name in ("enqueue", "BLPOP", "claim", "cancel"):
            server.answers = {"claim": [b"7"]}
            if error is not None:
                server.answers[name] = [error, b"."] if name != "BLPOP" else [error, None]
            with contextlib.suppress(KeyboardInterrupt, ObjectGone):
                waited(handle)
            with contextlib.suppress(KeyboardInterrupt, ObjectGone):
                waited(handle, 0)
            callers = [handle.link.checkout() for _ in range(3)]
            assert len(set(map(id, callers))) == 3
            for caller in callers:
                handle.link.checkin(caller)


# -- attempts


def test_an_attempt_that_was_heard_of_is_not_undone(handle: Any, server: Server) -> None:
    server.answers["claim"] = [b"7"]
    assert run_or_undo(handle, (CLAIM, (b"waiter", b"session")), leave) == b"7"
    assert server.names_sent == ["claim"]


def test_an_attempt_whose_outcome_is_unknown_is_undone(handle: Any, server: Server) -> None:
    def cut() -> None:
        server.refuses = True
        raise ConnectionBroken("cut")

    server.answers["claim"] = [cut]
    with pytest.raises(LinkLost):
        run_or_undo(handle, (CLAIM, (b"waiter", b"session")), leave)
    server.refuses = False
    handle.session.janitor.owed[0]()
    assert server.names_sent[-1] == "cancel"
    assert server.sent("claim") < server.sent("cancel")


def test_what_is_insisted_on_is_done_though_the_thread_is_interrupted(
    handle: Any, server: Server
) -> None:
    server.answers["claim"] = [KeyboardInterrupt(), b"7"]
    noted: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        run_to_completion(handle, (CLAIM, (b"waiter", b"session")), noted.append)
    first, again = server.sent("claim")
    assert first == again
    assert noted == [None], "it is done, and nobody knows with which answer"


def test_threads_wait_side_by_side(handle: Any, server: Server) -> None:
    server.answers["claim"] = [b"7"]
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(waited(handle))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [b"7"] * 20
    records = {args[3] for name, _, args in server.log if name == "claim"}
    numbers = [(args[3], number) for name, number, args in server.log if number]
    assert len(numbers) == len(set(numbers)), "no two requests share a record and a number"
    assert records
