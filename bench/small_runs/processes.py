"""Processes of a run, as the kernel shows them in /proc: the run's own and all that descend from it."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = 4096
ROLES = (
    ("turnwright.cli", "controller"),
    ("small_runs/agent.py", "agent"),
    ("small_runs/tool_server.py", "tool server"),
    ("turnwright.inference.worker", "engine"),
)
"""What a process is by what stands in its command line; the first that fits: a controller is told its agent there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one process holds at one moment."""

    pid: int
    role: str
    memory_mb: float
    """Resident set."""
    threads: int
    files: int
    """Open descriptors that are no sockets."""
    sockets: int


def tree(root: int) -> tuple[int, ...]:
    """Return the ids of a process and its descendants that are alive, the process first; empty when it has ended."""
    found: list[int] = []
    waiting = [root]
    while waiting:
        pid = waiting.pop(0)
        if not _is_alive(pid):
            continue
        found.append(pid)
        waiting += _children(pid)
    return tuple(found)


def role(pid: int) -> str:
    """Return what a process does in its run; empty when it has ended."""
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return next((name for part, name in ROLES if part in command), command.partition(" ")[0])
    return ""


def usage(pid: int) -> Usage | None:
    """Return what a process holds; None when it has ended."""
    folder = Path(f"/proc/{pid}")
    try:
        resident = int((folder / "statm").read_text(encoding="ascii").split()[1])
        threads = sum(1 for _ in (folder / "task").iterdir())
        targets = list(_targets(folder / "fd"))
    except OSError:
        return None
    sockets = sum(target.startswith("socket:") for target in targets)
    return Usage(
        pid=pid,
        role=role(pid),
        memory_mb=resident * PAGE_BYTES / 2**20,
        threads=threads,
        files=len(targets) - sockets,
        sockets=sockets,
    )


def _is_alive(pid: int) -> bool:
    with suppress(OSError):
        # The state is behind the name, which stands in brackets and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0] not in "ZX"
    return False


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found


def _targets(folder: Path) -> Iterator[str]:
    for link in folder.iterdir():
        with suppress(OSError):
            yield str(link.readlink())
