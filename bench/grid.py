"""Does each advantage and each loss improve the demo's policy? One base, eleven combinations, several seeds.

    warm start, once --> its evaluation --> a run per combination and seed --> evaluation of each --> paired differences

The nine advantages go with ppo, the other two losses with group_based; all else is the same for all (``COMMON``). Every
run and every evaluation is a process of its own with one thread. What is finished below --out is not made again; what
an interrupted run left is. A run that fails is reported, and the others go on.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import get_args

from studies.study import conclude, make_study
from studies.tables import by_task, greedy, markdown, of_seeds, points, sampled, share
from studies.training import base_policy

from turnwright.config.algorithm import AdvantageMethod
from turnwright.evaluation.compare import compare
from turnwright.evaluation.result import EvaluationResult
from turnwright.evaluation.statistics import Interval, paired_difference
from turnwright.evaluation.store import read_result
from turnwright.rundir.reader import RunReader

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

    @property
    def settings(self) -> tuple[str, ...]:
        """What it differs in from the other runs."""
        return (
            f"run.seed={self.seed}",
            f"algorithm.advantage_method={self.method}",
            f"algorithm.loss_fn={self.loss}",
            f"schedule.max_steps={self.steps}",
            f"optimizer.warmup_steps={self.steps // 8}",
        )


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
    policy = base_policy(options.out / "base")
    base, failed = make_study(
        cells,
        policy=policy,
        out=options.out,
        settings=COMMON,
        describe=lambda cell: _describe(_read(options.out, cell)),
        jobs=options.jobs,
    )
    finished: dict[tuple[str, str], list[Finished]] = {}
    for cell in cells:
        if cell.name not in failed:
            finished.setdefault(cell.combination, []).append(_read(options.out, cell))
    rows = [_row(base, runs) for runs in finished.values()]
    table = _table(rows, options.seeds)
    bounds = {"gain_low": 0.0, "steps": options.steps, "tasks": base.num_tasks, "attempts": base.attempts}
    conclude("grid", options.out, table=table, rows=rows, failed=failed, bounds=bounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, each on one thread")
    parser.add_argument("--out", type=Path, default=Path("runs/grid"))
    parser.add_argument("--only", nargs="+", metavar="METHOD", choices=METHODS)
    return parser.parse_args()


def _describe(finished: Finished) -> str:
    succeeded, greedily = share(finished.result.success), share(finished.result.greedy_success)
    return (
        f"sampled {succeeded:.1%}, greedy {greedily:.1%}, {finished.live_groups:.1f} live groups, "
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
        base=share(base.success),
        after={run.cell.seed: share(run.result.success) for run in runs},
        gain=paired_difference(by_task([base], sampled), by_task(results, sampled)),
        greedy_base=share(base.greedy_success),
        greedy_after={run.cell.seed: share(run.result.greedy_success) for run in runs},
        greedy_gain=paired_difference(by_task([base], greedy), by_task(results, greedy)),
        live_groups=fmean(run.live_groups for run in runs),
        entropy=fmean(run.entropy for run in runs),
        seconds=fmean(run.seconds for run in runs),
    )


def _table(rows: Sequence[Row], seeds: Sequence[int]) -> str:
    header = ["advantage", "loss", "base", *(f"seed {seed}" for seed in seeds), "gain, points (95 %)"]
    header += ["greedy gain (95 %)", "live groups", "entropy", "seconds"]
    lines: list[list[str]] = []
    for row in rows:
        lines.append([f"`{row.method}`", f"`{row.loss}`", f"{100 * row.base:.1f} %", *of_seeds(row.after, seeds)])
        lines[-1] += [points(row.gain), points(row.greedy_gain)]
        lines[-1] += [f"{row.live_groups:.1f}", f"{row.entropy:.3f}", f"{row.seconds:.0f}"]
    return markdown(header, lines)


if __name__ == "__main__":
    main()
