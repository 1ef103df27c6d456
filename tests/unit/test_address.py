"""URLs: their parts, and that secrets in them are never shown."""

from __future__ import annotations

import pickle

import pytest

from multihost import ServerUnfit
from multihost.wire.address import Address, Credentials, parse
from multihost.wire.link import check_url


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
        ("redis+sentinel://h/main", "redis+sentinel://h:26379/main/0", ("", "")),
        ("redis+sentinel:///main", "redis+sentinel://localhost:26379/main/0", ("", "")),
        (
            "redis+sentinel://bob:p%2Cw@h2,h1:7,[::1]/a%2Fb/3",
            "redis+sentinel://[::1]:26379,h1:7,h2:26379/a%2Fb/3",
            ("bob", "p,w"),
        ),
        (
            "rediss+sentinel://h/main?db=3&ssl_ca_certs=/ca&sentinel_ssl=false",
            "rediss+sentinel://h:26379/main/3?ssl_ca_certs=%2Fca&sentinel_ssl=false",
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


def test_sentinels_in_another_order_are_the_same_address() -> None:
    one, other = (
        parse(f"redis+sentinel://{hosts}/main")[0] for hosts in ("b:2,a,c:3", "c:3,b:2,a:26379")
    )
    assert one == other
    assert one.server != parse("redis+sentinel://b:2,a,c:3/second")[0].server


def test_what_sentinels_are_told_is_secret() -> None:
    url = "redis+sentinel://:hush@h/main?sentinel_username=eve&sentinel_password=hush2"
    address, credentials = parse(url)
    assert "eve" not in str(address)
    assert "hush" not in f"{address} {address!r} {credentials!r}"
    assert credentials.secrets == ("hush", "eve", "hush2")


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("redis+sentinel://h1,h2", "write redis.sentinel://host:26379,host:26379/SERVICE"),
        ("redis+sentinel://h1,h2/", "'sentinel monitor' in the configuration"),
        ("redis+sentinel://h1//3", "no service"),
        ("redis+sentinel://h1/main/x", "the database .* must be a number"),
        ("redis+sentinel://h1,/main", "host and port of .* cannot be read"),
        ("redis+sentinel://h1,h2:99999/main", "a number up to 65535"),
        ("redis://h1,h2/0", "has one host.*redis.sentinel://"),
    ],
)
def test_an_address_of_sentinels_that_is_wrong(url: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse(url)


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "url",
    [
        "http://bob:s3cr3t@host",
        "redis+sentinel://bob:s3cr3t@host",
        "redis+sentinel://bob:s3cr3t@h1:1,h2:2",
        "redis+sentinel://h1:1,h2:s3cr3t/main",
        "redis+sentinel://h1:1,s3cr3t/main/x",
        "redis+sentinel://bob:s3cr3t/x@h1,h2/main",
        "redis+sentinel://h1/main?sentinel_password=a@s3cr3t",
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
        # a password in the wrong place, and an @ that was forgotten, or is one too many
        "redis://host:s3cr3t",
        "redis://host:s3cr3t/0",
        "redis://:s3cr3t",
        "redis://bob:6379:s3cr3t",
        "redis://bob@@s3cr3t:x",
        "redis://bob:s3cr3t@host:6379@other:port",
        "redis://host?password=ab@s3cr3t",
        "redis://host?password=s3cr3t@cd",
        "redis://host/s3cr3t",
        "redis://host:6379/s3cr3t",
        "redis://host:6379/0#s3cr3t",
        "redis://host?db=s3cr3t",
        "unix:///path?db=s3cr3t",
        "unix://s3cr3t",
        "redis+s3cr3t://host",
        "s3cr3t://host",
        "s3cr3t:x",
        "s3cr3t",
        "redis:s3cr3t",
        "rediss://bob:x]s3cr3t@host:y",
        "redis://s3cr3t@[::1",
        "redis://bob:1@s3cr3t host",
    ],
)
def test_a_wrong_url_is_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises((ValueError, ServerUnfit)) as caught:
        parse(url)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None, "a tool that reports errors would show it"
    assert SECRET not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "pass=s3cr3t",
        "Password=s3cr3t",
        "PASSWORD=s3cr3t",
        "passwd=s3cr3t",
        "ssl_passwd=s3cr3t",
        "ssl_Password=s3cr3t",
        "auth=s3cr3t",
        "s3cr3t",
        "s3cr3t=",
        "s3cr3t=s3cr3t",
        "password=ab&s3cr3t=ef",
        "ssl_s3cr3t=1",
        "username=bob&passw\u00f6rd=s3cr3t",
        "sentinel_passwd=s3cr3t",
        "sentinel_s3cr3t=1",
    ],
)
@pytest.mark.parametrize(
    "scheme",
    ["redis://h", "rediss://h", "unix:///s", "redis+sentinel://h/m", "rediss+sentinel://h/m"],
)
def test_an_option_that_does_not_exist_is_not_shown(scheme: str, query: str) -> None:
    """Its value may be a password, and what seems to be its name a part of one."""
    with pytest.raises(ValueError, match="it does not exist.*; known are ") as caught:
        check_url(f"{scheme}?{query}")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert SECRET not in str(caught.value) + repr(caught.value)
    address, credentials = parse(f"{scheme}?{query}")
    assert SECRET not in f"{address} {address!r} {credentials!r}"


def test_an_option_that_is_meant_is_named() -> None:
    with pytest.raises(ValueError, match="'password' is meant"):
        check_url("redis://h?pass=x")
    with pytest.raises(ValueError, match="'ssl_ca_certs' is meant"):
        check_url("rediss://h?ssl_ca_cert=x")
    with pytest.raises(ValueError, match="for its Sentinels: .*'password' is meant"):
        check_url("redis+sentinel://h/main?sentinel_pass=x")
    with pytest.raises(ValueError, match="for its Sentinels: .*min_other_sentinels"):
        check_url("redis+sentinel://h/main?sentinel_min_other_sentinels=x")


def test_an_error_says_what_is_right() -> None:
    with pytest.raises(ValueError, match=r"use redis://, rediss://, unix://, "):
        parse("http://host")
    with pytest.raises(ValueError, match=r"unix:///path/to/server.sock"):
        parse("unix://")
    with pytest.raises(ValueError, match="the database .* must be a number, such as 0"):
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
