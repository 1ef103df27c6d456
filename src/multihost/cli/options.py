"""The options of all commands: server, namespace and authkey."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import click

from multihost.errors import LinkError
from multihost.inspection import opened
from multihost.managers import RedisManager
from multihost.wire.address import SCHEMES
from multihost.wire.link import check_url
from multihost.wire.session import Session, registry
from multihost.wire.session.registry import URL_VARIABLE

__all__ = ["Target", "as_json", "names_behind_url", "server", "server_behind_names", "target_of"]

KEY_VARIABLE = "MULTIHOST_AUTHKEY"

Command = Callable[..., Any]


class Target(NamedTuple):
    """The server to connect to. Its repr shows no secret."""

    url: str
    namespace: str
    authkey: bytes

    def __repr__(self) -> str:
        return "Target(...)"

    def open(self) -> AbstractContextManager[Session]:
        """Return a session at it."""
        return opened(self.url, self.namespace, authkey=self.authkey)

    def manager(self) -> RedisManager:
        """Return a manager of it."""
        return RedisManager(self.url, namespace=self.namespace, authkey=self.authkey or None)


def server(command: Command) -> Command:
    """Add an optional URL and the options, and pass a :class:`Target` to the command."""
    return click.argument("server_url", metavar="[URL]", required=False)(_options(command))


def server_behind_names(command: Command) -> Command:
    """Do the same for commands with arguments of their own, which take a URL in front of them."""
    return _options(command)


def _options(command: Command) -> Command:
    @functools.wraps(command)
    def call(**kwds: Any) -> Any:
        target, kwds = target_of(kwds)
        return command(target=target, **kwds)

    for option in (
        click.option(
            "--authkey-file",
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help=f"A file with the key that values are signed with; default: {KEY_VARIABLE}.",
        ),
        click.option(
            "--namespace",
            default="multihost",
            show_default=True,
            callback=_check_namespace,
            help="The namespace, as passed to RedisManager(namespace=).",
        ),
        click.option("--url", metavar="URL", help=f"The server; default: {URL_VARIABLE}."),
    ):
        call = option(call)
    return call


def target_of(kwds: Mapping[str, Any]) -> tuple[Target, dict[str, Any]]:
    """Return the server that the parameters of a command name, and the other parameters."""
    others = dict(kwds)
    url, argument = others.pop("url"), others.pop("server_url", None)
    names = others.get("names")
    if names and url is None and argument is None:
        argument, others["names"] = names_behind_url(names)
    if url is not None and argument is not None:
        raise click.UsageError("pass the server once: as URL, or as --url")
    try:
        found = url or argument or registry.configured_url()
        if not found:
            raise click.UsageError(
                f"no server: pass its URL (redis://host:6379/0) or --url, or set {URL_VARIABLE}"
            )
        check_url(found)
    except (ValueError, LinkError) as error:
        raise click.UsageError(str(error)) from None
    key = _authkey(others.pop("authkey_file"))
    return Target(found, others.pop("namespace"), key), others


def names_behind_url(names: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """Return the URL, if the first of several arguments looks like one, and the names."""
    if len(names) > 1 and names[0].partition("://")[0] in SCHEMES and "://" in names[0]:
        return names[0], names[1:]
    return None, names


def _check_namespace(_: click.Context, __: click.Parameter, value: str) -> str:
    from multihost.wire.identity import check_namespace

    try:
        return check_namespace(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _authkey(path: Path | None) -> bytes:
    """Return the key in the file, without its final line end, or in the environment."""
    if path is None:
        key = os.environ.get(KEY_VARIABLE)
        return b"" if key is None else _checked(os.fsencode(key), KEY_VARIABLE)
    try:
        return _checked(path.read_bytes().rstrip(b"\r\n"), str(path))
    except OSError as error:
        raise click.UsageError(f"cannot read the authkey: {error}") from None


def _checked(key: bytes, place: str) -> bytes:
    from multihost.wire.authkey import check_authkey

    try:
        return check_authkey(key)
    except ValueError as error:
        raise click.UsageError(f"{place}: {error}") from None


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
