"""Tokens of older versions: counted by hand, bounded, judged by nothing that holds for fresh ones alone.

p = 1 / VOCABULARY for every token. Step 5 starts from version 4. Attempt 0 has reward 1, ratios p / q of 1.5 and 1 from
versions 2 and 4; attempt 1 has reward 0, ratios 0.5, 1 and 2 from versions 2, 4 and 1; A = +-0.5.
"""

import math
import random
from dataclasses import replace

import pytest
import torch

from learner.material import (
    attempt,
    frozen,
    group,
    make_row,
    on_policy_groups,
    optimizer_of,
    passes_of,
    sampled_by,
    unchanged,
    uniform_policy,
    weights_of,
    with_rows,
)
from models.tiny import VOCABULARY, tiny_policy
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import SamplerMismatchError, StalenessError, TrainingError
from turnwright.core.group import TrainableAttempt, TrainableGroup
from turnwright.core.trajectory import Row
from turnwright.learner.batch import BatchSettings, build_batch
from turnwright.learner.credit import AdvantageSettings
from turnwright.learner.objective import LossSettings
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.step import StepSettings, take_step

PLAIN = BatchSettings(advantages=AdvantageSettings(normalization=False))
STALE = sampled_by([group("a", attempt("a", 0, 1.0, [1.5, 1.0]), attempt("a", 1, 0.0, [0.5, 1.0, 2.0]))], 2, 4, 1)
SETTINGS = StepSettings(batch=PLAIN, max_staleness=4)
CAP = LossSettings(truncated_importance_cap=1.3)
BAND = LossSettings(importance_band=(0.8, 1.3))


def metrics_of(groups: list[TrainableGroup], settings: StepSettings = SETTINGS, *, step: int = 5) -> dict[str, float]:
    policy = uniform_policy()
    return dict(take_step(passes_of(policy), optimizer_of(policy), groups, settings, step=step).metrics)


def test_staleness_is_counted_per_token():
    """d = 2, 0 and 2, 0, 3."""
    found = metrics_of(STALE)
    assert found["training/staleness/mean"] == pytest.approx(7 / 5)
    assert found["training/staleness/max"] == 3
    assert [found[f"training/staleness/tokens_{d}"] for d in range(5)] == [2, 0, 2, 1, 0]
    assert "training/staleness/tokens_5" not in found
    assert found["training/stale_frac"] == pytest.approx(3 / 5)
    assert found["training/trained_tokens"] == 5


def test_fresh_and_stale_tokens_are_measured_apart():
    """Ratios 1, 1 and 1.5, 0.5, 2; by staleness 1, 1 and 1.5, 0.5 and 2."""
    found = metrics_of(STALE)
    assert found["training/ratio/mean_fresh"] == pytest.approx(1, abs=1e-6)
    assert found["training/ratio/ess_fresh"] == pytest.approx(1, abs=1e-6)
    assert found["training/ratio/mean_stale"] == pytest.approx(4 / 3, abs=1e-6)
    assert found["training/ratio/ess_stale"] == pytest.approx(16 / (3 * 6.5), abs=1e-6)
    by_staleness = {name: value for name, value in found.items() if name.startswith("training/staleness/")}
    assert by_staleness["training/staleness/ratio_0"] == pytest.approx(1, abs=1e-6)
    assert by_staleness["training/staleness/ratio_2"] == pytest.approx(1, abs=1e-6)
    assert by_staleness["training/staleness/ess_2"] == pytest.approx(4 / (2 * 2.5), abs=1e-6)
    assert by_staleness["training/staleness/ratio_3"] == pytest.approx(2, abs=1e-6)
    assert by_staleness["training/staleness/ess_3"] == pytest.approx(1, abs=1e-6)
    assert not by_staleness.keys() & {"training/staleness/ratio_1", "training/staleness/ess_4"}
    assert found["training/policy_drift/mean"] == pytest.approx((math.log(1.5) + 2 * math.log(2)) / 3, abs=1e-6)
    assert found["training/policy_drift/max"] == pytest.approx(math.log(2), abs=1e-6)
    # w - 1 - log w of 1.5, 0.5 and 2.
    assert found["training/policy_drift/kl"] == pytest.approx((1 - math.log(1.5)) / 3, abs=1e-6)
    assert found["training/sampler_logprob_gap/max"] < 1e-6
    assert found["training/on_policy_ratio_mean"] == pytest.approx(1, abs=1e-6)
    assert found["training/on_policy_kl"] < 1e-6
    assert found["training/guard_tokens"] == 2


