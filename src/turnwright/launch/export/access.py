"""Who may ask: whoever has the token; on loopback, where no token is needed, no web page."""

import hmac
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from turnwright.core.errors import ConfigError
from turnwright.gateway.http.server import is_loopback
from turnwright.launch.export.errors import ServiceError


def require_safe_binding(host: str, *, token: str | None, tls: bool, allow_plain_http: bool) -> None:
    """Refuse to serve a network without a token, or to let one travel unencrypted; raises ConfigError."""
    if is_loopback(host):
        return
    if token is None:
        raise ConfigError(
            f"host {host!r} can be reached from other machines and anyone could play, reset and read rewards: give a "
            "token (--token, or TURNWRIGHT_EXPORT_TOKEN), or bind 127.0.0.1"
        )
    if not tls and not allow_plain_http:
        raise ConfigError(
            f"host {host!r} can be reached from other machines and the token would travel unencrypted: give "
            "--tls-certificate and --tls-key, bind 127.0.0.1, or --allow-plain-http when a proxy in front encrypts"
        )


def check_token(connection: HTTPConnection, token: str | None) -> None:
    """Refuse a request without the token, where there is one, as ``Authorization: Bearer``; raises ServiceError."""
    if token is None:
        return
    given = connection.headers.get("authorization", "").removeprefix("Bearer ").encode()
    if not hmac.compare_digest(given, token.encode()):
        raise ServiceError("UNAUTHORIZED", "this service asks for its token: send 'Authorization: Bearer <token>'")


def check_origin(connection: HTTPConnection) -> None:
    """Refuse a request that a web page of elsewhere makes; raises ServiceError.

    A browser on this machine reaches loopback for any page that asks it to, and says in ``Origin`` for whom.
    """
    origin = connection.headers.get("origin")
    if origin is not None and not is_loopback(urlsplit(origin).hostname or ""):
        raise ServiceError("UNAUTHORIZED", f"requests of web pages such as {origin[:100]!r} are not answered")
