"""Time to target: how long it takes from the same warm start to a given success on held-out tasks, ours against TRL.

    vs_trl   TRL's seconds / ours; a lower bound where TRL has not arrived after 6 times our seconds and is stopped

Both train the demo's warm-started policy on the returns desk by its recipe, 16 tasks x 8 attempts per step and two
updates: ours by ``turnwright train``, the peer by TRL's GRPOTrainer with its environment interface
(peers/trl_returns_desk.py), with the same tools, reward, prompt ids and settings, at the batch size at which it is
fastest. Checkpoints of both are judged by our evaluator on all test tasks by the scorer that is not the reward. The
time is that of the steps up to the first checkpoint at the target; starting up, saving and judging are in neither.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peers.trl_process import TrlProcess, peer_versions

from turnwright import TurnwrightError, api
from turnwright.api.process import child_environment, command_line
from turnwright.config import RunConfig, resolve
from turnwright.environments.mixture import load_choice
from turnwright.rendering.renderer import Renderer
from turnwright.rundir.layout import step_name
from turnwright.rundir.manifest import installed_versions
from turnwright.rundir.reader import RunReader

RECIPE = Path(__file__).parents[1] / "examples" / "returns_desk" / "run.toml"
TARGET = {"vs_trl": 5.0}
STOPPED_AT = 6.0
"""Times our seconds."""
JUDGED = ("evaluation.attempts=2", "evaluation.greedy=false")
QUICK = ("algorithm.global_batch_size=2", "optimizer.warmup_steps=1", "evaluation.tasks=24")
EPISODES_PER_PASS = (16, 32, 64)
"""Batch sizes that are tried with TRL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """What both sides are given."""

    folder: Path
    """Where everything is written."""
    base: Path
    """The policy that both start from."""
    given: tuple[str, ...]
    """Settings over the recipe."""
    config: RunConfig
    """The recipe with them."""
    target: float
    """Success on the test tasks, 0..1."""
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A checkpoint on the way."""

    step: int
    seconds: float
    """Training time up to here."""
    success: float
    """On the test tasks, sampled, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What one side did."""

    points: tuple[Point, ...]
    target: float
    seconds_per_step: float

    @property
    def arrival(self) -> Point | None:
        """The first checkpoint at the target."""
        return next((point for point in self.points if point.success >= self.target), None)


def main() -> None:
    """Train both, judge both, print."""
    options = _options()
    # Ours, the peer and the evaluator are processes that read it.
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    folder = options.out / f"seed-{options.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    given = (
        f"run.seed={options.seed}",
        f"schedule.max_steps={options.steps}",
        "schedule.val_every=0",
        f"schedule.save_every={options.save_every}",
        *(QUICK if options.quick else ()),
    )
    race = Race(
        folder=folder,
        base=_base(options.base or options.out / "base", ("warmstart.steps=20", *QUICK) if options.quick else ()),
        given=given,
        config=resolve(RECIPE, given).config,
        target=options.target,
        threads=options.threads,
    )
    _say(f"base: {_judge(race, race.base, 'base'):.1%}, target {race.target:.0%}")
    ours = _train_ours(race)
    arrived = ours.arrival
    if arrived is None:
        raise SystemExit(f"ours did not reach {race.target:.0%} in {options.steps} steps: nothing to compare")
    limit = STOPPED_AT * arrived.seconds
    theirs = _train_theirs(race, size=_fastest_size(race), limit=limit)
    # Stopped, it needs longer than it had; the step that it was stopped in may have ended after the limit.
    reached = theirs.arrival
    seconds = reached.seconds if reached else theirs.points[-1].seconds
    ratio = seconds / arrived.seconds
    _print_table({"ours": ours, "trl": theirs}, ratio, lower_bound=reached is None)
    result = {
        "bench": "end_to_end",
        "ratios": {"vs_trl": round(ratio, 3)},
        "bounds": {
            **TARGET,
            "vs_trl_is_lower_bound": reached is None,
            "target_success": options.target,
            "ours_s": round(arrived.seconds, 1),
            "ours_steps": arrived.step,
            "ours_step_s": round(ours.seconds_per_step, 3),
            "trl_s": round(seconds, 1),
            "trl_steps": (reached or theirs.points[-1]).step,
            "trl_step_s": round(theirs.seconds_per_step, 3),
            "trl_success": round(max(point.success for point in theirs.points), 3),
            "seed": options.seed,
        },
        "versions": installed_versions() | {f"peer_{name}": value for name, value in peer_versions().items()},
    }
    (folder / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", type=float, default=0.7, help="success on the test tasks, 0..1")
    parser.add_argument("--steps", type=int, default=40, help="steps over which the learning rate falls, on both sides")
    parser.add_argument("--save-every", type=int, default=5, help="steps between our checkpoints")
    parser.add_argument("--base", type=Path, help="warm-started policy; made when not given")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("runs/end_to_end"))
    parser.add_argument("--quick", action="store_true", help="a few steps to no target: to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.target, options.steps, options.save_every = 0.0, 2, 1
        options.out /= "quick"
    return options


def _base(folder: Path, given: Sequence[str]) -> Path:
    """Return the policy that both start from, made as the demo's where it is missing."""
    if not folder.exists():
        unfinished = folder.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        api.warmstart(RECIPE, unfinished, overrides=given)
        unfinished.rename(folder)
    return folder


