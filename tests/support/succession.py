"""A master that dies, and a replica that takes over with what it had got until a test said so."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from tests.support.replication import Replication
from tests.support.sentinel import Sentinel
from tests.support.server import Server
from tests.support.waiting import wait_until

__all__ = ["Succession"]


class Succession:
    """The servers that are master one after the other: in place of one :class:`Server` that goes
    back to its last ``SAVE``. A Sentinel says who it is, ``url``.
    """

    def __init__(self, start: Callable[[], Server], sentinel: Sentinel) -> None:
        self._start = start
        self._sentinel = sentinel
        self._service = f"line.{secrets.token_hex(4)}"
        self.master = start()
        self._heir: Server | None = None
        self._name()
        host, port = sentinel.host
        self.url = self.tcp_url = f"redis+sentinel://{host}:{port}/{self._service}/0"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.master, name)

    def command(self, *args: Any, **options: Any) -> Any:
        """As of a server; ``SAVE`` leaves a replica behind that gets nothing from now on."""
        if args == ("SAVE",):
            return self._leave_heir()
        return self.master.command(*args, **options)

    def restart(self, *, empty: bool = False, save: bool = True) -> None:
        """The master dies, and the replica takes over."""
        assert not empty
        if save:
            self._leave_heir()
        self.go_back()

    def go_back(self) -> None:
        """The same, with what there was at the last ``SAVE``."""
        assert self._heir is not None, "nothing was saved"
        self.master.kill()
        self.master, self._heir = self._heir, None
        self._sentinel.command("SENTINEL", "REMOVE", self._service)
        self._name()

    def close(self) -> None:
        self._sentinel.command("SENTINEL", "REMOVE", self._service)

    def _leave_heir(self) -> None:
        heir = self._heir = self._start()
        Replication.follow(heir, self.master)
        wait_until(lambda: heir.info("replication")["master_link_status"] == "up", what="a copy")
        # It is waited for what this connection has written, and all that came before.
        self.master.commands(("SET", "copied", 1), ("DEL", "copied"), ("WAIT", 1, 0))
        Replication.promote(heir)

    def _name(self) -> None:
        place = self.master.host, self.master.port
        self._sentinel.command("SENTINEL", "MONITOR", self._service, *place, 1)
