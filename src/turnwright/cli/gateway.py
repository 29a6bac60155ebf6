"""``turnwright gateway``: the rollout server alone, over a model or over scripted replies."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from turnwright.cli.options import Settings, split_settings
from turnwright.cli.output import AsJson, print_line
from turnwright.config import resolve, resolve_values
from turnwright.launch.standalone import Standing, stand_alone

NO_TASKS = {"environment": {"name": "prompts"}}
"""A gateway alone is told its tasks by control calls."""


def gateway(
    settings: Settings = None,
    scripted: Annotated[
        Path | None, typer.Option(metavar="REPLIES.JSONL", help="Serve these replies instead of a model.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; any free one by default.", min=0, max=65535)] = None,
    aws_env: Annotated[
        bool, typer.Option("--aws-env", help="Print the variables that let unmodified AWS clients in.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve the rollout gateway until Ctrl-C: try an agent, in any language, before anything is trained."""
    file, overrides = split_settings(settings)
    if port is not None:
        overrides.append(f"gateway.port={port}")
    if file is not None:
        resolved, text = resolve(file, overrides), file.read_text(encoding="utf-8")
    else:
        resolved, text = resolve_values(NO_TASKS, source="turnwright gateway", overrides=overrides), ""

    def announce(standing: Standing) -> None:
        if as_json:
            print_line(
                {
                    "url": standing.url,
                    "control_token": standing.control_token,
                    "run": str(standing.run),
                    "aws_environment": standing.aws_environment,
                }
            )
            return
        _print(standing)
        if aws_env:
            for name, value in standing.aws_environment.items():
                print(f"export {name}={shlex.quote(value)}", flush=True)

    run = stand_alone(resolved, replies=scripted, config_text=text, on_open=announce)
    if not as_json:
        print(f"stopped; what was recorded is in {run / 'records'}")


def _print(standing: Standing) -> None:
    print(f"gateway: {standing.url}")
    print(f"records: {standing.run / 'records'}")
    print(f"control token: {standing.control_token}")
    print("open a trajectory and get its rollout request:")
    print(
        f"  curl -s {standing.url}/control/rollouts -H 'Authorization: Bearer {standing.control_token}' "
        """-d '{"prompt": "order: O3"}'""",
        flush=True,
    )
