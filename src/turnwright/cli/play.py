"""``turnwright play``: one episode, printed turn by turn."""

from typing import Annotated, Any, cast

import typer

from turnwright.api.transcript import print_episode
from turnwright.cli.check import EnvironmentName
from turnwright.cli.options import ConfigFile, Options, Overrides, ScorerName, check_split, read_environment
from turnwright.cli.output import AsJson
from turnwright.config import read_toml, resolve_values
from turnwright.core.task import Split
from turnwright.launch.play import play_episode
from turnwright.rundir.records import encode


def play(
    environment: EnvironmentName,
    model: Annotated[str, typer.Option(help='Checkpoint folder, hub id, "tiny", or a script such as "oracle".')],
    option: Options = None,
    config: ConfigFile = None,
    override: Overrides = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation or test.", callback=check_split),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Id of the task; the first one when not given.")] = None,
    scorer: ScorerName = None,
    seed: Annotated[int, typer.Option(help="Another seed samples another attempt.")] = 1,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always take the likeliest token.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Show long instructions whole.")] = False,
    as_json: AsJson = False,
) -> None:
    """Play one episode and print it turn by turn."""
    values: dict[str, Any] = read_toml(config) if config else {}
    values["environment"] = read_environment(environment, option)
    values["model"] = {**values.get("model", {}), "path": model}
    values["run"] = {**values.get("run", {}), "seed": seed}
    if scorer is not None:
        values["evaluation"] = {**values.get("evaluation", {}), "scorer": scorer}
    resolved = resolve_values(values, source="argument", overrides=override or ())
    episode = play_episode(resolved.config, split=cast("Split | None", split), task=task, greedy=greedy)
    if as_json:
        print(encode(episode).decode())
    else:
        print_episode(episode, full=full)
