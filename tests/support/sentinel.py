"""A Sentinel that watches a server, for clients that ask it for the master."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.ports import Port
from tests.support.procs import send_signal
from tests.support.raw import RawClient
from tests.support.server import WATCHER, Server, server_program
from tests.support.waiting import wait_until

__all__ = ["SERVICE", "Sentinel"]

SERVICE = f"main.{secrets.token_hex(4)}"
"""One in each process: a Sentinel of another worker's tests does not know it."""

ATTEMPTS = 5
FAILOVER_TIMEOUT = 5000
"""Milliseconds until a failover that did not succeed may be tried again."""


class Sentinel:
    """Watches ``server`` under the name of ``SERVICE``; runs as soon as it is made.

    ``password`` is asked for by the Sentinel itself; that of the server it takes from it.
    """

    def __init__(
        self,
        server: Server,
        *,
        password: str = "",
        quorum: int = 1,
        down_after: int = 30_000,
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
    ) -> None:
        self.password = password
        self._host, self._prefix = host, list(prefix)
        self._quorum = quorum
        self._down_after = down_after
        self._directory = tempfile.mkdtemp(prefix="mhs", dir="/tmp")
        self._log = Path(self._directory, "log")
        self._socket = f"{self._directory}/s"  # on another host we cannot reach its port
        for attempt in range(ATTEMPTS):
            self._port = Port(host, look=not prefix)
            self.port = self._port.number
            self._start(server)
            try:
                wait_until(self._sees_the_master, what="the Sentinel sees the server")
            except BaseException as error:
                said = self._log.read_text()
                self._stop()
                # Somebody who reserves nothing may have taken the port since we looked.
                if attempt + 1 < ATTEMPTS and "ddress already in use" in said:
                    continue
                shutil.rmtree(self._directory, ignore_errors=True)
                error.add_note(said)
                raise
            return

    def __enter__(self) -> Sentinel:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def host(self) -> tuple[str, int]:
        return self._host, self.port

    def _start(self, server: Server) -> None:
        lines = [
            f"port {self.port}",
            f"bind {self._host}",
            f"unixsocket {self._socket}",
            f"dir {self._directory}",
            f'sentinel monitor "{SERVICE}" {server.host} {server.port} {self._quorum}',
            f'sentinel down-after-milliseconds "{SERVICE}" {self._down_after}',
            f'sentinel failover-timeout "{SERVICE}" {FAILOVER_TIMEOUT}',
        ]
        if server.password:
            lines.append(f'sentinel auth-pass "{SERVICE}" {server.password}')
        if self.password:
            lines.append(f"requirepass {self.password}")
        conf = Path(self._directory, "conf")  # which it rewrites
        conf.touch(mode=0o600)
        conf.write_text("\n".join(lines) + "\n")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._prefix, server_program(), str(conf), "--sentinel"],
                stdout=log,
                start_new_session=True,
            )
        self._watcher = subprocess.Popen(  # ends it if we are killed
            ["sh", "-c", WATCHER, "sh", str(self._process.pid), self._directory],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _stop(self) -> None:
        assert self._watcher.stdin is not None
        self._watcher.kill()
        self._watcher.wait()
        self._watcher.stdin.close()
        self._process.kill()
        self._process.wait()
        self._port.release()

    def command(self, *args: str | bytes | float) -> Any:
        """One call of the Sentinel, over a connection of its own."""
        auth = f":{self.password}@" if self.password else ""
        with RawClient(f"unix://{auth}{self._socket}") as client:
            return client.call(*args)

    def facts(self) -> dict[str, str]:
        """What it knows of the master."""
        found = self.command("SENTINEL", "MASTER", SERVICE)
        pairs = (
            found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        )
        return {name.decode(): value.decode() for name, value in pairs}

    def master_port(self) -> int:
        """The port of the server that it takes for the master."""
        return int(self.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def await_others(self, sentinels: int, replicas: int) -> None:
        """Wait until it knows so many other Sentinels and replicas."""

        def knows_all() -> bool:
            facts = self.facts()
            known = int(facts["num-other-sentinels"]), int(facts["num-slaves"])
            return known == (sentinels, replicas)

        wait_until(knows_all, what="the Sentinels know each other")

    def pause(self) -> None:
        """SIGSTOP."""
        assert send_signal(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert send_signal(self._process.pid, signal.SIGCONT)

    def _sees_the_master(self) -> bool:
        assert self._process.poll() is None, "the Sentinel ended"
        with contextlib.suppress(OSError):
            return self.facts()["flags"] == "master"
        return False
