"""Micro-batches add up: however rows are laid out in passes and groups ordered, an update has one gradient."""

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch

from learner.material import RecordingOptimizer, on_policy_groups, optimizer_of
from models.tiny import tiny_policy
from turnwright.algorithms.reduce import Aggregation
from turnwright.config.algorithm import CLIP_THRESHOLDS, LossName
from turnwright.core.group import TrainableAttempt, TrainableGroup
from turnwright.learner.batch import BatchSettings
from turnwright.learner.objective import LossSettings
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.step import StepSettings, take_step

pytestmark = pytest.mark.slow

LOSSES: tuple[LossName, ...] = get_args(LossName)
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)
ONE_ROW = PassSettings(tokens_per_microbatch=1, layout="dense")
SOME = PassSettings(tokens_per_microbatch=60)
ALL = PassSettings(tokens_per_microbatch=100_000, layout="tree")
"""One tree of all rows, each distinct token once."""


def _off_policy(attempt: TrainableAttempt) -> TrainableAttempt:
    """Spread the ratios of an attempt around the clips."""
    (row,) = attempt.rows
    values = enumerate(zip(row.logprobs, row.trained, strict=True))
    row = replace(row, logprobs=tuple(q + 0.3 * math.sin(t) - 0.3 if on else 0.0 for t, (q, on) in values))
    return replace(attempt, rows=(row,))


@pytest.fixture(scope="module")
def groups() -> list[TrainableGroup]:
    made = on_policy_groups(tiny_policy(), rewards=((1, 0, 0.5), (0, 1, 0), (1, 1)))
    return [replace(one, attempts=tuple(map(_off_policy, one.attempts))) for one in made]


def update(
    groups: list[TrainableGroup], settings: StepSettings, layout: PassSettings
) -> tuple[float, torch.Tensor, float]:
    """Return loss, gradient and number of passes."""
    policy = tiny_policy()
    optimizer: RecordingOptimizer = optimizer_of(policy)
    passes = Passes(policy, layout)
    metrics = take_step(passes, optimizer, groups, settings, step=1).metrics
    gradient = torch.cat([part.flatten() for part in optimizer.gradients[0]])
    return metrics["training/loss"], gradient, metrics["training/num_passes"]


def settings_of(loss: LossName, aggregation: Aggregation) -> StepSettings:
    low, high = CLIP_THRESHOLDS[loss]
    return StepSettings(
        batch=BatchSettings(aggregation=aggregation, aggregation_tokens=11 if aggregation == "constant" else None),
        loss=LossSettings(loss_fn=loss, clip_low_threshold=low, clip_high_threshold=high),
        sampler_gap_warn=1e3,
        sampler_kl_warn=1e3,
    )


def same(found: tuple[float, torch.Tensor, float], expected: tuple[float, torch.Tensor, float]) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-5, abs=1e-6)
    assert (found[1] - expected[1]).abs().max() <= 1e-5 * expected[1].abs().max()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_one_row_per_pass_adds_up_to_one_tree_of_all(
    groups: list[TrainableGroup], loss: LossName, aggregation: Aggregation
) -> None:
    settings = settings_of(loss, aggregation)
    single, whole = (update(groups, settings, layout) for layout in (ONE_ROW, ALL))
    assert (single[2], whole[2]) == (6, 1)
    assert whole[1].norm() > 0
    same(single, whole)


def test_with_entropy_and_a_recomputed_proximal_policy(groups: list[TrainableGroup]) -> None:
    plain = settings_of("ppo", "token")
    loss = replace(plain.loss, entropy_coefficient=0.02, truncated_importance_cap=1.1)
    settings = replace(plain, loss=loss, proximal="recomputed")
    whole = update(groups, settings, ALL)
    same(update(groups, settings, SOME), whole)
    same(update(groups, settings, ONE_ROW), whole)


@pytest.mark.parametrize("loss", ["ppo", "gspo"])
def test_the_order_of_groups_and_attempts_does_not_matter(groups: list[TrainableGroup], loss: LossName) -> None:
    settings = settings_of(loss, "rollout")
    backwards = [replace(one, attempts=one.attempts[::-1]) for one in groups[::-1]]
    same(update(backwards, settings, SOME), update(groups, settings, SOME))


def test_aggregations_are_different_gradients(groups: list[TrainableGroup]) -> None:
    """Attempts here differ in length; sequence and rollout are one for attempts of one row."""
    found = {name: update(groups, settings_of("ppo", name), ALL)[1] for name in AGGREGATIONS}
    assert torch.equal(found["sequence"], found["rollout"])
    for one, other in (("token", "rollout"), ("rollout", "constant")):
        assert (found[one] - found[other]).norm() > 0.05 * found[one].norm()
    # Token and constant have one direction: they differ by the factor N / (M L) alone.
    tokens = sum(a.num_sampled_tokens for one in groups for a in one.attempts)
    torch.testing.assert_close(found["constant"], found["token"] * tokens / (8 * 11), rtol=1e-4, atol=1e-7)
