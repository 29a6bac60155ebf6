"""Training steps per second: our layouts against each other, against one row per model call, and against TRL.

    vs_dense         ours / ours with each row on its own, at its best pass size: prompt 2,000, 8 replies of 300
    vs_trl           ours / TRL's own training loop on the same rows, at its best batch size (peers/trl_step.py)
    vs_per_turn      attempts of 10 turns of 120 on a prompt of 1,000: merged into one row / dense, a row per model call
    short_vs_dense   the worst of three short shapes, where sharing gains little or nothing
    memory_vs_dense  peak memory of one backward pass over the 8 replies / the same dense, in processes of their own

"Ours" is what a run does by default. A step is everything from rows with rewards to changed weights: advantages,
passes, loss, backward, clipping, AdamW. All sides have the same weights, rows, threads and precision (fp32), and before
anything is timed they must find the same loss and gradient. Measurements alternate; ratios are of medians.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peers.trl_process import TrlProcess, peer_versions
from safetensors.torch import load_file
from torch import Tensor
from training.memory import peak_memory
from training.rows import Shape, Turns, group_rows, peer_rows, turn_rows
from training.side import ALONE, GROUPED, OPTIMIZER, Side, relative_difference, save_model
from transformers.utils import logging as transformers_logging

from turnwright.core.group import TrainableGroup
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.step import StepSettings
from turnwright.models.load import Policy, load_policy
from turnwright.rundir.manifest import installed_versions

TARGETS = {"vs_dense": 3.0, "vs_trl": 4.0, "vs_per_turn": 5.0, "short_vs_dense": 0.95, "memory_vs_dense": 1.0}
AT_MOST = {"memory_vs_dense"}
TOLERANCE = 1e-4
"""Largest relative difference of loss and gradient between two sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """What is trained on."""

    group: Shape
    turns: Turns
    short: Mapping[str, Shape]
    batch_sizes: tuple[int, ...]
    """Tried with TRL."""


