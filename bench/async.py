"""Steps per minute behind slow tools: rollouts that run ahead of training by up to 3 updates, over our own synchronous.

    vs_sync   steps per minute with async_config.max_steps_off_policy = 3 / with 0

Both train the demo's warm-started policy on the returns desk, 8 groups of 8, while every tool call takes a time of its
own: median 0.2 s, 99th percentile 5 s, the same draw on both sides (slow_tools/latency.py). The sides are child
processes, one after the other, so that neither takes the other's cores. The asynchronous one corrects for its stale
tokens, as one would, and pays for the pass that this takes. The time is that of all steps, the first one
and its empty pipeline included, without starting up and saving.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from slow_tools.training import CORRECTED, SLOW_TOOLS, Account, account, cores
from studies.training import base_policy, train

from turnwright.rundir.manifest import installed_versions

TARGET = {"vs_sync": 1.8}


def main() -> None:
    """Train both, print."""
    options = _options()
    base = options.base or base_policy(options.out / "base")
    sides: dict[str, Account] = {}
    for name, bound in (("sync", 0), ("async", options.ahead)):
        run = options.out / "runs" / name
        settings = (
            f"model.path={base}",
            f"run.seed={options.seed}",
            f"environment.options.latency_scale={options.latency_scale}",
            f"schedule.max_steps={options.steps}",
            f"optimizer.warmup_steps={options.steps // 8}",
            f"async_config.max_steps_off_policy={bound}",
            *(CORRECTED if bound else ()),
        )
        train(run, (*SLOW_TOOLS, *settings), threads=options.threads)
        sides[name] = account(run)
        print(f"{name}: {sides[name].steps_per_minute:.2f} steps per minute", flush=True)
    bounds = best_possible(sides["sync"], sides["async"])
    ratio = sides["async"].steps_per_minute / sides["sync"].steps_per_minute
    _print_table(sides, ratio, bounds)
    result = {
        "bench": "async",
        "ratios": {"vs_sync": round(ratio, 3)},
        "bounds": {
            **TARGET,
            **{name: round(value, 3) for name, value in bounds.items()},
            "max_steps_off_policy": options.ahead,
            "steps": options.steps,
            "seed": options.seed,
            **{f"{name}_{key}": _rounded(value) for name, side in sides.items() for key, value in asdict(side).items()},
        },
        "versions": installed_versions(),
    }
    (options.out / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def best_possible(sync: Account, ahead: Account) -> Mapping[str, float]:
    """Return the ratios of an asynchronous run that never waits for a tool and computes what this one did.

    ``shared``: engine and learner overlap as they did. ``apart``: they overlap wholly, on their own machines, and the
    busier of them sets the pace. What the synchronous run computed is no bound: while it waits for its last attempts
    its engine works on few rows at once, which costs more per token.
    """
    waits = ahead.states["tools"] + ahead.states["waiting"]
    busiest = max(ahead.busy_generation, ahead.busy_training)
    return {"best_shared": sync.seconds / (ahead.seconds - waits), "best_apart": sync.seconds / busiest}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--ahead", type=int, default=3, help="max_steps_off_policy of the asynchronous side")
    parser.add_argument("--latency-scale", type=float, default=1.0)
    parser.add_argument("--base", type=Path, help="warm-started policy; made when not given")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--out", type=Path, default=Path("runs/async"))
    return parser.parse_args()


def _print_table(sides: Mapping[str, Account], ratio: float, bounds: Mapping[str, float]) -> None:
    print(f"\nseconds per step {'':15}" + "".join(f"{name:>10}" for name in sides))
    rows = {"all": {name: side.seconds for name, side in sides.items()}}
    rows |= {state: {name: side.states[state] for name, side in sides.items()} for state in sides["sync"].states}
    rows |= {"engine busy": {name: side.busy_generation for name, side in sides.items()}}
    rows |= {"learner busy": {name: side.busy_training for name, side in sides.items()}}
    for label, values in rows.items():
        cells = [f"{values[name] / side.steps:10.2f}" for name, side in sides.items()]
        print(f"{label:32}{''.join(cells)}")
    for label, cells in (
        (
            "staleness, mean and most",
            [f"{side.staleness_mean:.2f}, {side.staleness_max:.0f}" for side in sides.values()],
        ),
        ("finished tokens wasted", [f"{side.wasted:.2%}" for side in sides.values()]),
        ("reward at the end", [f"{side.reward:.3f}" for side in sides.values()]),
    ):
        print(f"{label:32}{''.join(f'{cell:>10}' for cell in cells)}")
    print(
        f"\nvs_sync  {ratio:.2f}   target >= {TARGET['vs_sync']:g}; without any wait {bounds['best_shared']:.2f} on "
        f"shared cores, {bounds['best_apart']:.2f} with engine and learner on machines of their own"
    )


def _rounded(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
