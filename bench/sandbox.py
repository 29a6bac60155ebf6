"""What it costs to run a program contained: time of ``python3 -c pass`` in each sandbox / bare, in the same run.

    bubblewrap_vs_bare, landlock_vs_bare    one run in a workspace that is open / ``subprocess.run`` of the same
    bubblewrap_fresh_vs_bare, ...           a new workspace, one file written, one run, all of it gone again / the same

Bare and contained alternate, so that both are slowed alike by whatever else the machine does; numbers are medians.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

from turnwright.rundir.manifest import installed_versions
from turnwright.sandbox import Sandbox, SandboxError, SandboxLimits, open_sandbox

TARGETS = {"bubblewrap_vs_bare": 3.0, "landlock_vs_bare": 3.0}
LIMITS = SandboxLimits(wall_seconds=120.0)
PROGRAM = ("python3", "-c", "pass")


def main() -> None:
    """Measure and print."""
    options = _options()
    times: dict[str, list[float]] = {}
    for sandbox in _sandboxes():
        with sandbox.workspace(LIMITS) as workspace:
            sides: dict[str, Callable[[], object]] = {
                "bare": lambda: subprocess.run([sys.executable, *PROGRAM[1:]], check=True),
                sandbox.name: lambda workspace=workspace: workspace.run(PROGRAM),
                f"{sandbox.name}_fresh": lambda sandbox=sandbox: _grade(sandbox),
            }
            for _ in range(options.rounds):
                for name, work in sides.items():
                    times.setdefault(name, []).append(_seconds(work))
    bare = median(times["bare"])
    ratios = {f"{name}_vs_bare": median(values) / bare for name, values in times.items() if name != "bare"}
    _print_table(times, ratios)
    result = {
        "bench": "sandbox",
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "bounds": {**TARGETS, **{f"{name}_ms": round(1000 * median(values), 1) for name, values in times.items()}},
        "versions": installed_versions(),
    }
    print(json.dumps(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="how often each is measured")
    return parser.parse_args()


def _sandboxes() -> list[Sandbox]:
    found: list[Sandbox] = []
    for name in ("bubblewrap", "landlock"):
        try:
            found.append(open_sandbox(name))
        except SandboxError as error:
            print(f"left out: {name}: {error}")
    return found


def _grade(sandbox: Sandbox) -> None:
    with sandbox.workspace(LIMITS) as workspace:
        workspace.write("main.py", b"pass")
        workspace.run(["python3", "main.py"])


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _print_table(times: dict[str, list[float]], ratios: dict[str, float]) -> None:
    print(f"{'':20}{'ms, median':>12}{'least':>10}{'most':>10}{'/ bare':>10}")
    for name, values in times.items():
        middle, least, most = (1000 * value for value in (median(values), min(values), max(values)))
        print(f"{name:20}{middle:12.1f}{least:10.1f}{most:10.1f}{ratios.get(f'{name}_vs_bare', 1.0):10.2f}")
    for name, target in TARGETS.items():
        if name in ratios:
            print(f"{name:20}{ratios[name]:10.2f}   target at most {target:g}")


if __name__ == "__main__":
    main()