def test_by_staleness_it_is_the_sampler_s_ratio_whatever_the_loss_starts_from():
    found = metrics_of(STALE, replace(SETTINGS, proximal="recomputed"))
    assert found["training/ratio/mean_stale"] == pytest.approx(1, abs=1e-6)
    assert found["training/staleness/ratio_3"] == pytest.approx(2, abs=1e-6)


def test_a_synchronous_step_says_so_and_no_more():
    fresh = [group("a", attempt("a", 0, 1.0, [1.0] * 2), attempt("a", 1, 0.0, [1.0] * 3))]
    found = metrics_of(fresh, StepSettings(batch=PLAIN), step=1)
    names = {name.removeprefix("training/") for name in found if "stale" in name or "drift" in name}
    assert names == {"staleness/mean", "staleness/max", "staleness/tokens_0", "stale_frac"}
    assert (found["training/staleness/max"], found["training/staleness/tokens_0"]) == (0, 5)
    assert not any(name.endswith(("_fresh", "_stale")) for name in found)


@pytest.mark.parametrize(
    ("loss", "expected", "corrected"),
    [
        # u = w^(1/d): sqrt(1.5) is clipped to 1.2, sqrt(0.5) to 0.8 (A < 0), 2^(1/3) = 1.26 counts (A < 0).
        (LossSettings(), -(0.5 * (1.2 + 1) - 0.5 * (0.8 + 1 + 2 ** (1 / 3))) / 5, {}),
        # v = w^(1 - 1/d): sqrt(1.5) and sqrt(0.5) are below the cap, 2^(2/3) = 1.59 above.
        (
            CAP,
            -(0.5 * (1.5**0.5 * 1.2 + 1) - 0.5 * (0.5**0.5 * 0.8 + 1 + 1.3 * 2 ** (1 / 3))) / 5,
            {"training/proximal/capped_frac": 1 / 5},
        ),
        (BAND, -(0.5 * (1.5**0.5 * 1.2 + 1) - 0.5 * 1) / 5, {"training/proximal/outside_frac": 2 / 5}),
        (
            replace(CAP, loss_fn="importance_sampling"),
            -(0.5 * (1.5 + 1) - 0.5 * (0.5 + 1 + 1.3 * 2 ** (1 / 3))) / 5,
            {"training/proximal/capped_frac": 1 / 5},
        ),
    ],
)
def test_the_interpolated_proximal_policy(loss: LossSettings, expected: float, corrected: dict[str, float]):
    found = metrics_of(STALE, replace(SETTINGS, loss=loss, proximal="interpolated"))
    assert found["training/loss"] == pytest.approx(expected, abs=1e-6)
    weights = [1.5**0.5, 1.0, 0.5**0.5, 1.0, 2 ** (2 / 3)]
    assert found["training/proximal/ratio/mean"] == pytest.approx(sum(weights) / 5, abs=1e-6)
    assert found["training/proximal/ratio/max"] == pytest.approx(2 ** (2 / 3), abs=1e-6)
    ratios = [1.5**0.5, 1.0, 0.5**0.5, 1.0, 2 ** (1 / 3)]
    assert found["training/ratio/mean"] == pytest.approx(sum(ratios) / 5, abs=1e-6)
    assert {name: value for name, value in found.items() if name.endswith("ed_frac") or "outside" in name} == {
        name: pytest.approx(value) for name, value in corrected.items()
    }


def test_each_token_is_interpolated_with_the_weights_that_train_it():
    """With d = 2 both p / prox and prox / q are sqrt(p / q), in the second update too, for the p of that update."""
    policy = tiny_policy()
    groups = sampled_by(on_policy_groups(policy, rewards=((1, 0, 0), (0, 1, 0))), 0)
    settings = StepSettings(batch=BatchSettings(updates_per_step=2), proximal="interpolated", max_staleness=2)
    found = take_step(passes_of(policy), optimizer_of(policy, learning_rate=3e-2), groups, settings, step=3).metrics
    assert found["training/num_updates"] == 2
    assert abs(found["training/ratio/max"] - 1) > 1e-2
    for name in ("mean", "min", "max", "ess"):
        assert found[f"training/ratio/{name}"] == pytest.approx(found[f"training/proximal/ratio/{name}"], abs=1e-6)


