"""A signal handler raises at any bytecode of a call of an object that a process hosts.

The call was executed once, or not at all; the next one gets its own reply; the host serves no
channel that nobody uses, and nobody waits for it who has gone.
"""

from __future__ import annotations

import gc
import multiprocessing
from typing import Any

import pytest

from tests.hosted.hosted_classes import Our, Remote
from tests.interrupts.steps import ALL, SECONDS, explore, open_channels
from tests.support.interrupts import Outcome
from tests.support.leaks import AnyServer
from tests.support.waiting import wait_until

# A socket between its making and its place in a connection is closed by nobody but the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

fork = multiprocessing.get_context("fork")
KEY = b"a key of the tests, of 32 bytes."
MANAGERS: dict[str, dict[str, Any]] = {
    "": {},
    ", signed": {"authkey": KEY},
    ", with short timeouts": {"timeout": 1.5},  # replies cannot be skipped
}
if not ALL:
    del MANAGERS[", with short timeouts"]


@pytest.mark.parametrize("state", ["call", "first call"])
@pytest.mark.parametrize("how", MANAGERS)
def test_call(state: str, how: str, server: AnyServer) -> None:
    with (
        Our(server.url, ctx=fork, **MANAGERS[how]) as host,
        Remote(server.url, **MANAGERS[how]) as client,
    ):
        counter = client.Counter()
        counts = [counter.add()]

        def forget_channels() -> None:
            if state == "first call":
                rpc = client.runtime.session.rpc_clients[host._host]
                rpc._local.free.clear()

        def after(outcome: Outcome) -> None:
            if outcome.has_returned:
                assert outcome.result == counts[-1] + 1
                counts.append(outcome.result)
            number = counter.add()
            assert number - counts[-1] in ((1,) if outcome.has_returned else (1, 2))
            counts.append(number)

        explore(client, lambda: counter.add(), after, lambda: None, before=forget_channels)
        served = host.runtime.session.handle(host._host).keys.channels
        link = host.runtime.session.link
        wait_until(
            lambda: link.execute(b"SCARD", served) <= 3,
            SECONDS,
            "a channel for each client",
        )
        rpc = client.runtime.session.rpc_clients[host._host]
        gc.collect()  # what the frames of an interrupted call refer to
        wait_until(lambda: len(rpc.channels) == 1, SECONDS)
        assert not rpc._waiting
        assert open_channels(client) <= 2
