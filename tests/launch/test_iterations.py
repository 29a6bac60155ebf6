"""Whole runs that go on and that begin from one another: with broken checkpoints, other data, models and adapters."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from models.tiny import tiny_model
from system.models import save_llama, save_qwen
from system.worlds import __file__ as worlds
from turnwright import api
from turnwright.config import ResolvedConfig, resolve_values
from turnwright.core.errors import ConfigError
from turnwright.launch.local import resume, train
from turnwright.launch.resumption import find_parent, plan_resumption, resolve_from
from turnwright.rundir import RunLayout, RunReader
from turnwright.rundir.checkpoints import promoted, verify

pytestmark = pytest.mark.slow
SECTIONS: dict[str, dict[str, Any]] = {
    "run": {"seed": 3, "deterministic": True},
    "algorithm": {"group_size": 4, "global_batch_size": 2},
    "sampling": {"sampling_max_tokens": 16, "max_turns": 2, "max_sequence_length": 640},
    "optimizer": {"learning_rate": 1e-2},
    "schedule": {"max_steps": 3, "val_every": 1, "save_every": 1},
    "validation": {"val_tasks": 2},
    "inference": {"kv_memory_mb": 32},
}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Return an environment's file that a test may change."""
    return Path(shutil.copy(worlds, tmp_path / "world.py"))


@pytest.fixture
def recipe(tmp_path: Path, world: Path) -> ResolvedConfig:
    return talk(tmp_path, world)


def talk(folder: Path, world: Path, *overrides: str) -> ResolvedConfig:
    if not (folder / "model").exists():
        save_qwen(folder / "model")
    settings = [f"run.output_dir={folder / 'runs'}", f'model.path="{folder / "model"}"', "run.name=first"]
    values = {**SECTIONS, "environment": {"name": f"{world}:Talk"}}
    return resolve_values(values, source="test", overrides=[*settings, *overrides])


def weights(run: Path, step: int) -> bytes:
    return (RunLayout(run).checkpoint(step) / "model.safetensors").read_bytes()


def test_a_broken_checkpoint_costs_a_step_and_no_bit(recipe: ResolvedConfig, caplog: pytest.LogCaptureFixture) -> None:
    run = train(recipe)
    straight, metrics = weights(run, 3), RunReader(run).metrics()
    state = RunLayout(run).checkpoint(3) / "resume" / "optimizer.pt"
    state.write_bytes(state.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        resume(run, config=plan_resumption(run, None, ["schedule.max_steps=4"]).config)
    assert f"step_000003' is passed over: '{state}' has" in caplog.text
    assert weights(run, 3) == straight
    assert verify(RunLayout(run).checkpoint(3)) == ()
    assert [line["step"] for line in RunReader(run).metrics()] == [0, 1, 2, 3, 4]
    assert RunReader(run).metrics()[1]["training/loss"] == metrics[1]["training/loss"]
    source = RunReader(run).config().get_info("schedule.max_steps").source
    assert source == "override, from attempt 2 on (was 3: test)"


def test_checkpoints_are_kept_by_age_and_by_validation(tmp_path: Path, world: Path) -> None:
    run = train(talk(tmp_path, world, "schedule.max_steps=5", "schedule.keep_last=2", "schedule.keep_best=1"))
    rewards = {int(line["step"]): line["val/reward/mean"] for line in RunReader(run).metrics() if line["step"]}
    best = max(rewards, key=lambda step: (rewards[step], step))
    assert {found.step for found in RunReader(run).checkpoints()} == {4, 5, best}
    assert promoted(RunLayout(run)) == RunLayout(run).checkpoint(best)


def test_other_data_and_another_model_are_refused(tmp_path: Path, world: Path, recipe: ResolvedConfig) -> None:
    run = train(recipe)
    longer = plan_resumption(run, None, ["schedule.max_steps=4"]).config
    text = world.read_text()
    world.write_text(text.replace('prompt=f"{split} {index}"', 'prompt=f"{split} {index % 7}"'))
    with pytest.raises(
        ConfigError, match=r"17 of 24 train tasks differ, the first is 'train-7', .*; 1 of 8 validation"
    ):
        resume(run, config=longer)
    world.write_text(text)

    for step in (1, 2, 3):
        shutil.rmtree(RunLayout(run).checkpoint(step))
    save_llama(tmp_path / "model")
    with pytest.raises(
        ConfigError, match=r"its architecture was Qwen3ForCausalLM, now it is LlamaForCausalLM\. Was the"
    ):
        resume(run, config=longer)
    save_qwen(tmp_path / "model")
    grown = tiny_model("qwen3", vocab_size=json.loads((tmp_path / "model" / "config.json").read_text())["vocab_size"])
    grown.save_pretrained(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"its num_parameters was 38592, now it is "):
        resume(run, config=longer)


def test_weights_that_were_replaced_are_noticed_where_adapters_stand_beside_them(tmp_path: Path, world: Path) -> None:
    run = train(talk(tmp_path, world, "model.lora_rank=4", "schedule.max_steps=2"))
    shutil.rmtree(RunLayout(run).checkpoint(2))
    assert resume(run) == run
    other = train(talk(tmp_path, world, "run.name=other", "schedule.max_steps=1"))
    shutil.copy(RunLayout(other).checkpoint(1) / "model.safetensors", tmp_path / "model" / "model.safetensors")
    with pytest.raises(ConfigError, match=r"its weights was .{12}\.\.\., now it is "):
        resume(run, config=plan_resumption(run, None, ["schedule.max_steps=3"]).config)


def test_a_reference_that_was_replaced_is_noticed(tmp_path: Path, world: Path) -> None:
    settings = ("algorithm.kl_coefficient=0.1", "schedule.max_steps=2")
    run = train(talk(tmp_path, world, *settings))
    shutil.rmtree(RunLayout(run).checkpoint(2))
    assert resume(run) == run
    tuned = RunLayout(run).checkpoint(2) / "model.safetensors"
    shutil.copy(tuned, tmp_path / "model" / "model.safetensors")
    with pytest.raises(ConfigError, match=r"its weights was "):
        resume(run, config=plan_resumption(run, None, ["schedule.max_steps=3"]).config)


def test_a_new_run_goes_on_from_weights_and_adapters(
    tmp_path: Path, world: Path, recipe: ResolvedConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = train(talk(tmp_path, world, "model.lora_rank=4", "schedule.max_steps=2"))
    began = RunLayout(first).checkpoint(1) / "adapter_model.safetensors"
    second = api.train(
        start_from="first@1",
        overrides=["run.name=second", "optimizer.learning_rate=1e-6", "schedule.max_steps=1", "run.seed=8"],
        show=False,
    )
    assert second == tmp_path / "runs" / "second"
    manifest = RunReader(second).manifest()
    assert manifest.parent == "runs/first@1"
    assert manifest.model is not None
    assert manifest.model.adapters is not None
    assert manifest.model.adapters.rank == 4
    before = load_file(began)
    after = load_file(RunLayout(second).checkpoint(1) / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    assert all((before[name] - after[name]).abs().max() < 1e-5 for name in before)
    state = json.loads((RunLayout(second).checkpoint(1) / "resume" / "counters.json").read_text())
    assert state["step"] == 1

    parent = find_parent("first", tmp_path / "runs")
    with pytest.raises(ConfigError, match=r"model\.lora_targets asks for 4: set model\.lora_targets = \["):
        train(resolve_from(parent, None, ['model.lora_targets=["q_proj", "v_proj"]', "run.name=third"]))
