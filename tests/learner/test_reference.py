"""The reference is the policy that the run began with: a frozen copy, or the base below the adapters."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from learner.material import frozen, on_policy_groups, optimizer_of, passes_of, sampled_by, unchanged, weights_of
from models.adapted import RANK_4, adapted_policy, scatter
from models.tiny import tiny_policy
from turnwright.core.group import TrainableGroup
from turnwright.core.trajectory import Row
from turnwright.learner.batch import BatchSettings
from turnwright.learner.objective import LossSettings
from turnwright.learner.reference import Reference
from turnwright.learner.step import StepSettings, take_step
from turnwright.models.load import load_policy


def rows_of(groups: Sequence[TrainableGroup]) -> tuple[list[Row], list[str]]:
    rows = [row for group in groups for attempt in group.attempts for row in attempt.rows]
    return rows, [row.key.task_id for row in rows]


def test_without_adapters_it_is_a_copy_that_does_not_move():
    policy = tiny_policy()
    reference, groups = frozen(tiny_policy()), on_policy_groups(policy)
    rows, names = rows_of(groups)
    before = torch.cat(reference.score(rows, names))
    loss = LossSettings(kl_coefficient=0.1)
    settings = StepSettings(batch=BatchSettings(), loss=loss)
    first, second = (
        take_step(passes_of(policy), optimizer_of(policy, learning_rate=1e-2),
                  sampled_by(on_policy_groups(policy), step - 1), settings, step=step, reference=reference).metrics
        for step in (1, 2)
    )  # fmt: skip
    assert abs(first["training/kl_to_reference"]) < 1e-8
    assert second["training/kl_to_reference"] > 1e-3
    assert torch.equal(torch.cat(reference.score(rows, names)), before)
    exact = [value for row in rows for value, on in zip(row.logprobs, row.trained, strict=True) if on]
    assert before.tolist() == pytest.approx(exact, abs=1e-5)


def test_with_adapters_it_is_the_base_and_the_adapters_come_back(tmp_path: Path):
    policy = adapted_policy(tmp_path)
    rows, names = rows_of(on_policy_groups(tiny_policy()))
    base = passes_of(load_policy(str(tmp_path), device="cpu")).score(rows, names)
    adapted = passes_of(policy).score(rows, names)
    found = Reference(passes_of(policy)).score(rows, names)
    assert torch.equal(torch.cat(found), torch.cat(base))
    assert torch.equal(torch.cat(passes_of(policy).score(rows, names)), torch.cat(adapted))
    assert (torch.cat(adapted) - torch.cat(base)).abs().max() > 0.1


def test_a_step_measures_adapters_from_their_base_and_trains_nothing_else(tmp_path: Path):
    policy = scatter(load_policy(_save(tmp_path), device="cpu", adapters=RANK_4), std=0.05)
    reference = Reference(passes_of(policy))
    rows, names = rows_of(on_policy_groups(tiny_policy()))
    before = torch.cat(reference.score(rows, names))
    settings = StepSettings(
        batch=BatchSettings(), loss=LossSettings(kl_coefficient=1.0), sampler_gap_warn=1e3, sampler_kl_warn=1e3
    )
    optimizer = optimizer_of(policy, learning_rate=1e-3)
    groups = on_policy_groups(tiny_policy(), rewards=((1, 1, 1),))
    found = [
        take_step(passes_of(policy), optimizer, groups, settings, step=1, reference=reference).metrics for _ in range(4)
    ]
    # No group has signal: all that is left is to come back to the base.
    assert found[0]["training/kl_to_reference"] > found[-1]["training/kl_to_reference"] > 0
    assert torch.equal(torch.cat(reference.score(rows, names)), before)


def test_a_policy_that_is_trained_is_no_reference():
    with pytest.raises(ValueError, match="the reference random qwen3 would be trained"):
        Reference(passes_of(tiny_policy()))


def test_groups_without_signal_move_only_by_a_term():
    policy = tiny_policy()
    before = weights_of(policy)
    groups = on_policy_groups(policy, rewards=((1, 1), (0, 0)))
    plain = StepSettings(batch=BatchSettings())
    assert take_step(passes_of(policy), optimizer_of(policy), groups, plain, step=1).num_updates == 0
    assert unchanged(policy, before)
    pulled = StepSettings(batch=BatchSettings(), loss=LossSettings(kl_coefficient=0.1))
    step = take_step(passes_of(policy), optimizer_of(policy), groups, pulled, step=1,
                     reference=frozen(tiny_policy(seed=1)))  # fmt: skip
    assert (step.num_updates, step.metrics["analysis/live_groups"]) == (1, 0)
    assert not unchanged(policy, before)


def _save(folder: Path) -> str:
    tiny_policy().model.save_pretrained(folder)
    return str(folder)
