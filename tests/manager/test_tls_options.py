"""The options of TLS are checked before anything is sent, and what lets anybody in is warned of."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import pytest
import redis

from multihost import LinkError, RedisManager, UnverifiedServer
from multihost.cli import run
from multihost.wire.link import check_url, options
from tests.support.raw import Endpoint
from tests.support.tls import TlsProxy


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("ssl_cert_reqs=nonee", "ssl_cert_reqs is one of required, optional, none, not 'nonee'"),
        ("ssl_cert_reqs=", "ssl_cert_reqs is one of required, optional, none, not ''"),
        ("ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs is one of"),
        ("ssl_check_hostname=maybe", "ssl_check_hostname is true or false, not 'maybe'"),
        ("ssl_check_hostname=", "ssl_check_hostname is true or false"),
        ("ssl_cert_reqs=none&ssl_check_hostname=True", "ssl_check_hostname=true contradicts"),
        ("ssl_cert_reqs=none&ssl_ca_certs=/ca.pem", "ssl_ca_certs has no effect"),
        ("ssl_keyfile=/key.pem", "ssl_keyfile needs ssl_certfile"),
        ("ssl_min_version=first", "ssl_min_version"),
        ("ssl_validate_ocsp=True", "OCSP cannot be asked for in a URL"),
    ],
)
def test_options_that_cannot_be(query: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        check_url(f"rediss://127.0.0.1:1?{query}")
    assert caught.value.__context__ is None
    with pytest.raises(ValueError, match=told):
        RedisManager(f"rediss://127.0.0.1:1?{query}")


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_ca_path"])
def test_files_that_are_missing(option: str, tmp_path: Path, capsys: Any) -> None:
    """Also where nobody listens, which would be found out later."""
    url = f"rediss://127.0.0.1:1?{option}={tmp_path}/none"
    with pytest.raises(LinkError, match=f"{option} names .*; correct the URL") as caught:
        RedisManager(url)
    assert isinstance(caught.value, FileNotFoundError)
    assert run(["ls", url]) == 2
    assert option in capsys.readouterr().err


@pytest.fixture(autouse=True)
def nothing_was_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "_warned", set())


@pytest.mark.parametrize("query", ["ssl_cert_reqs=none", "ssl_check_hostname=False"])
def test_a_server_that_is_not_verified(tls_proxy: TlsProxy, query: str) -> None:
    """A warning at the line of the program, once for each address, without the password."""
    name, _, value = query.partition("=")
    more = [] if "none" in value else [("ssl_ca_certs", tls_proxy.ca_file)]
    url = dataclasses.replace(
        Endpoint.parse(tls_proxy.bare_url), options=((name, value), *more)
    ).url
    with pytest.warns(UnverifiedServer, match=f"{name}={value}") as caught:
        with RedisManager(url) as manager:
            manager.dict(a=1)
    assert [each.filename for each in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RedisManager(url).shutdown()


@pytest.mark.parametrize("how", ["required", "optional"])
def test_a_server_that_is_verified(tls_proxy: TlsProxy, how: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RedisManager(f"{tls_proxy.url}&ssl_cert_reqs={how}&ssl_check_hostname=true").shutdown()


def test_a_client_that_does_not_verify(tls_proxy: TlsProxy) -> None:
    endpoint = Endpoint.parse(tls_proxy.bare_url)
    client = redis.Redis(
        host=endpoint.host, port=endpoint.port, ssl=True, ssl_cert_reqs="none", protocol=3
    )
    with client, pytest.warns(UnverifiedServer, match="ssl_cert_reqs=none"):
        RedisManager(client=client).shutdown()
