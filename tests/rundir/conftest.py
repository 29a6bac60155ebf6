from collections.abc import Iterator
from pathlib import Path

import pytest

from turnwright.config import ResolvedConfig, resolve_values
from turnwright.rundir import RunWriter, collect_manifest


@pytest.fixture
def config() -> ResolvedConfig:
    return resolve_values({"environment": {"name": "orders"}}, source="run.toml")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "demo"


@pytest.fixture
def writer(root: Path, config: ResolvedConfig) -> Iterator[RunWriter]:
    manifest = collect_manifest(name="demo", seed=1)
    with RunWriter.create(root, config=config, manifest=manifest, config_text="# given\n") as writer:
        yield writer
