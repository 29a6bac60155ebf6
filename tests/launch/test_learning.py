"""From a run.toml to what the learner does with it, functions and references included."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from models.adapted import RANK_4, adapted_policy, save_base, scatter
from system.models import save_qwen
from system.worlds import __file__ as worlds
from turnwright.config import RunConfig, resolve_values
from turnwright.core.errors import ConfigError
from turnwright.launch.learning import build_reference, step_settings
from turnwright.launch.local import resume, train
from turnwright.learner.extensions import CustomAdvantage, CustomLoss
from turnwright.learner.objective import LossSettings
from turnwright.learner.passes import Passes, PassSettings
from turnwright.models.load import load_policy
from turnwright.rundir import RunReader

MINE = """
from turnwright.algorithms.policy_loss import PolicyLoss


def loss(logprobs_T, old_logprobs_T, advantages_T, weights_T, lengths_S, *, clip_low_threshold, clip_high_threshold):
    w = (logprobs_T - old_logprobs_T).exp()
    bounded = w.clamp(clip_low_threshold, clip_high_threshold)
    return PolicyLoss(loss=-(weights_T * bounded * advantages_T).sum(), ratio_T=w.detach(), clipped_T=bounded != w)


def median(rewards_G, lengths_G):
    return rewards_G - rewards_G.median()
