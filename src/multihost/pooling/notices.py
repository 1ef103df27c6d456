"""A word to who waits for the results of a pool without workers, or without one that is free."""

from __future__ import annotations

import logging
from multiprocessing import util

from multihost.errors import MultihostError
from multihost.pooling.client import Client
from multihost.pooling.nesting import current
from multihost.wire.identity import name_of
from multihost.wire.ops import pool as ops
from multihost.wire.printable import printable

__all__ = ["WorkerNotice"]

logger: logging.Logger = logging.getLogger(__name__)

FIRST_LOOK = 3.0  # seconds without a result after which the workers are counted
LONGEST = 60.0  # between two looks, each of them after twice the time


class WorkerNotice:
    """Warns once that nobody runs the tasks of a client; again after there were results."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._oldest: tuple[int, int] | None = None  # task, at the last look
        self._was_told = False
        self.seconds = FIRST_LOOK
        """Until the next :meth:`look`."""

    def look(self) -> None:
        """Warn if the oldest task is still the same, and there are no workers. No round trip if it
        is another one, else 3. So, too, in a worker if all workers of its own pool are busy.
        """
        client = self._client
        before, self._oldest = self._oldest, client.oldest
        if self._oldest is None or self._oldest != before:
            self.seconds, self._was_told = FIRST_LOOK, False
            return
        self.seconds = min(2 * self.seconds, LONGEST)
        if self._was_told:
            return
        try:
            found = ops.statistics(client.handle)
        except MultihostError as error:  # which will be the result of the tasks, too
            util.debug("cannot count the workers of a pool: %s", error)
            return
        if not found.workers:
            self._was_told = True
            name = name_of(client.handle.keys.ident)
            logger.warning(
                "no worker runs the tasks of the pool %r at %s, and %d wait: start workers with "
                "'multihost worker --pool %s' and the URL of that server, on any host",
                name,
                client.handle.link.address,
                found.waiting,
                printable(name),
            )
        elif (
            current.is_of(client.handle)
            and found.waiting
            and all(each.running for each in found.workers)
        ):
            self._was_told = True
            logger.warning(
                "the task %s has sent tasks to the pool that runs it, %r, and no worker is free to "
                "begin them: if it waits for them, and each worker runs such a task, that is for "
                "ever. Start more workers, or use another pool for the inner tasks",
                printable(current.name),
                name_of(client.handle.keys.ident) or client.handle.keys.ident,
            )
