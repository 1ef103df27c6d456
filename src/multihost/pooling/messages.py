"""Tasks and results as bytes."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from multihost.errors import BadPayload, WorkerLost
from multihost.wire.ops.pool import LOST, NUMBER, TRAILER_SIZE, TaskTrailer
from multihost.wire.values.codec import Codec

__all__ = ["PICKLERS", "Result", "Task", "dumps_of", "pickler_of", "pickles"]

PICKLERS = {"pickle": "p", "cloudpickle": "c"}


class Task(NamedTuple):
    """What a worker is to do."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwds: dict[str, Any]

    def pack(self, codec: Codec, tag: TaskTrailer) -> bytes:
        """Raises what the pickler raises."""
        numbered = (tag.job, tag.number, *self)
        return codec.pickle(numbered, dumps_of(tag.pickler)) + tag.pack()

    @classmethod
    def unpack(cls, codec: Codec, packed: bytes, tag: TaskTrailer) -> Task:
        """Raises what the unpickler raises, BadPayload among it."""
        job, number, *task = codec.load(packed[:-TRAILER_SIZE])
        if (job, number) != (tag.job, tag.number):
            raise BadPayload("a task has the number of another one")
        return cls(*task)


class Result(NamedTuple):
    """What became of a task: a value, or an exception."""

    job: int
    number: int
    ok: bool
    value: Any

    def pack(self, codec: Codec, letter: str) -> bytes:
        """Raises what the pickler raises."""
        return codec.pickle(tuple(self), dumps_of(letter)) + b"%018d%018d" % self[:2]

    @classmethod
    def unpack(cls, codec: Codec, packed: bytes, attempts: int) -> Result:
        """What cannot be read is the exception that says so."""
        digits = packed[-NUMBER:]
        job, number = int(digits[:18]), int(digits[18:])
        if packed[0] == LOST:
            return cls(job, number, False, lost(int(packed[1:-NUMBER]), attempts))
        try:
            found = cls(*codec.load(packed[:-NUMBER]))
            if found[:2] != (job, number):
                raise BadPayload("a result has the number of another one")
        except Exception as error:  # noqa: BLE001 - whatever classes raise when they are unpickled
            error.add_note("raised while the result of a task was unpickled")
            return cls(job, number, False, error)
        return found


def lost(times: int, attempts: int) -> WorkerLost:
    """The exception for a task that was begun so many times."""
    begun = "once" if times == 1 else f"{times} times"
    return WorkerLost(
        f"the worker that ran this task died: it was killed, crashed, or lost its server. The task "
        f"was begun {begun}; with more than attempts={attempts} it would be run again"
    )


def with_traceback(error: BaseException) -> Any:
    """The exception in a form that brings its traceback along, as in multiprocessing."""
    return ExceptionWithTraceback(error, error.__traceback__)


def pickler_of(name: str) -> str:
    """The letter of a pickler that is there."""
    if name not in PICKLERS:
        raise ValueError(f"pickler={name!r}: use {' or '.join(map(repr, PICKLERS))}")
    dumps_of(PICKLERS[name])
    return PICKLERS[name]


def pickles(value: object) -> bytes:
    """With the newest protocol that every Python here has."""
    return pickle.dumps(value, protocol=5)


def dumps_of(letter: str) -> Callable[[Any], bytes]:
    """What makes pickles of tasks and results."""
    if letter == "p":
        return pickles
    try:
        cloudpickle = importlib.import_module("cloudpickle")
    except ImportError:
        raise ImportError(
            "pickler='cloudpickle' needs cloudpickle, here and where the workers run: "
            "pip install cloudpickle"
        ) from None
    return lambda value: cloudpickle.dumps(value, protocol=5)
