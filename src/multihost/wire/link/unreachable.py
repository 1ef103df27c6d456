"""Why a server cannot be reached: the exception that fits, and what to do."""

from __future__ import annotations

import os
import socket
import stat

from multihost.errors import (
    ConnectRefused,
    ConnectTimeout,
    FileForbidden,
    FileMissing,
    HostUnknown,
    LinkClosed,
    LinkError,
    ServerLost,
)
from multihost.wire.address import SENTINEL_SCHEMES, Address
from multihost.wire.link.channel import ConnectionBroken, ReplyTimeout
from multihost.wire.link.options import TLS_FILES, explain_file

__all__ = ["unreachable"]

ALIEN = "reply type byte"  # how the parser names what is no answer of a Redis
TLS_ALERT = '"\\x15"'  # what a server that expects TLS answers begins with
ENDS = ("closed", "reset", "broken pipe", TLS_ALERT)  # how the end of a connection is called

# Of OpenSSL, by what they call a certificate whose issuer is not known: one that signed itself,
# alone or at the end of a chain, and one that is missing here.
UNKNOWN_ISSUERS = (18, 19, 20, 21)
OUT_OF_DATE = (9, 10)
OF_ANOTHER_HOST = (62, 64)

Explanation = tuple[type[LinkError], str, str]
"""The exception, what happened, what to do."""


def unreachable(address: Address, broken: ConnectionBroken, *, begun: bool = False) -> LinkError:
    """Return the error for a server to which no connection could be opened.

    With ``begun`` there were connections before, in this process or in the one that a proxy came
    from: a private server does not return.
    """
    if begun and address.is_embedded and isinstance(broken.reason, OSError):
        return ServerLost(
            f"cannot reach the private server at {address}: it has ended, and its objects are lost"
        )
    kind, what, advice = _explain(address, broken)
    reason = None if _is_ssl(broken.reason) else broken.reason  # OpenSSL has numbers of its own
    return kind(f"cannot reach the server at {address}: {what}; {advice}", reason=reason)


def _explain(address: Address, broken: ConnectionBroken) -> Explanation:
    reason = broken.reason
    if address.scheme in SENTINEL_SCHEMES and reason is None:
        advice = "do the Sentinels run, do they take the password, is that the name of the service?"
        return LinkError, str(broken), advice
    if address.scheme == "rediss":
        explanation = _explain_file(address, reason) or _explain_tls(reason)
        if explanation is not None:
            return explanation
    elif address.scheme == "unix":
        explanation = _explain_socket(address.path, reason)
        if explanation is not None:
            return explanation
    match reason:
        case ConnectionRefusedError():
            return (
                ConnectRefused,
                "nobody listens there",
                "is it running, is the address right, and does its setting bind include it?",
            )
        case socket.gaierror():
            return (
                HostUnknown,
                f"the host name cannot be resolved ({reason.strerror})",
                "is it spelled right, and known to the name service of this machine?",
            )
        case TimeoutError():
            return (
                ConnectTimeout,
                "no answer while connecting",
                "is it running, is the address right, and does a firewall let the port pass?",
            )
        case None if isinstance(broken, ReplyTimeout):
            return (
                ConnectTimeout,
                f"it accepts the connection, and {broken}",
                "is it stopped or overloaded, and is it a Redis or Valkey?",
            )
        case ConnectionError() | None:
            explanation = _explain_end(address, str(broken))
            if explanation is not None:
                return explanation
    return LinkError, str(broken), "is it running, and is the address right?"


def _explain_end(address: Address, what: str) -> Explanation | None:
    """Explain the end of a connection during the handshake."""
    if ALIEN in what and TLS_ALERT not in what:
        return LinkError, "what answers there speaks another protocol", "is it a Redis or Valkey?"
    if not any(word in what.lower() for word in ENDS):
        return None
    if address.scheme == "redis":
        advice = "does it speak TLS at this port? then use rediss://"
    elif address.scheme == "rediss":
        advice = "does it want a client certificate: ssl_certfile and ssl_keyfile?"
    else:
        advice = "does its log say why?"
    return LinkClosed, "it accepts the connection, and closes it", advice


def _explain_socket(path: str, reason: OSError | None) -> Explanation | None:
    match reason:
        case FileNotFoundError():
            return (
                FileMissing,
                "there is no such socket",
                "is it running, and is that the path of its setting unixsocket?",
            )
        case PermissionError():
            return (
                FileForbidden,
                "this user may not open the socket",
                "with unixsocketperm 770 the server's group may; is the directory open to it, too?",
            )
        case ConnectionRefusedError():
            what = (
                "nobody listens there: a server that has ended left it behind"
                if _is_socket(path)
                else "that is no socket"
            )
            advice = "is it running, and is that the path of its setting unixsocket?"
            return ConnectRefused, what, advice
    return None


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _explain_file(address: Address, reason: OSError | None) -> Explanation | None:
    """Explain what is wrong with a file that the URL names: OpenSSL does not say which one."""
    options = dict(address.options)
    problem = explain_file(options)
    if problem is not None:
        return problem
    named = [option for option in TLS_FILES if option in options]
    if named and getattr(reason, "reason", "") == "NO_CERTIFICATE_OR_CRL_FOUND":
        return LinkError, f"the file of {named[0]} holds no certificate", "use one in PEM format"
    return None


def _explain_tls(reason: OSError | None) -> Explanation | None:
    code = getattr(reason, "verify_code", None)  # of ssl.SSLCertVerificationError
    if code is not None:
        what = f"its certificate is refused ({getattr(reason, 'verify_message', code)})"
        if code in UNKNOWN_ISSUERS:
            advice = "?ssl_ca_certs=/path/to/ca.pem in the URL trusts the authority that issued it"
        elif code in OF_ANOTHER_HOST:
            advice = "use the name or address that it was issued for"
        elif code in OUT_OF_DATE:
            advice = "renew it, or correct the clock of this machine"
        else:
            advice = "see the certificate"
        return LinkError, what, advice
    if _is_ssl(reason):
        advice = "does the server speak TLS at this port? else use redis://"
        return LinkError, f"TLS failed ({getattr(reason, 'reason', None) or reason})", advice
    if isinstance(reason, TimeoutError):
        advice = "does the server speak TLS at this port? else use redis://"
        return ConnectTimeout, "no answer while connecting", advice
    return None


def _is_ssl(reason: OSError | None) -> bool:
    return type(reason).__module__ == "ssl"
