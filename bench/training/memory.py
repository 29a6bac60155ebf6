"""Peak memory of one backward pass, in a process of its own: what the resident set grows by while it runs.

The kernel's high-water mark, reset just before the step, less the resident set at that moment. ``ru_maxrss`` would not
do: a child inherits its parent's. A step on short rows comes first, so that buffers which every step needs, and the
first tree's comparison with dense passes, count for neither side.
"""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from training.rows import Shape, group_rows
from training.side import GROUPED, Side

from turnwright.learner.passes import Passes, PassSettings
from turnwright.models.load import load_policy


def peak_memory(model: Path, layout: str, shape: Shape) -> float:
    """Return MiB of a step in which all rows of ``shape`` are in one pass."""
    done = subprocess.run(
        [sys.executable, "-m", "training.memory", str(model), layout, json.dumps(asdict(shape))],
        cwd=Path(__file__).parents[1],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(done.stdout)


def main() -> None:
    """Print the MiB."""
    _, model, layout, given = sys.argv
    policy = load_policy(model, device="cpu")
    dense = Passes(policy, PassSettings(layout="dense"))
    small = group_rows(Shape(prompt=64, reply=32), dense, seed=1)
    groups = group_rows(Shape(**json.loads(given)), dense, seed=1)
    whole = sum(len(row.token_ids) for group in groups for attempt in group.attempts for row in attempt.rows)
    side = Side(policy, small, GROUPED, layout=layout, budget=whole)  # pyright: ignore[reportArgumentType]
    side.step()
    side.groups = groups
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _mebibytes("VmRSS")
    side.step()
    print(_mebibytes("VmHWM") - before)


def _mebibytes(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
