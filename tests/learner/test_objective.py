"""Every term and correction by hand, through a whole step.

p = 1 / VOCABULARY for every token, so log p = -log 61. Attempt 0 has reward 1 and ratios p / q of 1.5 and 1; attempt 1
has reward 0 and ratios 0.5, 1 and 2; without normalisation A = +-0.5. The reference lies D = 0.5 below log p.
"""

import math
from dataclasses import replace

import pytest
import torch

from learner.material import (
    FixedReference,
    attempt,
    frozen,
    group,
    on_policy_groups,
    optimizer_of,
    passes_of,
    uniform_policy,
)
from models.tiny import VOCABULARY, tiny_policy
from turnwright.core.errors import SamplerMismatchError, TrainingError
from turnwright.core.group import TrainableGroup
from turnwright.learner.batch import BatchSettings
from turnwright.learner.credit import AdvantageSettings
from turnwright.learner.objective import LossSettings
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.step import StepSettings, take_step

PLAIN = BatchSettings(advantages=AdvantageSettings(normalization=False))
SPREAD = [group("a", attempt("a", 0, 1.0, [1.5, 1.0]), attempt("a", 1, 0.0, [0.5, 1.0, 2.0]))]
EQUAL = [group("a", attempt("a", 0, 1.0, [1.5, 1.0]), attempt("a", 1, 1.0, [0.5, 1.0, 2.0]))]
"""The same without signal."""
FRESH = [group("a", attempt("a", 0, 1.0, [1.0] * 2), attempt("a", 1, 0.0, [1.0] * 3))]
D = 0.5
K3 = math.exp(-D) - 1 + D


def settings(batch: BatchSettings = PLAIN, loss: LossSettings | None = None, **changes) -> StepSettings:
    """Return settings that take ratios far from 1 for what they are."""
    given = StepSettings(batch=batch, loss=loss or LossSettings(), sampler_gap_warn=1e3, sampler_kl_warn=1e3)
    return replace(given, **changes)


def metrics_of(groups: list[TrainableGroup], given: StepSettings, log_ratio: float | None = None) -> dict[str, float]:
    policy = uniform_policy()
    reference = None if log_ratio is None else FixedReference(log_ratio)
    step = take_step(passes_of(policy), optimizer_of(policy), groups, given, step=1, reference=reference)
    return dict(step.metrics)


@pytest.mark.parametrize(
    ("form", "expected"),
    # w d^2 / 2 with the ratios' sum of 6; w k3 likewise; k3 alone, of 5 tokens. Each over N = 5.
    [("k2", 6 * D**2 / 2 / 5), ("k3", 6 * K3 / 5), ("grpo_k3", K3)],
)
def test_the_divergence_alone_where_nothing_else_has_a_signal(form, expected: float):
    loss = LossSettings(kl_coefficient=0.4, kl_form=form)
    found = metrics_of(EQUAL, settings(loss=loss), D)
    assert found["training/loss"] == pytest.approx(0.4 * expected, abs=1e-6)
    assert found["training/kl_term"] == pytest.approx(0.4 * expected, abs=1e-6)
    assert found["training/kl_to_reference"] == pytest.approx(K3, abs=1e-6)
    assert found["training/log_ratio_to_reference"] == pytest.approx(D, abs=1e-6)
    assert (found["analysis/live_groups"], found["training/num_updates"]) == (0, 1)


def test_entropy_is_a_bonus():
    found = metrics_of(EQUAL, settings(loss=LossSettings(entropy_coefficient=0.1)))
    assert found["training/entropy_bonus"] == pytest.approx(0.1 * math.log(VOCABULARY), abs=1e-6)
    assert found["training/loss"] == pytest.approx(-0.1 * math.log(VOCABULARY), abs=1e-6)


def test_policy_loss_divergence_and_entropy_add_up():
    """ppo: -(0.5 * 2.2 - 0.5 * 3.8) / 5 = 0.16."""
    loss = LossSettings(kl_coefficient=0.4, entropy_coefficient=0.1)
    found = metrics_of(SPREAD, settings(loss=loss), D)
    assert found["training/loss"] == pytest.approx(0.16 + 0.4 * 0.15 - 0.1 * math.log(VOCABULARY), abs=1e-6)


def test_terms_of_all_groups_have_one_weight_whatever_the_policy_loss_counts():
    """N = 5 in the policy loss and 10 in the divergence, whose ratios sum to 12: 0.4 * 12 / 10 * 0.125."""
    groups = [*SPREAD, replace(EQUAL[0], task_id="b")]
    batch = replace(PLAIN, normalise="live")
    found = metrics_of(groups, settings(batch, LossSettings(kl_coefficient=0.4)), D)
    assert found["training/loss"] == pytest.approx(0.16 + 0.06, abs=1e-6)
    assert found["training/trained_tokens"] == 10
    assert metrics_of(groups, settings(batch))["training/loss"] == pytest.approx(0.16, abs=1e-6)


