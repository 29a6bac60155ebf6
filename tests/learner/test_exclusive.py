"""Who else computes with the policy is held exactly while weights are written or adapters are left out."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from learner.material import frozen, on_policy_groups, optimizer_of, passes_of, unchanged, weights_of
from models.adapted import adapted_policy
from models.tiny import tiny_policy
from turnwright.core.errors import SamplerMismatchError, TrainingError
from turnwright.core.trajectory import Row
from turnwright.learner.batch import BatchSettings
from turnwright.learner.exclusive import UNDISTURBED
from turnwright.learner.objective import LossSettings
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.reference import Reference
from turnwright.learner.step import StepSettings, take_step
from turnwright.models.load import Policy

SETTINGS = StepSettings(batch=BatchSettings())
PULLED = StepSettings(
    batch=BatchSettings(), loss=LossSettings(kl_coefficient=0.1), sampler_gap_warn=1e3, sampler_kl_warn=1e3
)


class Witness:
    """Notes what is asked of it, and how the policy is at that moment."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.before = weights_of(policy)
        self.seen: list[str] = []

    @contextmanager
    def alone(self) -> Generator[None]:
        self.seen.append("alone")
        try:
            yield
        finally:
            self.seen.append("together")

    def until_published(self) -> None:
        self.seen.append("before a weight" if unchanged(self.policy, self.before) else "again")


class Watched(Passes):
    """Tells a witness when rows are scored, and fails if that is what it is for."""

    def __init__(self, policy: Policy, witness: Witness, *, fails: bool = False) -> None:
        super().__init__(policy, PassSettings())
        self.witness, self.fails = witness, fails

    def score(self, rows: Sequence[Row], groups: Sequence[str]) -> tuple[torch.Tensor, ...]:
        self.witness.seen.append("scored")
        if self.fails:
            raise TrainingError("no memory left")
        return super().score(rows, groups)


def test_the_weights_are_held_from_the_first_that_is_written():
    policy = tiny_policy()
    witness = Witness(policy)
    settings = replace(SETTINGS, batch=BatchSettings(updates_per_step=2), proximal="recomputed")
    groups = on_policy_groups(policy, rewards=((1, 0), (0, 1)))
    take_step(Watched(policy, witness), optimizer_of(policy), groups, settings, step=1, exclusive=witness)
    assert witness.seen == ["scored", "before a weight", "again"]


def test_a_step_that_writes_nothing_holds_nobody():
    policy = tiny_policy()
    witness = Witness(policy)
    dull = on_policy_groups(policy, rewards=((1, 1),))
    take_step(passes_of(policy), optimizer_of(policy), dull, SETTINGS, step=1, exclusive=witness)
    strange = on_policy_groups(tiny_policy(seed=1))
    with pytest.raises(SamplerMismatchError):
        take_step(passes_of(policy), optimizer_of(policy), strange, SETTINGS, step=1, exclusive=witness)
    assert witness.seen == []


@pytest.mark.parametrize("fails", [False, True])
def test_adapters_are_left_out_while_nobody_else_computes(tmp_path: Path, fails: bool):
    policy = adapted_policy(tmp_path)
    witness = Witness(policy)
    reference = Reference(Watched(policy, witness, fails=fails))
    groups, optimizer = on_policy_groups(tiny_policy()), optimizer_of(policy)
    if fails:
        with pytest.raises(TrainingError, match="no memory left"):
            take_step(passes_of(policy), optimizer, groups, PULLED, step=1, reference=reference, exclusive=witness)
    else:
        take_step(passes_of(policy), optimizer, groups, PULLED, step=1, reference=reference, exclusive=witness)
    assert witness.seen == ["alone", "scored", "together", *([] if fails else ["before a weight"])]


def test_a_copy_is_asked_beside_everybody_else():
    policy = tiny_policy()
    witness = Witness(policy)
    groups = on_policy_groups(policy)
    take_step(passes_of(policy), optimizer_of(policy), groups, PULLED, step=1, reference=frozen(tiny_policy(seed=1)),
              exclusive=witness)  # fmt: skip
    assert witness.seen == ["before a weight"]


def test_undisturbed_changes_nothing():
    with UNDISTURBED.alone():
        UNDISTURBED.until_published()
