"""``turnwright serve``: a checkpoint behind OpenAI's and Anthropic's interfaces."""

from typing import Annotated

import typer

from turnwright.cli.output import AsJson, print_line
from turnwright.config import resolve_values

DEFAULT_PORT = 8000


def serve(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="Folder, hub id or 'tiny'.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings: inference.kv_memory_mb=2048.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 = any free one.", min=0, max=65535)] = DEFAULT_PORT,
    api_key: Annotated[
        str | None, typer.Option(envvar="TURNWRIGHT_API_KEY", help="Key that callers must send.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve a policy until Ctrl-C: chat completions, responses and messages, with tools and streaming."""
    values = {
        "environment": {"name": "prompts"},
        "model": {"path": checkpoint},
        "gateway": {"host": host, "port": port},
    }
    config = resolve_values(values, source="turnwright serve", overrides=settings or ()).config
    # Imported here: it loads torch.
    from turnwright.launch.serve import serve_checkpoint

    def announce(url: str) -> None:
        if as_json:
            print_line({"url": url, "model": checkpoint})
            return
        print(f"serving {checkpoint} at {url}")
        print(f"  OpenAI:    base_url={url}/v1")
        print(f"  Anthropic: base_url={url}", flush=True)

    serve_checkpoint(config, api_key=api_key, on_open=announce)