FULL = Shapes(
    group=Shape(prompt=2000, reply=300),
    turns=Turns(prompt=1000, turns=10, said=40, reply=80, attempts=2),
    short={
        "tiny": Shape(prompt=16, reply=48, groups=8),
        "short": Shape(prompt=64, reply=32, groups=8),
        "returns_desk": Shape(prompt=309, reply=100, groups=2),
    },
    batch_sizes=(1, 2, 4, 8),
)
QUICK = Shapes(
    group=Shape(prompt=400, reply=60),
    turns=Turns(prompt=200, turns=4, said=20, reply=40, attempts=2),
    short={"short": Shape(prompt=64, reply=32, groups=2)},
    batch_sizes=(4,),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One side of a comparison."""

    name: str
    step: Callable[[], float]
    """Takes a training step and returns its seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Medians of one comparison."""

    title: str
    num_sampled: int
    seconds: Mapping[str, float]
    """By contender."""
    bound: float
    """Tokens that the other computes / tokens that ours has to."""

    def ratio(self, other: str) -> float:
        """Return the speed of ours / that of the other."""
        return self.seconds[other] / self.seconds["ours"]


def main() -> None:
    """Measure and print."""
    options = _options()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(options.threads)
    shapes, rounds = (QUICK, 1) if options.quick else (FULL, options.rounds)
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        model = save_model(Path(folder) / "model")
        policy = load_policy(str(model), device="cpu")
        group = _measure_group(policy, shapes, Path(folder), rounds, options.threads)
        turns = _measure_turns(policy, shapes.turns, rounds)
        short = {name: _measure_short(name, policy, shape, rounds) for name, shape in shapes.short.items()}
        memory = {layout: peak_memory(model, layout, shapes.group) for layout in ("tree", "dense")}
    ratios = {
        "vs_dense": group.ratio("dense"),
        "vs_trl": group.ratio("trl"),
        "vs_per_turn": turns.ratio("per_turn"),
        "short_vs_dense": min(one.ratio("dense") for one in short.values()),
        "memory_vs_dense": memory["tree"] / memory["dense"],
    }
    _print_tables((group, turns, *short.values()), memory, ratios)
    bounds = {
        **TARGETS,
        "vs_dense_bound": round(group.bound, 3),
        "vs_dense_share_of_bound": round(ratios["vs_dense"] / group.bound, 3),
        "vs_per_turn_bound": round(turns.bound, 3),
        "vs_per_turn_share_of_bound": round(ratios["vs_per_turn"] / turns.bound, 3),
        **{f"{one.title}_{name}_s": round(value, 4) for one in (group, turns, *short.values())
           for name, value in one.seconds.items()},
        **{f"{name}_memory_mb": round(value) for name, value in memory.items()},
    }  # fmt: skip
    result = {
        "bench": "train",
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "bounds": bounds,
        "versions": installed_versions() | {f"peer_{name}": value for name, value in peer_versions().items()},
    }
    print(json.dumps(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="small shapes, one round: to see that it works")
    return parser.parse_args()


def _measure_group(policy: Policy, shapes: Shapes, folder: Path, rounds: int, threads: int) -> Measured:
    shape = shapes.group
    groups = group_rows(shape, Passes(policy, PassSettings(layout="dense")), seed=1)
    ours = Side(policy, groups, GROUPED)
    loss, gradient = ours.gradient()
    dense_loss, dense = Side(policy, groups, GROUPED, layout="dense").gradient()
    _require_same("dense", loss, dense_loss, relative_difference(gradient, dense))
    dense_side = _fastest_dense(policy, groups, shape.longest, settings=GROUPED, most=shape.replies)
    rows = peer_rows(groups, GROUPED.batch)
    with _fastest_peer(rows, folder, threads, shapes.batch_sizes, (loss, gradient)) as peer:
        contenders = (
            Contender(name="ours", step=ours.step),
            Contender(name="dense", step=dense_side.step),
            Contender(name="trl", step=lambda: peer.ask({})["seconds"]),
        )
        return _alternate("group", contenders, rounds, num_sampled=shape.num_sampled, bound=shape.bound)


def _measure_turns(policy: Policy, shape: Turns, rounds: int) -> Measured:
    merged, per_turn = turn_rows(shape, Passes(policy, PassSettings(layout="dense")), seed=2)
    ours = Side(policy, merged, ALONE)
    loss, gradient = ours.gradient()
    other_loss, other = Side(policy, per_turn, ALONE, layout="dense").gradient()
    _require_same("one row per call", loss, other_loss, relative_difference(gradient, other))
    calls = _fastest_dense(policy, per_turn, shape.longest, settings=ALONE, most=4)
    contenders = (Contender(name="ours", step=ours.step), Contender(name="per_turn", step=calls.step))
    return _alternate("turns", contenders, rounds, num_sampled=shape.num_sampled, bound=shape.bound)


def _measure_short(name: str, policy: Policy, shape: Shape, rounds: int) -> Measured:
    groups = group_rows(shape, Passes(policy, PassSettings(layout="dense")), seed=3)
    ours = Side(policy, groups, GROUPED)
    dense = _fastest_dense(policy, groups, shape.longest, settings=GROUPED, most=shape.groups * shape.replies)
    contenders = (Contender(name="ours", step=ours.step), Contender(name="dense", step=dense.step))
    return _alternate(name, contenders, 3 * rounds, num_sampled=shape.num_sampled, bound=shape.bound)


def _fastest_dense(
    policy: Policy, groups: Sequence[TrainableGroup], longest: int, *, settings: StepSettings, most: int
) -> Side:
    """Return the dense layout at the pass size - 1, 2, 4, ... rows - that takes a step soonest."""
    sizes = [size for size in (1, 2, 4, 8, 16, 32, 64) if size <= most]
    sides = {size: Side(policy, groups, settings, layout="dense", budget=size * longest) for size in sizes}
    sides[sizes[0]].step()
    seconds = {size: side.step() for size, side in sides.items()}
    best = min(seconds, key=seconds.__getitem__)
    _say(f"dense, rows per pass: {_listed(seconds)}, taken: {best}")
    return sides[best]


def _fastest_peer(
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    threads: int,
    sizes: Sequence[int],
    ours: tuple[float, dict[str, Tensor]],
) -> TrlProcess:
    """Return the peer at the batch size that takes a step soonest, found to have our loss and gradient."""
    seconds: dict[int, float] = {}
    for size in sizes:
        with _start_peer(rows, folder, size, threads) as peer:
            found = peer.ask({"gradient": str(folder / "gradient.safetensors")})
            difference = relative_difference(ours[1], load_file(folder / "gradient.safetensors"))
            _require_same(f"trl, batch size {size}", ours[0], found["loss"], difference)
            seconds[size] = peer.ask({})["seconds"]
    best = min(seconds, key=seconds.__getitem__)
    _say(f"trl, batch size: {_listed(seconds)}, taken: {best}")
    peer = _start_peer(rows, folder, best, threads)
    peer.ask({})
    return peer


def _start_peer(rows: Sequence[Mapping[str, Any]], folder: Path, batch_size: int, threads: int) -> TrlProcess:
    job = {
        "model": str(folder / "model"),
        "rows": rows,
        "batch_size": batch_size,
        "threads": threads,
        "output": str(folder / "trl"),
        "optimizer": {
            "learning_rate": OPTIMIZER.learning_rate,
            "adam_beta1": OPTIMIZER.beta1,
            "adam_beta2": OPTIMIZER.beta2,
            "adam_epsilon": OPTIMIZER.eps,
            "weight_decay": OPTIMIZER.weight_decay,
            "max_grad_norm": OPTIMIZER.grad_clip_norm,
            "epsilon": GROUPED.loss.clip_high_threshold - 1,
        },
    }
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return TrlProcess("trl_step.py", [str(path)], log=folder / "trl.log")


def _require_same(name: str, ours: float, theirs: float, difference: float) -> None:
    loss = abs(ours - theirs) / abs(ours)
    _say(f"ours and {name}: loss {ours:.6f} and {theirs:.6f} ({loss:.1e} apart), gradients {difference:.1e} apart")
    if not max(loss, difference) <= TOLERANCE:
        raise SystemExit(f"ours and {name} do not compute the same: expected at most {TOLERANCE:g}")


def _alternate(title: str, contenders: Sequence[Contender], rounds: int, *, num_sampled: int, bound: float) -> Measured:
    """Let all take a step in turns; what they did before counts as their warm-up."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        contender.step()
    for number in range(1, rounds + 1):
        for contender in contenders:
            seconds[contender.name].append(contender.step())
        last = ", ".join(f"{name} {times[-1]:.2f} s" for name, times in seconds.items())
        _say(f"{title}, round {number}: {last}")
    medians = {name: median(times) for name, times in seconds.items()}
    return Measured(title=title, num_sampled=num_sampled, seconds=medians, bound=bound)


def _print_tables(comparisons: Sequence[Measured], memory: Mapping[str, float], ratios: Mapping[str, float]) -> None:
    print(f"\n{'':14}{'':10}{'seconds':>10}{'tokens/s':>10}{'ratio':>8}{'bound':>8}{'share':>8}")
    for one in comparisons:
        for name, seconds in one.seconds.items():
            line = f"{one.title:14}{name:10}{seconds:10.3f}{one.num_sampled / seconds:10.0f}"
            ratio = one.ratio(name)
            shares = "" if name in ("ours", "trl") else f"{one.bound:8.2f}{ratio / one.bound:8.2f}"
            print(line + ("" if name == "ours" else f"{ratio:8.2f}") + shares)
    print(f"peak memory of one pass: {', '.join(f'{name} {value:.0f} MiB' for name, value in memory.items())}\n")
    for name, value in ratios.items():
        print(f"{name:20}{value:8.2f}   target {'<=' if name in AT_MOST else '>='} {TARGETS[name]:g}")


def _listed(seconds: Mapping[int, float]) -> str:
    return ", ".join(f"{size}: {value:.2f} s" for size, value in seconds.items())


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
