"""A study: one policy, many runs from it, each trained and evaluated in a process of its own, some at once.

    base --evaluate--> for each cell: train --evaluate--> rows of a table

What is finished below the study's folder is not made again; what an interrupted run left is. A run that fails is
reported, and the others go on.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from studies.training import evaluated, train

from turnwright import TurnwrightError, api
from turnwright.evaluation.result import EvaluationResult
from turnwright.rundir.layout import step_name
from turnwright.rundir.manifest import installed_versions

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Cell(Protocol):
    """One run of a study."""

    @property
    def steps(self) -> int:
        """How many it takes."""
        ...

    @property
    def name(self) -> str:
        """Folder of the run and of its evaluation."""
        ...

    @property
    def settings(self) -> Sequence[str]:
        """What it differs in from the other runs."""
        ...


C = TypeVar("C", bound=Cell)


def make_study(
    cells: Sequence[C],
    *,
    policy: Path,
    out: Path,
    settings: Sequence[str],
    describe: Callable[[C], str],
    jobs: int,
) -> tuple[EvaluationResult, dict[str, str]]:
    """Make what is missing of a study, and say how each run went and how long the rest will take.

    Args:
        cells: Its runs.
        policy: What all of them start from.
        out: Folder of the study.
        settings: What is set over the recipe in all of them.
        describe: Says how a finished run went.
        jobs: Runs at once, each on one thread.

    Returns the evaluation of the policy, and why which runs failed.
    """
    # From here on children share the cores as one-threaded processes.
    os.environ["OMP_NUM_THREADS"] = "1"
    base = evaluated(policy, out / "evaluations" / "base")
    print(api.describe_result(base), flush=True)

    def make(cell: C) -> str:
        run = out / "runs" / cell.name
        train(run, (*settings, f"model.path={policy}", *cell.settings), threads=1)
        evaluated(run / "checkpoints" / step_name(cell.steps), out / "evaluations" / cell.name)
        return describe(cell)

    missing = [cell for cell in cells if not (out / "evaluations" / cell.name / "result.json").exists()]
    print(f"{len(cells)} runs, {len(missing)} to make", flush=True)
    width = max((len(cell.name) for cell in missing), default=0)
    failed: dict[str, str] = {}
    started = time.perf_counter()
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(make, cell): cell.name for cell in missing}
        for done, future in enumerate(as_completed(futures), start=1):
            name = futures[future]
            try:
                said = future.result()
            except TurnwrightError as error:
                said = failed[name] = str(error)
            spent = time.perf_counter() - started
            times = f"({spent / 60:.0f} min, {spent / 60 / done * (len(missing) - done):.0f} left)"
            print(f"{done}/{len(missing)}  {name:{width}}  {said}  {times}", flush=True)
    return base, failed


def conclude(
    name: str,
    out: Path,
    *,
    table: str,
    rows: "Sequence[DataclassInstance]",
    failed: Mapping[str, str],
    bounds: Mapping[str, Any],
) -> None:
    """Print a study's table, the runs that failed and its JSON; keep them; exit with 1 where a run failed."""
    print(f"\n{table}\n")
    for run, reason in failed.items():
        print(f"failed: {run}: {reason}")
    result = {
        "bench": name,
        "rows": [asdict(row) for row in rows],
        "failed": failed,
        "bounds": bounds,
        "versions": installed_versions(),
    }
    (out / "table.md").write_text(f"{table}\n", encoding="utf-8")
    (out / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    sys.exit(1 if failed else 0)
