"""What pickles of proxies name: ``python -m tests.pickling.pickled_names`` writes
``pickled_names.json``.

A pickle says where to find what it is made of. Another program may have another version of this
package, and in a container a pickle stays: a name that moves needs an alias where it was.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

from tests.hosted.hosted_classes import Our
from tests.hosted.stdlib_proxies import register
from tests.support import tables

__all__ = ["COMMAND", "TABLE", "found", "names_in", "samples"]

TABLE = Path(__file__).with_suffix(".json")
COMMAND = "python -m tests.pickling.pickled_names"


class Recorder(pickle.Unpickler):
    """Loads a pickle and keeps the names that it looks up in this package."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "multihost":
            self.names.add(f"{module}:{name}")
        return super().find_class(module, name)


def names_in(data: bytes) -> str:
    """Return the names of this package in a pickle."""
    recorder = Recorder(data)
    recorder.load()
    return " ".join(sorted(recorder.names))


def samples(m: Any) -> dict[str, Any]:
    """Return a proxy of each type, and what else can be pickled."""
    natives = {
        name: getattr(m, name)() for name in sorted(m._native_types - {"Array", "Barrier", "Value"})
    }
    return natives | {
        "Array": m.Array("i", [1]),
        "Barrier": m.Barrier(2),
        "Value": m.Value("i", 1),
        "Pool": m.Pool(1),
        "registered": m.Counter(),
        "registered, with a proxy type": m.Own(),
        "registered, as a dict": m.defaultdict(),
        "registered, as a Namespace": m.Attributes(),
        "registered, as a lock": m.HostedLock(),
        "registered, as an iterator": m.squares(),
        "a result that is registered": m.Counter().evens(2),
        "exposed methods": m.Exposed(),
        "registered, with a proxy type of the standard library": m.BySuper(),
        "registered, with one that the standard library made": m.Made(),
    }


def found() -> dict[str, str]:
    """Return the names in a pickle of each of them."""
    with register(type("Adopting", (Our,), {}))() as manager:
        things = samples(manager)
        try:
            return {name: names_in(pickle.dumps(thing)) for name, thing in things.items()}
        finally:
            things["Pool"].terminate()
            things["Pool"].join()


if __name__ == "__main__":
    tables.write(TABLE, found())
