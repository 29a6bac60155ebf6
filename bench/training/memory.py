"""Peak memory of one backward pass, in a process of its own: what the resident set grows by while it runs.

The high-water mark of the process (``ru_maxrss``) after the step less the resident set just before it. A step on short
rows comes first, so that buffers which every step needs count for neither side.
"""

import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from training.rows import Shape, group_rows
from training.side import GROUPED, Side

from turnwright.learner.passes import Passes, PassSettings
from turnwright.models.load import load_policy

PAGES_PER_MB = 2**20 / os.sysconf("SC_PAGE_SIZE")


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
    before = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) / PAGES_PER_MB
    side.step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before)


if __name__ == "__main__":
    main()
