"""Serves a checkpoint for use: the gateway's dialects over the local engine, without trajectories."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from turnwright.config import RunConfig
from turnwright.core.errors import ConfigError
from turnwright.gateway.http.app import build_app
from turnwright.gateway.http.server import GatewayServer, Tls, bind, is_loopback, require_safe_binding
from turnwright.gateway.limits import GatewayLimits
from turnwright.gateway.served import ServedPolicy
from turnwright.launch.gateway import sampling_limits
from turnwright.launch.player import build_engine
from turnwright.models.paths import resolve_tokenizer_path
from turnwright.rendering.renderer import Renderer


def serve_checkpoint(
    config: RunConfig, *, api_key: str | None = None, on_open: Callable[[str], None] = lambda url: None
) -> None:
    """Serve the policy of ``model.path`` until SIGINT or SIGTERM.

    Args:
        config: Its [model], [inference], [sampling] and [gateway] sections count; requests may ask for other sampling.
        api_key: What callers must send; None = none, which only loopback allows.
        on_open: Called with the address when calls are answered.

    Raises:
        ConfigError: The address cannot be served, or must not be.
    """
    asyncio.run(_serve(config, api_key, on_open))


async def _serve(config: RunConfig, api_key: str | None, on_open: Callable[[str], None]) -> None:
    section = config.gateway
    tls = None
    if section.tls_certificate is not None and section.tls_key is not None:
        tls = Tls(certificate=Path(section.tls_certificate), key=Path(section.tls_key))
    if api_key is None and not is_loopback(section.host):
        raise ConfigError(
            f"host {section.host!r} can be reached from other machines and anyone could use the policy: give an API "
            "key (--api-key, or TURNWRIGHT_API_KEY), or bind 127.0.0.1"
        )
    require_safe_binding(
        section.host, tls=tls is not None, accept_unscoped=False, allow_plain_http=section.allow_plain_http
    )
    renderer = Renderer.load(resolve_tokenizer_path(config.model.path))
    engine = build_engine(config)
    try:
        desk = ServedPolicy(
            renderer=renderer,
            engine=engine,
            model_name=Path(config.model.path).name,
            sampling=sampling_limits(config),
            limits=GatewayLimits(max_waiting=section.max_waiting),
            api_key=api_key,
        )
        app = build_app(desk, max_body_bytes=int(section.max_body_mb * 2**20), health=lambda: engine.stop_reason)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with GatewayServer(app, bind(section.host, section.port, tls=tls)) as server:
            on_open(server.url)
            await stop.wait()
    finally:
        await engine.close()
