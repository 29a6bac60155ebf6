"""Small runs as child processes: some seconds each, with everything that a run has."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from turnwright.api.process import child_environment, command_line

SMALL = (
    "environment.name=small_runs.environment:SmallProcedures",
    "algorithm.group_size=4",
    "algorithm.global_batch_size=2",
    "sampling.sampling_max_tokens=40",
    "sampling.max_turns=3",
    "optimizer.learning_rate=1e-4",
    "inference.kv_memory_mb=32",
    "schedule.max_epochs=none",
    "schedule.val_every=0",
)
"""Over the defaults: the shipped policy, 2 groups of 4 attempts, two or three turns each."""


def start(arguments: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    """Start ``turnwright`` with these arguments on one thread per process; what it says is appended to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command_line(arguments),
            env={**child_environment(), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def log_of(run: Path) -> Path:
    """Return where the processes of a run say what they do: beside its directory."""
    return run.with_name(f"{run.name}.log")


def last_line(log: Path) -> str:
    """Return the last thing a child said."""
    return log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
