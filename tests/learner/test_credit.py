"""From the rewards of a step to the advantage of each turn, and to the gradient of every method and loss."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import pytest
import torch

from learner.material import attempt, group, make_row, on_policy_groups, optimizer_of, passes_of
from models.tiny import VOCABULARY, tiny_policy
from turnwright.config.algorithm import AdvantageMethod, LossName
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import TrainingError
from turnwright.core.group import TrainableAttempt, TrainableGroup
from turnwright.learner.batch import BatchSettings, build_batch
from turnwright.learner.credit import AdvantageSettings
from turnwright.learner.objective import LossSettings
from turnwright.learner.step import StepSettings, take_step
from turnwright.models.load import Policy

METHODS: tuple[AdvantageMethod, ...] = get_args(AdvantageMethod)
LOSSES: tuple[LossName, ...] = get_args(LossName)
THRESHOLDS: Mapping[LossName, tuple[float, float]] = {
    "importance_sampling": (0.0, math.inf), "ppo": (0.8, 1.2), "cispo": (0.0, 1.1), "gspo": (0.95, 1.05),
}  # fmt: skip


def turned(task: str, number: int, turn_rewards: Mapping[int, float], tokens: Mapping[int, int]) -> TrainableAttempt:
    """Return an attempt of one row whose turns sampled so many tokens each, at ratio 1 under ``uniform_policy``."""
    key = EpisodeKey(task_id=task, attempt=number)
    count = sum(tokens.values())
    row = make_row(key, range(1, 3 + count), (False, False, *[True] * count), [-math.log(VOCABULARY)] * count)
    sampled = [turn for turn, times in tokens.items() for _ in range(times)]
    row = replace(row, turn_index=(-1, -1, *sampled))
    return TrainableAttempt(key=key, reward=sum(turn_rewards.values()), rows=(row,), turn_rewards=turn_rewards)


def advantages(groups: list[TrainableGroup], **settings: object) -> dict[tuple[str, int], tuple[float, ...]]:
    """Return the advantages of the tokens of each attempt."""
    batch = build_batch(groups, BatchSettings(advantages=AdvantageSettings(**settings)))  # type: ignore[arg-type]
    return {
        (entry.row.key.task_id, entry.row.key.attempt): entry.advantages for rows in batch.updates for entry in rows
    }


A = group("a", attempt("a", 0, 1.0, [1.0] * 2), attempt("a", 1, 0.0, [1.0] * 6))
B = group("b", attempt("b", 0, 0.5, [1.0]), attempt("b", 1, 0.5, [1.0]))


@pytest.mark.parametrize(
    ("settings", "first", "second"),
    [
        ({"method": "rloo"}, 1.0, -1.0),
        # Baseline (2 * 1 + 6 * 0) / 8 = 0.25
        ({"method": "opo"}, 0.75, -0.25),
        ({"method": "grpo_passk", "k": 2}, 1.0, 0.0),
        ({"method": "grpo_passk", "k": 7}, 1.0, 0.0),
        ({"method": "grpo_passk", "k_form": "max_minus_second"}, 1.0, 0.0),
        # alpha = 4 attempts / 2 in groups with signal
        ({"method": "gpg"}, 1.0, -1.0),
        ({"method": "group_based", "normalization": False}, 0.5, -0.5),
    ],
)
def test_methods_that_compare_within_a_group(settings: dict, first: float, second: float) -> None:
    found = advantages([A, B], **settings)
    assert found == {("a", 0): pytest.approx((first,) * 2), ("a", 1): pytest.approx((second,) * 6)}


def test_over_the_tokens_of_the_step() -> None:
    # Tokens 1, 1, six 0 and 0.5, 0.5: mean 0.3; the group of equal rewards has signal, for nothing is compared in it.
    tokens = torch.tensor([1.0] * 2 + [0.0] * 6 + [0.5] * 2, dtype=torch.float64)
    found = advantages([A, B], method="reinforce_pp")
    scale = tokens.std().item() + 1e-6
    assert found[("a", 0)] == pytest.approx((0.7 / scale,) * 2)
    assert found[("b", 1)] == pytest.approx((0.2 / scale,))
    # Less the group's mean first: 0.5, 0.5, six -0.5, with mean -0.25; the equal group is left out.
    centred = torch.tensor([0.5] * 2 + [-0.5] * 6, dtype=torch.float64)
    found = advantages([A, B], method="reinforce_pp_baseline")
    assert found == {
        ("a", 0): pytest.approx((0.75 / (centred.std().item() + 1e-6),) * 2),
        ("a", 1): pytest.approx((-0.25 / (centred.std().item() + 1e-6),) * 6),
    }


TURNS = group(
    "t", turned("t", 0, {0: 0.0, 1: 1.0}, {0: 1, 1: 2}), turned("t", 1, {0: 1.0, 1: 0.0}, {0: 2, 1: 1})
)  # fmt: skip


def test_credit_lands_on_the_tokens_of_the_turn() -> None:
    """Equal sums, so that only turns tell the attempts apart: returns (1, 1) and (1, 0)."""
    assert advantages([TURNS], method="group_based") == {}
    found = advantages([TURNS], method="group_based_per_turn", normalization=False)
    assert found == {("t", 0): (0.0, 0.5, 0.5), ("t", 1): (0.0, 0.0, -0.5)}
    found = advantages([TURNS], method="monte_carlo", gamma=0.5)
    assert found == {("t", 0): (0.5, 1.0, 1.0), ("t", 1): (1.0, 1.0, 0.0)}


def test_a_reward_for_the_whole_is_the_last_turns() -> None:
    whole = group("w", replace(turned("w", 0, {}, {0: 1, 2: 1}), reward=4.0))
    assert advantages([whole], method="monte_carlo", gamma=0.5) == {("w", 0): (2.0, 4.0)}


def test_the_analytic_form_says_which_rewards_it_cannot_take() -> None:
    half = group("h", *(attempt("h", number, reward, [1.0]) for number, reward in enumerate((0.0, 0.5, 1.0))))
    with pytest.raises(TrainingError, match=r"set algorithm\.advantage_k_form = 'subset'; no weight was changed"):
        advantages([half], method="grpo_passk", k_form="analytic", k=2)


def test_a_lone_survivor_counts_where_nothing_is_compared() -> None:
    alone = group("l", attempt("l", 0, 1.0, [1.0]))
    assert build_batch([alone], BatchSettings(advantages=AdvantageSettings(method="rloo"))).num_small_groups == 1
    assert advantages([alone], method="monte_carlo") == {("l", 0): (1.0,)}


RATIOS = (1.3, 0.7, 1.0, 1.4, 0.6)


def spread_groups(policy: Policy) -> list[TrainableGroup]:
    """Return groups whose attempts differ in tokens, size, reward and rewards per turn, at ratios around each clip."""
    groups = on_policy_groups(policy, rewards=((1, 0, 0, 1), (0, 1, 0, 0), (1, 1, 1, 1)))
    return [replace(one, attempts=tuple(_with_turns(a) for a in one.attempts)) for one in groups]


def _with_turns(one: TrainableAttempt) -> TrainableAttempt:
    (row,) = one.rows
    half = row.num_trained_tokens // 2
    numbers = itertools.count()
    place = [next(numbers) if on else -1 for on in row.trained]
    changed = replace(
        row,
        turn_index=tuple(-1 if n < 0 else int(n >= half) for n in place),
        logprobs=tuple(
            q if n < 0 else q - math.log(RATIOS[n % len(RATIOS)]) for n, q in zip(place, row.logprobs, strict=True)
        ),
    )
    first = 0.25 * half
    rewards = {0: first, 1: one.reward - first} if half else {1: one.reward}
    return replace(one, rows=(changed,), turn_rewards=rewards)


def gradients(method: AdvantageMethod, loss: LossName, *, steps: int) -> torch.Tensor:
    """Return the gradient of each of some steps, [steps, parameters]."""
    policy = tiny_policy()
    optimizer = optimizer_of(policy, learning_rate=1e-5)
    low, high = THRESHOLDS[loss]
    settings = StepSettings(
        batch=BatchSettings(
            advantages=AdvantageSettings(method=method, gamma=0.9 if method in ("monte_carlo",) else 1.0, k=3),
            aggregation="rollout" if loss == "gspo" else "token",
        ),
        loss=LossSettings(loss_fn=loss, clip_low_threshold=low, clip_high_threshold=high),
        max_staleness=steps,
        sampler_gap_warn=1e3,
        sampler_kl_warn=1e3,
    )
    passes, groups = passes_of(policy), spread_groups(policy)
    for number in range(1, steps + 1):
        step = take_step(passes, optimizer, groups, settings, step=number)
        assert all(math.isfinite(value) for value in step.metrics.values())
    return torch.stack([torch.cat([part.flatten() for part in found]) for found in optimizer.gradients])


@pytest.mark.slow
def test_every_method_with_every_loss_has_a_gradient_of_its_own() -> None:
    found = {(method, loss): gradients(method, loss, steps=3) for method in METHODS for loss in LOSSES}
    for pair, each in found.items():
        assert torch.isfinite(each).all(), pair
        assert (each.norm(dim=1) > 0).all(), pair
    for (one, first), (other, second) in itertools.combinations(found.items(), 2):
        assert (first[0] - second[0]).norm() > 1e-6 * first[0].norm(), (one, other)
