"""The options of a URL: that they exist, and agree with each other, before anything is sent.

redis-py takes some that have no effect as text, and finds others wrong when it connects.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from multihost.errors import FileForbidden, FileMissing, LinkError, UnverifiedServer
from multihost.wire.address import PUBLIC_OPTIONS, Address
from multihost.wire.caution import caution

__all__ = ["TLS_FILES", "check_options", "explain_file", "warn_if_unverified"]

TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
CERT_REQS = ("required", "optional", "none")
TRUE = frozenset(["1", "t", "true", "y", "yes"])
FALSE = frozenset(["0", "f", "false", "n", "no"])
# What a URL cannot say: redis-py wants objects, and takes their text for something else.
_OBJECTS = ("ssl_validate_ocsp", "ssl_ocsp_")

_warned: set[tuple[object, ...]] = set()


def check_options(
    address: Address, options: Mapping[str, str], parameters: Collection[str], known: set[str]
) -> None:
    """Raise ValueError for an option that connections with these ``parameters`` do not have, or
    which cannot be. ``known`` are those that errors list. No name or value is shown that may be a
    misplaced password.
    """
    for name in options:
        if name.startswith("ssl_") and address.scheme != "rediss" and name in PUBLIC_OPTIONS:
            raise ValueError(f"{name!r} needs TLS: rediss://")
        if name.startswith(_OBJECTS):
            raise ValueError(
                "OCSP cannot be asked for in a URL; use client=redis.Redis(ssl_validate_ocsp=...)"
            )
        if name not in parameters and name != "max_connections":
            raise ValueError(_unknown(name, known))
    if address.scheme == "rediss":
        _check_tls(options)


def _unknown(name: str, known: set[str]) -> str:
    import difflib  # slow, and seldom needed

    close = difflib.get_close_matches(name.lower(), known, 1)
    meant = f" ({close[0]!r} is meant?)" if close else ""
    return f"it does not exist{meant}; known are {', '.join(sorted(known))}"


def _check_tls(options: Mapping[str, str]) -> None:
    requires = options.get("ssl_cert_reqs", CERT_REQS[0])
    if requires not in CERT_REQS:
        raise ValueError(f"ssl_cert_reqs is one of {', '.join(CERT_REQS)}, not {requires!r}")
    name = options.get("ssl_check_hostname")
    if name is not None and name.lower() not in TRUE | FALSE:
        raise ValueError(f"ssl_check_hostname is true or false, not {name!r}")
    if requires == "none":
        if name is not None and name.lower() in TRUE:
            raise ValueError("ssl_check_hostname=true contradicts ssl_cert_reqs=none")
        for each in ("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data"):
            if each in options:
                raise ValueError(
                    f"{each} has no effect with ssl_cert_reqs=none, which trusts everybody: leave "
                    "out one of them"
                )
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ValueError("ssl_keyfile needs ssl_certfile, the certificate of that key")


def explain_file(options: Mapping[str, str]) -> tuple[type[LinkError], str, str] | None:
    """Return what is wrong with a file that an option names, and what to do: OpenSSL does not say
    which one it is.
    """
    for option in TLS_FILES:
        path = options.get(option)
        if path is None:
            continue
        if not os.path.isfile(path):
            return FileMissing, f"{option} names a file that does not exist", "correct the URL"
        if not os.access(path, os.R_OK):
            return FileForbidden, f"this user may not read the file of {option}", "chmod it"
    path = options.get("ssl_ca_path")
    if path is not None and not os.path.isdir(path):
        return FileMissing, "ssl_ca_path names no directory", "correct the URL"
    return None


def warn_if_unverified(address: Address) -> None:
    """Warn, once for each address, that anybody can be the server that options let in."""
    options = dict(address.options)
    for prefix in ("", "sentinel_"):
        if options.get(f"{prefix}ssl_cert_reqs") == "none":
            lacks = f"certificates are not verified ({prefix}ssl_cert_reqs=none)"
        elif options.get(f"{prefix}ssl_check_hostname", "true").lower() in FALSE:
            lacks = f"the name in a certificate is not compared ({prefix}ssl_check_hostname=False)"
        else:
            continue
        if (*address.server, prefix) not in _warned:
            _warned.add((*address.server, prefix))
            caution(
                f"anybody on the way to {address.scheme}://{address.host} can read and alter what "
                f"is sent, the password too: {lacks}; use ssl_ca_certs",
                UnverifiedServer,
            )
