"""The README, the tutorial and the how-to pages do what they say."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ANYHOST, blocks
from tests.support.ports import Port
from tests.support.procs import ROOT, send_signal
from tests.support.server import Server

CONTENTS = re.findall(
    r"^(?:tutorial|howto/\S+)$", (ROOT / "docs" / "index.md").read_text("utf-8"), re.MULTILINE
)
PAGES = {
    "README.md": ROOT / "README.md",
    **{f"docs/{page}.md": ROOT / "docs" / f"{page}.md" for page in CONTENTS},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(tcp=True) as own:
        yield own


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where ``python`` is the one that runs the tests, and ``multihost`` what they test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, command in (("python", ""), ("multihost", "-m multihost")):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {command} "$@"\n')
        program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    with Port() as one, Port() as other:
        yield one.number, other.number


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(
    name: str, server: Server, path: str, tmp_path: Path, ports: tuple[int, int]
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("MULTIHOST_URL")
    }
    environment |= {"PATH": path, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [
        *(sys.executable, "-m", "tests.docs.pages", str(PAGES[name])),
        *(f"{ANYHOST}={server.tcp_url}", f"6399={ports[0]}"),
        f"50000={ports[1]}",
    ]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as player:
        try:
            said, _ = player.communicate(timeout=150)
        finally:
            send_signal(player, signal.SIGKILL, group=True)
    server.command("FLUSHALL")
    assert player.returncode == 0, said


def test_every_block_is_of_a_language_that_is_run_or_known() -> None:
    for name, page in PAGES.items():
        text = page.read_text("utf-8")
        fences = [line[3:] for line in text.splitlines() if line.startswith("```") and line[3:]]
        unknown = set(fences) - {"python", "pycon", "console", "sh", "text", "diff", "json", "yaml"}
        assert not unknown, (name, unknown)
        known = sum(fence in ("python", "pycon", "console") for fence in fences)
        assert known == len(list(blocks(text))), f"{name}: a comment must be right above its block"
