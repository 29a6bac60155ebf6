"""Does each advantage and each loss improve the demo's policy? One base, eleven combinations, several seeds.

    warm start, once --> its evaluation --> a run per combination and seed --> evaluation of each --> paired differences

The nine advantages go with ppo, the other two losses with group_based; all else is the same for all (``COMMON``). Every
run and every evaluation is a process of its own with one thread. What is finished below --out is not made again; what
an interrupted run left is. A run that fails is reported, and the others go on.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import get_args

from turnwright import TurnwrightError, api
from turnwright.api.process import child_environment, command_line
from turnwright.config.algorithm import AdvantageMethod
from turnwright.evaluation.compare import compare
from turnwright.evaluation.result import EvaluationResult, TaskResult
from turnwright.evaluation.statistics import Interval, paired_difference
from turnwright.evaluation.store import read_result
from turnwright.rundir.layout import step_name
from turnwright.rundir.manifest import installed_versions
from turnwright.rundir.reader import RunReader

RECIPE = Path(__file__).parents[1] / "examples" / "returns_desk" / "run.toml"
METHODS = get_args(AdvantageMethod)
COMBINATIONS = (
    *((method, "ppo") for method in METHODS),
    ("group_based", "importance_sampling"),
    ("group_based", "cispo"),
)
COMMON = (
    "algorithm.group_size=8",
    "algorithm.global_batch_size=8",
    "algorithm.updates_per_step=2",
    "schedule.val_every=0",
    "schedule.save_every=0",
)
"""Over the recipe, whose learning rate and its fall stay as they are."""
JUDGED = ("evaluation.attempts=2",)
"""All test tasks, few attempts each: the task is the unit of the intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training run."""

    method: str
    loss: str
    seed: int
    steps: int

    @property
    def combination(self) -> tuple[str, str]:
        """Advantage and loss."""
        return self.method, self.loss

    @property
    def name(self) -> str:
        """Folder of the run and of its evaluation."""
        return f"{self.method}-{self.loss}-{self.steps}-steps-seed-{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What one run and its evaluation say."""

    cell: Cell
    result: EvaluationResult
    live_groups: float
    """Groups with signal, mean over steps."""
    entropy: float
    """Nats per sampled token in the last step that trained."""
    seconds: float
    """Wall time of the steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One combination, its seeds pooled; shares in 0..1, intervals 95 % over tasks."""

    method: str
    loss: str
    base: float
    after: Mapping[int, float]
    """Sampled success by seed; seeds whose run failed are absent."""
    gain: Interval
    greedy_base: float
    greedy_after: Mapping[int, float]
    greedy_gain: Interval
    live_groups: float
    entropy: float
    seconds: float


def main() -> None:
    """Make what is missing, then print the table."""
    options = _options()
    cells = [
        Cell(method=method, loss=loss, seed=seed, steps=options.steps)
        for seed in options.seeds
        for method, loss in COMBINATIONS
        if options.only is None or method in options.only
    ]
    base = _base(options.out)
    failed = _make(cells, out=options.out, jobs=options.jobs)
    finished: dict[tuple[str, str], list[Finished]] = {}
    for cell in cells:
        if cell.name not in failed:
            finished.setdefault(cell.combination, []).append(_read(options.out, cell))
    rows = [_row(base, runs) for runs in finished.values()]
    table = _table(rows, options.seeds)
    print(f"\n{table}\n")
    for name, reason in failed.items():
        print(f"failed: {name}: {reason}")
    result = {
        "bench": "grid",
        "rows": [asdict(row) for row in rows],
        "failed": failed,
        "bounds": {"gain_low": 0.0, "steps": options.steps, "tasks": base.num_tasks, "attempts": base.attempts},
        "versions": installed_versions(),
    }
    (options.out / "table.md").write_text(f"{table}\n", encoding="utf-8")
    (options.out / "grid.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    sys.exit(1 if failed else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, each on one thread")
    parser.add_argument("--out", type=Path, default=Path("runs/grid"))
    parser.add_argument("--only", nargs="+", metavar="METHOD", choices=METHODS)
    return parser.parse_args()


def _base(out: Path) -> EvaluationResult:
    """Return the evaluation of the policy that all runs start from; make both where they are missing."""
    policy = out / "base"
    if not policy.exists():
        started = time.perf_counter()
        unfinished = policy.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        warm = api.warmstart(RECIPE, unfinished)
        unfinished.rename(policy)
        print(f"base: foothold {warm.footholds[-1].success:.0%}, {time.perf_counter() - started:.0f} s", flush=True)
    # From here on children share the cores as one-threaded processes.
    os.environ["OMP_NUM_THREADS"] = "1"
    folder = out / "evaluations" / "base"
    if not folder.exists():
        api.evaluate(policy, RECIPE, overrides=JUDGED, out=folder)
    result = read_result(folder)
    print(api.describe_result(result), flush=True)
    return result


