"""``turnwright baseline``: can training start from this policy with this reward?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from turnwright.cli.options import Settings, SplitName, read_settings
from turnwright.cli.output import AsJson
from turnwright.core.task import Split

if TYPE_CHECKING:
    from turnwright.launch.baseline import Baseline

SHOWN = 5
"""Overpaid attempts that are listed; the file has all."""


def baseline(
    settings: Settings = None,
    tasks: Annotated[int, typer.Option(help="Tasks to play, group_size attempts each.", min=1)] = 100,
    split: SplitName = "train",
    out: Annotated[Path | None, typer.Option(help="File; baseline.json in run.output_dir when not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the base policy: foothold, audit of the reward, advice on the group size. Exits 1 without a foothold."""
    config = read_settings(settings).config
    # Imported here: it loads torch.
    from turnwright.launch.baseline import run_baseline, write_baseline

    measured = run_baseline(config, split=cast("Split", split), num_tasks=tasks)
    path = out or Path(config.run.output_dir) / "baseline.json"
    write_baseline(path, measured)
    if as_json:
        print(measured.to_json(), end="")
    else:
        _print(measured)
        print(f"written to {path}")
    if not measured.passed:
        raise typer.Exit(1)


def _print(measured: "Baseline") -> None:
    judge = "by the independent scorer" if measured.scored else "by the reward: no independent scorer is named"
    print(f"{measured.model} on {measured.num_tasks} {measured.split} tasks of {measured.environment}")
    if measured.success:
        success = measured.success
        print(f"success {success.value:.1%} (95 % interval {success.low:.1%} to {success.high:.1%}), {judge}")
    for domain, own in measured.domains.items():
        share = f"success {own.success.value:.1%}, " if own.success else ""
        print(f"  {domain}: {share}reward mean {own.reward_mean:.3f}, {own.num_tasks} tasks of {own.environment}")
    print(f"reward mean {measured.reward_mean:.3f}, variance {measured.reward_variance:.4f}")
    if measured.failed:
        print(f"{measured.failed} attempts failed for reasons other than the policy")
    print(f"groups of {measured.group_size} with equal rewards: {measured.uniform_groups:.0%}")
    for size, share in measured.predicted_uniform.items():
        print(f"  group_size {size}: {share:.0%} of the groups expected to succeed or fail throughout")
    if measured.overpaid:
        print(f"{len(measured.overpaid)} attempts are paid as solved, but the scorer says no:")
    for attempt in measured.overpaid[:SHOWN]:
        print(f"  {attempt.episode}  reward {attempt.reward:g}  {attempt.answer[:200]!r}")
    for problem in measured.problems:
        print(f"problem: {problem}")
    for advice in measured.advice:
        print(f"advice: {advice}")
