"""A server for the explorer, in the same state before each schedule."""

from __future__ import annotations

from multihost.wire.script import Script, source
from tests.explore.run import Outcome, Run
from tests.explore.scenarios import Scenario
from tests.explore.schedules import Schedule
from tests.support.server import Server

__all__ = ["Laboratory"]


class Laboratory:
    """A server of its own, to be killed and filled."""

    def __init__(self) -> None:
        self._server = Server()
        self._prepared = 0

    def close(self) -> None:
        self._server.close()

    def carry(self, scenario: Scenario, schedule: Schedule) -> Outcome:
        """Run one schedule on an empty server that knows all scripts."""
        if not self._server.is_running:
            self._server.restart()
        self._server.commands(("FLUSHALL",), ("CONFIG", "SET", "maxmemory", 0))
        if self._prepared != self._server.pid:
            self._server.commands(*(("SCRIPT", "LOAD", text) for text in _scripts()))
            self._prepared = self._server.pid
        self._server.tail()
        return Run(self._server, scenario, schedule).run()


def _scripts() -> list[str]:
    return [Script(name).source.decode() for name in source.all_names()]