def _make(cells: Sequence[Cell], *, out: Path, jobs: int) -> dict[str, str]:
    """Make the runs that are missing, some at once; return why which ones failed."""
    missing = [cell for cell in cells if not (out / "evaluations" / cell.name / "result.json").exists()]
    print(f"{len(cells)} runs, {len(missing)} to make", flush=True)
    failed: dict[str, str] = {}
    started = time.perf_counter()
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_train_and_judge, cell, out): cell for cell in missing}
        for done, future in enumerate(as_completed(futures), start=1):
            name = futures[future].name
            try:
                said = future.result()
            except TurnwrightError as error:
                said = failed[name] = str(error)
            spent = time.perf_counter() - started
            left = spent / done * (len(missing) - done)
            print(f"{done}/{len(missing)}  {name:34} {said}  ({spent / 60:.0f} min, {left / 60:.0f} left)", flush=True)
    return failed


def _train_and_judge(cell: Cell, out: Path) -> str:
    """Train and evaluate one run in processes of their own, and say how it went."""
    run = out / "runs" / cell.name
    shutil.rmtree(run, ignore_errors=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    own = (
        f"model.path={out / 'base'}",
        f"run.output_dir={run.parent}",
        f"run.name={cell.name}",
        f"run.seed={cell.seed}",
        f"algorithm.advantage_method={cell.method}",
        f"algorithm.loss_fn={cell.loss}",
        f"schedule.max_steps={cell.steps}",
        f"optimizer.warmup_steps={cell.steps // 8}",
    )
    log = run.with_suffix(".log")
    with log.open("wb") as output:
        done = subprocess.run(
            command_line(["train", str(RECIPE), *COMMON, *own]),
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise TurnwrightError(f"training ended with exit code {done.returncode}: {last} (see {log})")
    api.evaluate(
        run / "checkpoints" / step_name(cell.steps), RECIPE, overrides=JUDGED, out=out / "evaluations" / cell.name
    )
    finished = _read(out, cell)
    sampled, greedy = _share(finished.result.success), _share(finished.result.greedy_success)
    return (
        f"sampled {sampled:.1%}, greedy {greedy:.1%}, {finished.live_groups:.1f} live groups, "
        f"entropy {finished.entropy:.3f}, {finished.seconds:.0f} s"
    )


def _read(out: Path, cell: Cell) -> Finished:
    metrics = list(RunReader(out / "runs" / cell.name).metrics())
    steps = [step for step in metrics if "training/num_updates" in step]
    return Finished(
        cell=cell,
        result=read_result(out / "evaluations" / cell.name),
        live_groups=fmean(step["analysis/live_groups"] for step in steps),
        entropy=[step["training/entropy"] for step in steps if "training/entropy" in step][-1],
        seconds=sum(step["timing_s/step"] for step in steps),
    )


def _row(base: EvaluationResult, runs: Sequence[Finished]) -> Row:
    """Pool the seeds of a combination: a task's value is its mean over them, and pairs with its value under the base.

    The interval is about the tasks, for these seeds; how far seeds differ shows in ``after``.
    """
    for run in runs:
        # Refuses evaluations of other tasks, scorers or temperatures.
        compare(base, run.result)
    results = [run.result for run in runs]
    return Row(
        method=runs[0].cell.method,
        loss=runs[0].cell.loss,
        base=_share(base.success),
        after={run.cell.seed: _share(run.result.success) for run in runs},
        gain=paired_difference(_by_task([base], _sampled), _by_task(results, _sampled)),
        greedy_base=_share(base.greedy_success),
        greedy_after={run.cell.seed: _share(run.result.greedy_success) for run in runs},
        greedy_gain=paired_difference(_by_task([base], _greedy), _by_task(results, _greedy)),
        live_groups=fmean(run.live_groups for run in runs),
        entropy=fmean(run.entropy for run in runs),
        seconds=fmean(run.seconds for run in runs),
    )


def _by_task(
    results: Sequence[EvaluationResult], measure: Callable[[TaskResult], float | None]
) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {task.task_id: [] for task in results[0].tasks}
    for result in results:
        for task in result.tasks:
            if (value := measure(task)) is not None:
                values[task.task_id].append(value)
    return values


def _sampled(task: TaskResult) -> float | None:
    return task.successes / task.attempts if task.attempts else None


def _greedy(task: TaskResult) -> float | None:
    return None if task.greedy is None else float(task.greedy)


def _table(rows: Sequence[Row], seeds: Sequence[int]) -> str:
    header = ["advantage", "loss", "base", *(f"seed {seed}" for seed in seeds), "gain, points (95 %)"]
    header += ["greedy gain (95 %)", "live groups", "entropy", "seconds"]
    lines = [header, ["---"] * len(header)]
    for row in rows:
        after = [f"{100 * row.after[seed]:.1f} %" if seed in row.after else "failed" for seed in seeds]
        lines.append([f"`{row.method}`", f"`{row.loss}`", f"{100 * row.base:.1f} %", *after, _points(row.gain)])
        lines[-1] += [_points(row.greedy_gain), f"{row.live_groups:.1f}", f"{row.entropy:.3f}", f"{row.seconds:.0f}"]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _points(interval: Interval) -> str:
    return f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def _share(found: Interval | None) -> float:
    if found is None:
        raise TurnwrightError("an evaluation has no scored attempt: see its result.json")
    return found.value


if __name__ == "__main__":
    main()
