"""Can a run be lost? Small runs, one random process of each killed with SIGKILL at a random moment, then resumed.

    undisturbed runs of a mode --> how long one lives, its weights and metrics
    each run:  train --kill--> what is on disk --> train --resume, until it has ended --> compare

What must hold for each run:

    resumed        it takes all its steps, with metrics for each of them once
    lost           no attempt that was on disk when it was hit is missing from its steps, token by token
    trained twice  no group and no attempt is in two steps
    equal          deterministic: weights and metrics are those of the undisturbed run, bit by bit, but for what says
                   something about a process, such as its seconds; otherwise the mean reward lies where 99.9 % of
                   undisturbed runs would

The role of the process is drawn first - controller, engine, agent, tool server - then the process.
"""

import argparse
import json
import math
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from small_runs.evidence import Final, final
from small_runs.killing import Kill, await_directory, finish, kill_one, wait
from small_runs.modes import MODES, Mode
from small_runs.recipe import SMALL, last_line, log_of, start

from turnwright import TurnwrightError
from turnwright.core.seeding import derive_key, generator
from turnwright.rundir.manifest import installed_versions
from turnwright.rundir.reader import RunReader

SPREAD = {2: 636.6, 3: 31.60, 4: 12.92, 5: 8.61, 6: 6.87}
"""Student's t, two-sided 99.9 %, by the number of undisturbed runs; two say next to nothing."""
NORMAL = 3.29
"""The same of a normal distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Undisturbed runs of one mode."""

    mode: Mode
    seconds: float
    """From the moment a run directory is there to the end of the run, mean."""
    finals: tuple[Final, ...]

    def difference(self, found: Final) -> str:
        """Return how a disturbed run differs; empty when it does not."""
        if self.mode.deterministic:
            return difference(self.finals[0], found)
        means = [each.reward for each in self.finals]
        between = SPREAD[len(means)] * stdev(means) * math.sqrt(1 + 1 / len(means))
        # Small runs in peace can be all but alike, as equal random numbers lead to equal tokens until one differs.
        within = NORMAL * stdev(self.finals[0].rewards) * math.sqrt(2 / len(self.finals[0].rewards))
        width = max(between, within)
        if abs(found.reward - fmean(means)) <= width:
            return ""
        return f"mean reward {found.reward:.4f}, expected {fmean(means):.4f} +- {width:.4f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One disturbed run."""

    mode: Mode
    kill: Kill
    not_finished: str
    """Why it could not be resumed to its end; empty when it could."""
    lost: tuple[str, ...] = ()
    trained_twice: tuple[str, ...] = ()
    missing_steps: tuple[int, ...] = ()
    difference: str = ""
    reward: float = math.nan

    @property
    def problems(self) -> list[str]:
        """What did not hold."""
        found = [self.kill.problem, self.not_finished]
        found += [f"lost {len(self.lost)}: {', '.join(self.lost[:3])}"] if self.lost else []
        found += [f"trained twice: {', '.join(self.trained_twice[:3])}"] if self.trained_twice else []
        found += [f"metrics missing or there twice for steps {self.missing_steps}"] if self.missing_steps else []
        found += [f"not equal: {self.difference}"] if self.difference else []
        return [problem for problem in found if problem]

    def describe(self) -> str:
        """Return the verdict in a line."""
        kill = self.kill
        what = f"{kill.victim} after {kill.seconds:.1f} s ({kill.phase}, step {kill.step})"
        held = "; ".join(self.problems) or "held"
        return f"{self.mode.name:14} {what:46} {kill.on_disk:3} attempts on disk: {held}"


