"""What of an object cannot be read, because another program has altered it on the server.

An object is shown all the same, with what there is, and with the places that are damaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from multihost.wire.printable import printable
from multihost.wire.stored import number

__all__ = ["LONGEST", "Damage"]

LONGEST = 1000
"""Bytes of a field of a state, of its value, or of who holds or waits: of one, at most."""
PLACES = 10  # that are told


class Damage:
    """The places of one object that are damaged, such as ``field 'u'``, each once."""

    def __init__(self) -> None:
        self._places: dict[str, None] = {}

    def add(self, place: str) -> None:
        """Record a place."""
        if len(self._places) < PLACES:
            self._places[printable(place, 100)] = None

    @property
    def places(self) -> tuple[str, ...]:
        """What was recorded, in that order; not more than ten."""
        return tuple(self._places)

    def number(self, fields: Mapping[str, str], field: str) -> int:
        """Return a field as a number; 0 if there is none, or it is not what scripts store."""
        text = fields.get(field)
        found = None if text is None else number(text.encode())
        if found is None and text is not None:
            self.add(f"field {field!r}")
        return found or 0

    def fields(self, stored: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
        """Yield fields and values as text, without those that no script writes."""
        for field, value in stored:
            try:
                if len(field) > LONGEST or len(value) > LONGEST:
                    raise ValueError
                yield field.decode("utf-8", "surrogatepass"), value.decode("utf-8", "surrogatepass")
            except ValueError:
                self.add(f"field {printable(field, 40)!r}")
