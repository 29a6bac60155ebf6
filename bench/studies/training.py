"""The demo's policy and recipe, trained and evaluated in processes of their own."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from turnwright import TurnwrightError, api
from turnwright.api.process import child_environment, command_line
from turnwright.evaluation.result import EvaluationResult
from turnwright.evaluation.store import read_result

RECIPE = Path(__file__).parents[2] / "examples" / "returns_desk" / "run.toml"
JUDGED = ("evaluation.attempts=2",)
"""All test tasks, few attempts each: the task is the unit of the intervals."""


def base_policy(folder: Path) -> Path:
    """Return the policy that all runs start from, warm-started as the demo's; make it where it is missing."""
    if not folder.exists():
        unfinished = folder.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        api.warmstart(RECIPE, unfinished)
        unfinished.rename(folder)
    return folder


def train(run: Path, settings: Sequence[str], *, threads: int) -> None:
    """Train with the recipe; what was left at ``run`` makes room. Raises TurnwrightError when it fails."""
    shutil.rmtree(run, ignore_errors=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    log = run.with_name(f"{run.name}.log")
    own = (f"run.output_dir={run.parent}", f"run.name={run.name}")
    with log.open("wb") as output:
        done = subprocess.run(
            command_line(["train", str(RECIPE), *settings, *own]),
            env={**child_environment(), "OMP_NUM_THREADS": str(threads)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise TurnwrightError(f"training ended with exit code {done.returncode}: {last} (see {log})")


def evaluated(policy: Path, folder: Path) -> EvaluationResult:
    """Return the evaluation of a policy on the recipe's test tasks; make it where it is missing."""
    if not (folder / "result.json").exists():
        api.evaluate(policy, RECIPE, overrides=JUDGED, out=folder)
    return read_result(folder)