def test_the_divergence_in_the_reward_is_every_tokens_own():
    """R - 0.2 * sum over s >= t of 0.5: 0.8, 0.9 and -0.3, -0.2, -0.1; mean 0.22, std sqrt(1.348 / 4).

    Ratios are 1, weights 1 / 4 and 1 / 6: -(2.17048 / 4 - 2.17048 / 6).
    """
    advantages = AdvantageSettings(method="reinforce_pp", kl_coefficient=0.2)
    batch = BatchSettings(advantages=advantages, aggregation="rollout")
    found = metrics_of(FRESH, settings(batch), D)
    std = math.sqrt(1.348 / 4) + 1e-6
    assert found["rollout/advantage/max"] == pytest.approx(0.68 / std, abs=1e-5)
    assert found["rollout/advantage/min"] == pytest.approx(-0.52 / std, abs=1e-5)
    assert found["training/loss"] == pytest.approx(-(1.26 / std) / 4 + (1.26 / std) / 6, abs=1e-5)
    assert found["training/log_ratio_to_reference"] == pytest.approx(D, abs=1e-5)
    assert "training/kl_term" not in found


def test_a_divergence_tells_equal_rewards_apart():
    """All rewards equal: what is left of reinforce_pp is the divergence of the tokens still to come."""
    equal = [group("a", attempt("a", 0, 1.0, [1.0] * 2), attempt("a", 1, 1.0, [1.0] * 2))]
    advantages = AdvantageSettings(method="reinforce_pp", kl_coefficient=0.2)
    found = metrics_of(equal, settings(BatchSettings(advantages=advantages)), D)
    # 0.8, 0.9, 0.8, 0.9: +-0.05 over sqrt(4 * 0.0025 / 3).
    assert found["rollout/advantage/max"] == pytest.approx(0.05 / (math.sqrt(0.01 / 3) + 1e-6), abs=1e-4)
    close = metrics_of(equal, settings(BatchSettings(advantages=advantages)), 0.0)
    assert (close["training/num_updates"], close["rollout/advantage/max"]) == (0, 0)
    without = metrics_of(equal, settings(BatchSettings(advantages=replace(advantages, kl_coefficient=0.0))))
    assert (without["training/num_updates"], without["rollout/advantage/max"]) == (0, 0)


CAP = LossSettings(truncated_importance_cap=1.2)
BAND = LossSettings(importance_band=(0.6, 1.6))


@pytest.mark.parametrize(
    ("loss", "aggregation", "expected"),
    [
        # prox = p, so u = 1, nothing is clipped, and only v = prox / q weighs the tokens.
        (LossSettings(), "token", -(0.5 * 2 - 0.5 * 3) / 5),
        (CAP, "token", -(0.5 * 2.2 - 0.5 * 2.7) / 5),
        (BAND, "token", -(0.5 * 2.5 - 0.5 * 1.0) / 5),
        (replace(CAP, loss_fn="importance_sampling"), "token", -(0.5 * 2.2 - 0.5 * 2.7) / 5),
        (replace(CAP, loss_fn="cispo"), "token", (0.5 * 2.2 - 0.5 * 2.7) / 5 * math.log(VOCABULARY)),
        (replace(CAP, loss_fn="gspo"), "sequence", -(0.5 * 2.2 / 4 - 0.5 * 2.7 / 6)),
        (replace(BAND, loss_fn="gspo"), "rollout", -(0.5 * 2.5 / 4 - 0.5 * 1.0 / 6)),
    ],
)
def test_ratios_start_from_the_weights_at_the_beginning_of_the_step(loss, aggregation, expected: float):
    given = settings(replace(PLAIN, aggregation=aggregation), loss, proximal="recomputed")
    found = metrics_of(SPREAD, given)
    assert found["training/loss"] == pytest.approx(expected, abs=1e-6)
    assert found["training/ratio/mean"] == pytest.approx(1.0, abs=1e-6)
    assert found["training/proximal/ratio/mean"] == pytest.approx(6 / 5, abs=1e-6)
    assert found["training/proximal/ratio/max"] == pytest.approx(2.0, abs=1e-6)
    assert found["training/proximal/ratio/ess"] == pytest.approx(36 / (5 * 8.5), abs=1e-6)
    shares = {name: found[name] for name in found if name.endswith(("/capped_frac", "/outside_frac"))}
    name = "capped_frac" if loss.truncated_importance_cap else "outside_frac"
    assert shares == ({f"training/proximal/{name}": pytest.approx(2 / 5)} if loss.corrects else {})


def test_a_proximal_policy_hides_no_other_sampler():
    """Ratios to it are 1 whoever sampled; the guard compares with the sampler all the same."""
    given = replace(settings(proximal="recomputed"), sampler_gap_warn=1e-5, sampler_kl_warn=1e-3)
    with pytest.raises(SamplerMismatchError):
        metrics_of(SPREAD, given)


