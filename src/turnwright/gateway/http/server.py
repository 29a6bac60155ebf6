"""GatewayServer: the app on a socket, inside the event loop that already runs.

The socket is bound first, because the gateway's tokens and rollout requests carry its address:

    listener = bind("127.0.0.1", 0)  ->  Gateway(endpoint=listener.url, ...)  ->  app
    async with GatewayServer(app, listener): ...

Whoever enters the server owns it: it runs as one task of that loop, takes no signals, and on leaving it has no task,
connection or socket any more.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from turnwright.core.errors import ConfigError

BACKLOG = 4096
"""Connections that may wait to be accepted: a group of a thousand agents dials at the same moment."""

KEEP_ALIVE_SECONDS = 75
"""How long a connection may rest: agents run tools between calls, and one that calls at the very moment its connection
is closed for resting meets an error."""

_MARKER = "404"
"""The service's SDK takes any error text with these digits for "not found"; an error text can quote the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files of the server's certificate."""

    certificate: Path
    """Certificate chain, PEM."""
    key: Path
    """Private key, PEM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A bound socket that nobody serves yet."""

    socket: socket.socket
    host: str
    port: int
    tls: Tls | None = None

    @property
    def url(self) -> str:
        """Base URL under which the server will be reached; a wildcard host is spelled as it was given."""
        scheme = "https" if self.tls else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    def close(self) -> None:
        """Let go of the port, for a listener that is never served."""
        self.socket.close()


def is_loopback(host: str) -> bool:
    """Tell whether only programs on this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def require_safe_binding(host: str, *, tls: bool, accept_unscoped: bool, allow_plain_http: bool = False) -> None:
    """Refuse to offer tokens, or a gateway without them, to a network.

    Args:
        host: Address to bind.
        tls: The server has a certificate.
        accept_unscoped: Credentials that this run did not mint are accepted.
        allow_plain_http: Something in front of the server encrypts, such as a reverse proxy or a private network.

    Raises:
        ConfigError: The address is not loopback and one of the conditions is missing.
    """
    if is_loopback(host):
        return
    if accept_unscoped:
        raise ConfigError(
            f"gateway host {host!r} can be reached from other machines while accept_unscoped_tokens = true lets anyone "
            "reward any trajectory; bind 127.0.0.1, or set accept_unscoped_tokens = false"
        )
    if not tls and not allow_plain_http:
        raise ConfigError(
            f"gateway host {host!r} can be reached from other machines and tokens would travel unencrypted; give a "
            "certificate and key, bind 127.0.0.1, or set allow_plain_http = true when a proxy in front encrypts"
        )


def bind(host: str = "127.0.0.1", port: int = 0, *, tls: Tls | None = None) -> Listener:
    """Take a port.

    Args:
        host: Address or name to bind.
        port: 0 = any free one.
        tls: Serve HTTPS with these files.

    Raises:
        ConfigError: The address cannot be bound, such as a port in use.
    """
    if port:
        return _bind_port(host, port, tls)
    refused: list[Listener] = []
    try:
        while _MARKER in str((listener := _bind_port(host, 0, tls)).port):
            refused.append(listener)
    finally:
        for other in refused:
            other.close()
    return listener


def _bind_port(host: str, port: int, tls: Tls | None) -> Listener:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # With the protocol named asyncio turns off Nagle's algorithm, which holds the body of every answer for 40 ms.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise _cannot_bind(host, port, error) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # Listening is what takes the port: two sockets with SO_REUSEADDR may both bind it.
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise _cannot_bind(host, port, error) from error
    return Listener(socket=bound, host=host, port=bound.getsockname()[1], tls=tls)


def _cannot_bind(host: str, port: int, error: OSError) -> ConfigError:
    return ConfigError(
        f"the gateway cannot listen on {host}:{port}: {error.strerror or error}; stop the program that uses it, choose "
        "another port, or 0 for any free one"
    )


class GatewayServer:
    """Serves an app on a listener while entered.

    Example::

        async with GatewayServer(app, bind()) as server:
            print(server.url)  # http://127.0.0.1:43817
    """

    def __init__(self, app: ASGIApp, listener: Listener, *, grace_seconds: float = 5.0, sockets: bool = False) -> None:
        """Prepare; nothing is accepted yet.

        Args:
            app: Serves the requests.
            listener: From ``bind``; closed by this server.
            grace_seconds: On leaving, how long requests in work may go on before they are cancelled.
            sockets: Serve WebSockets too, where a library for them is installed.

        Raises:
            ConfigError: The certificate or its key cannot be read.
        """
        self._listener = listener
        tls = listener.tls
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="auto" if sockets else "none",
            log_config=None,
            access_log=False,
            server_header=False,
            # The peer's address decides what is loopback: it is never taken from a header.
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=grace_seconds,  # pyright: ignore[reportArgumentType] (waited for as a float)
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            listener.close()
            raise ConfigError(
                f"the gateway's certificate cannot be used: {error}; expected PEM files, got certificate "
                f"{str(tls and tls.certificate)!r} and key {str(tls and tls.key)!r}"
            ) from error
        self._server = _EmbeddedServer(config)
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Base URL."""
        return self._listener.url

    async def __aenter__(self) -> Self:
        """Start; returns when connections are accepted."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener.socket]), name="gateway-server")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._serving.done():
            self._serving.result()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop; returns when nothing of the server is left."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        # Requests cancelled after the grace period are still unwinding.
        await asyncio.gather(*self._server.server_state.tasks, return_exceptions=True)


class _EmbeddedServer(uvicorn.Server):
    """Leaves signals to the program around it, and says when it accepts connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()
