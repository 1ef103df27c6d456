"""Tasks and results, packed to bytes."""

from __future__ import annotations

import functools
import importlib
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

from multihost import errors
from multihost.errors import BadPayload
from multihost.pooling.stdlib import (
    MAPPERS,
    ExceptionWithTraceback,
    MaybeEncodingError,
    RemoteTraceback,
)
from multihost.wire import stored
from multihost.wire.ops.pool import LOST, NUMBER, TRAILER_SIZE, TaskTrailer
from multihost.wire.values.codec import Codec

__all__ = [
    "Part",
    "Result",
    "Task",
    "encoding_error",
    "is_chunk",
    "lost",
    "pickler_of",
    "pickling_error",
    "run_chunk",
    "task_name",
    "with_traceback",
]

PICKLERS = {"pickle": "p", "cloudpickle": "c"}  # and the letter in the trailer of a task

MAX_ERROR = 1 << 18  # bytes of an error with its cause: every server accepts so many
SHOWN = 2000  # characters of a value that cannot be pickled, and of the error for that

PROTOCOL = 5  # the newest one of all Python versions that may take part


class Task(NamedTuple):
    """A call that a worker is to make."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwds: dict[str, Any]

    def pack(self, codec: Codec, trailer: TaskTrailer) -> bytes:
        """Return the task with its trailer. Raises what the pickler raises."""
        numbered, end = (trailer.job, trailer.number, *self), trailer.pack()
        return codec.pickle(numbered, dumps_of(trailer.pickler), end) + end

    @classmethod
    def unpack(cls, codec: Codec, packed: bytes, trailer: TaskTrailer) -> Task:
        """Return the task. Raises what the unpickler raises, and BadPayload."""
        job, number, *task = codec.load(packed[:-TRAILER_SIZE], packed[-TRAILER_SIZE:])
        if (job, number) != (trailer.job, trailer.number):
            raise BadPayload("a task has the number of another one")
        return cls(*task)


class Part(NamedTuple):
    """Some values of a chunk, in the place of its result. All parts of one attempt are the chunk;
    an attempt whose worker died may have sent some.
    """

    attempt: int
    position: int
    total: int
    values: list[Any]


class Result(NamedTuple):
    """The outcome of a task: a value, or an exception."""

    job: int
    number: int
    ok: bool
    value: Any

    def pack(self, codec: Codec, trailer: TaskTrailer, pickler: str) -> bytes:
        """Return the result, and its number. Raises what the pickler raises."""
        end = trailer.pack()
        return codec.pickle(tuple(self), dumps_of(pickler), end) + end[-NUMBER:]

    @classmethod
    def unpack(cls, codec: Codec, packed: bytes, client: bytes, attempts: int) -> Result:
        """Return the result of a task whose trailer is ``client`` and a number; one that cannot be
        unpickled as the exception of the unpickler. Raises BadPayload for what is none.
        """
        digits = packed[-NUMBER:]
        if len(digits) < NUMBER or not digits.isdigit():
            raise BadPayload("what stands in the place of a result is none")
        job, number = int(digits[:18]), int(digits[18:])
        if packed[0] == LOST:
            begun = stored.number(packed[1:-NUMBER]) or 1
            return cls(job, number, False, lost(begun, attempts))
        try:
            found = cls(*codec.load(packed[:-NUMBER], client + digits))
            if found[:2] != (job, number):
                raise BadPayload("a result has the number of another one")
        except BaseException as error:  # noqa: BLE001 - whatever classes raise when unpickled
            error.add_note("raised while the result of a task was unpickled")
            return cls(job, number, False, error)
        return found


def run_chunk(fn: Callable[..., Any], chunk: list[Any]) -> list[Any]:
    """Return the results of several calls: the task of ``Executor.map`` with a chunksize."""
    return [fn(*args) for args in chunk]


def is_chunk(func: Any) -> bool:
    """Return True for the function of a task whose result is a list of results."""
    if isinstance(func, functools.partial):
        return func.func is run_chunk
    return any(func is each for each in MAPPERS)


def task_name(func: Any, args: tuple[Any, ...]) -> str:
    """Return the name of the function of a task; of a chunk, that which is called for each item."""
    if isinstance(func, functools.partial):
        func = func.args[0] if is_chunk(func) else func.func
    elif is_chunk(func) and args:
        func = args[0][0]
    name = getattr(func, "__qualname__", None) or type(func).__qualname__
    return f"{getattr(func, '__module__', None) or type(func).__module__}.{name}"


def lost(begun: int, attempts: int) -> errors.WorkerLost:
    """Return the exception for a task whose worker died after it was begun so many times."""
    times = "once" if begun == 1 else f"{begun} times"
    return errors.WorkerLost(
        f"the worker that ran this task died: it was killed, crashed, or lost its server. The task "
        f"was begun {times}; with more than attempts={attempts} it would be run again"
    )


def forgotten() -> errors.WorkerLost:
    """Return the exception for a task that the server does not know any more."""
    return errors.WorkerLost(
        "the server went back behind this task: it was restarted, or replaced, without what it had "
        "acknowledged last. The task may have begun, and what it brings is dropped: send it again"
    )


def with_traceback(error: BaseException) -> Any:
    """Return the exception in a form that is pickled with its traceback, as in multiprocessing."""
    return ExceptionWithTraceback(error, error.__traceback__)


class _Shown:
    """What MaybeEncodingError is to show of something: it asks for the repr."""

    def __init__(self, thing: object) -> None:
        try:
            text = repr(thing)
        except Exception as error:  # noqa: BLE001 - a class of the user
            text = f"<{type(thing).__qualname__}, whose repr raises {type(error).__qualname__}>"
        half = SHOWN // 2
        self._text = text if len(text) <= SHOWN else f"{text[:half]}...{text[-half:]}"

    def __repr__(self) -> str:
        return self._text


class _WithCause:
    """An exception that is pickled with its cause."""

    def __init__(self, error: BaseException, cause: Any) -> None:
        self._parts = error, cause

    def __reduce__(self) -> Any:
        return _with_cause, self._parts


def _with_cause(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def encoding_error(
    codec: Codec, trailer: TaskTrailer, error: BaseException, value: object
) -> bytes:
    """Return the packed MaybeEncodingError for a result that cannot be pickled or sent, as in
    multiprocessing. Its cause is ``error``, if that can be pickled.
    """
    wrapped = MaybeEncodingError(_Shown(error), _Shown(value))
    try:
        both = _WithCause(wrapped, with_traceback(error))
        result = Result(trailer.job, trailer.number, False, both)
        packed = result.pack(codec, trailer, trailer.pickler)
    except BaseException:  # noqa: BLE001 - it may refer to what cannot be pickled
        packed = b""
    if 0 < len(packed) < MAX_ERROR:
        return packed
    return Result(trailer.job, trailer.number, False, wrapped).pack(codec, trailer, "p")


def pickling_error(error: BaseException) -> BaseException:
    """Return what the pickler raised in a worker, for a MaybeEncodingError from there; any other
    exception as it is.
    """
    cause = error.__cause__
    if type(error) is MaybeEncodingError and cause is not None:
        return error if type(cause) is RemoteTraceback else cause  # of one that a task raised
    return error


def pickler_of(name: str) -> str:
    """Return the letter of a pickler. Raises ValueError, or ImportError if it is not installed."""
    if name not in PICKLERS:
        raise ValueError(f"pickler={name!r}: use {' or '.join(map(repr, PICKLERS))}")
    dumps_of(PICKLERS[name])
    return PICKLERS[name]


def _pickle(value: object) -> bytes:
    return pickle.dumps(value, protocol=PROTOCOL)


def dumps_of(pickler: str) -> Callable[[Any], bytes]:
    """Return the function that pickles tasks and results, by the letter of a pickler."""
    if pickler == "p":
        return _pickle
    try:
        cloudpickle = importlib.import_module("cloudpickle")
    except ImportError:
        raise ImportError(
            "pickler='cloudpickle' needs cloudpickle, on this host and on those of the workers: "
            "pip install cloudpickle"
        ) from None
    return lambda value: cloudpickle.dumps(value, protocol=PROTOCOL)
