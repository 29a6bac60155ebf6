"""Settings of the algorithm grid: what they resolve to, and combinations that are refused with their cure."""

from typing import Any

import pytest
from pydantic import ValidationError

from turnwright.config import RunConfig
from turnwright.config.algorithm import Algorithm


def algorithm(max_steps_off_policy: int = 0, **settings: Any) -> Algorithm:
    values = {
        "environment": {"name": "orders"},
        "algorithm": settings,
        "async_config": {"max_steps_off_policy": max_steps_off_policy},
    }
    return RunConfig.model_validate(values).algorithm


@pytest.mark.parametrize(
    ("settings", "thresholds"),
    [
        ({}, (0.8, 1.2)),
        ({"loss_fn": "ppo", "clip_high_threshold": 1.5}, (0.8, 1.5)),
        ({"loss_fn": "cispo"}, (0.0, 6.0)),
        ({"loss_fn": "cispo", "clip_low_threshold": 1.0, "literal_thresholds": True}, (1.0, 6.0)),
        ({"loss_fn": "importance_sampling"}, (0.0, float("inf"))),
        ({"loss_fn": "gspo", "aggregation": "rollout"}, (0.9997, 1.0004)),
    ],
)
def test_each_loss_has_its_own_thresholds(settings: dict[str, Any], thresholds: tuple[float, float]) -> None:
    assert algorithm(**settings).clip_thresholds == pytest.approx(thresholds)


@pytest.mark.parametrize(("settings", "k"), [({}, 4), ({"group_size": 2}, 2), ({"group_size": 5}, 2)])
def test_the_best_of_half_the_group(settings: dict[str, Any], k: int) -> None:
    assert algorithm(**settings).best_of == k


def test_what_belongs_together_is_accepted() -> None:
    assert algorithm(kl_coefficient=0.1).divergence_form == "k2"
    penalised = algorithm(kl_coefficient=0.1, kl_placement="reward", advantage_method="reinforce_pp")
    assert penalised.divergence_form == "k1"
    own = algorithm(advantage_method="mine.py:advantage", loss_fn="pack.age:loss")
    assert own.clip_thresholds == (0.0, float("inf"))
    assert algorithm(advantage_method="grpo_passk", advantage_k=8, group_size=8).best_of == 8
    assert algorithm(advantage_method="monte_carlo", gamma=0.9).gamma == 0.9
    for weight in ({}, {"truncated_importance_cap": 2.0}, {"importance_band": [0.5, 5.0]}):
        assert algorithm(2, proximal="interpolated", **weight).proximal == "interpolated"
        assert algorithm(2, **weight).proximal is None
    assert not algorithm(advantage_method="group_based_per_turn", advantage_normalization=False).advantage_normalization


@pytest.mark.parametrize(
    ("ahead", "settings", "expected"),
    [
        (0, {}, ("sampler", None, None)),
        (1, {}, ("recomputed", 2.0, None)),
        (8, {"truncated_importance_cap": 5.0}, ("recomputed", 5.0, None)),
        (8, {"importance_band": [0.5, 5.0]}, ("recomputed", None, (0.5, 5.0))),
        # What is said is done, with nothing added.
        (8, {"proximal": "sampler"}, ("sampler", None, None)),
        (8, {"proximal": "recomputed"}, ("recomputed", None, None)),
        (0, {"proximal": "recomputed", "truncated_importance_cap": 3.0}, ("recomputed", 3.0, None)),
    ],
)
def test_a_run_that_runs_ahead_corrects_unless_it_is_told_otherwise(
    ahead: int, settings: dict[str, Any], expected: tuple[str, float | None, tuple[float, float] | None]
) -> None:
    found = algorithm(ahead, **settings).correction(max_steps_off_policy=ahead)
    assert (found.proximal, found.truncated_importance_cap, found.importance_band) == expected


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"advantage_method": "rloo", "advantage_normalization": False},
            "has no effect with algorithm.advantage_method",
        ),
        ({"gamma": 0.9}, "algorithm.gamma = 0.9 has no effect with algorithm.advantage_method = 'group_based'"),
        ({"advantage_method": "gpg", "normalise": "live"}, "without signal twice"),
        ({"advantage_k": 2}, "algorithm.advantage_k = 2 has no effect"),
        ({"advantage_k_form": "analytic"}, "it is grpo_passk's; remove it"),
        ({"advantage_method": "grpo_passk", "advantage_k": 9}, "must be at most 8 with algorithm.group_size = 8"),
        ({"advantage_method": "grpo_passk", "advantage_k": 8, "advantage_k_form": "analytic"}, "must be at most 7"),
        (
            {"advantage_method": "grpo_passk", "advantage_k": 2, "advantage_k_form": "max_minus_second"},
            "counts the best of the whole group",
        ),
        ({"aggregation": "constant"}, "needs algorithm.aggregation_tokens"),
        ({"aggregation_tokens": 64}, "has no effect with algorithm.aggregation = 'token'"),
        ({"kl_form": "k3"}, "has no effect with algorithm.kl_coefficient = 0.0"),
        ({"kl_coefficient": 0.1, "kl_form": "k1"}, "the gradient of k1 is 0"),
        (
            {"kl_coefficient": 0.1, "kl_placement": "reward", "kl_form": "k3", "advantage_method": "reinforce_pp"},
            "only k1 in the reward",
        ),
        ({"kl_coefficient": 0.1, "kl_placement": "reward"}, "a reward per token is reinforce_pp's"),
        ({"truncated_importance_cap": 2.0}, "has no effect with algorithm.proximal = 'sampler'"),
        ({"importance_band": [0.5, 5.0]}, "set algorithm.proximal = 'recomputed'"),
        (
            {"proximal": "interpolated"},
            "no effect with async_config.max_steps_off_policy = 0: up to one step off policy",
        ),
        ({"proximal": "recomputed", "importance_band": [1.5, 5.0]}, "must lie around 1"),
        (
            {"proximal": "recomputed", "importance_band": [0.5, 5.0], "truncated_importance_cap": 2.0},
            "would correct one ratio twice",
        ),
        ({"max_ngram_size": 4}, "has no effect without algorithm.max_repeated_tokens"),
        ({"loss_fn": "importance_sampling", "clip_high_threshold": 2.0}, "which clips nothing"),
        ({"loss_fn": "cispo", "dual_clip": 3.0}, "algorithm.dual_clip = 3.0 has no effect with algorithm.loss_fn"),
        ({"dual_clip": 1.1}, "must be above algorithm.clip_high_threshold = 1.2; the paper has 3"),
        ({"loss_fn": "cispo", "clip_low_threshold": 1.0}, "would raise every ratio below 1 to 1"),
        ({"literal_thresholds": True}, "has no effect without algorithm.loss_fn = 'cispo'"),
        ({"loss_fn": "gspo"}, "set algorithm.aggregation = 'rollout'"),
    ],
)
def test_what_cannot_mean_what_it_says_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as raised:
        algorithm(**settings)
    assert problem in str(raised.value)
