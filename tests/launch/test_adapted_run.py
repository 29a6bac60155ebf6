"""Whole runs with adapters: trained, sampled from, saved, resumed, evaluated, merged and trained further."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from system.models import save_qwen
from system.worlds import __file__ as worlds
from turnwright.api import merge
from turnwright.config import ResolvedConfig, resolve_values
from turnwright.core.errors import ConfigError
from turnwright.launch.assignment import assign
from turnwright.launch.evaluation import run_evaluation
from turnwright.launch.local import resume, train
from turnwright.launch.play import play_episode
from turnwright.launch.warmstart import warmstart
from turnwright.models.attention import PrefixView
from turnwright.models.load import Policy, load_policy
from turnwright.rundir import RunReader

pytestmark = pytest.mark.slow
SECTIONS: dict[str, dict[str, Any]] = {
    "environment": {"name": "returns_desk"},
    "run": {"seed": 3, "deterministic": True},
    "model": {"lora_rank": 4},
    "algorithm": {"group_size": 4, "global_batch_size": 2},
    "sampling": {"temperature": 1.2, "sampling_max_tokens": 32, "max_turns": 3, "max_sequence_length": 640},
    "optimizer": {"learning_rate": 1e-2, "lr_schedule": "cosine"},
    "schedule": {"max_steps": 3, "val_every": 0, "save_every": 1},
    "inference": {"kv_memory_mb": 32},
    "evaluation": {"tasks": 2, "attempts": 1, "resamples": 100},
    "warmstart": {"demonstrator": "oracle", "steps": 2, "warmup_steps": 0, "batch_size": 4},
}


def recipe(output: Path, *overrides: str) -> ResolvedConfig:
    return resolve_values(SECTIONS, source="test", overrides=[f"run.output_dir={output}", *overrides])


def talk(output: Path, model: Path, *overrides: str) -> ResolvedConfig:
    """Return a recipe whose every reply gets another reward, for a model of random weights."""
    return recipe(output, f"environment.name={worlds}:Talk", f'model.path="{model}"', *overrides)


def checkpoint(run: Path) -> Path:
    return RunReader(run).checkpoints()[-1].path


def logits(policy: Policy) -> torch.Tensor:
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        return policy.logits(policy.hidden_states(ids, torch.arange(ids.shape[1])[None], PrefixView()))


def test_the_engine_samples_what_the_adapters_have_learned(tmp_path: Path) -> None:
    room = ("sampling.max_turns=8", "sampling.max_sequence_length=896", "sampling.sampling_max_tokens=48")
    run = train(recipe(tmp_path, "run.name=lora", "algorithm.group_size=8", *room))
    steps = RunReader(run).metrics()
    updated = [step for step in steps if step.get("training/num_updates")]
    assert len(updated) >= 2, [step["rollout/reward/std"] for step in steps]
    for step in updated:
        assert step["training/canary_gap"] <= 1e-3
        assert step["training/sampler_logprob_gap/mean"] <= 1e-5
        assert step["training/grad_norm"] > 0
        assert step["training/peak_memory_mb"] > 0
    policy, base = load_policy(str(checkpoint(run))), load_policy("tiny")
    assert not torch.allclose(logits(policy), logits(base), atol=1e-3)
    names = {path.name for path in checkpoint(run).iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert not {"model.safetensors", "config.json", "README.md"} & names
    assert json.loads((checkpoint(run) / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"


def test_an_interrupted_run_goes_on_with_the_same_adapter_to_the_bit(tmp_path: Path) -> None:
    model = save_qwen(tmp_path / "model")
    run = train(talk(tmp_path, model, "run.name=lora"))
    straight = (checkpoint(run) / "adapter_model.safetensors").read_bytes()
    metrics = RunReader(run).metrics()[-1]
    assert metrics["training/num_updates"] == 1
    shutil.rmtree(checkpoint(run))
    (run / "status.json").unlink()
    before = (checkpoint(run) / "adapter_model.safetensors").read_bytes()
    assert before != straight
    assert resume(run) == run
    assert (checkpoint(run) / "adapter_model.safetensors").read_bytes() == straight
    again = RunReader(run).metrics()[-1]
    assert again["training/learning_rate"] == metrics["training/learning_rate"] == pytest.approx(1e-2 * 0.25)


def test_a_checkpoint_is_played_evaluated_merged_and_trained_further(tmp_path: Path) -> None:
    model = save_qwen(tmp_path / "model")
    run = train(talk(tmp_path, model, "run.name=first", "schedule.max_steps=1"))
    adapter = checkpoint(run)

    merge(adapter, tmp_path / "merged")
    whole = load_policy(str(tmp_path / "merged"))
    assert (logits(whole) - logits(load_policy(str(adapter)))).abs().max() <= 1e-5
    assert (tmp_path / "merged" / "chat_template.jinja").read_text() == (adapter / "chat_template.jinja").read_text()

    played = [
        play_episode(talk(tmp_path, folder).config, greedy=True) for folder in (adapter, tmp_path / "merged", model)
    ]
    replies = [tuple(turn.reply.content for turn in episode.turns) for episode in played]
    assert replies[0] == replies[1]
    results = [
        run_evaluation(assign(str(folder), run=run, name=folder.name)).result
        for folder in (adapter, tmp_path / "merged")
    ]
    assert [(found.step, found.reward) for found in results] == [(1, results[1].reward), (None, results[0].reward)]

    further = train(talk(tmp_path, adapter, "run.name=further", "schedule.max_steps=1"))
    config = json.loads((checkpoint(further) / "adapter_config.json").read_text())
    assert (config["r"], config["base_model_name_or_path"]) == (4, str(model))
    with pytest.raises(ConfigError, match=r"has lora_rank = 4, and model\.lora_rank = 8"):
        train(talk(tmp_path, adapter, "model.lora_rank=8"))
    full = train(talk(tmp_path, adapter, "run.name=full", "model.lora_rank=0", "schedule.max_steps=1"))
    assert (checkpoint(full) / "model.safetensors").is_file()


def test_a_warm_start_of_adapters_is_one_to_train_on(tmp_path: Path) -> None:
    model = save_qwen(tmp_path / "model")
    done = warmstart(talk(tmp_path, model).config, tmp_path / "warm")
    assert (done.path / "adapter_model.safetensors").is_file()
    run = train(talk(tmp_path, done.path, "run.name=on", "schedule.max_steps=1"))
    config = json.loads((checkpoint(run) / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(model)
    with pytest.raises(ConfigError, match=r"from_scratch = true trains all weights: expected model\.lora_rank = 0"):
        warmstart(talk(tmp_path, model, "warmstart.from_scratch=true").config, tmp_path / "scratch")


def test_bfloat16_weights_are_trained_by_float32_copies_and_resumed(tmp_path: Path) -> None:
    model = save_qwen(tmp_path / "model")
    settings = ("run.name=coarse", "model.lora_rank=0", "model.dtype=bfloat16", "learner.sampler_gap_warn=0.02")
    run = train(talk(tmp_path, model, *settings, "schedule.max_steps=2"))
    straight = (checkpoint(run) / "model.safetensors").read_bytes()
    shutil.rmtree(checkpoint(run))
    assert resume(run) == run
    assert (checkpoint(run) / "model.safetensors").read_bytes() == straight
