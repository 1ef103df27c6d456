"""Network namespaces that act as hosts on one network, each with its own address and its own cable.

Host ``a`` has 10.77.N.1, ``b`` 10.77.N.2, and so on. The switch between them is in a namespace of
its own, so that nothing of ours stands among the machine's interfaces and its firewall has no say.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import string
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Hosts"]

STATE = Path("/var/run/netns")
NAME = re.compile(r"mh(\d+)-\d+-\w+")

_numbers = itertools.count()


class Hosts:
    """``count`` hosts named ``a``, ``b``, ...; skips the test where this cannot be had.

    with Hosts() as hosts:
        server = Server(
            tcp=True, host=hosts.address["a"], prefix=hosts.prefix("a"), protected_mode="no"
        )
        hosts.run("b", [sys.executable, "-c", "..."])
        hosts.cut("b")
    """

    def __init__(self, count: int = 2) -> None:
        self.names = list(string.ascii_lowercase[:count])
        self._stem = f"mh{os.getpid()}-{next(_numbers)}"
        net = os.getpid() % 250 + 1
        self.address = {name: f"10.77.{net}.{n}" for n, name in enumerate(self.names, 1)}
        self._spaces: list[str] = []
        self._processes: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Hosts:
        if not shutil.which("ip"):
            pytest.skip("needs iproute2 (ip)")
        if os.geteuid() != 0:
            pytest.skip("needs root")
        _remove_left_behind()
        try:
            self._build()
        except subprocess.CalledProcessError as error:
            self.close()
            pytest.skip(
                f"needs root with the right to make network namespaces: {error.stderr.strip()}"
            )
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def prefix(self, host: str) -> list[str]:
        """What to put before a command so that it runs on ``host``."""
        return ["ip", "netns", "exec", self._space(host)]

    def run(self, host: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program on ``host``; it is killed with the hosts if it still runs."""
        process = subprocess.Popen([*self.prefix(host), *argv], **options)
        self._processes.append(process)
        return process

    def cut(self, host: str) -> None:
        """Unplug at the switch: connections stay, and packets vanish without a word."""
        _ip("-n", self._switch, "link", "set", f"port-{host}", "nomaster")

    def heal(self, host: str) -> None:
        _ip("-n", self._switch, "link", "set", f"port-{host}", "master", "bridge")

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self._processes.clear()
        # The links and the bridge go with their namespaces.
        while self._spaces:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", self._spaces.pop())

    @property
    def _switch(self) -> str:
        return f"{self._stem}-switch"

    def _space(self, host: str) -> str:
        if host not in self.names:
            raise ValueError(f"no host {host!r} among {self.names}")
        return f"{self._stem}-{host}"

    def _build(self) -> None:
        self._add_space(self._switch)
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        _ip("-n", self._switch, "link", "set", "bridge", "up")
        for name in self.names:
            space, port = self._space(name), f"port-{name}"
            self._add_space(space)
            _ip(
                "-n",
                self._switch,
                *f"link add {port} type veth peer name eth0 netns {space}".split(),
            )
            _ip("-n", self._switch, *f"link set {port} master bridge up".split())
            _ip("-n", space, *f"addr add {self.address[name]}/24 dev eth0".split())
            _ip("-n", space, "link", "set", "eth0", "up")

    def _add_space(self, space: str) -> None:
        _ip("netns", "add", space)
        self._spaces.append(space)
        _ip("-n", space, "link", "set", "lo", "up")


def _remove_left_behind() -> None:
    """Namespaces of test runs that were killed."""
    for path in STATE.glob("mh*"):
        found = NAME.fullmatch(path.name)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            # Another run may be at the same work.
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", path.name)


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True, text=True)
