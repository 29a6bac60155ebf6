"""The ways of working that a run must survive in."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One way of working."""

    name: str
    settings: tuple[str, ...]
    """Over those of every small run."""
    deterministic: bool = False


MODES = {
    mode.name: mode
    for mode in (
        Mode(name="deterministic", settings=("run.deterministic=true",), deterministic=True),
        Mode(name="ahead", settings=("async_config.max_steps_off_policy=2",)),
        Mode(
            name="agent",
            settings=(
                "async_config.max_steps_off_policy=2",
                "agent.kind=subprocess",
                f"agent.target={shlex.join([sys.executable, '-E', '-s', str(HERE / 'agent.py')])}",
            ),
        ),
        Mode(
            name="process",
            settings=("async_config.max_steps_off_policy=2", "inference.placement=process"),
        ),
        Mode(
            name="tools",
            settings=(
                "async_config.max_steps_off_policy=2",
                "environment.name=small_runs.served:ServedDesk",
            ),
        ),
    )
}
