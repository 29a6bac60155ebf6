import logging
import math
from dataclasses import replace

import pytest
import torch

from learner.material import (
    attempt,
    group,
    on_policy_groups,
    optimizer_of,
    passes_of,
    sampled_by,
    unchanged,
    uniform_policy,
    weights_of,
)
from models.tiny import FAMILIES, VOCABULARY, tiny_policy
from turnwright.core.errors import SamplerMismatchError, TrainingError
from turnwright.core.group import TrainableGroup
from turnwright.core.update import Step
from turnwright.learner.batch import BatchSettings
from turnwright.learner.credit import AdvantageSettings
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.step import StepSettings, take_step

PLAIN = AdvantageSettings(normalization=False)
SETTINGS = StepSettings(batch=BatchSettings())
BY_HAND = StepSettings(batch=BatchSettings(), sampler_gap_warn=1e3, sampler_kl_warn=1e3)
"""Takes ratios far from 1 for what they are."""


def change_rows(groups: list[TrainableGroup], **changes) -> list[TrainableGroup]:
    """Replace fields of every row; a callable gets the row."""
    return [
        replace(
            one,
            attempts=tuple(
                replace(a, rows=tuple(replace(r, **{name: make(r) for name, make in changes.items()}) for r in a.rows))
                for a in one.attempts
            ),
        )
        for one in groups
    ]


def test_grpo_by_hand_from_rewards_to_the_loss():
    """Rewards 1 and 0: A = +-0.5 / (sqrt(0.5) + 1e-6) = +-0.7071058; N = 2 + 3 + 5 (the group without signal).

    A > 0, ratios 1.5 and 1: min(1.5, 1.2) + 1 = 2.2.   A < 0, ratios 0.5, 1, 2: max(0.5, 0.8) + 1 + 2 = 3.8.
    loss = -(2.2 - 3.8) * 0.7071058 / 10 = 0.1131369
    """
    policy = uniform_policy()
    groups = [
        group("a", attempt("a", 0, 1.0, [1.5, 1.0]), attempt("a", 1, 0.0, [0.5, 1.0, 2.0])),
        group("b", attempt("b", 0, 0.5, [1.0] * 4), attempt("b", 1, 0.5, [1.0])),
    ]
    step = take_step(passes_of(policy), optimizer_of(policy), sampled_by(groups, 6), BY_HAND, step=7)
    metrics = step.metrics
    assert step.step == 7
    assert metrics["training/loss"] == pytest.approx(0.1131369, abs=1e-6)
    assert metrics["training/clip_fraction"] == pytest.approx(2 / 5)
    assert metrics["training/ratio/mean"] == pytest.approx(6 / 5, abs=1e-6)
    assert metrics["training/ratio/min"] == pytest.approx(0.5, abs=1e-6)
    assert metrics["training/ratio/max"] == pytest.approx(2.0, abs=1e-6)
    assert metrics["training/ratio/ess"] == pytest.approx(36 / (5 * 8.5), abs=1e-6)
    assert metrics["training/entropy"] == pytest.approx(math.log(VOCABULARY), abs=1e-5)
    assert metrics["training/trained_tokens"] == 5
    assert metrics["analysis/live_groups"] == 1
    assert metrics["analysis/zero_adv_nonzero_reward"] == 1


