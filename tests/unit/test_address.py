"""URLs: their parts, and that secrets in them are never shown."""

from __future__ import annotations

import pickle

import pytest

from multihost import ServerUnfit
from multihost.wire.address import Address, Credentials, parse


@pytest.mark.parametrize(
    ("url", "address", "login"),
    [
        ("redis://", "redis://localhost:6379/0", ("", "")),
        ("redis://host", "redis://host:6379/0", ("", "")),
        ("redis://host:7000/3", "redis://host:7000/3", ("", "")),
        ("redis://host?db=3", "redis://host:6379/3", ("", "")),
        ("redis://[::1]:7000/1", "redis://[::1]:7000/1", ("", "")),
        ("redis://:pw@host", "redis://host:6379/0", ("", "pw")),
        ("redis://bob:pw@host", "redis://host:6379/0", ("bob", "pw")),
        ("redis://bob:p%40%2Fw%3A@host", "redis://host:6379/0", ("bob", "p@/w:")),
        ("redis://host?username=bob&password=p%26w", "redis://host:6379/0", ("bob", "p&w")),
        ("unix:///tmp/s.sock", "unix:///tmp/s.sock", ("", "")),
        ("unix://bob:pw@/tmp/s.sock?db=2", "unix:///tmp/s.sock?db=2", ("bob", "pw")),
        ("unix:///tmp/a%20b.sock", "unix:///tmp/a%20b.sock", ("", "")),
        (
            "rediss://host:1/0?ssl_ca_certs=%2Fca.pem",
            "rediss://host:1/0?ssl_ca_certs=%2Fca.pem",
            ("", ""),
        ),
    ],
)
def test_urls(url: str, address: str, login: tuple[str, str]) -> None:
    found, credentials = parse(url)
    assert str(found) == address
    assert (credentials.username, credentials.password) == login
    assert parse(address)[0] == found, "what is shown leads to the same place"


def test_a_path_with_special_characters_is_read_as_it_is() -> None:
    assert parse("unix:///tmp/a%20b.sock")[0].path == "/tmp/a b.sock"


def test_the_options_of_one_server_do_not_make_it_two() -> None:
    plain, with_options = (
        parse(url)[0] for url in ("rediss://h:1/2", "rediss://h:1/2?ssl_ca_certs=/ca")
    )
    assert plain != with_options
    assert plain.server == with_options.server
    assert plain.server != parse("rediss://h:1/3")[0].server


def test_secret_options_are_kept_apart() -> None:
    address, credentials = parse("rediss://h/0?ssl_keyfile=/k&ssl_password=hush")
    assert "hush" not in str(address) + repr(address)
    assert credentials.secret_options == (("ssl_password", "hush"),)


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "url",
    [
        "http://bob:s3cr3t@host",
        "redis+sentinel://bob:s3cr3t@host",
        "bob:s3cr3t@host:6379",
        "//bob:s3cr3t@host",
        "redis://bob:s3cr3t@host:port",
        "redis://bob:s3cr3t@host:99999",
        "redis://bob:s3cr3t@host/first",
        "redis://bob:s3cr3t@host/-1",
        "redis://bob:s3cr3t@host/%C2%B2",
        "redis://bob:s3cr3t@host?db=first",
        "redis://bob:s3cr3t@[host",
        "unix://bob:s3cr3t@",
        "unix://bob:s3cr3t@/path?db=first",
        # a password that should have been percent-encoded
        "redis://bob:x/s3cr3t@host/0",
        "redis://bob:s3cr3t/y@host/0",
        "redis://bob:1/s3cr3t@host/0",
        "redis://bob:x?s3cr3t@host/0",
        "redis://bob:s3cr3t?y@host/0",
        "redis://bob:x#s3cr3t@host/0",
        "redis://bob:s3cr3t#y@host/0",
        "redis://bob:12#s3cr3t@host/0",
        "redis://bob:x[s3cr3t@host/0",
        "redis://bob:1/?db=s3cr3t@host/0",
        "redis:/bob:s3cr3t@host",
        "redis://host/x?password=s3cr3t",
        "",
    ],
)
def test_a_wrong_url_is_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises((ValueError, ServerUnfit)) as caught:
        parse(url)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error) + repr(error)
        error = None if error.__suppress_context__ else error.__context__


def test_an_error_says_what_is_right() -> None:
    with pytest.raises(ValueError, match=r"use redis://, rediss:// or unix://"):
        parse("http://host")
    with pytest.raises(ValueError, match=r"unix:///path/to/server.sock"):
        parse("unix://")
    with pytest.raises(ValueError, match="must be a number, not 'first'"):
        parse("redis://host/first")
    with pytest.raises(TypeError, match="not bytes"):
        parse(b"redis://host")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not tuple"):
        parse(("host", 6379))  # type: ignore[arg-type]


def test_credentials_show_nothing() -> None:
    credentials = Credentials("bob", "hush", b"key", (("ssl_password", "x"),))
    assert repr(credentials) == str(credentials) == "Credentials(...)"
    assert Credentials.unpack(credentials.pack()) == credentials
    assert credentials
    assert not Credentials()


def test_an_address_pickles() -> None:
    address = Address("unix", path="/s", database=3)
    assert pickle.loads(pickle.dumps(address)) == address
