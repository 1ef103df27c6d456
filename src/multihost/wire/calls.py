"""Calls to an object in the memory of a host, and what comes back, as values that travel."""

from __future__ import annotations

import builtins
import pickle
import queue
import threading
import traceback
from multiprocessing.managers import RemoteError
from typing import Any

from multihost.errors import HostLost, ObjectGone, ShutDown
from multihost.wire.codec import Codec
from multihost.wire.keys import Keys
from multihost.wire.ops.hosted import host_of
from multihost.wire.session import Handle
from multihost.wire.talk import Absent, Ended, hosts_of

__all__ = ["ERROR", "GONE", "PROXY", "RETURN", "TEXT", "call", "error_of", "failed", "request"]

RETURN, ERROR, TEXT, PROXY, GONE, KNOWN = range(6)
"""What an answer is: a value; an exception; the text of one; where the result is; that there is no
such object; an exception of Python's own, for serializers that know nothing else."""

SIGNALS = (StopIteration, StopAsyncIteration, queue.Empty, queue.Full, ShutDown)  # no failures
PLAIN = {
    each.__name__: each
    for each in (
        queue.Empty,
        queue.Full,
        ShutDown,
        threading.BrokenBarrierError,
        *(v for v in vars(builtins).values() if isinstance(v, type) and issubclass(v, Exception)),
    )
}


def request(codec: Codec, ident: str, method: str, args: Any, kwds: Any) -> bytes:
    """A request. Raises what the pickler raises for arguments that cannot be pickled."""
    return codec.dump((ident, method, args, kwds))


def call(handle: Handle, host: str, payload: bytes) -> tuple[Any, str]:
    """Call the object of this handle at ``host``, and the host that answered.

    A name leads to the host that has it now, also if that is another one than before. Raises
    HostLost, LinkLost, ObjectGone.
    """
    session, keys = handle.session, handle.keys
    while True:
        try:
            answer = handle.codec.load(hosts_of(session, host).call(payload))
        except Absent:
            answer = None
        except Ended:
            raise HostLost(
                f"the process that hosts {keys.ident} ended during the call: what it had done of it"
                " is lost with the object" + _advice(keys)
            ) from None
        if answer is not None and answer[0] != GONE:
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


def _advice(keys: Keys) -> str:
    if keys.name is None:
        return ": create another one"
    return ": ask a manager for the name again, once a process serves it"


# -- exceptions


def error_of(codec: Codec, error: BaseException) -> bytes:
    """The answer for what a method raised."""
    text = "" if isinstance(error, SIGNALS) else _text_of(error)
    if codec.serializer is not None:
        name = type(error).__name__
        if PLAIN.get(name) is type(error):
            try:
                return codec.dump((KNOWN, name, list(error.args), text))
            except Exception:  # noqa: BLE001 - arguments that the serializer does not know
                text = text or _text_of(error)
        return codec.dump((TEXT, f"Unserializable message: {text or error!r}\n"))
    try:
        return codec.dump((ERROR, codec.dump(error), text))
    except Exception:  # noqa: BLE001 - whatever its __reduce__ raises
        return codec.dump((TEXT, f"Unserializable message: {_text_of(error)}\n"))


def _text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def failed(codec: Codec, answer: Any) -> BaseException:
    """The exception that an answer stands for."""
    kind = answer[0]
    if kind == TEXT:
        return RemoteError(answer[1])
    if kind == KNOWN:
        error: BaseException = PLAIN[answer[1]](*answer[2])
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
