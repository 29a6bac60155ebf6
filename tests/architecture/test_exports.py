"""The public names of every room exist, are sorted, and every TOML of the repository is a valid configuration."""

import importlib
import os
import tomllib
from pathlib import Path

import pytest

from architecture.test_imports import PACKAGE, ROOT, rooms
from turnwright.config import resolve

SKIPPED = {"runs", "build", "dist", "node_modules"}


def run_files() -> list[Path]:
    found: list[Path] = []
    for folder, folders, names in os.walk(ROOT):
        # Not even looked into: an installation has tens of thousands of files.
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith(".")]
        found += [Path(folder, name) for name in names if name.endswith(".toml")]
    return sorted(path for path in found if "environment" in tomllib.loads(path.read_text()))


@pytest.mark.parametrize("room", ["", *rooms()])
def test_every_exported_name_exists_and_is_listed_in_order(room: str) -> None:
    module = importlib.import_module(f"turnwright.{room}" if room else "turnwright")
    names: list[str] = getattr(module, "__all__", [])
    assert [name for name in names if not hasattr(module, name)] == []
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", run_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_run_file_of_the_repository_is_valid(path: Path) -> None:
    resolve(path)


def test_the_package_is_marked_as_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