"""


def config(max_steps_off_policy: int = 0, **algorithm: Any) -> RunConfig:
    values = {
        "environment": {"name": "returns_desk"},
        "algorithm": algorithm,
        "async_config": {"max_steps_off_policy": max_steps_off_policy},
    }
    return resolve_values(values, source="test").config


def test_the_defaults_are_plain_ppo():
    settings = step_settings(config())
    assert settings.loss == LossSettings()
    assert (settings.proximal, settings.penalises_reward, settings.loss.has_terms) == ("sampler", False, False)


def test_terms_and_corrections_reach_the_learner():
    settings = step_settings(
        config(
            kl_coefficient=0.1, kl_form="grpo_k3", entropy_coefficient=0.01, proximal="recomputed",
            importance_band=[0.5, 5.0], loss_fn="gspo", aggregation="sequence",
        )
    )  # fmt: skip
    assert settings.loss == LossSettings(
        loss_fn="gspo", clip_low_threshold=1 - 3e-4, clip_high_threshold=1 + 4e-4, kl_coefficient=0.1,
        kl_form="grpo_k3", entropy_coefficient=0.01, importance_band=(0.5, 5.0),
    )  # fmt: skip
    assert (settings.proximal, settings.batch.aggregation) == ("recomputed", "sequence")
    capped = step_settings(config(proximal="recomputed", truncated_importance_cap=2.0))
    assert capped.loss.truncated_importance_cap == 2.0
    assert (capped.max_staleness, settings.max_staleness) == (0, 0)
    ahead = step_settings(config(proximal="interpolated", max_steps_off_policy=3))
    assert (ahead.proximal, ahead.max_staleness) == ("interpolated", 3)
    unsaid = step_settings(config(max_steps_off_policy=3))
    assert (unsaid.proximal, unsaid.loss.truncated_importance_cap) == ("recomputed", 2.0)
    constant = step_settings(config(aggregation="constant", aggregation_tokens=300))
    assert (constant.batch.aggregation, constant.batch.aggregation_tokens) == ("constant", 300)


def test_a_divergence_counts_in_one_place():
    settings = step_settings(config(kl_coefficient=0.1, kl_placement="reward", advantage_method="reinforce_pp"))
    assert (settings.batch.advantages.kl_coefficient, settings.loss.kl_coefficient) == (0.1, 0.0)
    settings = step_settings(config(kl_coefficient=0.1, advantage_method="reinforce_pp"))
    assert (settings.batch.advantages.kl_coefficient, settings.loss.kl_coefficient) == (0.0, 0.1)
    assert settings.loss.kl_form == "k2"


def test_functions_of_ones_own_are_found_and_wrong_places_named(tmp_path: Path):
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    settings = step_settings(config(loss_fn=f"{tmp_path}/mine.py:loss", advantage_method=f"{tmp_path}/mine.py:median"))
    assert isinstance(settings.loss.loss_fn, CustomLoss)
    assert isinstance(settings.batch.advantages.method, CustomAdvantage)
    assert settings.loss.clip_high_threshold == float("inf")
    with pytest.raises(ConfigError, match=r"algorithm\.loss_fn = '.*mine\.py:los': .* it has: loss, median"):
        step_settings(config(loss_fn=f"{tmp_path}/mine.py:los"))
    with pytest.raises(ConfigError, match=r"algorithm\.advantage_method = 'absent:one': importing absent failed"):
        step_settings(config(advantage_method="absent:one"))


@pytest.mark.slow
def test_the_reference_is_what_the_run_began_with(tmp_path: Path):
    base = save_base(tmp_path / "base")

    def began_with(path: str | Path, policy) -> RunConfig:
        values = {"environment": {"name": "returns_desk"}, "model": {"path": str(path)}}
        given = resolve_values({**values, "algorithm": {"kl_coefficient": 0.1}}, source="test").config
        found = build_reference(given, Passes(policy, PassSettings()))
        assert found is not None
        return found._passes.policy

    policy = load_policy(base, device="cpu")
    copy = began_with(base, policy)
    assert copy is not policy
    assert not any(parameter.requires_grad for parameter in copy.model.parameters())
    fresh = scatter(load_policy(base, device="cpu", adapters=RANK_4))
    assert began_with(base, fresh) is fresh
    trained = adapted_policy(tmp_path / "other")
    trained.save(tmp_path / "adapter")
    going_on = load_policy(str(tmp_path / "adapter"), device="cpu", adapters=RANK_4)
    merged = began_with(tmp_path / "adapter", going_on)
    assert merged is not going_on
    assert not merged.adapted
    assert build_reference(config(), Passes(policy, PassSettings())) is None


SECTIONS: dict[str, dict[str, Any]] = {
    "run": {"seed": 3, "deterministic": True, "name": "run"},
    "algorithm": {
        "group_size": 4, "global_batch_size": 2, "kl_coefficient": 0.1, "entropy_coefficient": 0.01,
        "proximal": "recomputed", "truncated_importance_cap": 2.0,
    },
    "sampling": {"temperature": 1.3, "sampling_max_tokens": 16, "max_turns": 2, "max_sequence_length": 512},
    "optimizer": {"learning_rate": 1e-2},
    "schedule": {"max_steps": 3, "val_every": 0, "save_every": 1},
    "inference": {"kv_memory_mb": 32},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 4])
def test_a_resumed_run_is_measured_from_the_same_reference_with_the_same_functions(tmp_path: Path, rank: int):
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    sections = {
        **SECTIONS,
        "environment": {"name": f"{worlds}:Talk"},
        "model": {"path": str(save_qwen(tmp_path / "model")), "lora_rank": rank},
        "algorithm": {**SECTIONS["algorithm"], "loss_fn": f"{tmp_path}/mine.py:loss"},
    }
    run = train(resolve_values(sections, source="test", overrides=[f"run.output_dir={tmp_path}/runs"]))
    straight = RunReader(run).metrics()
    assert abs(straight[0]["training/kl_to_reference"]) < 1e-6
    assert straight[-1]["training/kl_to_reference"] > 1e-4
    shutil.rmtree(RunReader(run).checkpoints()[-1].path)
    (run / "status.json").unlink()
    assert resume(run) == run
    again = RunReader(run).metrics()[-1]
    for name in ("training/kl_to_reference", "training/loss", "training/kl_term", "training/entropy_bonus"):
        assert again[name] == straight[-1][name]
