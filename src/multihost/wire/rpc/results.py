"""Calls to an object in the memory of a host, and what comes back, as values that travel."""

from __future__ import annotations

import builtins
import linecache
import pickle
import queue
import threading
import traceback
from multiprocessing.managers import RemoteError
from typing import Any

from multihost.errors import HostLost, ObjectGone, ShutDown
from multihost.wire.keys import Keys
from multihost.wire.rpc.client import HostDied, HostNotFound, host_client
from multihost.wire.rpc.objects import host_of
from multihost.wire.session import Handle, Session
from multihost.wire.values.codec import Codec

__all__ = [
    "ERROR",
    "OTHER",
    "PROXY",
    "TEXT",
    "VALUE",
    "NOT_FOUND",
    "encode_value",
    "request",
    "call",
    "encode_error",
    "decode_error",
    "encode_proxy",
    "encode_text",
]

VALUE, OTHER = 0x2E, 0x3A
"""What an answer starts with: before a value, and before something else, of these kinds:"""

ERROR, TEXT, PROXY, KNOWN = range(1, 5)
"""An exception; the text of one; where the result is; an exception of Python's own, for serializers
that know nothing else."""

NOT_FOUND = b"-"
"""The answer if there is no such object."""

CONTROL_FLOW = (StopIteration, StopAsyncIteration, queue.Empty, queue.Full, ShutDown)  # no failures
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
    """Ask a host something about itself. Raises Absent, Ended."""
    return host_client(session, host).call(session.codec.dump(("", what, args, {})))


def call(handle: Handle, host: str, payload: bytes) -> tuple[bytes, str]:
    """Call the object of this handle at ``host``; the answer, and the host that gave it.

    A name leads to the host that has it now, also if that is another one than before. Raises
    HostLost, LinkLost, ObjectGone.
    """
    session, keys = handle.session, handle.keys
    while True:
        answer: bytes | None
        try:
            answer = host_client(session, host).call(payload)
        except HostNotFound:
            answer = None
        except HostDied:
            raise HostLost(
                f"the process that hosts {keys.ident} ended during the call: what it had done of it"
                " is lost with the object" + _advice(keys)
            ) from None
        if answer is not None and answer != NOT_FOUND:
            return answer, host
        there = host_of(handle) if keys.name is not None else None
        if there is None or there == host:
            if answer is not None:
                raise ObjectGone(
                    f"{keys.ident}: the object was deleted, or its lease ran out; create it again"
                )
            raise HostLost(
                f"the process that hosts {keys.ident} has ended, and the object with it"
                + _advice(keys)
            )
        host = there


def encode_value(codec: Codec, value: Any) -> bytes:
    """The answer with a value. Raises what the pickler raises."""
    return b"." + codec.dump(value)


def _advice(keys: Keys) -> str:
    if keys.name is None:
        return ": create another one"
    return ": ask a manager for the name again, once a process serves it"


# -- exceptions


def encode_error(codec: Codec, error: BaseException) -> bytes:
    """The answer for what a method raised."""
    text = "" if isinstance(error, CONTROL_FLOW) else _text_of(error)
    if codec.serializer is not None:
        name = type(error).__name__
        if BUILTIN_EXCEPTIONS.get(name) is type(error):
            try:
                return _other(codec, KNOWN, name, list(error.args), text)
            except Exception:  # noqa: BLE001 - arguments that the serializer does not know
                text = text or _text_of(error)
        return encode_text(codec, f"Unserializable message: {text or error!r}\n")
    try:
        return _other(codec, ERROR, codec.dump(error), text)
    except Exception:  # noqa: BLE001 - whatever its __reduce__ raises
        return encode_text(codec, f"Unserializable message: {_text_of(error)}\n")


def encode_text(codec: Codec, text: str) -> bytes:
    """The answer for what is told by words alone."""
    return _other(codec, TEXT, text)


def encode_proxy(codec: Codec, *what: Any) -> bytes:
    """The answer where the result is: its type, what it exposes, ident, host, claim."""
    return _other(codec, PROXY, *what)


def _other(codec: Codec, *parts: Any) -> bytes:
    return b":" + codec.dump(parts)


def _text_of(error: BaseException) -> str:
    """The traceback. Errors may be many: what usually is all costs a tenth of the full account."""
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


def decode_error(codec: Codec, answer: Any) -> BaseException:
    """The exception that an answer stands for."""
    kind = answer[0]
    if kind == TEXT:
        return RemoteError(answer[1])
    if kind == KNOWN:
        error: BaseException = BUILTIN_EXCEPTIONS[answer[1]](*answer[2])
    else:
        try:
            error = codec.load(answer[1])
            if not isinstance(error, BaseException):
                raise pickle.UnpicklingError(f"{error!r} is no exception")
        except Exception as problem:  # noqa: BLE001 - its class may be anything, or missing here
            text = f"{answer[2]}\n(the exception itself cannot be unpickled here: {problem!r})\n"
            return RemoteError(text)
    if answer[-1]:
        error.add_note(f"\nIn the process that has the object:\n\n{answer[-1]}")
    return error
