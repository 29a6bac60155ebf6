"""What do stale tokens cost, and does correcting for them help? Staleness by correction, three seeds, held-out score.

    warm start, once --> its evaluation --> a run per bound, correction and seed --> evaluation of each --> table

    bound        async_config.max_steps_off_policy: 0 (synchronous), 1, 3, 8
    correction   off: the ratio is formed with whoever sampled the token. on: proximal = "recomputed", and tokens weigh
                 proximal / sampler, at most 2. With a bound of 0 there is nothing to correct

Tools are a fifth as slow as in bench/async. Every run and every evaluation is a process of its own with one thread.
What is finished below --out is not made again; what an interrupted run left is. A run that fails is reported, and the
others go on.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from slow_tools.training import CORRECTED, PLAIN, SLOW_TOOLS, Account, account
from studies.study import conclude, make_study
from studies.tables import by_task, markdown, of_seeds, points, sampled, share
from studies.training import base_policy

from turnwright.evaluation.compare import compare
from turnwright.evaluation.result import EvaluationResult
from turnwright.evaluation.statistics import Interval, paired_difference
from turnwright.evaluation.store import read_result

BOUNDS = (0, 1, 3, 8)
LATENCY_SCALE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training run."""

    bound: int
    corrected: bool
    seed: int
    steps: int

    @property
    def combination(self) -> tuple[int, bool]:
        """Bound and correction."""
        return self.bound, self.corrected

    @property
    def name(self) -> str:
        """Folder of the run and of its evaluation."""
        correction = "corrected" if self.corrected else "plain"
        return f"staleness-{self.bound}-{correction}-{self.steps}-steps-seed-{self.seed}"

    @property
    def settings(self) -> tuple[str, ...]:
        """What it differs in from the other runs."""
        return (
            f"run.seed={self.seed}",
            f"schedule.max_steps={self.steps}",
            f"optimizer.warmup_steps={self.steps // 8}",
            f"environment.options.latency_scale={LATENCY_SCALE}",
            f"async_config.max_steps_off_policy={self.bound}",
            *((CORRECTED if self.corrected else PLAIN) if self.bound else ()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What one run and its evaluation say."""

    cell: Cell
    result: EvaluationResult
    account: Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One combination, its seeds pooled; shares in 0..1, intervals 95 % over tasks."""

    bound: int
    corrected: bool
    after: Mapping[int, float]
    """Sampled success by seed; seeds whose run failed are absent."""
    gain: Interval
    """Over the base."""
    over_synchronous: Interval | None
    """Over the runs with a bound of 0; None of these themselves, and without any."""
    seconds: float
    """Wall time of a run's steps, mean over seeds."""
    staleness_mean: float
    staleness_max: float
    wasted: float


def main() -> None:
    """Make what is missing, then print the table."""
    options = _options()
    cells = [
        Cell(bound=bound, corrected=corrected, seed=seed, steps=options.steps)
        for seed in options.seeds
        for bound in options.bounds
        for corrected in ((False, True) if bound else (False,))
    ]
    policy = options.base or base_policy(options.out / "base")
    base, failed = make_study(
        cells,
        policy=policy,
        out=options.out,
        settings=SLOW_TOOLS,
        describe=lambda cell: _describe(_read(options.out, cell)),
        jobs=options.jobs,
    )
    finished: dict[tuple[int, bool], list[Finished]] = {}
    for cell in cells:
        if cell.name not in failed:
            finished.setdefault(cell.combination, []).append(_read(options.out, cell))
    rows = [_row(base, finished.get((0, False), []), runs) for runs in finished.values()]
    table = _table(rows, options.seeds, share(base.success))
    bounds = {"base": share(base.success), "steps": options.steps, "tasks": base.num_tasks}
    conclude("ablation", options.out, table=table, rows=rows, failed=failed, bounds=bounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--bounds", type=int, nargs="+", default=list(BOUNDS))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, each on one thread")
    parser.add_argument("--base", type=Path, help="warm-started policy; made when not given")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    return parser.parse_args()


def _describe(finished: Finished) -> str:
    spent = finished.account
    return (
        f"sampled {share(finished.result.success):.1%}, {spent.seconds:.0f} s, staleness {spent.staleness_mean:.2f} "
        f"(most {spent.staleness_max:.0f}), {spent.wasted:.1%} wasted"
    )


def _read(out: Path, cell: Cell) -> Finished:
    result = read_result(out / "evaluations" / cell.name)
    return Finished(cell=cell, result=result, account=account(out / "runs" / cell.name))


def _row(base: EvaluationResult, synchronous: Sequence[Finished], runs: Sequence[Finished]) -> Row:
    """Pool the seeds of a combination: a task's value is its mean over them, paired with that on the other side.

    The intervals are about the tasks, for these seeds; how far seeds differ shows in ``after``.
    """
    for run in runs:
        # Refuses evaluations of other tasks, scorers or temperatures.
        compare(base, run.result)
    cell, accounts = runs[0].cell, [run.account for run in runs]
    after = by_task([run.result for run in runs], sampled)
    compared = [run.result for run in synchronous] if cell.bound else []
    return Row(
        bound=cell.bound,
        corrected=cell.corrected,
        after={run.cell.seed: share(run.result.success) for run in runs},
        gain=paired_difference(by_task([base], sampled), after),
        over_synchronous=paired_difference(by_task([run.result for run in compared], sampled), after)
        if compared
        else None,
        seconds=fmean(each.seconds for each in accounts),
        staleness_mean=fmean(each.staleness_mean for each in accounts),
        staleness_max=max(each.staleness_max for each in accounts),
        wasted=fmean(each.wasted for each in accounts),
    )


def _table(rows: Sequence[Row], seeds: Sequence[int], base: float) -> str:
    header = ["bound", "correction", *(f"seed {seed}" for seed in seeds)]
    header += [f"gain over {100 * base:.1f} %, points (95 %)", "over synchronous (95 %)"]
    header += ["seconds", "staleness, mean and most", "wasted"]
    lines: list[list[str]] = []
    for row in sorted(rows, key=lambda row: (row.bound, row.corrected)):
        lines.append([str(row.bound), ("on" if row.corrected else "off") if row.bound else "none"])
        lines[-1] += [*of_seeds(row.after, seeds), points(row.gain)]
        lines[-1] += [points(row.over_synchronous) if row.over_synchronous else "", f"{row.seconds:.0f}"]
        lines[-1] += [f"{row.staleness_mean:.2f}, {row.staleness_max:.0f}", f"{row.wasted:.2%}"]
    return markdown(header, lines)


if __name__ == "__main__":
    main()
