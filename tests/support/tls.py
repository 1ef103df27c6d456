"""TLS in front of a plain server, for ``rediss://``."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import ssl
import tempfile
import threading

import trustme

from tests.support.faults import HasUrl
from tests.support.raw import CHUNK, Endpoint

__all__ = ["TlsProxy"]


class TlsProxy:
    """Ends TLS on 127.0.0.1 and speaks plainly to ``upstream``, which may be a ``CuttingProxy``.

    ``url`` names the certificate authority, and with ``client_auth`` a client certificate too.
    ``bare_url`` has no options, so a client that checks certificates must refuse it.
    """

    def __init__(self, upstream: HasUrl | str, *, client_auth: bool = False) -> None:
        self.upstream = Endpoint.parse(upstream if isinstance(upstream, str) else upstream.url)
        self._directory = tempfile.TemporaryDirectory(prefix="mhtls")
        authority = trustme.CA()
        self.ca_file = os.path.join(self._directory.name, "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self._context)
        options = {"ssl_ca_certs": self.ca_file}
        if client_auth:
            self._context.verify_mode = ssl.CERT_REQUIRED
            authority.configure_trust(self._context)
            client_file = os.path.join(self._directory.name, "client.pem")
            authority.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(
                client_file
            )
            options |= {"ssl_certfile": client_file, "ssl_keyfile": client_file}
        self._options = tuple(options.items())
        self._port = 0
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._main, name="tls-proxy", daemon=True)
        self._thread.start()
        self._up.wait()

    def __enter__(self) -> TlsProxy:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def bare_url(self) -> str:
        return self._url(())

    @property
    def url(self) -> str:
        return self._url(self._options)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._directory.cleanup()

    def _url(self, options: tuple[tuple[str, str], ...]) -> str:
        return dataclasses.replace(
            self.upstream, scheme="rediss", host="127.0.0.1", port=self._port, options=options
        ).url

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=self._context)
        self._port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._stop.wait()
        server.close()  # asyncio.run cancels the connections

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            if self.upstream.scheme == "unix":
                plain = await asyncio.open_unix_connection(self.upstream.path)
            else:
                plain = await asyncio.open_connection(self.upstream.host, self.upstream.port)
            await asyncio.gather(_pump(reader, plain[1]), _pump(plain[0], writer))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass  # reset by one side: the other one learns it below
    finally:
        sink.close()
