"""Serves an environment to others until it is told to stop: over MCP, or in OpenEnv's wire format.

environment --> sessions --> pipes | MCP over HTTP | OpenEnv over HTTP and WebSocket
"""

import asyncio
import importlib.util
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from turnwright.core.errors import ConfigError
from turnwright.core.task import Split
from turnwright.environments.load import load_environment
from turnwright.gateway.http.server import GatewayServer, Tls, bind
from turnwright.launch.export.access import require_safe_binding
from turnwright.launch.export.choice import Choice
from turnwright.launch.export.errors import ServiceError
from turnwright.launch.export.mcp_http import mcp_app
from turnwright.launch.export.mcp_stdio import serve_pipes
from turnwright.launch.export.openenv_http import openenv_app
from turnwright.launch.export.sessions import ExportLimits, Sessions, open_sessions

Way = Literal["mcp", "openenv"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What to serve, and how."""

    environment: str
    """Its name, as everywhere."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    way: Way = "mcp"
    port: int | None = None
    """None = pipes, which only MCP has; 0 = any free port."""
    host: str = "127.0.0.1"
    token: str | None = None
    """What clients must send."""
    tls: Tls | None = None
    allow_plain_http: bool = False
    """Something in front of the server encrypts."""
    split: Split | None = None
    """Where tasks come from that nobody names."""
    task: str | None = None
    """The task of every client that chooses none."""
    seed: int | None = None
    """The seed of every client that chooses none; None = 1 and counting."""
    limits: ExportLimits = field(default_factory=ExportLimits)
    episodes: Path | None = None
    """File for the graded episodes."""


def export_environment(export: Export, *, on_open: Callable[[str], None] = lambda url: None) -> None:
    """Serve an environment until SIGINT or SIGTERM, or, over pipes, until the client leaves.

    Args:
        export: What to serve.
        on_open: Called with the address when requests are answered; not over pipes.

    Raises:
        ConfigError: It cannot be served like this.
    """
    try:
        asyncio.run(_serve(export, on_open))
    except ServiceError as error:
        raise ConfigError(str(error)) from error


def serves_sockets() -> bool:
    """Tell whether a library for WebSockets is installed."""
    return importlib.util.find_spec("websockets") is not None


def short_name(environment: str) -> str:
    """Return an environment's name as routes spell it.

    >>> short_name("returns_desk"), short_name("desk/environment.py:Desk"), short_name("sop:data/referral")
    ('returns_desk', 'Desk', 'referral')
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "_", re.split(r"[:/]", environment.rstrip("/"))[-1]) or "environment"


async def _serve(export: Export, on_open: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if export.port is not None:
        require_safe_binding(
            export.host, token=export.token, tls=export.tls is not None, allow_plain_http=export.allow_plain_http
        )
    choice = Choice(task_id=export.task, split=export.split, seed=export.seed)
    prototype = load_environment(export.environment, export.options)
    async with open_sessions(prototype, limits=export.limits, split=export.split, episodes=export.episodes) as sessions:
        if export.task is not None:
            sessions.choose(choice)
        if export.port is None:
            await _serve_one(sessions, choice, stop)
            return
        app = (
            mcp_app(sessions, token=export.token, choice=choice)
            if export.way == "mcp"
            else openenv_app(short_name(export.environment), sessions, token=export.token, choice=choice)
        )
        listener = bind(export.host, export.port, tls=export.tls)
        async with GatewayServer(app, listener, grace_seconds=1.0, sockets=export.way == "openenv") as server:
            on_open(server.url)
            await stop.wait()


async def _serve_one(sessions: Sessions, choice: Choice, stop: asyncio.Event) -> None:
    session = sessions.open()
    await session.reset(choice)
    await serve_pipes(session, stop)
