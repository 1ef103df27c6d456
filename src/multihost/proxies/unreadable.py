"""Items of a queue that a consumer received and cannot unpickle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from multihost.errors import BadPayload
from multihost.proxies.base import BaseProxy, handle_of
from multihost.proxies.reading import call_on, explain
from multihost.wire.ops.queue.consumer import Consumer
from multihost.wire.ops.queue.hand import Hand
from multihost.wire.ops.queue.in_flight import Delivery
from multihost.wire.ops.queue.put_aside import put_aside
from multihost.wire.printable import printable

__all__ = ["load_letters", "set_aside"]

logger: logging.Logger = logging.getLogger(__name__)


def set_aside(
    queue: BaseProxy,
    consumer: Consumer,
    hand: Hand,
    deliveries: Sequence[Delivery],
    error: BaseException,
    method: str,
) -> tuple[list[Any], list[Delivery]]:
    """Return the items that can be unpickled, and their deliveries, after ``error`` was met. The
    others become dead letters; raises what the first of them raised if there are only such ones.

    An interruption that comes from no item (Ctrl-C, a signal handler that exits) is raised, and
    all of them stay in the hand. 1 round trip for each in-flight list.
    """
    if isinstance(error, KeyboardInterrupt):
        raise error
    items, good, bad = _sorted_out(queue, deliveries)
    if not bad and not isinstance(error, Exception):
        raise error
    put_aside(handle_of(queue), consumer, hand, [delivery for delivery, _ in bad])
    if not good:
        delivery, first = bad[0]
        _log(queue, method, bad[1:])
        if isinstance(first, Exception):
            explain(first, queue, method, f"{_item(delivery)}, a dead letter now")
        raise first
    _log(queue, method, bad)
    return items, good


def _sorted_out(
    queue: BaseProxy, deliveries: Sequence[Delivery]
) -> tuple[list[Any], list[Delivery], list[tuple[Delivery, BaseException]]]:
    """Return the items that can be unpickled, their deliveries, and the other ones with what they
    raise: which may be a SystemExit, of a module that is no module.
    """
    codec = handle_of(queue).codec
    items: list[Any] = []
    good: list[Delivery] = []
    bad: list[tuple[Delivery, BaseException]] = []
    for delivery in deliveries:
        try:
            items.append(codec.load(delivery.value))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - it is the item's
            bad.append((delivery, error))
        else:
            good.append(delivery)
    return items, good, bad


def _log(queue: BaseProxy, method: str, bad: Sequence[tuple[Delivery, BaseException]]) -> None:
    if not bad:
        return
    delivery, error = bad[0]
    logger.warning(
        "%s: dead letters now, for they cannot be unpickled: %d; the first is %s: %s: %s",
        call_on(queue, method),
        len(bad),
        _item(delivery),
        type(error).__name__,
        printable(error),
    )


def _item(delivery: Delivery) -> str:
    return f"an item of {len(delivery.value)} bytes"


def load_letters(queue: BaseProxy, letters: Sequence[bytes]) -> list[Any]:
    """Return dead letters, in place of those that cannot be unpickled the error that says so."""
    return [_letter(queue, number, letter) for number, letter in enumerate(letters)]


def _letter(queue: BaseProxy, number: int, letter: bytes) -> Any:
    try:
        return handle_of(queue).codec.load(letter)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - it is the item's
        where = f"{call_on(queue, 'dead_letters')}: letter {number}, of {len(letter)} bytes"
        what = f"{type(error).__name__}: {printable(error)}"
        unreadable = BadPayload(f"{where}, cannot be unpickled: {what}")
        unreadable.__cause__ = error
        return unreadable
