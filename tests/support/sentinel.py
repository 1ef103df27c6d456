"""A Sentinel that watches a server, for clients that ask it for the master."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.raw import RawClient
from tests.support.server import WATCHER, Server, free_port, server_program
from tests.support.waiting import wait_until

__all__ = ["SERVICE", "Sentinel"]

SERVICE = "main.one"


class Sentinel:
    """Watches ``server`` under the name of ``SERVICE``; runs as soon as it is made.

    ``password`` is asked for by the Sentinel itself; that of the server it takes from it.
    """

    def __init__(self, server: Server, *, password: str = "") -> None:
        self.password = password
        self.port = free_port()
        self._directory = tempfile.mkdtemp(prefix="mhs", dir="/tmp")
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self._directory}",
            f'sentinel monitor "{SERVICE}" 127.0.0.1 {server.port} 1',
        ]
        if server.password:
            lines.append(f'sentinel auth-pass "{SERVICE}" {server.password}')
        if password:
            lines.append(f"requirepass {password}")
        conf = Path(self._directory, "conf")  # which it rewrites
        conf.touch(mode=0o600)
        conf.write_text("\n".join(lines) + "\n")
        self._process = subprocess.Popen(
            [server_program(), str(conf), "--sentinel"],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._watcher = subprocess.Popen(  # ends it if we are killed
            ["sh", "-c", WATCHER, "sh", str(self._process.pid), self._directory],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        wait_until(self._sees_the_master, what="the Sentinel sees the server")

    def __enter__(self) -> Sentinel:
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._watcher.stdin is not None
        self._watcher.kill()
        self._watcher.wait()
        self._watcher.stdin.close()
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def host(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def _sees_the_master(self) -> bool:
        assert self._process.poll() is None, "the Sentinel ended"
        auth = f":{self.password}@" if self.password else ""
        with contextlib.suppress(OSError):
            client = RawClient(f"redis://{auth}127.0.0.1:{self.port}/0")
            try:
                found = client.call("SENTINEL", "master", SERVICE)
            finally:
                client.close()
            fields = (
                found
                if isinstance(found, dict)
                else dict(zip(found[::2], found[1::2], strict=True))
            )
            return fields[b"flags"] == b"master"
        return False
