"""The manifest names the licences of benchmark rows that a run trains on, and where they were acknowledged."""

from pathlib import Path
from typing import Any

import pytest

from environments.sop_domains_made import LOOKUPS, write_domain
from turnwright.config import ResolvedConfig, resolve
from turnwright.environments.load import load_environment
from turnwright.environments.mixture import Mixture, load_choice
from turnwright.environments.sop.folder import read_sop_folder
from turnwright.environments.sop.licence import split_folder
from turnwright.launch.licences import trained_licences
from turnwright.rundir.records import Manifest, decode_manifest, encode

ROWS = [(f"{i:03}", "north", "1", "", "True", "1", "admit" if i % 2 else "refuse") for i in range(20)]


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    path = write_domain(tmp_path / "badges", rows=ROWS, lookups=LOOKUPS)
    (tmp_path / "LICENSE").write_text("Attribution-NonCommercial 4.0\n")
    split_folder(read_sop_folder(path), tmp_path, seed=0, validation=0.2, test=0.4)
    return path


def options(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {"split_lock": str(tmp_path / "split.lock.json"), **more}


def configured(tmp_path: Path, text: str, *overrides: str) -> ResolvedConfig:
    file = tmp_path / "run.toml"
    file.write_text(text)
    return resolve(file, overrides)


def test_acknowledged_licence_is_recorded_with_its_source(domain: Path, tmp_path: Path) -> None:
    text = f'[environment]\nname = "sop:{domain}"\noptions = {{ split_lock = "{tmp_path}/split.lock.json" }}\n'
    resolved = configured(tmp_path, text, "environment.options.acknowledge_licence=true")
    prototype = load_choice(resolved.config.environment)
    (record,) = trained_licences(prototype, resolved)
    assert (record.domain, record.title) == ("badges", "Attribution-NonCommercial 4.0")
    assert record.acknowledged_by == "override"
    assert record.split_lock == str(tmp_path / "split.lock.json")
    assert len(record.hash) == 64
    manifest = Manifest(name="run", created="2026-01-01", seed=1, host="here", licences=(record,))
    assert decode_manifest(encode(manifest)) == manifest


def test_member_of_a_mixture_is_recorded(domain: Path, tmp_path: Path) -> None:
    resolved = configured(tmp_path, '[environment]\nname = "returns_desk"\n')
    member = load_environment(f"sop:{domain}", options(tmp_path, acknowledge_licence=True))
    records = trained_licences(Mixture({"badges": member, "desk": load_environment("returns_desk")}), resolved)
    assert [record.domain for record in records] == ["badges"]


def test_nothing_is_recorded_where_nothing_was_acknowledged(domain: Path, tmp_path: Path) -> None:
    resolved = configured(tmp_path, '[environment]\nname = "returns_desk"\n')
    assert trained_licences(load_environment("returns_desk"), resolved) == ()
    assert trained_licences(load_environment(f"sop:{domain}", options(tmp_path)), resolved) == ()