def _judge(race: Race, policy: Path, name: str) -> float:
    """Return the success of a policy on the test tasks."""
    out = race.folder / "evaluations" / name
    found = api.evaluate(policy, RECIPE, overrides=(*race.given, *JUDGED), out=out).success
    if found is None:
        raise TurnwrightError(f"no attempt of {policy} could be scored: see {out}")
    return found.value


def _train_ours(race: Race) -> Curve:
    own = (f"model.path={race.base}", f"run.output_dir={race.folder}", "run.name=ours")
    log = race.folder / "ours.log"
    with log.open("wb") as output:
        done = subprocess.run(
            command_line(["train", str(RECIPE), *race.given, *own]),
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"our training ended with exit code {done.returncode}: see {log}")
    seconds: dict[int, float] = {}
    for number, step in enumerate(RunReader(race.folder / "ours").metrics(), start=1):
        saving = step.get("timing_s/save_checkpoint", 0.0)
        seconds[number] = seconds.get(number - 1, 0.0) + step["timing_s/step"] - saving
    return _judged("ours", race, race.folder / "ours" / "checkpoints", seconds)


def _fastest_size(race: Race) -> int:
    """Return the batch size at which TRL takes a step soonest; the first step of each is its warm-up."""
    seconds: dict[int, float] = {}
    algorithm = race.config.algorithm
    most = algorithm.global_batch_size * algorithm.group_size // algorithm.updates_per_step
    prompt = _our_prompt(race)
    for size in sorted({min(size, most) for size in EPISODES_PER_PASS}):
        with _start(race, f"trl-{size}", size=size, steps=2, limit=math.inf) as peer:
            theirs = peer.read()["prompt_token_ids"]
            if list(prompt) != theirs:
                raise SystemExit(
                    f"trl's prompt is another, of {len(theirs)} ids, ours has {len(prompt)}: no comparison"
                )
            seconds[size] = -peer.read()["seconds"] + peer.read()["seconds"]
    best = min(seconds, key=seconds.__getitem__)
    listed = ", ".join(f"{size}: {value:.1f} s" for size, value in seconds.items())
    _say(f"trl, a step by episodes per pass: {listed}, taken: {best}; prompts of {len(prompt)} ids on both sides")
    return best


