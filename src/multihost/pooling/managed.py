"""The pool that managers make, which can be pickled."""

from __future__ import annotations

import copyreg
from multiprocessing.managers import RemoteError
from typing import Any

from multihost.errors import MultihostError
from multihost.pooling.handlers import delete_pool
from multihost.pooling.options import PoolOptions
from multihost.pooling.reference import PoolReference
from multihost.pooling.shared_pool import SharedPool
from multihost.runtime import RuntimeOwner

__all__ = ["ManagedPool", "PoolRefused", "managed_pool"]


class ManagedPool(SharedPool):
    """The pool that ``manager.Pool()`` returns. As a proxy of the standard library's manager it can
    be pickled: the unpickled one is another client of the same pool.
    """

    def terminate(self) -> None:
        """End an unnamed pool for all processes, a named one for this client."""
        super().terminate()
        if self._supervisor.size == 0 and self.name is None:
            delete_pool(self._reference)

    def __del__(self) -> None:
        """Do nothing: it ends with its manager, and need not be closed, as with multiprocessing."""

    def __reduce__(self) -> Any:
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    def __getstate__(self) -> tuple[PoolReference, str, int]:
        return self._reference, self._client.pickler, self._client.attempts

    def __setstate__(self, state: tuple[PoolReference, str, int]) -> None:
        self._attach(*state)


class PoolRefused(ValueError, RemoteError):
    """Arguments that no pool can have. A pool raises ValueError for them, and the standard
    library's manager, which makes pools in its own process, RemoteError.
    """

    def __str__(self) -> str:
        return str(self.args[0])


def managed_pool(manager: RuntimeOwner, options: PoolOptions) -> ManagedPool:
    """Make a pool for a manager. Raises PoolRefused where a pool raises ValueError."""
    try:
        return ManagedPool(manager, options)
    except ValueError as error:
        if isinstance(error, MultihostError):
            raise
        raise PoolRefused(*error.args) from None
