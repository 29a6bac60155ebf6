"""What it would take to do a run again: versions, commit, host and command."""

import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from turnwright.rundir.records import Manifest

LIBRARIES = ("turnwright", "torch", "transformers", "tokenizers", "safetensors", "numpy", "polars", "pydantic")
"""Libraries that shape the numbers or the files of a run."""


def collect_manifest(
    *, name: str, seed: int, parent: str | None = None, command: Sequence[str] | None = None
) -> Manifest:
    """Describe this process on this machine, now."""
    return Manifest(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        host=platform.node(),
        command=tuple(sys.argv if command is None else command),
        git_sha=find_commit(Path.cwd()),
        versions=installed_versions(),
        parent=parent,
    )


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of those libraries that are installed, without importing them."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def find_commit(folder: Path) -> str | None:
    """Return the commit checked out in ``folder`` or above it, read from git's own files; None when there is none."""
    for parent in (folder, *folder.parents):
        if (parent / ".git" / "HEAD").is_file():
            return _read_head(parent / ".git")
    return None


def _read_head(git: Path) -> str | None:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head
    reference = head.removeprefix("ref: ")
    if (git / reference).is_file():
        return (git / reference).read_text().strip()
    packed = git / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {reference}")), None)
