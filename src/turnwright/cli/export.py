"""``turnwright export``: an environment as an MCP server or as an OpenEnv-style service."""

from pathlib import Path
from typing import Annotated, cast

import typer

from turnwright.cli.options import Options, check_split, read_options
from turnwright.cli.output import AsJson, print_line
from turnwright.core.errors import ConfigError
from turnwright.core.task import Split
from turnwright.gateway.http.server import Tls
from turnwright.launch.export.serve import Export, export_environment, serves_sockets, short_name
from turnwright.launch.export.sessions import ExportLimits

DEFAULT_PORT = 8100


def export(
    environment: Annotated[
        str,
        typer.Argument(metavar="ENV", help="path/file.py:Class, package.module:Class, sop:FOLDER or a built-in name."),
    ],
    mcp: Annotated[bool, typer.Option("--mcp", help="An MCP server: over pipes, or over HTTP with --port.")] = False,
    openenv: Annotated[bool, typer.Option("--openenv", help="A service with reset and step.")] = False,
    option: Options = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help=f"Port; 0 = any free one. {DEFAULT_PORT} with --openenv.", min=0, max=65535)
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="TURNWRIGHT_EXPORT_TOKEN", help="What clients must send; never the agent.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE.PEM", help="Serve HTTPS with this chain, and --tls-key.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE.PEM", help="Private key of the certificate.")] = None,
    allow_plain_http: Annotated[
        bool, typer.Option("--allow-plain-http", help="Something in front encrypts: serve a network without TLS.")
    ] = False,
    task: Annotated[str | None, typer.Option(help="Id of the task for clients that choose none.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Where other tasks are drawn from by seed.", callback=check_split)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed for clients that choose none; counting when not given.")
    ] = None,
    episodes: Annotated[
        Path | None, typer.Option(metavar="FILE.JSONL", help="Append every graded episode to this file.")
    ] = None,
    capacity: Annotated[int, typer.Option(help="Sessions at once.", min=1)] = ExportLimits().capacity,
    idle_seconds: Annotated[float, typer.Option(help="End a session that nobody uses.", min=0.1)] = 1800.0,
    max_turns: Annotated[
        int | None, typer.Option(help="Replies of an episode; the environment's limit.", min=1)
    ] = None,
    tool_timeout: Annotated[float, typer.Option(help="Seconds one tool call may take.", min=0.1)] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Serve an environment to agents and trainers of others until Ctrl-C."""
    if mcp == openenv:
        raise ConfigError("choose how to serve the environment: --mcp or --openenv")
    if mcp and episodes is None:
        raise ConfigError("over MCP nobody is told the reward: name a file for the graded episodes, with --episodes")
    if (tls_certificate is None) != (tls_key is None):
        raise ConfigError("--tls-certificate and --tls-key belong together: give both or none")
    tls = Tls(certificate=tls_certificate, key=tls_key) if tls_certificate and tls_key else None
    chosen = Export(
        environment=environment,
        options=read_options(option),
        way="mcp" if mcp else "openenv",
        port=DEFAULT_PORT if openenv and port is None else port,
        host=host,
        token=token,
        tls=tls,
        allow_plain_http=allow_plain_http,
        task=task,
        split=cast("Split | None", split),
        seed=seed,
        limits=ExportLimits(
            capacity=capacity, idle_seconds=idle_seconds, max_turns=max_turns, tool_seconds=tool_timeout
        ),
        episodes=episodes,
    )

    def announce(url: str) -> None:
        if as_json:
            print_line({"url": url, "environment": short_name(environment), "websocket": openenv and serves_sockets()})
            return
        print(f"serving {environment} at {url}")
        if mcp:
            print(f"  MCP: {url}/mcp?task_id=...&seed=...", flush=True)
        elif serves_sockets():
            print(f"  OpenEnv: base_url={url}", flush=True)
        else:
            print(f"  POST {url}/reset, {url}/step; for {url}/ws: pip install websockets", flush=True)

    export_environment(chosen, on_open=announce)
