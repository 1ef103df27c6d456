"""A process that is killed just before, or just behind, its n-th request."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from multihost.wire.link.socket import SocketChannel
from tests.support.procs import ProcessFailed
from tests.support.waiting import PATIENCE

__all__ = ["die_at"]

FORK = multiprocessing.get_context("fork")

Work = Callable[[Callable[[], None]], object]


class _Requests:
    """Counts what the main thread writes to servers, from `start` on: the background comes when it
    likes. One write may be several commands.
    """

    def __init__(self, last: int, is_sent: bool) -> None:
        self._left, self._is_sent = last, is_sent
        self._counts = False
        made = SocketChannel.__init__

        def make(channel: SocketChannel, *args: Any, **settings: Any) -> None:
            made(channel, *args, **settings)
            send = channel._send
            channel._send = lambda request: self._write(send, request)

        SocketChannel.__init__ = make  # type: ignore[method-assign]

    def start(self) -> None:
        self._counts = True

    def _write(self, send: Callable[[bytes], object], request: bytes) -> None:
        if self._counts and threading.current_thread() is threading.main_thread():
            self._left -= 1
        if self._left > 0:
            send(request)
            return
        if self._is_sent:
            send(request)
        os.kill(os.getpid(), signal.SIGKILL)


def die_at(last: int, work: Work, *, is_sent: bool = False) -> bool:
    """Fork a process that does ``work(start)`` and is killed before its request of this number, by
    ``start()``; with ``is_sent`` when that is sent and not answered. Return False if it has ended
    before.
    """

    def live() -> None:
        requests = _Requests(last, is_sent)
        work(requests.start)

    process = FORK.Process(target=live)
    process.start()
    process.join(PATIENCE)
    status = process.exitcode
    if status is None:
        process.kill()
        process.join()
    process.close()
    if status not in (0, -signal.SIGKILL):
        raise ProcessFailed(f"the process ended with {status} before its request {last}")
    return status != 0