@pytest.mark.parametrize(("allowed", "step"), [(2, 5), (0, 4), (3, 6)])
def test_a_token_that_is_too_old_stops_the_step_before_anything_is_computed(allowed: int, step: int):
    policy = tiny_policy()
    before, optimizer = weights_of(policy), optimizer_of(policy)
    start, oldest = step - 1, 1
    groups = sampled_by(on_policy_groups(policy), start)
    groups = [groups[0], *sampled_by(groups[1:], start, start - allowed if allowed else start, oldest)]
    with pytest.raises(
        StalenessError,
        match=rf"trained token \d+ \(turn 0\) of episode 'task-1#\d' was sampled by version 1, {start - 1} before the "
        rf"version {start} .*: expected at most {allowed} \(async_config\.max_steps_off_policy\)",
    ):
        take_step(passes_of(policy), optimizer, groups, StepSettings(batch=PLAIN, max_staleness=allowed), step=step)
    assert unchanged(policy, before)
    assert optimizer.num_done == 0
    assert all(parameter.grad is None for parameter in policy.model.parameters())


@pytest.mark.parametrize("version", [5, -1])
def test_a_token_of_no_version_or_of_one_to_come(version: int):
    policy = tiny_policy()
    before = weights_of(policy)
    groups = sampled_by(on_policy_groups(policy), 4, version)
    with pytest.raises(TrainingError, match=rf"episode 'task-0#\d' has policy version {version}, expected one from 0"):
        take_step(passes_of(policy), optimizer_of(policy), groups, replace(SETTINGS, max_staleness=64), step=5)
    assert unchanged(policy, before)


def moved(groups: list[TrainableGroup], by: dict[int, float]) -> list[TrainableGroup]:
    """Add to the sampler's log-probability of each token what its version says."""

    def change(row: Row) -> Row:
        pairs = zip(row.logprobs, row.policy_versions, strict=True)
        return replace(row, logprobs=tuple(min(0.0, value + by.get(version, 0.0)) for value, version in pairs))

    return with_rows(groups, change)


def test_the_guard_looks_at_fresh_tokens_alone():
    policy = tiny_policy()
    groups = sampled_by(on_policy_groups(policy), 4, 2, 1)
    drifted = moved(groups, {2: -0.7, 1: -1.5})
    found = take_step(passes_of(policy), optimizer_of(policy), drifted, SETTINGS, step=5).metrics
    assert found["training/sampler_logprob_gap/max"] < 1e-4
    assert 0.7 < found["training/policy_drift/mean"] < 1.5
    assert found["training/policy_drift/max"] == pytest.approx(1.5, abs=1e-4)
    assert 0 < found["training/guard_tokens"] < found["training/trained_tokens"]


def test_stale_tokens_do_not_hide_that_engine_and_learner_differ():
    """6e-5 on every fifth token is 1.2e-5 over all of them, which would be a warning, and 6e-5 over fresh ones."""
    policy = tiny_policy()
    before = weights_of(policy)
    groups = moved(sampled_by(on_policy_groups(policy), 2, 2, 2, 2, 4), {4: -6e-5})
    with pytest.raises(SamplerMismatchError, match="on tokens of the same weights"):
        take_step(passes_of(policy), optimizer_of(policy), groups, SETTINGS, step=5)
    assert unchanged(policy, before)


def test_without_a_fresh_token_there_is_nothing_to_compare():
    policy = tiny_policy()
    before = weights_of(policy)
    groups = moved(sampled_by(on_policy_groups(policy), 2), {2: -0.5})
    found = take_step(passes_of(policy), optimizer_of(policy), groups, SETTINGS, step=5).metrics
    assert found["training/guard_tokens"] == 0
    assert not any(name.startswith(("training/sampler_logprob_gap", "training/on_policy")) for name in found)
    assert found["training/policy_drift/mean"] == pytest.approx(0.5, abs=1e-4)
    assert found["training/ratio/ess_stale"] == found["training/ratio/ess"]
    assert "training/ratio/ess_fresh" not in found
    assert not unchanged(policy, before)


def test_what_was_certain_when_it_was_sampled_may_be_unlikely_now():
    loose = replace(SETTINGS, sampler_gap_warn=1e3, sampler_kl_warn=1e3)
    groups = [group("a", attempt("a", 0, 1.0, [1.0, 1 / VOCABULARY]), attempt("a", 1, 0.0, [1.0]))]
    certain = sampled_by(groups, 4, 3)
    assert certain[0].attempts[0].rows[0].logprobs[-1] == pytest.approx(0, abs=1e-6)
    certain = moved(certain, {3: 1.0})
    assert metrics_of(certain, loose)["training/num_updates"] == 1
    with pytest.raises(TrainingError, match=r"has log-probability 0\.0, so that it would have been certain"):
        metrics_of(sampled_by(certain, 4), loose)


