"""The pool that managers make, which can be pickled."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.managers import RemoteError
from typing import Any

from multihost.errors import MultihostError
from multihost.pooling.handlers import INIT, delete_pool
from multihost.pooling.reference import PoolReference
from multihost.pooling.shared_pool import SharedPool

__all__ = ["ManagedPool", "PoolRefused", "raise_as_stdlib"]


class ManagedPool(SharedPool):
    """The pool that ``manager.Pool()`` returns. As a proxy of the standard library's manager it can
    be pickled: where it arrives it is another client of the same pool.
    """

    def terminate(self) -> None:
        """As there: for every process that has an unnamed pool; of a named one for this client."""
        super().terminate()
        if self._supervisor.size == 0 and self.name is None:
            delete_pool(self._reference)

    def __del__(self) -> None:
        """It ends with its manager at the latest, and need not be closed, as the one there."""

    def __reduce__(self) -> Any:
        client = self._client
        return _attached, (self._reference, client.letter, client.attempts)


class PoolRefused(ValueError, RemoteError):
    """A pool that cannot be. The standard library's manager, which makes it elsewhere, raises
    RemoteError; a pool raises ValueError.
    """

    def __str__(self) -> str:
        return str(self.args[0])


def raise_as_stdlib(make: Callable[..., ManagedPool], *args: Any, **kwds: Any) -> ManagedPool:
    """Make a pool for a manager; what is refused can be caught as there, too."""
    try:
        return make(*args, **kwds)
    except ValueError as error:
        if isinstance(error, MultihostError):
            raise
        raise PoolRefused(*error.args) from None


def _attached(reference: PoolReference, letter: str, attempts: int) -> ManagedPool:
    pool = ManagedPool.__new__(ManagedPool)
    pool._context = multiprocessing.get_context()
    pool._state = INIT
    pool._open(reference, 0, letter, attempts)
    pool._start()
    return pool
