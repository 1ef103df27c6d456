"""Directories for temporary files that a test can look through."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

__all__ = ["temporary_root"]


def temporary_root(
    monkeypatch: pytest.MonkeyPatch, factory: pytest.TempPathFactory, mode: int = 0o700
) -> Path:
    """Return a new directory that is the one for temporary files until the end of the test, with a
    path short enough for sockets in it. Whoever asks for it removes it.
    """
    factory.getbasetemp()  # or pytest puts its own into this one
    path = Path(tempfile.mkdtemp(prefix="mh", dir="/tmp"))
    path.chmod(mode)
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    monkeypatch.setenv("TMPDIR", str(path))
    return path
