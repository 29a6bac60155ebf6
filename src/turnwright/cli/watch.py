"""``turnwright watch``: what a run does right now, from its directory alone."""

import math
from dataclasses import asdict
from typing import Annotated, Any

import typer

from turnwright.cli.options import RUNS, RunName
from turnwright.cli.output import AsJson, print_json
from turnwright.rundir import find_run
from turnwright.tracking.live import LiveRun
from turnwright.tracking.picture import Picture
from turnwright.tracking.watch import View, closing_words

FAILED = 1
LEFT = 130
"""Exit code after Ctrl-C, as shells expect it."""


def watch(
    run: RunName,
    once: Annotated[bool, typer.Option("--once", help="Print what it does now and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch a run until it ends; it may run elsewhere, or have ended long ago. Nothing is written."""
    live = LiveRun(find_run(run, RUNS))
    if as_json:
        print_json(document(live.look()))
        return
    if once:
        with View() as view:
            view.draw_once(live.look())
        return
    try:
        with View() as view:
            for picture in live.follow():
                view.draw(picture)
    except KeyboardInterrupt:
        print("no longer watched; the run goes on by itself")
        raise typer.Exit(LEFT) from None
    print("\n".join(closing_words(picture)))
    if picture.state != "finished":
        raise typer.Exit(FAILED)


def document(picture: Picture) -> dict[str, Any]:
    """Return a picture as what JSON can say: of the metrics the last ones, numbers that are not finite as null."""
    fields = asdict(picture)
    last = dict(*fields.pop("metrics")[-1:])
    return {
        **fields,
        "is_over": picture.is_over,
        "lights": [asdict(light) for light in picture.lights],
        "last_metrics": {name: value if math.isfinite(value) else None for name, value in last.items()},
    }
