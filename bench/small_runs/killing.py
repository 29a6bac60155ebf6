"""Kills one process of a running run, and brings the run to its end afterwards."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from small_runs.evidence import Ended, on_disk
from small_runs.processes import role, tree
from small_runs.recipe import last_line, log_of, start

from turnwright import TurnwrightError
from turnwright.core.seeding import generator
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.reader import RunReader

PATIENCE_SECONDS = 180.0
"""How long one process of a small run may take; a longer one hangs."""
ORPHAN_SECONDS = 20.0
"""How long processes may outlive their controller."""
MOST_RESUMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """What was done to a run, and what it left."""

    victim: str
    """Role of the process."""
    phase: str
    """What the run said it was doing."""
    step: int
    seconds: float
    """After the run directory was there."""
    on_disk: int
    """Attempts that had ended and were on disk by then."""
    ended: frozenset[Ended]
    """These, and those that were there when the run had come to a halt: one whose agent is killed goes on."""
    problem: str
    """What should not have happened; empty when nothing did."""


def kill_one(settings: Sequence[str], run: Path, *, moment: float, seed: int) -> Kill:
    """Start a run and kill one of its processes ``moment`` seconds after its directory is there; it may go on.

    A run that has ended by then is started anew, for an earlier moment.
    """
    random = generator("chaos victim", seed)
    while True:
        child = start(["train", *settings, f"run.output_dir={run.parent}", f"run.name={run.name}"], log_of(run))
        await_directory(child, run)
        began = time.monotonic()
        time.sleep(moment)
        everybody = {pid: role(pid) for pid in tree(child.pid)}
        roles = sorted({name for name in everybody.values() if name})
        if roles:
            victim = random.choice(roles)
            pid = random.choice([pid for pid, name in everybody.items() if name == victim])
            status = RunReader(run).status()
            if _kill(pid):
                break
        child.wait()
        shutil.rmtree(run)
        moment *= random.random()
    seconds = time.monotonic() - began
    ended = on_disk(run)
    problem = wait(child, run)[1] or _orphans(everybody)
    return Kill(
        victim=victim,
        phase=status.phase if status else "starting",
        step=status.step if status else 0,
        seconds=round(seconds, 2),
        on_disk=len(ended),
        ended=ended | on_disk(run),
        problem=problem,
    )


def finish(run: Path, *, steps: int) -> str:
    """Resume a run until it has taken all its steps; return why it has not, or nothing."""
    problem = ""
    for _ in range(MOST_RESUMES):
        if _is_complete(run, steps):
            return ""
        code, problem = wait(start(["train", "--resume", str(run)], log_of(run)), run)
        if code == 0:
            return "" if _is_complete(run, steps) else "not finished: it says that it is done, and is not"
        problem = problem or f"not finished: exit code {code}: {last_line(log_of(run))}"
    return problem


def wait(child: "subprocess.Popen[bytes]", run: Path) -> tuple[int, str]:
    """Wait for a process; return its exit code and, for one that hangs and is ended for it, what to say about that."""
    try:
        return child.wait(PATIENCE_SECONDS), ""
    except subprocess.TimeoutExpired:
        for pid in tree(child.pid):
            _kill(pid)
        return child.wait(), f"not finished: no end within {PATIENCE_SECONDS:.0f} s: {last_line(log_of(run))}"


def await_directory(child: "subprocess.Popen[bytes]", run: Path) -> None:
    """Wait until a run directory is there."""
    while not RunLayout(run).status.exists():
        if child.poll() is not None:
            raise TurnwrightError(f"{run} ended before it began: {last_line(log_of(run))}")
        time.sleep(0.01)


def _is_complete(run: Path, steps: int) -> bool:
    reader = RunReader(run)
    return reader.layout.checkpoint(steps).exists() and any(line["step"] == steps for line in reader.metrics())


def _orphans(everybody: dict[int, str]) -> str:
    """Return which processes of a run that has ended live on; they are ended."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    # An id is given out again: only one that still does the same is still the same.
    while left := [pid for pid, name in everybody.items() if name and role(pid) == name and tree(pid)]:
        if time.monotonic() > deadline:
            names = ", ".join(sorted(everybody[pid] for pid in left if _kill(pid)))
            return f"orphans after {ORPHAN_SECONDS:.0f} s: {names}"
        time.sleep(0.1)
    return ""


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
