"""Checks of a server before it is used."""

from __future__ import annotations

import pytest

from multihost import errors
from multihost.wire.replies import ReplyError
from multihost.wire.script import check_server, probe
from tests.unit.fake_channel import FakeChannel, make_link

GOOD = {"redis_version": "7.0.15", "redis_mode": "standalone", "maxmemory_policy": "noeviction"}


def check(info: object, *replies: object) -> FakeChannel:
    if isinstance(info, dict):
        info = "".join(f"{key}:{value}\r\n" for key, value in info.items()).encode()
    channel = FakeChannel(b"# Server\r\n" + info if isinstance(info, bytes) else info, *replies)
    check_server(make_link(channel), b"{ns:00}:names")
    return channel


@pytest.mark.parametrize("version", ["6.2.0", "7.0.15", "8.6.1", "10.0.0"])
def test_a_server_that_can_be_used_runs_the_probe(version: str) -> None:
    channel = check({**GOOD, "redis_version": version}, 0)
    assert len(channel.requests) == 2
    assert probe.sha in channel.requests[1]
    assert b"{ns:00}:names" in channel.requests[1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"redis_version": "6.0.16"}, "needs 6.2 or newer"),
        ({"redis_version": "5.0"}, "needs 6.2 or newer"),
        ({"redis_mode": "cluster"}, "cluster"),
        ({"server_mode": "cluster"}, "cluster"),
        ({"cluster_enabled": "1"}, "cluster"),
        ({"role": "slave", "master_host": "db", "master_port": "7"}, "master, which is db:7"),
        ({"maxmemory_policy": "allkeys-lru"}, "noeviction"),
    ],
)
def test_a_server_that_cannot_be_used_is_refused(change: dict[str, str], why: str) -> None:
    with pytest.raises(errors.ServerUnfit, match=why):
        check({**GOOD, **change})


@pytest.mark.parametrize("code", ["NOPERM no", "ERR unknown command"])
def test_a_server_that_does_not_tell_its_facts_may_be_used(code: str) -> None:
    assert len(check(ReplyError(code), 0).requests) == 2


def test_another_error_is_not_taken_for_silence() -> None:
    with pytest.raises(errors.ServerUnfit, match="MISCONF"):
        check(ReplyError("MISCONF no"))


def test_a_server_that_does_not_permit_scripts_is_refused() -> None:
    with pytest.raises(errors.AccessDenied, match="doctor"):
        check(GOOD, ReplyError("NOPERM this user has no permissions to run 'evalsha'"))


def test_a_server_that_does_not_know_the_probe_gets_it() -> None:
    channel = check(GOOD, ReplyError("NOSCRIPT no"), 0)
    assert probe.source in channel.requests[2]
