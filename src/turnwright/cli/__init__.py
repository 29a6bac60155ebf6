"""The command line: one file per command, each added by one line below.

Exit codes: 0 done, 1 run failed, 2 bad configuration or input, 3 stopped by health, 4 evaluation regression.
"""

import sys
from collections.abc import Sequence

import typer

from turnwright.cli import (
    baseline,
    check,
    compare,
    data,
    doctor,
    export,
    gateway,
    init,
    merge,
    play,
    probe,
    report,
    runs,
    serve,
    train,
    warmstart,
    watch,
)
from turnwright.cli import eval as evaluation
from turnwright.core.errors import (
    ConfigError,
    DatasetError,
    DiskError,
    EnvironmentLoadError,
    RunDirectoryError,
    TurnwrightError,
    UnsupportedModelError,
)

FAILED = 1
BAD_INPUT = 2
INPUT_ERRORS = (ConfigError, DatasetError, EnvironmentLoadError, RunDirectoryError, UnsupportedModelError)

app = typer.Typer(
    name="turnwright",
    help="Multi-turn reinforcement learning of tool-using LLM agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(runs.app, name="runs")
app.add_typer(data.app, name="data")
app.command()(init.init)
app.command()(check.check)
app.command()(play.play)
app.command()(baseline.baseline)
app.command()(warmstart.warmstart)
app.command()(train.train)
app.command()(watch.watch)
app.command("eval")(evaluation.evaluate)
app.command("compare")(compare.compare_command)
app.command()(report.report)
app.command()(gateway.gateway)
app.command()(export.export)
app.command()(serve.serve)
app.command()(merge.merge)
app.command()(probe.probe)
app.command()(doctor.doctor)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit; an error raised on purpose is one message, without a traceback."""
    try:
        app(args=None if arguments is None else list(arguments))
    except TurnwrightError as error:
        print(f"error: {error}", file=sys.stderr)
        is_input = isinstance(error, INPUT_ERRORS) and not isinstance(error, DiskError)
        sys.exit(BAD_INPUT if is_input else FAILED)
    except ModuleNotFoundError as error:
        extra = next((extra for extra, libraries in doctor.EXTRAS.items() if error.name in libraries), None)
        if extra is None:
            raise
        print(f"error: this command needs {error.name}: pip install 'turnwright[{extra}]'", file=sys.stderr)
        sys.exit(BAD_INPUT)
