"""Results on their way out of a worker: in parts, where the server does not take one as a whole."""

from __future__ import annotations

from typing import Any

from multihost.errors import PayloadTooLarge
from multihost.pooling.messages import Part, Result, encoding_error
from multihost.wire.ops import pool as ops
from multihost.wire.ops.pool import TaskTrailer
from multihost.wire.ops.queue.in_flight import Delivery
from multihost.wire.session import Handle
from multihost.wire.values.signing import Purpose

__all__ = ["OutgoingResult"]

AROUND = 256  # bytes around the values of a part, at most


class OutgoingResult:
    """The result of a task that a worker has run: it pickles it, and sends parts of it ahead."""

    def __init__(self, handle: Handle, item: Delivery, trailer: TaskTrailer) -> None:
        self._handle = handle
        self._codec = ops.codec_of(handle, Purpose.RESULT)
        self._item = item
        self._trailer = trailer

    def pack(self, ok: bool, value: Any, *, is_chunk: bool) -> tuple[bytes, BaseException | None]:
        """Return the packed result, and why it is not what the task returned: it can then not be
        pickled, or it is too large.

        A chunk, which is a list of results, may be sent in parts; what is returned is the last.
        1 round trip for each part, and 2 if the result is larger than a megabyte.
        """
        try:
            try:
                packed = self._packed(ok, value)
                ops.check_size(self._handle, len(packed), "the result of the task")
            except PayloadTooLarge:
                if not (ok and is_chunk):
                    raise
                return self._send_parts(value), None
        except BaseException as error:  # noqa: BLE001 - classes raise anything when they are pickled
            return encoding_error(self._codec, self._trailer, error, value), error
        return packed, None

    def _packed(self, ok: bool, value: Any) -> bytes:
        trailer = self._trailer
        result = Result(trailer.job, trailer.number, ok, value)
        return result.pack(self._codec, trailer, trailer.pickler)

    def _send_parts(self, values: list[Any]) -> bytes:
        """Send all parts but the last one, which is returned packed."""
        groups = self._split(values)
        packed = b""
        for index, group in enumerate(groups):
            if index:
                ops.put_part(self._handle, self._item.in_flight, self._trailer, packed)
            part = Part(self._item.delivery_count, index, len(groups), group)
            packed = self._packed(True, part)
        return packed

    def _split(self, values: list[Any]) -> list[list[Any]]:
        """Return the values in groups that the server takes. Raises PayloadTooLarge."""
        try:
            size = AROUND + len(self._packed(True, values))
            ops.check_size(self._handle, size, "one result of the task")
        except PayloadTooLarge:
            if len(values) == 1:
                raise
            half = len(values) // 2
            return self._split(values[:half]) + self._split(values[half:])
        return [values]