def _train_theirs(race: Race, *, size: int, limit: float) -> Curve:
    seconds: dict[int, float] = {}
    with _start(race, "trl", size=size, steps=race.config.schedule.max_steps, limit=limit) as peer:
        peer.read()
        while "finished" not in (said := peer.read()):
            seconds[said["step"]] = said["seconds"]
            _say(f"trl, step {said['step']}: {said['seconds']:.1f} s of {limit:.0f}, reward {said['reward']:.3f}")
    return _judged("trl", race, race.folder / "trl", seconds)


def _judged(name: str, race: Race, checkpoints: Path, seconds: Mapping[int, float]) -> Curve:
    """Judge the checkpoints in order, up to the arrival."""
    points: list[Point] = []
    for step, passed in seconds.items():
        policy = checkpoints / step_name(step)
        if policy.exists() and not (points and points[-1].success >= race.target):
            success = _judge(race, policy, f"{name}-{policy.name}")
            points.append(Point(step=step, seconds=passed, success=success))
            _say(f"{name}, step {step}: {passed:.1f} s, {success:.1%}")
    per_step = max(seconds.values()) / len(seconds)
    return Curve(points=tuple(points), target=race.target, seconds_per_step=per_step)


def _job(race: Race, name: str, *, size: int) -> dict[str, object]:
    """Return the recipe as peers/trl_returns_desk.py reads it."""
    config = race.config
    algorithm, sampling, optimizer = config.algorithm, config.sampling, config.optimizer
    assert sampling.max_turns is not None
    assert sampling.max_sequence_length is not None
    return {
        "model": str(race.base),
        "output": str(race.folder / name),
        "threads": race.threads,
        "seed": config.run.seed,
        "save_every": max(1, config.schedule.save_every // 2),
        "episodes": algorithm.global_batch_size * algorithm.group_size,
        "episodes_per_pass": size,
        "group_size": algorithm.group_size,
        "updates_per_step": algorithm.updates_per_step,
        "temperature": sampling.temperature,
        "max_turns": sampling.max_turns,
        "max_reply_tokens": sampling.sampling_max_tokens,
        "max_completion_tokens": sampling.max_sequence_length - len(_our_prompt(race)),
        "warmup_steps": optimizer.warmup_steps,
        "schedule_steps": config.schedule.max_steps,
        "optimizer": {
            "learning_rate": optimizer.learning_rate,
            "lr_scheduler_type": optimizer.lr_schedule,
            "adam_beta1": optimizer.adam_beta1,
            "adam_beta2": optimizer.adam_beta2,
            "adam_epsilon": optimizer.adam_eps,
            "weight_decay": optimizer.adam_weight_decay,
            "max_grad_norm": optimizer.adam_grad_clip_norm,
        },
    }


def _start(race: Race, name: str, *, size: int, steps: int, limit: float) -> TrlProcess:
    path = race.folder / f"{name}.json"
    job = _job(race, name, size=size) | {"steps": steps, "limit_seconds": limit}
    path.write_text(json.dumps(job), encoding="utf-8")
    return TrlProcess("trl_returns_desk.py", [str(path)], log=race.folder / f"{name}.log")


def _our_prompt(race: Race) -> tuple[int, ...]:
    """Return the prompt of the first training task as our agents send it."""
    environment = load_choice(race.config.environment).for_episode()
    environment.open(next(iter(environment.tasks("train"))), 0)
    return Renderer.load(race.base).prompt_ids(environment.opening(), environment.tool_specs())


def _print_table(curves: Mapping[str, Curve], ratio: float, *, lower_bound: bool) -> None:
    print(f"\n{'':8}{'step':>8}{'seconds':>10}{'success':>10}{'s/step':>10}")
    for name, curve in curves.items():
        for point in curve.points:
            here = "  target" if point is curve.arrival else ""
            print(
                f"{name:8}{point.step:8}{point.seconds:10.1f}{point.success:10.1%}{curve.seconds_per_step:10.2f}{here}"
            )
    print(f"\nvs_trl{' (lower bound)' if lower_bound else ''}  {ratio:.2f}   target >= {TARGET['vs_trl']:g}")


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


if __name__ == "__main__":
    main()