def main() -> None:
    """Make the undisturbed runs, then the disturbed ones, and print the verdict."""
    options = _options()
    shutil.rmtree(options.out, ignore_errors=True)
    verdicts: list[Verdict] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        references: list[Reference] = []
        for reference in pool.map(partial(undisturbed, options=options), [MODES[name] for name in options.modes]):
            references.append(reference)
            rewards = ", ".join(f"{each.reward:.3f}" for each in reference.finals)
            _say(f"{reference.mode.name:14} undisturbed: {reference.seconds:.1f} s, mean rewards {rewards}")
        turns = [references[number % len(references)] for number in range(options.runs)]
        for verdict in pool.map(partial(disturbed, options=options), range(options.runs), turns):
            verdicts.append(verdict)
            _say(f"{len(verdicts):3}/{options.runs}  {verdict.describe()}")
    print(f"\n{_table(verdicts, references)}\n")
    result = _result(verdicts, options)
    (options.out / "chaos.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    sys.exit(1 if any(verdict.problems for verdict in verdicts) else 0)


def undisturbed(mode: Mode, options: argparse.Namespace) -> Reference:
    """Run a mode in peace, often enough to know how its runs differ; deterministic ones twice: they must not."""
    seconds: list[float] = []
    finals: list[Final] = []
    for number in range(2 if mode.deterministic else options.undisturbed):
        run = options.out / mode.name / f"undisturbed-{number}"
        own = (f"run.output_dir={run.parent}", f"run.name={run.name}")
        child = start(["train", *_settings(mode, options), *own], log_of(run))
        await_directory(child, run)
        began = time.time()
        code, problem = wait(child, run)
        if code:
            problem = problem or f"exit code {code}: {last_line(log_of(run))}"
            raise TurnwrightError(f"{run} did not end well although nobody disturbed it: {problem}")
        status = RunReader(run).status()
        assert status is not None
        # Its last sign of life: a process that is done takes a while to go, and nothing happens then.
        seconds.append(status.heartbeat - began)
        finals.append(final(run, steps=options.steps))
    if mode.deterministic and (problem := difference(*finals)):
        raise TurnwrightError(f"two undisturbed runs of mode {mode.name!r} differ: {problem}")
    return Reference(mode=mode, seconds=fmean(seconds), finals=tuple(finals))


def disturbed(number: int, reference: Reference, options: argparse.Namespace) -> Verdict:
    """Kill a process of a run, resume the run, and look at what it is made of."""
    mode = reference.mode
    run = options.out / mode.name / f"run-{number:03}"
    moment = generator("chaos moment", options.seed, number).random() * reference.seconds
    seed = derive_key("chaos", options.seed, number)
    kill = kill_one(_settings(mode, options), run, moment=moment, seed=seed)
    if problem := finish(run, steps=options.steps):
        return Verdict(mode=mode, kill=kill, not_finished=problem)
    found = final(run, steps=options.steps)
    verdict = Verdict(
        mode=mode,
        kill=kill,
        not_finished="",
        lost=tuple(sorted(ended.key for ended in kill.ended - found.attempts)),
        trained_twice=found.trained_twice,
        missing_steps=found.missing_steps,
        difference=reference.difference(found),
        reward=found.reward,
    )
    if not verdict.problems and not options.keep:
        shutil.rmtree(run)
    return verdict


def difference(one: Final, other: Final) -> str:
    """Return the first difference between two runs that should be equal to the bit; empty when they are."""
    for before, after in zip(one.metrics, other.metrics, strict=False):
        for name in sorted(before.keys() | after.keys()):
            # By their spelling: nan is equal to nan then.
            if repr(before.get(name)) != repr(after.get(name)):
                return f"{name} of step {before['step']:.0f} is {after.get(name)!r}, expected {before.get(name)!r}"
    if len(one.metrics) != len(other.metrics):
        return f"{len(other.metrics)} lines of metrics, expected {len(one.metrics)}"
    if one.weights != other.weights:
        return f"weights {other.weights[:12]}, expected {one.weights[:12]}"
    return ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--undisturbed", type=int, choices=SPREAD, default=4, help="runs of a mode to compare with")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--keep", action="store_true", help="keep the runs in which everything held")
    parser.add_argument("--out", type=Path, default=Path("runs/chaos"))
    return parser.parse_args()


def _settings(mode: Mode, options: argparse.Namespace) -> tuple[str, ...]:
    # Not every step is saved: what lies behind the newest checkpoint is what a crash could lose.
    return (*SMALL, f"schedule.max_steps={options.steps}", "schedule.save_every=2", *mode.settings)


def _table(verdicts: Sequence[Verdict], references: Sequence[Reference]) -> str:
    header = ["mode", "runs", "killed", "while", "attempts on disk", "mean reward, undisturbed", "held"]
    lines = [header, ["---"] * len(header)]
    for reference in references:
        mine = [verdict for verdict in verdicts if verdict.mode is reference.mode]
        rewards = [verdict.reward for verdict in mine if not math.isnan(verdict.reward)]
        peace = fmean(each.reward for each in reference.finals)
        lines.append(
            [
                reference.mode.name,
                str(len(mine)),
                _counts(verdict.kill.victim for verdict in mine),
                _counts(verdict.kill.phase for verdict in mine),
                str(sum(verdict.kill.on_disk for verdict in mine)),
                f"{fmean(rewards) if rewards else math.nan:.4f}, {peace:.4f}",
                f"{sum(not verdict.problems for verdict in mine)} of {len(mine)}",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counts(names: Any) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())


def _result(verdicts: Sequence[Verdict], options: argparse.Namespace) -> dict[str, Any]:
    return {
        "bench": "chaos",
        "runs": len(verdicts),
        "resumed": sum(not verdict.not_finished for verdict in verdicts),
        "lost": sum(len(verdict.lost) for verdict in verdicts),
        "trained_twice": sum(len(verdict.trained_twice) for verdict in verdicts),
        "equal": sum(not (verdict.difference or verdict.not_finished) for verdict in verdicts),
        "held": sum(not verdict.problems for verdict in verdicts),
        "attempts_on_disk": sum(verdict.kill.on_disk for verdict in verdicts),
        "killed": dict(Counter(verdict.kill.victim for verdict in verdicts)),
        "phases": dict(Counter(verdict.kill.phase for verdict in verdicts)),
        "problems": [verdict.describe() for verdict in verdicts if verdict.problems],
        "seed": options.seed,
        "versions": installed_versions(),
    }


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


if __name__ == "__main__":
    main()
