"""The wheel has every file of the package: those that are no modules, too."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="builds the wheel")
    (built,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        packed = {name for name in archive.namelist() if name.startswith("multihost/")}
    source = ROOT / "src"
    files = {
        str(path.relative_to(source))
        for path in (source / "multihost").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert packed == files
    assert {"multihost/embedded/watcher.sh", "multihost/py.typed"} < packed
