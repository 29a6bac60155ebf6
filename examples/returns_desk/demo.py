"""The whole story on two CPU cores: a small policy learns the returns desk's procedure, and an outsider proves it.

    python examples/returns_desk/demo.py [--seed 1] [--run-dir runs/demo] [KEY=VALUE ...]

Leaves in the run directory: base/ (the policy before RL), rl/ (the run, its evaluations and report.html) and
summary.json. Exits 1 when the gain is not shown.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from turnwright import TurnwrightError, api
from turnwright.core.episode import Episode
from turnwright.evaluation.compare import Comparison
from turnwright.evaluation.store import read_episodes
from turnwright.report.examples import pick_examples

RECIPE = Path(__file__).with_name("run.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What summary.json says; shares in 0..1, intervals 95 % over tasks."""

    seed: int
    num_tasks: int
    base_success: float
    tuned_success: float
    difference: float
    difference_low: float
    difference_high: float
    greedy_difference: float
    greedy_difference_low: float
    base_field_accuracy: float
    tuned_field_accuracy: float
    wall_seconds: float
    steps: int
    report: str

    def shortfalls(self) -> list[str]:
        """Say what the demo promises and this run does not show."""
        fields = self.tuned_field_accuracy - self.base_field_accuracy
        promises = (
            ("success after training", self.tuned_success, 0.85),
            ("gain in success", self.difference, 0.35),
            ("lower end of its interval", self.difference_low, 0.25),
            ("gain in greedy success", self.greedy_difference, 0.20),
            ("lower end of its interval (greedy)", self.greedy_difference_low, 0.10),
            ("gain in field accuracy", fields, 0.16),
        )
        return [f"{name} is {value:.3f}, expected {least}" for name, value, least in promises if value < least]


def main() -> None:
    parser = argparse.ArgumentParser(description="A small policy learns the returns desk's procedure.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/demo"))
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings that win over run.toml")
    arguments = parser.parse_args()
    try:
        summary = tell(arguments.run_dir, arguments.seed, arguments.settings)
    except TurnwrightError as error:
        sys.exit(f"error: {error}")
    shortfalls = summary.shortfalls()
    if shortfalls:
        print("\nThe gain is NOT shown:", *shortfalls, sep="\n  ")
        sys.exit(1)
    print("\nThe gain is shown: the policy follows a procedure that nobody showed it in full.")


def tell(folder: Path, seed: int, settings: Sequence[str]) -> Summary:
    started = time.perf_counter()
    move_aside(folder)
    base, run = folder / "base", folder / "rl"
    given = (f"run.seed={seed}", *settings)

    chapter("1/6  Is the environment sound? No model is needed to ask.", started)
    check = api.check("returns_desk", tasks=240)
    floor = max(each.by_score or 0.0 for each in check.floors.values())
    print(f"It replays exactly; its oracle solves {check.oracle.solved} of {check.oracle.of} tasks.")
    print(f"The best answer without any work is right on {floor:.0%}: the procedure has to be followed.")
    if not check.passed:
        raise SystemExit("the environment does not pass its check: turnwright check returns_desk")

    chapter("2/6  The base: the shipped policy learns from a hasty clerk, whose habits are wrong.", started)
    print("The shipped policy knows how to call tools and decide by rules, from other procedures; never this one.")
    warm = api.warmstart(
        RECIPE, base, overrides=given, on_update=lambda update: tick(update.update, f"loss {update.loss:.3f}")
    )
    print(f"It now succeeds on {warm.footholds[-1].success:.0%} of 100 validation tasks: something to grow from.")

    chapter(
        "3/6  How good is the base? An evaluator of its own process, with a scorer that is not the reward.", started
    )
    before = api.evaluate(base, RECIPE, overrides=given, out=folder / "evaluations" / "base")
    print(api.describe_result(before))

    chapter("4/6  Reinforcement learning: nobody shows it the right procedure, only the reward.", started)
    place = (f"model.path={base}", f"run.output_dir={folder}", f"run.name={run.name}")
    api.train(RECIPE, overrides=(*given, *place))
    # The report of the run shows both evaluations.
    shutil.move(folder / "evaluations", run / "evaluations")

    chapter(
        "5/6  How good is it now? The same evaluator, the same held-out tasks, from the checkpoint on disk.", started
    )
    tuned = max((run / "checkpoints").glob("step_*"))
    after = api.evaluate(tuned, run=run, name="tuned")
    print(api.describe_result(after))

    chapter("6/6  What changed?", started)
    comparison = api.compare(run / "evaluations" / "base", run / "evaluations" / "tuned")
    report = api.report(run, out=folder / "report.html")
    show_examples([*read_episodes(run / "evaluations" / "tuned")])
    summary = summarise(
        comparison, seed=seed, seconds=time.perf_counter() - started, step=after.step or 0, report=report
    )
    (folder / "summary.json").write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")
    print(f"\n{api.describe_comparison(comparison)}")
    print(f"\n{summary.wall_seconds:.0f} s in all. Report: {report}  Numbers: {folder / 'summary.json'}")
    return summary


def summarise(comparison: Comparison, *, seed: int, seconds: float, step: int, report: Path) -> Summary:
    success, greedy, fields = comparison.success, comparison.greedy_success, comparison.field_accuracy
    if greedy is None or fields is None:
        raise SystemExit("the demo needs greedy attempts and output fields: set evaluation.greedy=true")
    return Summary(
        seed=seed,
        num_tasks=comparison.num_tasks,
        base_success=success.base,
        tuned_success=success.tuned,
        difference=success.difference.value,
        difference_low=success.difference.low,
        difference_high=success.difference.high,
        greedy_difference=greedy.difference.value,
        greedy_difference_low=greedy.difference.low,
        base_field_accuracy=fields.base,
        tuned_field_accuracy=fields.tuned,
        wall_seconds=round(seconds, 1),
        steps=step,
        report=str(report),
    )


def show_examples(episodes: Sequence[Episode]) -> None:
    examples = pick_examples(episodes, success_threshold=1.0)
    for kind in ("Worst", "Best"):
        example = next((example for example in examples if example.kind == kind), None)
        if example is not None:
            print(f"\n{kind} episode after training:")
            api.print_episode(example.episode)


def move_aside(folder: Path) -> None:
    """Keep what an earlier demo left."""
    if not folder.exists():
        return
    number = 1
    while (kept := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    folder.rename(kept)
    print(f"{folder} exists: moved to {kept}")


def chapter(title: str, started: float) -> None:
    print(f"\n[{time.perf_counter() - started:4.0f} s] {title}", flush=True)


def tick(update: int, text: str) -> None:
    if update % 25 == 0:
        print(f"  update {update}  {text}", flush=True)


if __name__ == "__main__":
    main()
