"""What would make training quietly wrong is an error, and the weights are what they were."""

import math
from dataclasses import replace

import pytest
import torch

from learner.material import attempt, group, make_row, on_policy_groups, optimizer_of, passes_of, unchanged, weights_of
from models.tiny import tiny_policy
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import TrainingError
from turnwright.core.group import TrainableAttempt, TrainableGroup
from turnwright.learner.batch import BatchSettings, build_batch
from turnwright.learner.credit import AdvantageSettings
from turnwright.learner.step import StepSettings, take_step

# Loose enough for an engine in bfloat16: what is missing must be found all the same.
SETTINGS = StepSettings(batch=BatchSettings(), sampler_gap_warn=1e3, sampler_kl_warn=1e3)


def with_logprob(groups: list[TrainableGroup], value: float) -> list[TrainableGroup]:
    """Give one token of the second attempt another log-probability."""
    one = groups[0].attempts[1]
    (row,) = one.rows
    place = row.trained.index(True)
    changed = replace(row, logprobs=(*row.logprobs[:place], value, *row.logprobs[place + 1 :]))
    attempts = (groups[0].attempts[0], replace(one, rows=(changed,)), *groups[0].attempts[2:])
    return [replace(groups[0], attempts=attempts), *groups[1:]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.5])
def test_a_log_probability_that_no_sampled_token_has(value: float):
    policy = tiny_policy()
    before = weights_of(policy)
    groups = with_logprob(on_policy_groups(policy), value)
    with pytest.raises(TrainingError, match=r"trained token \d+ \(turn 0\) of episode 'task-0#1' has log-probability "):
        take_step(passes_of(policy), optimizer_of(policy), groups, SETTINGS, step=1)
    assert unchanged(policy, before)


def test_a_log_probability_that_was_never_recorded():
    policy = tiny_policy()
    before = weights_of(policy)
    groups = with_logprob(on_policy_groups(policy), 0.0)
    with pytest.raises(TrainingError, match=r"episode 'task-0#1' has log-probability 0\.0, .* are missing"):
        take_step(passes_of(policy), optimizer_of(policy), groups, SETTINGS, step=1)
    assert unchanged(policy, before)
    assert all(parameter.grad is None for parameter in policy.model.parameters())


def test_no_token_to_train_on_is_not_the_same_as_no_signal():
    policy = tiny_policy()
    silent = [group("a", attempt("a", 0, 1.0, []), attempt("a", 1, 0.0, []))]
    with pytest.raises(TrainingError, match="none of the 2 attempts of the step, such as 'a#0', has a token to train"):
        take_step(passes_of(policy), optimizer_of(policy), silent, SETTINGS, step=1)
    equal = [group("a", attempt("a", 0, 1.0, [1.0]), attempt("a", 1, 1.0, [1.0]))]
    for groups in (equal, [group("a")]):
        assert take_step(passes_of(policy), optimizer_of(policy), groups, SETTINGS, step=1).num_updates == 0


def test_rewards_whose_difference_single_precision_loses():
    lost = group("a", attempt("a", 0, 1e-60, [1.0]), attempt("a", 1, 0.0, [1.0]))
    with pytest.raises(TrainingError, match=r"at task 'a', rewards \[1e-60, 0\.0\], are all 0 in single precision"):
        build_batch([lost], BatchSettings(advantages=AdvantageSettings(normalization=False)))


def test_the_best_of_k_that_nobody_adds_to_is_no_signal():
    """Rewards 1, 1, 0 and k = 3: whoever leaves, the best stays 1."""
    saturated = group("a", *(attempt("a", number, reward, [1.0]) for number, reward in enumerate((1.0, 1.0, 0.0))))
    batch = build_batch([saturated], BatchSettings(advantages=AdvantageSettings(method="grpo_passk", k=3)))
    assert (batch.num_live_groups, batch.zero_adv_nonzero_reward, batch.updates) == (0, 1, ())
    batch = build_batch([saturated], BatchSettings(advantages=AdvantageSettings(method="grpo_passk", k=2)))
    assert batch.advantages == (0.5, 0.5, 0.0)


def test_turns_of_other_rewards_and_equal_returns_are_no_signal():
    """0.5 + 0.5 against 1 at once: no turn is better than the other's."""

    def turned(number: int, rewards: dict[int, float]):
        made = attempt("a", number, 1.0, [1.0] * len(rewards))
        row = replace(made.rows[0], turn_index=(-1, -1, *rewards))
        return replace(made, rows=(row,), turn_rewards=rewards)

    method = AdvantageSettings(method="group_based_per_turn")
    equal = group("a", turned(0, {0: 0.5, 1: 0.5}), turned(1, {0: 1.0}))
    assert build_batch([equal], BatchSettings(advantages=method)).num_live_groups == 0
    better = group("a", turned(0, {0: 0.5, 1: 0.5}), turned(1, {0: 1.0, 1: 0.0}))
    assert build_batch([better], BatchSettings(advantages=method)).num_live_groups == 1


@pytest.mark.parametrize("method", ["monte_carlo", "reinforce_pp"])
def test_an_update_of_advantages_that_are_all_0_is_left_out(method):
    """Rewards 0.1 have a mean that is rounded: their advantages are 0 all the same, and AdamW does not move on them."""
    value = 0.1 if method == "reinforce_pp" else 0.0
    groups = [group("a", *(attempt("a", number, value, [1.0] * 7) for number in range(3)))]
    batch = build_batch(groups, BatchSettings(advantages=AdvantageSettings(method=method)))
    assert (set(batch.advantages), batch.updates, batch.num_live_groups) == ({0.0}, (), 1)


def test_tokens_sampled_later_pay_for_no_earlier_ones_whatever_their_row():
    """Turns 0 and 2 are in one row, turn 1 in another: 1 - sum over s >= t of 0.1, 0.2, 0.4 in that order."""
    key = EpisodeKey(task_id="a", attempt=0)
    rows = (
        replace(make_row(key, (1, 2, 3), (False, True, True), [-1.0, -1.0]), turn_index=(-1, 0, 2)),
        replace(make_row(key, (1, 2), (False, True), [-1.0]), turn_index=(-1, 1)),
    )
    one = group("a", TrainableAttempt(key=key, reward=1.0, rows=rows))
    settings = BatchSettings(advantages=AdvantageSettings(method="reinforce_pp", kl_coefficient=1.0))
    batch = build_batch([one], settings, divergence={key: [torch.tensor([0.1, 0.4]), torch.tensor([0.2])]})
    # 0.3, 0.4, 0.6 in the order they were sampled; mean 13 / 30.
    values = torch.tensor([0.3, 0.6, 0.4], dtype=torch.float64)
    expected = ((values - values.mean()) / (values.std() + 1e-6)).tolist()
    assert batch.updates[0][0].advantages == pytest.approx(expected[:2], abs=1e-6)
    assert batch.updates[0][1].advantages == pytest.approx(expected[2:], abs=1e-6)
