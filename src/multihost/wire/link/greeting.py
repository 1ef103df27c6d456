"""The first commands over a channel: protocol, log-in, name and database."""

from __future__ import annotations

from multihost.wire.address import Address, Credentials
from multihost.wire.link.channel import refused
from multihost.wire.link.named import role_in
from multihost.wire.link.resp import Command, pack_all
from multihost.wire.link.socket import SocketChannel
from multihost.wire.refusals import NO_RESP3, NO_SUCH_COMMAND, NOT_PERMITTED
from multihost.wire.replies import ReplyError

__all__ = ["greet", "is_lacking"]

_NAME = b"multihost"


def is_lacking(error: ReplyError) -> bool:
    """Return True for the reply to HELLO of a server, or a proxy before it, that does not know or
    not permit the command, or this version of the protocol.
    """
    return error.refusal in (None, NO_RESP3, NO_SUCH_COMMAND, NOT_PERMITTED)


def greet(channel: SocketChannel, address: Address, credentials: Credentials) -> bytes:
    """Log in, with RESP3 where the server has it; return the role that the server says it has,
    empty if it does not say. 1 round trip, 2 where there is no RESP3.

    Raises ConnectionRefused, or the exception for what the server refuses.
    """
    hello: list[bytes] = [b"HELLO", b"3"]
    if credentials.password or credentials.username:
        user = credentials.username or "default"
        hello += [b"AUTH", user.encode(), credentials.password.encode()]
    hello += [b"SETNAME", _NAME]
    greeting, *others = _exchange(channel, [hello, *_select(address)])
    if type(greeting) is ReplyError and is_lacking(greeting):
        return _greet_older(channel, address, credentials)
    _check([greeting, *others], address)
    said = greeting if isinstance(greeting, dict) else {}
    if type(said.get(b"id")) is int:
        channel.client_id = b"%d" % said[b"id"]
    role = said.get(b"role")
    return role if isinstance(role, bytes) else b""


def _greet_older(channel: SocketChannel, address: Address, credentials: Credentials) -> bytes:
    """The same in RESP2, which a connection begins with."""
    optional: list[Command] = [(b"CLIENT", b"SETNAME", _NAME), (b"INFO", b"replication")]
    *replies, named, facts = _exchange(
        channel, [*_log_in(credentials), *_select(address), *optional]
    )
    _check(replies, address)
    _check([each for each in (named, facts) if not _is_done_without(each)], address)
    return role_in(facts)


def _is_done_without(reply: object) -> bool:
    return type(reply) is not ReplyError or is_lacking(reply)


def _log_in(credentials: Credentials) -> list[Command]:
    if credentials.username:
        return [(b"AUTH", credentials.username.encode(), credentials.password.encode())]
    return [(b"AUTH", credentials.password.encode())] if credentials.password else []


def _select(address: Address) -> list[Command]:
    return [(b"SELECT", b"%d" % address.database)] if address.database else []


def _exchange(channel: SocketChannel, commands: list[Command]) -> list[object]:
    return channel.exchange_many(pack_all(commands), len(commands))


def _check(replies: list[object], address: Address) -> None:
    for reply in replies:
        if type(reply) is ReplyError:
            raise refused(reply, address)