def test_domains_of_a_mixture_are_counted_apart_and_trained_together():
    groups = [
        group("a/1", attempt("a/1", 0, 1.0, [1.5, 1.0]), attempt("a/1", 1, 0.0, [0.5, 1.0, 2.0])),
        group("b/1", attempt("b/1", 0, 0.5, [1.0] * 4), attempt("b/1", 1, 0.5, [1.0])),
        group("b/2", attempt("b/2", 0, 0.0, [1.0] * 4), attempt("b/2", 1, 0.0, [1.0])),
    ]
    mixed = [replace(one, domain=one.task_id[0]) for one in groups]
    policies = uniform_policy(), uniform_policy()
    plain, found = (
        take_step(passes_of(policy), optimizer_of(policy), some, BY_HAND, step=1).metrics
        for policy, some in zip(policies, (groups, mixed), strict=True)
    )
    assert {name: value for name, value in found.items() if not name.startswith(("a/", "b/"))} == plain
    assert (found["a/analysis/live_groups"], found["b/analysis/live_groups"]) == (1, 0)
    assert (found["a/analysis/batch_valid_ratio"], found["b/analysis/batch_valid_ratio"]) == (1, 0)
    assert (found["a/analysis/zero_adv_groups"], found["b/analysis/zero_adv_groups"]) == (0, 2)
    assert (found["b/analysis/zero_adv_nonzero_reward"], found["b/analysis/zero_adv_zero_reward"]) == (1, 1)
    # Rewards 1 and 0: +-0.5 / (sqrt(0.5) + 1e-6), and no advantage at all in b.
    assert found["a/rollout/advantage/max"] == pytest.approx(0.7071058)
    assert "b/rollout/advantage/max" not in found
    assert not any(name.startswith(("a/training", "b/training")) for name in found)


