"""The shared types on the servers that people run in containers."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from multihost import RedisManager
from tests.objects.bodies import BODIES, Body

IMAGES = ["redis:6.2.21", "redis:7.4.11", "redis:8.6.7", "valkey/valkey:9.1.2"]
SECONDS = 5.0


@functools.cache
def why_not() -> str:
    """What is missing to run containers; empty if nothing is. Asked once, and quickly answered."""
    docker = shutil.which("docker")
    if not docker:
        return "needs Docker: there is no docker on PATH"
    try:
        asked = subprocess.run(
            [docker, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"needs Docker: it did not answer within {SECONDS:.0f} s"
    if asked.returncode:
        return f"needs Docker: {(asked.stderr or asked.stdout).strip().splitlines()[-1]}"
    return ""


@pytest.fixture(scope="module", params=IMAGES)
def container_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if why := why_not():
        pytest.skip(why)
    # Its client would be a second way to end the container; ours is the with statement.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    redis = pytest.importorskip("testcontainers.redis", exc_type=ImportError)
    try:
        container = redis.RedisContainer(request.param).start()
    except Exception as error:
        pytest.skip(f"needs the image {request.param}: {error}")
    try:
        host, port = container.get_container_host_ip(), container.get_exposed_port(6379)
        yield f"redis://{host}:{port}/0"
    finally:
        container.stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_types(body: Body, container_url: str) -> None:
    with RedisManager(container_url) as m:
        body(m)
        assert m.names() == []