def test_who_sampled_a_token_changes_neither_its_advantage_nor_its_weight():
    groups = on_policy_groups(tiny_policy(), rewards=((1, 0, 0.5), (0, 1), (1, 1)))
    settings = BatchSettings(updates_per_step=2)
    plain, mixed = (build_batch(some, settings) for some in (groups, sampled_by(groups, 3, 0, 2)))
    assert mixed.advantages == plain.advantages
    for ours, theirs in zip(mixed.updates, plain.updates, strict=True):
        assert [(one.advantages, one.weight) for one in ours] == [(one.advantages, one.weight) for one in theirs]


def old_groups(seed: int) -> list[TrainableGroup]:
    """Return groups of rows whose tokens are of any version from 0 to 64, the more adrift the older they are.

    Replies share sampled prefixes, whose tokens have another version and log-probability in each row.
    """
    generator = random.Random(seed)
    groups = on_policy_groups(tiny_policy(), seed=seed, rewards=((1, 0, 0, 1), (0, 1, 0.5)))
    key = EpisodeKey(task_id="task-0", attempt=9)
    (row,) = groups[0].attempts[0].rows
    exact = [value for value, on in zip(row.logprobs, row.trained, strict=True) if on]
    temperature = row.temperature[row.trained.index(True)]
    copied = make_row(key, row.token_ids, row.trained, exact, temperature)
    groups[0] = replace(
        groups[0], attempts=(*groups[0].attempts, TrainableAttempt(key=key, reward=0.25, rows=(copied,)))
    )

    def age(row: Row) -> Row:
        versions, logprobs = [-1] * len(row.trained), [0.0] * len(row.trained)
        for place, on in enumerate(row.trained):
            if on:
                versions[place] = generator.choice((64, generator.randint(0, 64)))
                drift = generator.gauss(0, 0.1 * (64 - versions[place]))
                logprobs[place] = min(0.0, row.logprobs[place] + drift)
        return replace(row, policy_versions=tuple(versions), logprobs=tuple(logprobs))

    return with_rows(groups, age)


@pytest.mark.slow
@pytest.mark.parametrize("proximal", ["sampler", "recomputed", "interpolated"])
@pytest.mark.parametrize("loss_fn", ["ppo", "cispo", "importance_sampling", "gspo"])
def test_64_steps_old_and_mixed_within_every_reply(loss_fn, proximal):
    loss = LossSettings(
        loss_fn=loss_fn, entropy_coefficient=0.01, truncated_importance_cap=None if proximal == "sampler" else 2.0
    )
    batch = BatchSettings(updates_per_step=2, aggregation="rollout")
    settings = StepSettings(batch=batch, loss=loss, proximal=proximal, max_staleness=64)
    policy = tiny_policy()
    before = weights_of(policy)
    step = take_step(passes_of(policy), optimizer_of(policy), old_groups(7), settings, step=65)
    found = step.metrics
    assert step.num_updates == 2
    assert all(math.isfinite(value) for value in found.values()), found
    assert found["training/staleness/max"] <= 64
    assert sum(found[f"training/staleness/tokens_{d}"] for d in range(65)) == found["training/trained_tokens"]
    assert 0 < found["training/guard_tokens"] < found["training/trained_tokens"]
    assert 0 < found["training/ratio/ess"] <= 1
    assert not unchanged(policy, before)
    assert all(weight.isfinite().all() for weight in weights_of(policy))


@pytest.mark.slow
@pytest.mark.parametrize("proximal", ["recomputed", "interpolated"])
def test_micro_batches_and_trees_add_up_with_mixed_versions(proximal):
    loss = LossSettings(kl_coefficient=0.01, truncated_importance_cap=2.0)
    settings = StepSettings(batch=BatchSettings(), loss=loss, proximal=proximal, max_staleness=64)
    found: list[tuple[float, torch.Tensor]] = []
    for layout in (
        PassSettings(layout="dense"),
        PassSettings(layout="dense", tokens_per_microbatch=1),
        PassSettings(layout="tree"),
        PassSettings(layout="tree", tokens_per_microbatch=40),
    ):
        policy = tiny_policy()
        optimizer = optimizer_of(policy)
        step = take_step(Passes(policy, layout), optimizer, old_groups(3), settings, step=65,
                         reference=frozen(tiny_policy(seed=1)))  # fmt: skip
        gradient = torch.cat([part.flatten() for part in optimizer.gradients[0]])
        found.append((step.metrics["training/staleness/mean"], gradient))
    for staleness, gradient in found[1:]:
        assert staleness == found[0][0]
        assert (gradient - found[0][1]).abs().max() <= 1e-5 * found[0][1].abs().max() + 1e-7