def test_the_proximal_policy_stays_through_all_updates():
    policy = tiny_policy()
    groups = on_policy_groups(policy, rewards=((1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1)))
    batch = BatchSettings(updates_per_step=2)
    given = StepSettings(batch=batch, loss=LossSettings(truncated_importance_cap=2.0), proximal="recomputed")
    found = take_step(passes_of(policy), optimizer_of(policy, learning_rate=1e-2), groups, given, step=1).metrics
    assert found["training/proximal/ratio/max"] == pytest.approx(1.0, abs=1e-4)
    assert found["training/on_policy_ratio_mean"] == pytest.approx(1.0, abs=1e-5)
    assert abs(found["training/ratio/max"] - 1) > 1e-3


def test_constant_divides_by_the_number_given():
    """ppo terms 2.2 and 3.8, c = 1 / (2 attempts x 10 tokens)."""
    batch = replace(PLAIN, aggregation="constant", aggregation_tokens=10)
    assert metrics_of(SPREAD, settings(batch))["training/loss"] == pytest.approx(
        -(0.5 * 2.2 - 0.5 * 3.8) / 20, abs=1e-6
    )


@pytest.mark.parametrize(
    ("batch", "loss", "name"),
    [
        (replace(PLAIN, aggregation="sequence"), LossSettings(), "aggregation = 'sequence'"),
        (replace(PLAIN, aggregation="rollout"), LossSettings(loss_fn="gspo"), "loss_fn = 'gspo'"),
    ],
)
def test_a_row_for_an_attempt_is_refused_where_attempts_have_several(batch, loss, name: str):
    cut = [group("c", attempt("c", 0, 1.0, [1.0] * 4, rows=2), attempt("c", 1, 0.0, [1.0]))]
    with pytest.raises(TrainingError, match=rf"{name} needs one row per attempt, and episode 'c#0' was cut into 2"):
        metrics_of(cut, settings(batch, loss))


def test_a_divergence_needs_a_reference():
    with pytest.raises(TrainingError, match="needs a reference to measure from: got None"):
        metrics_of(SPREAD, settings(loss=LossSettings(kl_coefficient=0.1)))


EVERYTHING = LossSettings(kl_coefficient=0.3, kl_form="k3", entropy_coefficient=0.05, truncated_importance_cap=1.1)


def test_micro_batches_add_up_with_all_terms_and_corrections_on():
    gradients: list[torch.Tensor] = []
    losses: list[float] = []
    for budget in (1, 60, 100_000):
        policy = tiny_policy()
        groups = _off_policy(on_policy_groups(policy, rewards=((1, 0, 0.5), (0, 1, 0), (1, 1))))
        given = settings(BatchSettings(normalise="live"), EVERYTHING, proximal="recomputed")
        optimizer, passes = optimizer_of(policy), Passes(policy, PassSettings(tokens_per_microbatch=budget))
        step = take_step(passes, optimizer, groups, given, step=1, reference=frozen(tiny_policy(seed=1)))
        gradients.append(torch.cat([part.flatten() for part in optimizer.gradients[0]]))
        losses.append(step.metrics["training/loss"])
    assert losses[:2] == pytest.approx([losses[2]] * 2, abs=1e-5)
    for found in gradients[:2]:
        assert (found - gradients[2]).abs().max() <= 1e-5 * gradients[2].abs().max() + 1e-7


def test_each_term_and_correction_changes_the_gradient():
    found: list[torch.Tensor] = []
    for loss in (
        LossSettings(),
        # k3 through the ratio has k2's gradient, token by token: w (exp(-d) - 1 + d) + w (1 - exp(-d)) = w d.
        LossSettings(kl_coefficient=0.3),
        LossSettings(kl_coefficient=0.3, kl_form="grpo_k3"),
        LossSettings(entropy_coefficient=0.05),
        LossSettings(truncated_importance_cap=1.1),
        LossSettings(importance_band=(0.9, 1.1)),
    ):
        policy = tiny_policy()
        groups = _off_policy(on_policy_groups(policy, rewards=((1, 0, 0.5), (1, 1))))
        optimizer = optimizer_of(policy)
        given = settings(loss=loss, proximal="recomputed" if loss.corrects else "sampler")
        take_step(passes_of(policy), optimizer, groups, given, step=1, reference=frozen(tiny_policy(seed=1)))
        found.append(torch.cat([part.flatten() for part in optimizer.gradients[0]]))
    for number, one in enumerate(found):
        assert one.isfinite().all()
        distances = [(one - other).norm() / one.norm() for other in found[:number]]
        assert all(distance > 1e-4 for distance in distances), (number, distances)


def _off_policy(groups: list[TrainableGroup]) -> list[TrainableGroup]:
    """Spread the ratios around 1.2."""

    def moved(row):
        pairs = enumerate(zip(row.logprobs, row.trained, strict=True))
        return replace(row, logprobs=tuple(q + 0.2 * math.sin(t) - 0.2 if on else 0.0 for t, (q, on) in pairs))

    return [
        replace(one, attempts=tuple(replace(a, rows=tuple(map(moved, a.rows))) for a in one.attempts)) for one in groups
    ]
