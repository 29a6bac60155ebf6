"""Does a long run stay as small as it was? A tiny run of a thousand steps, watched from outside.

    turnwright train, a child --every 10 s--> memory, threads, files and sockets of each of its processes --> verdict

A process has a leak when its memory in the last fifth of the run is 5 % above that after step 100, or when it has more
threads, files or sockets there than it had before: medians of samples, because episodes come and go. Processes that
live for one episode are only counted.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from small_runs.processes import Usage, tree, usage
from small_runs.recipe import SMALL, last_line, log_of, start

from turnwright.core.errors import RunDirectoryError
from turnwright.rundir.manifest import installed_versions
from turnwright.rundir.reader import RunReader

GROWTH = 0.05
"""Of memory, after the step from which it counts."""
SETTLED_STEP = 100
MODES: Mapping[str, tuple[str, ...]] = {
    "sync": (),
    "ahead": ("async_config.max_steps_off_policy=3",),
    "process": ("async_config.max_steps_off_policy=3", "inference.placement=process"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """All processes of the run at one moment."""

    seconds: float
    """Since the start."""
    step: int
    """Steps that have ended."""
    processes: tuple[Usage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One process: what it held after it had settled, and at the end."""

    role: str
    memory_mb: tuple[float, float]
    growth: float
    """Of memory: 0.01 = 1 %."""
    threads: tuple[float, float]
    files: tuple[float, float]
    sockets: tuple[float, float]

    @property
    def leaks(self) -> tuple[str, ...]:
        """What grew."""
        counts = {"threads": self.threads, "files": self.files, "sockets": self.sockets}
        grown = [name for name, (before, after) in counts.items() if after > before]
        return (*(("memory",) if self.growth >= GROWTH else ()), *grown)


def main() -> None:
    """Run, watch, judge."""
    options = _options()
    run = options.out / options.mode
    shutil.rmtree(run, ignore_errors=True)
    started = time.monotonic()
    samples, code = _watch(options, run)
    minutes = (time.monotonic() - started) / 60
    # What is seen behind the last step belongs to the end of the process.
    working = [sample for sample in samples if sample.step < options.steps]
    verdicts = judge(working, settled=min(SETTLED_STEP, options.steps // 2))
    _print_table(verdicts)
    done = len(RunReader(run).metrics())
    leaks = {f"{verdict.role} {name}" for verdict in verdicts for name in verdict.leaks}
    result = {
        "bench": "soak",
        "mode": options.mode,
        "steps": done,
        "ratios": {"memory_growth": round(max((verdict.growth for verdict in verdicts), default=0.0), 4)},
        "bounds": {"memory_growth": GROWTH, "minutes": round(minutes, 1), "samples": len(samples)},
        "processes": [asdict(verdict) for verdict in verdicts],
        "leaks": sorted(leaks),
        "versions": installed_versions(),
    }
    (options.out / f"{options.mode}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    if code:
        print(f"the run ended with exit code {code}: {last_line(log_of(run))}", file=sys.stderr)
    sys.exit(1 if code or leaks or not verdicts or done < options.steps else 0)


def judge(samples: Sequence[Sample], *, settled: int) -> tuple[Verdict, ...]:
    """Compare the fifth of the samples that follows step ``settled`` with the last fifth, process by process.

    Only processes that were there in both.
    """
    counted = [sample for sample in samples if sample.step >= settled]
    if not counted:
        return ()
    width = max(1, len(counted) // 5)
    before, after = counted[:width], counted[-width:]
    verdicts: list[Verdict] = []
    for pid in sorted({process.pid for sample in before for process in sample.processes}):
        then, now = _of(before, pid), _of(after, pid)
        if not now:
            continue
        memory = (_median(then, "memory_mb"), _median(now, "memory_mb"))
        verdicts.append(
            Verdict(
                role=then[0].role,
                memory_mb=memory,
                growth=memory[1] / memory[0] - 1,
                threads=(_median(then, "threads"), _median(now, "threads")),
                files=(_median(then, "files"), _median(now, "files")),
                sockets=(_median(then, "sockets"), _median(now, "sockets")),
            )
        )
    return tuple(verdicts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--mode", choices=MODES, default="ahead")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between samples")
    parser.add_argument("--out", type=Path, default=Path("runs/soak"))
    return parser.parse_args()


def _watch(options: argparse.Namespace, run: Path) -> tuple[list[Sample], int]:
    """Train to the end; return what was seen and the exit code."""
    own = (f"run.output_dir={run.parent}", f"run.name={run.name}", f"schedule.max_steps={options.steps}")
    keeping = ("schedule.save_every=50", "schedule.keep_last=2", "environment.options.latency_scale=0.02")
    child = start(["train", *SMALL, *keeping, *MODES[options.mode], *own], log_of(run))
    samples: list[Sample] = []
    log = (options.out / f"{options.mode}.samples.jsonl").open("w", encoding="utf-8")
    started = time.monotonic()
    try:
        with log:
            while child.poll() is None:
                time.sleep(options.every)
                found = (usage(pid) for pid in tree(child.pid))
                sample = Sample(
                    seconds=round(time.monotonic() - started, 1),
                    step=_num_steps(run),
                    processes=tuple(process for process in found if process is not None),
                )
                samples.append(sample)
                log.write(json.dumps(asdict(sample)) + "\n")
                log.flush()
    finally:
        child.terminate()
        child.wait()
    return samples, child.returncode


def _num_steps(run: Path) -> int:
    try:
        return len(RunReader(run).metrics())
    except RunDirectoryError:
        return 0


def _of(samples: Sequence[Sample], pid: int) -> list[Usage]:
    return [process for sample in samples for process in sample.processes if process.pid == pid]


def _median(processes: Sequence[Usage], name: str) -> float:
    return median(getattr(process, name) for process in processes)


def _print_table(verdicts: Sequence[Verdict]) -> None:
    print(f"{'process':18}{'memory, MB':>20}{'growth':>9}{'threads':>12}{'files':>12}{'sockets':>12}")
    for verdict in verdicts:
        memory = f"{verdict.memory_mb[0]:.1f} to {verdict.memory_mb[1]:.1f}"
        counts = [f"{before:g} to {after:g}" for before, after in (verdict.threads, verdict.files, verdict.sockets)]
        found = f"  leaks: {', '.join(verdict.leaks)}" if verdict.leaks else ""
        print(
            f"{verdict.role:18}{memory:>20}{verdict.growth:>9.1%}{counts[0]:>12}{counts[1]:>12}{counts[2]:>12}{found}"
        )


if __name__ == "__main__":
    main()
