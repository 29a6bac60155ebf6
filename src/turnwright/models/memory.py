"""The most memory that a block of work held at once, from outside: for the metrics of a step and for benchmarks.

On a GPU what torch had allocated there; elsewhere the resident set of this process, with all that other threads hold.
"""

import resource
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

RESET_HIGH_WATER = "5"
"""Written to clear_refs, sets the process's high-water mark to what it holds now (man 5 proc)."""
MEBIBYTE = 2**20


@dataclass(slots=True)
class PeakMemory:
    """Filled in when the block ends."""

    megabytes: float = 0.0
    """MiB."""


@contextmanager
def watch_peak_memory(device: torch.device) -> Generator[PeakMemory]:
    """Measure until the block ends.

    Where the system keeps no mark that can be set back - not Linux, or /proc is not writable - the process's peak since
    its start is reported.

    Example:
        >>> with watch_peak_memory(torch.device("cpu")) as peak:
        ...     work()
        >>> peak.megabytes
        412.5
    """
    peak = PeakMemory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        _reset_high_water()
    try:
        yield peak
    finally:
        used = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _high_water()
        peak.megabytes = used / MEBIBYTE


def _reset_high_water() -> None:
    try:
        Path("/proc/self/clear_refs").write_text(RESET_HIGH_WATER)
    except OSError:
        return


def _high_water() -> int:
    """Return the largest resident set since the mark was set back, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # In bytes on macOS, in KiB elsewhere.
        return most if sys.platform == "darwin" else most * 1024
    (kibibytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kibibytes) * 1024