def test_ppo_by_hand_without_normalisation_per_rollout():
    """A = +-0.5; weights 1 / (2 * 2) and 1 / (2 * 3): -(0.5 * 2.2 / 4 - 0.5 * 3.8 / 6) = 0.0416667."""
    policy = uniform_policy()
    groups = [group("a", attempt("a", 0, 1.0, [1.5, 1.0]), attempt("a", 1, 0.0, [0.5, 1.0, 2.0]))]
    settings = replace(BY_HAND, batch=BatchSettings(advantages=PLAIN, aggregation="rollout"))
    metrics = take_step(passes_of(policy), optimizer_of(policy), groups, settings, step=1).metrics
    assert metrics["training/loss"] == pytest.approx(0.0416667, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_update_on_own_samples_is_on_policy_and_moves_the_weights(family: str):
    policy = tiny_policy(family)
    before = weights_of(policy)
    metrics = take_step(passes_of(policy), optimizer_of(policy), on_policy_groups(policy), SETTINGS, step=1).metrics
    assert metrics["training/on_policy_ratio_mean"] == pytest.approx(1.0, abs=1e-5)
    assert metrics["training/on_policy_kl"] < 1e-8
    assert metrics["training/sampler_logprob_gap/mean"] < 1e-5
    assert metrics["training/clip_fraction"] == 0
    assert metrics["training/grad_norm"] > 0
    assert not unchanged(policy, before)
    assert all(math.isfinite(value) for value in metrics.values())


def test_the_samplers_logprobs_stay_the_old_ones_through_all_updates():
    policy = tiny_policy()
    settings = replace(SETTINGS, batch=BatchSettings(updates_per_step=2))
    groups = on_policy_groups(policy, rewards=((1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1)))
    step = take_step(passes_of(policy), optimizer_of(policy, learning_rate=1e-2), groups, settings, step=1)
    assert step.num_updates == step.metrics["training/num_updates"] == 2
    assert step.metrics["training/on_policy_kl"] < 1e-8
    assert step.metrics["training/kl_to_sampler"] > 1e-6


@pytest.mark.parametrize("aggregation", ["token", "rollout"])
def test_many_small_passes_equal_one_large_one(aggregation: str):
    batch = BatchSettings(aggregation=aggregation)
    results: list[tuple[Step, list[torch.Tensor]]] = []
    for budget in (1, 60, 100_000):
        policy = tiny_policy()
        groups = change_rows(
            on_policy_groups(policy, rewards=((1, 0, 0.5), (0, 1, 0))),
            # Ratios around the clip, so that the clip takes part too.
            logprobs=lambda row: tuple(
                value + 0.3 * math.sin(position) if on else 0.0
                for position, (value, on) in enumerate(zip(row.logprobs, row.trained, strict=True))
            ),
        )
        optimizer = optimizer_of(policy)
        settings = replace(BY_HAND, batch=batch)
        passes = Passes(policy, PassSettings(tokens_per_microbatch=budget))
        step = take_step(passes, optimizer, groups, settings, step=1)
        results.append((step, optimizer.gradients[0]))
    passes = [step.metrics["training/num_passes"] for step, _ in results]
    assert passes[0] > passes[1] > passes[2]
    whole, gradients = results[-1]
    assert 0 < whole.metrics["training/clip_fraction"] < 1
    for step, parts in results[:-1]:
        assert step.metrics["training/loss"] == pytest.approx(whole.metrics["training/loss"], abs=1e-6)
        for part, full in zip(parts, gradients, strict=True):
            assert (part - full).abs().max() <= 1e-5 * full.abs().max() + 1e-7


def shifted(by: float):
    return lambda row: tuple(value + by if on else 0.0 for value, on in zip(row.logprobs, row.trained, strict=True))


@pytest.mark.parametrize("by", [-0.1, -2.0])
def test_a_sampler_of_other_weights_is_found_before_a_weight_changes(by: float):
    policy = tiny_policy()
    before = weights_of(policy)
    optimizer = optimizer_of(policy)
    groups = change_rows(on_policy_groups(policy), logprobs=shifted(by))
    with pytest.raises(SamplerMismatchError, match=r"sampler_mismatch: .*\(expected at most 1e-05\)"):
        take_step(passes_of(policy), optimizer, groups, SETTINGS, step=1)
    assert unchanged(policy, before)
    assert all(parameter.grad is None for parameter in policy.model.parameters())
    assert optimizer.num_done == 0


def test_another_temperature_than_recorded_is_found():
    policy = tiny_policy()
    groups = change_rows(
        on_policy_groups(policy), temperature=lambda row: tuple(1.2 if on else 1.0 for on in row.trained)
    )
    with pytest.raises(SamplerMismatchError):
        take_step(passes_of(policy), optimizer_of(policy), groups, SETTINGS, step=1)


def test_a_small_gap_is_a_warning_and_trains(caplog: pytest.LogCaptureFixture):
    policy = tiny_policy()
    before = weights_of(policy)
    groups = change_rows(on_policy_groups(policy), logprobs=shifted(3e-5))
    with caplog.at_level(logging.WARNING):
        take_step(passes_of(policy), optimizer_of(policy), groups, SETTINGS, step=1)
    assert "sampler_mismatch" in caplog.text
    assert not unchanged(policy, before)


def test_without_signal_nothing_is_computed_and_nothing_changes():
    policy = tiny_policy()
    before = weights_of(policy)
    step = take_step(
        passes_of(policy),
        optimizer_of(policy),
        sampled_by(on_policy_groups(policy, rewards=((1, 1), (0, 0))), 2),
        SETTINGS,
        step=3,
    )
    assert step.num_updates == 0
    assert step.metrics["analysis/zero_adv_groups"] == 2
    assert "training/loss" not in step.metrics
    assert unchanged(policy, before)


@pytest.mark.parametrize("reward", [math.nan, math.inf])
def test_a_reward_that_is_not_finite_stops_before_any_weight_changes(reward: float):
    policy = tiny_policy()
    before = weights_of(policy)
    settings = replace(SETTINGS, batch=BatchSettings(updates_per_step=2))
    groups = on_policy_groups(policy, rewards=((1, 0), (reward, 0)))
    with pytest.raises(TrainingError, match="episode 'task-1#0'"):
        take_step(passes_of(policy), optimizer_of(policy), groups, settings, step=1)
    assert unchanged(policy, before)


def test_a_gradient_that_is_not_finite_stops_with_the_weights_unchanged():
    policy = tiny_policy()
    before = weights_of(policy)
    settings = replace(SETTINGS, batch=BatchSettings(advantages=PLAIN))
    with pytest.raises(TrainingError, match="gradient of update 1 is not finite"):
        take_step(
            passes_of(policy),
            optimizer_of(policy),
            on_policy_groups(policy, rewards=((1e300, 0),)),
            settings,
            step=1,
        )
    assert unchanged(policy, before)
    assert all(parameter.grad is None for parameter in policy.model.parameters())
