"""Users without a name, one for each workspace, so that the kernel keeps limits and signals where root runs us."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

FIRST = 0x60000000
"""From here on no distribution gives ids to users, services or containers."""
COUNT = 0x10000000


def own_user() -> int | None:
    """Return an id that no other workspace has; None without the right to become somebody else.

    In a namespace with fewer ids, such as a rootless container, it is one of the upper half of those that are mapped.
    """
    if os.geteuid() != 0:
        return None
    first, count = FIRST, COUNT
    ranges = [_mapped(Path(f"/proc/self/{name}_map")) for name in ("uid", "gid")]
    low, high = max(start for start, _ in ranges), min(end for _, end in ranges)
    if high < FIRST + COUNT:
        first, count = (low + high) // 2, (high - low) // 2
    return first + secrets.randbelow(count) if count > 0 else None


def _mapped(table: Path) -> tuple[int, int]:
    """Return the largest range of ids that this process may use: first, and one beyond the last."""
    lines = [[int(word) for word in line.split()] for line in table.read_text(encoding="ascii").splitlines()]
    start, _, length = max(lines, key=lambda line: line[2])
    return start, start + length


def tasks_of_this_user() -> int:
    """Return how many processes and threads the user has, as far as they can be seen."""
    user, found = os.geteuid(), 0
    for process in Path("/proc").iterdir():
        with suppress(OSError):  # gone meanwhile
            if process.name.isdigit() and process.stat().st_uid == user:
                found += sum(1 for _ in (process / "task").iterdir())
    return found
