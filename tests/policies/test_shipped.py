"""The shipped policy is the one its record describes, and small enough to travel with the package."""

import json
from pathlib import Path

import pytest

from turnwright.models.load import load_policy
from turnwright.models.paths import resolve_model_path
from turnwright.policies.build import hash_file
from turnwright.rendering.renderer import Renderer

MOST_BYTES = 5 * 2**20


@pytest.fixture
def folder() -> Path:
    return Path(resolve_model_path("tiny"))


def test_weights_and_tokenizer_have_the_recorded_hashes(folder: Path) -> None:
    record = json.loads((folder / "build.json").read_text(encoding="utf-8"))
    assert record["sha256"] == {name: hash_file(folder / name) for name in record["sha256"]}


def test_the_whole_policy_is_at_most_5_mib(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MOST_BYTES


def test_the_policy_loads_like_any_other(folder: Path) -> None:
    policy = load_policy("tiny")
    renderer = Renderer.load(folder)
    assert policy.model.config.architectures == ["Qwen3ForCausalLM"]
    assert renderer.decode(renderer.encode("Grüße, 北京! {O3}")) == "Grüße, 北京! {O3}"
