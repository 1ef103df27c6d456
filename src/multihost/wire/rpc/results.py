"""Calls to an object in the memory of a host, and their results as bytes."""

from __future__ import annotations

import builtins
import linecache
import pickle
import queue
import threading
import traceback
from multiprocessing.managers import RemoteError
from typing import Any

from multihost.errors import BadPayload, HostLost, ObjectGone, ShutDown
from multihost.wire.keys import Keys
from multihost.wire.rpc.client import HostDied, HostNotFound, host_client
from multihost.wire.rpc.objects import host_of
from multihost.wire.session import Handle, Session
from multihost.wire.subject import describe
from multihost.wire.values.codec import Codec

__all__ = [
    "ERROR",
    "NOT_FOUND",
    "OTHER",
    "PROXY",
    "TEXT",
    "VALUE",
    "call",
    "decode_error",
    "decode_other",
    "encode_error",
    "encode_proxy",
    "encode_text",
    "encode_value",
    "request",
]

VALUE, OTHER = 0x2E, 0x3A
"""First byte of a reply: before a value, and before something else, of one of these kinds:"""

ERROR, TEXT, PROXY, BUILTIN = range(1, 5)
"""A pickled exception; the traceback of one; a reference to the result, which stays at the host;
the name and arguments of a built-in exception, for serializers that cannot pickle it."""

NOT_FOUND = b"-"
"""The reply if there is no such object."""

# They are no failures: their traceback is not sent.
CONTROL_FLOW = (StopIteration, StopAsyncIteration, queue.Empty, queue.Full, ShutDown)
BUILTIN_EXCEPTIONS: dict[str, type[Exception]] = {
    each.__name__: each
    for each in (
        queue.Empty,
        queue.Full,
        ShutDown,
        threading.BrokenBarrierError,
    )
} | {
    name: each
    for name, each in vars(builtins).items()
    if isinstance(each, type) and issubclass(each, Exception)
}


def request(session: Session, host: str, what: str, *args: Any) -> bytes:
    """Call a function of the host itself; return its reply.

    Raises HostNotFound, HostDied, LinkLost.
    """
    return host_client(session, host).call(session.codec.unsigned.dump(("", what, args, {})))


def call(handle: Handle, host: str, payload: bytes) -> tuple[bytes, str]:
    """Call the object of this handle at ``host``; return the reply, and the host that sent it.

    A named object may have moved: the call goes to the host that has the name now. Raises HostLost,
    LinkLost, ObjectGone.
    """
    session, keys = handle.session, handle.keys
    while True:
        reply: bytes | None
        try:
            reply = host_client(session, host).call(payload)
        except HostNotFound:
            reply = None
        except HostDied:
            raise HostLost(
                f"the process that hosts {describe('hosted', keys.ident)} ended during the call: "
                "what it had done of it is lost with the object" + _advice(keys)
            ) from None
        if reply is not None and reply != NOT_FOUND:
            return reply, host
        # Nothing was executed: the call may go elsewhere.
        current = host_of(handle) if keys.name is not None else None
        if current is None or current == host:
            if reply is not None:
                raise ObjectGone(
                    f"{describe('hosted', keys.ident)}: the object was deleted, or its lease ran "
                    "out; create it again"
                )
            raise HostLost(
                f"the process that hosts {describe('hosted', keys.ident)} has ended, and the "
                "object with it" + _advice(keys)
            )
        host = current


def encode_value(codec: Codec, value: Any) -> bytes:
    """Return the reply with a value. Raises what the serializer raises."""
    return b"." + codec.dump(value)


def _advice(keys: Keys) -> str:
    if keys.name is None:
        return ": create another one"
    return ": ask a manager for the name again, once a process serves it"


# -- exceptions


def encode_error(codec: Codec, error: BaseException) -> bytes:
    """Return the reply for what a method raised."""
    text = "" if isinstance(error, CONTROL_FLOW) else _text_of(error)
    if codec.serializer is not None:
        name = type(error).__name__
        if BUILTIN_EXCEPTIONS.get(name) is type(error):
            try:
                return _other(codec, BUILTIN, name, list(error.args), text)
            except BaseException:  # noqa: BLE001 - arguments that the serializer cannot encode
                text = text or _text_of(error)
        return encode_text(codec, f"Unserializable message: {text or error!r}\n")
    try:
        return _other(codec, ERROR, codec.dump(error), text)
    except BaseException:  # noqa: BLE001 - whatever its __reduce__ raises; the client waits
        return encode_text(codec, f"Unserializable message: {_text_of(error)}\n")


def encode_text(codec: Codec, text: str) -> bytes:
    """Return the reply for an error of which there is only a text."""
    return _other(codec, TEXT, text)


def encode_proxy(codec: Codec, *what: Any) -> bytes:
    """Return the reply for a result that stays at the host: type, exposed methods, ident, host,
    version of the reference.
    """
    return _other(codec, PROXY, *what)


def _other(codec: Codec, *parts: Any) -> bytes:
    return b":" + codec.dump(parts)


def decode_other(session: Session, reply: bytes) -> Any:
    """Return the parts of a reply that is no value. Raises BadPayload for one that is signed, by a
    host that has a key.
    """
    if reply[0] != OTHER:
        raise BadPayload(
            "the reply of the host is signed, or altered: open the manager with the authkey of the "
            "process that serves the type"
        )
    return session.codec.unsigned.load(reply[1:])


def _text_of(error: BaseException) -> str:
    """Return the traceback. Errors may be frequent: without causes and notes it is formatted here,
    in a tenth of the time that the traceback module takes.
    """
    if error.__cause__ or error.__context__ or hasattr(error, "__notes__"):
        return "".join(traceback.format_exception(error))
    lines = ["Traceback (most recent call last):\n"]
    at = error.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {at.tb_lineno}, in {code.co_name}\n')
        if line := linecache.getline(code.co_filename, at.tb_lineno).strip():
            lines.append(f"    {line}\n")
        at = at.tb_next
    return "".join([*lines, *traceback.format_exception_only(error)])


def decode_error(codec: Codec, reply: Any) -> BaseException:
    """Return the exception of a reply."""
    kind = reply[0]
    if kind == TEXT:
        return RemoteError(reply[1])
    if kind == BUILTIN:
        error: BaseException = BUILTIN_EXCEPTIONS[reply[1]](*reply[2])
    else:
        try:
            error = codec.load(reply[1])
            if not isinstance(error, BaseException):
                raise pickle.UnpicklingError(f"{error!r} is no exception")
        except Exception as problem:  # noqa: BLE001 - its class may raise anything, or be missing
            text = f"{reply[2]}\n(the exception itself cannot be unpickled: {problem!r})\n"
            return RemoteError(text)
    if reply[-1]:
        error.add_note(f"\nIn the process that has the object:\n\n{reply[-1]}")
    return error
