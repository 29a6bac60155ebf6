"""``turnwright warmstart``: a supervised start from demonstrations of a scripted expert."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwright.cli.options import Settings, read_settings

if TYPE_CHECKING:
    from turnwright.launch.warmstart import Foothold
    from turnwright.learner.warmstart import SupervisedUpdate

LINES = 10
"""Progress lines of a warm start."""


def warmstart(
    settings: Settings = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the policy; must be empty.")] = Path("warmstarted"),
) -> None:
    """Learn from demonstrations, to a foothold that reinforcement learning can grow from."""
    config = read_settings(settings).config
    every = max(1, config.warmstart.steps // LINES)

    def show_update(update: "SupervisedUpdate") -> None:
        if update.update % every == 0 or update.update == 1:
            print(f"update {update.update}/{config.warmstart.steps}  loss {update.loss:.4f}", flush=True)

    def show_foothold(foothold: "Foothold") -> None:
        share = f"{foothold.success:.1%} of {foothold.num_tasks} validation tasks"
        print(f"foothold after {foothold.update} updates: {share}", flush=True)

    # Imported here: it loads torch.
    from turnwright.launch.warmstart import warmstart as run_warmstart

    done = run_warmstart(config, out, on_update=show_update, on_foothold=show_foothold)
    print(f"policy: {done.path}\nnext: turnwright train RUN.TOML model.path={done.path}")
