"""What containers and ``make`` run of other people's is pinned, and has no rights to spare."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from tests.support.procs import ROOT, kill9
from tests.support.raw import RawClient
from tests.support.server import server_program

COMPOSE = (ROOT / "docker-compose.yml").read_text("utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
DOCKERFILE = (ROOT / "examples" / "compose" / "Dockerfile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PASSWORD = "0123456789abcdef"


def images() -> set[str]:
    """Return the images that are named anywhere here."""
    text = (ROOT / "tests" / "containers" / "test_containers.py").read_text("utf-8")
    tested = re.search(r"^IMAGES = (\[.*?\])", text, re.MULTILINE | re.DOTALL)
    assert tested
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.md"))
    return {
        *ast.literal_eval(tested[1]),
        *re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE),
        *(service["image"] for service in SERVICES.values() if "image" in service),
        *re.findall(r"docker run [^`\n]*?((?:redis|valkey/valkey):\S+?)`", pages),
    }


def test_images_are_pinned_to_a_version() -> None:
    found = images()
    assert len(found) >= 5
    for image in found:
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+(-[\w.]+)*(@sha256:[0-9a-f]{64})?", image), (
            image
        )


def test_nothing_runs_as_root() -> None:
    built = {name for name, service in SERVICES.items() if "build" in service}
    assert built == {"driver", "worker-a", "worker-b"}
    users = re.findall(r"^USER (\d+)", DOCKERFILE, re.MULTILINE)
    assert users and int(users[-1]) > 0, (
        "a number: what starts the container can see that it is not root"
    )
    for name, service in SERVICES.items():
        assert name in built or service["user"] not in ("root", "0")
        assert service.get("user") is None or name not in built
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "ports" not in service


def test_there_is_no_password_until_somebody_thinks_of_one() -> None:
    used = re.findall(r"\$\{([^}]*)\}", COMPOSE)
    assert len(used) == 2
    for variable in used:
        assert re.fullmatch(r"REDIS_PASSWORD:\?.+", variable), "an empty one is an error, too"


def test_the_password_stands_in_no_command_line(tmp_path: Path) -> None:
    """The command of the service is run, with our server as ``redis-server``."""
    socket, told = tmp_path / "s", tmp_path / "told"
    program = tmp_path / "redis-server"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {told}\n'
        f'exec {server_program()} "$@" --port 0 --unixsocket {socket} --dir {tmp_path}\n'
    )
    program.chmod(0o755)
    words = [word.replace("$$", "$") for word in SERVICES["redis"]["command"]]
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REDISCLI_AUTH": PASSWORD}
    server = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, cwd=tmp_path, text=True)
    try:
        assert server.stdout is not None
        assert any("eady to accept connections" in line for line in server.stdout)
        with RawClient(f"unix://:{PASSWORD}@{socket}") as client:
            assert client.call("PING") == b"PONG"
            assert client.call("CONFIG", "GET", "maxmemory-policy")[1] == b"noeviction"
            assert client.call("CONFIG", "GET", "appendonly")[1] == b"yes"
        with (
            pytest.raises(Exception, match="WRONGPASS|NOAUTH|invalid"),
            RawClient(f"unix://:wrong@{socket}") as client,
        ):
            client.call("PING")
        assert told.read_text() == "- --maxmemory-policy noeviction --appendonly yes\n"
    finally:
        kill9(server)
        server.stdout.close()


# -- packages


def locked(path: Path) -> dict[str, Requirement]:
    """Return the requirements of a file, each of which has hashes."""
    found = {}
    for line in path.read_text("utf-8").replace("\\\n", " ").splitlines():
        if not line.strip().startswith("#") and line.strip():
            text, *hashes = line.split("--hash=")
            assert hashes, line
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes)
            requirement = Requirement(text)
            assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), text
            found[requirement.name] = requirement
    return found


def wanted_by(path: Path) -> list[str]:
    """Return the requirements that a file locks."""
    if (own := path.with_suffix(".in")).exists():
        lines = (line.partition("#")[0].strip() for line in own.read_text("utf-8").splitlines())
        return [line for line in lines if line]
    extra = {"server": "server", "image": "cli"}[path.stem]
    return [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_what_is_locked_is_what_the_project_needs(path: Path) -> None:
    found = locked(path)
    for text in wanted_by(path):
        wanted = Requirement(text)
        version = str(found[wanted.name].specifier).removeprefix("==")
        assert wanted.specifier.contains(version), text


def test_the_bundled_server_has_an_upper_bound() -> None:
    (text,) = PROJECT["optional-dependencies"]["server"]
    assert any(bound.operator == "<" for bound in Requirement(text).specifier), text


def test_hashes_are_checked_where_it_is_installed() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    install, editable = (
        makefile.index("--require-hashes --requirement requirements/server.txt"),
        makefile.index("--editable"),
    )
    assert install < editable, "what is there already is not checked"
    assert "pip install --require-hashes -r /multihost/image.txt" in DOCKERFILE
    assert "pip install --no-deps --no-build-isolation /multihost" in DOCKERFILE
