"""Why a server cannot be reached: the exception, its number, and the advice."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from multihost import errors
from multihost.wire.address import parse
from multihost.wire.link.channel import ConnectionBroken, ReplyTimeout
from multihost.wire.link.unreachable import unreachable


def explained(url: str, broken: ConnectionBroken | OSError) -> errors.LinkError:
    if isinstance(broken, OSError):
        broken = ConnectionBroken.of(broken)
    return unreachable(parse(url)[0], broken)


def test_the_server_is_named_and_no_secret() -> None:
    said = str(explained("redis://bob:hush@host:7000/3", ConnectionBroken("odd")))
    assert "redis://host:7000/3" in said
    assert "odd" in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("reason", "kind", "advice"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), errors.ConnectRefused, "setting bind"),
        (TimeoutError(errno.ETIMEDOUT, "no"), errors.ConnectTimeout, "firewall"),
        (TimeoutError("timed out"), errors.ConnectTimeout, "firewall"),
        (socket.gaierror(socket.EAI_NONAME, "no"), errors.HostUnknown, "spelled right"),
        (ReplyTimeout("no answer"), errors.ConnectTimeout, "stopped or overloaded"),
        (ConnectionBroken("the server closed the connection"), errors.LinkClosed, "rediss://"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), errors.LinkClosed, "rediss://"),
        (ConnectionBroken('got "\\x15" as reply type byte'), errors.LinkClosed, "rediss://"),
        (ConnectionBroken('got "H" as reply type byte'), errors.LinkError, "is it a Redis"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), errors.LinkError, "is it running"),
        (ConnectionBroken("LOADING"), errors.LinkError, "is it running"),
    ],
)
def test_each_cause_has_an_exception_and_advice(
    reason: ConnectionBroken | OSError, kind: type[errors.LinkError], advice: str
) -> None:
    error = explained("redis://host", reason)
    assert type(error) is kind
    assert advice in str(error)
    if isinstance(reason, OSError):
        assert error.errno == (reason.errno or errno.ETIMEDOUT)
        assert error.strerror
        assert isinstance(error, type(reason)) or type(reason) is OSError


def test_what_may_be_wrong_with_a_socket(tmp_path: Path) -> None:
    missing = explained("unix:///none", FileNotFoundError(errno.ENOENT, "no"))
    assert type(missing) is errors.FileMissing
    assert "unixsocket" in str(missing)
    forbidden = explained("unix:///none", PermissionError(errno.EACCES, "no"))
    assert type(forbidden) is errors.FileForbidden
    assert "unixsocketperm" in str(forbidden)
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "no")
    path = tmp_path / "file"
    path.touch()
    assert "that is no socket" in str(explained(f"unix://{path}", refused))
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(left))
    error = explained(f"unix://{left}", refused)
    assert "left it behind" in str(error)
    assert type(error) is errors.ConnectRefused


@pytest.mark.parametrize("kind", [FileNotFoundError, ConnectionRefusedError])
def test_a_private_server_does_not_come_back(kind: type[OSError]) -> None:
    address = parse("unix:///s?multihost=embedded")[0]
    broken = ConnectionBroken.of(kind(errno.ENOENT, "no"))
    assert isinstance(unreachable(address, broken), kind), "it may not be up yet"
    error = unreachable(address, broken, begun=True)
    assert type(error) is errors.ServerLost
    assert "it has ended" in str(error)
    shared = unreachable(parse("unix:///s")[0], broken, begun=True)
    assert type(shared) is not errors.ServerLost


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ca.pem"
    path.touch()
    monkeypatch.setattr(os, "access", lambda *args: False)  # root may read everything
    error = explained(f"rediss://host?ssl_ca_certs={path}", PermissionError(errno.EACCES, "no"))
    assert type(error) is errors.FileForbidden
    assert "ssl_ca_certs" in str(error)
