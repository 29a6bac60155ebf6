"""What a row holds besides its trained tokens never reaches a gradient: not a bit of it changes.

Positions that are not trained have a log-probability, a temperature and a version too. Whatever stands there, the
learner picks what belongs to trained tokens. Ids before the last trained token are context, and count.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import pytest
import torch

from learner.material import on_policy_groups, optimizer_of, passes_of
from models.tiny import VOCABULARY, tiny_policy
from turnwright.config.algorithm import CLIP_THRESHOLDS, LossName
from turnwright.core.group import TrainableGroup
from turnwright.core.trajectory import Row
from turnwright.learner.batch import BatchSettings
from turnwright.learner.objective import LossSettings
from turnwright.learner.step import StepSettings, take_step

LOSSES: tuple[LossName, ...] = get_args(LossName)
SILLY = (math.nan, math.inf, -math.inf, 0.0, -7.0)
Change = Callable[[Row], Row]


def off_policy(row: Row) -> Row:
    """Spread the ratios of trained tokens around the clips."""
    values = enumerate(zip(row.logprobs, row.trained, strict=True))
    return replace(row, logprobs=tuple(q + 0.3 * math.sin(t) - 0.3 if on else 0.0 for t, (q, on) in values))


def changed(groups: Sequence[TrainableGroup], change: Change) -> list[TrainableGroup]:
    return [
        replace(one, attempts=tuple(replace(a, rows=tuple(change(row) for row in a.rows)) for a in one.attempts))
        for one in groups
    ]


def elsewhere(row: Row, values: Sequence[float], garbage: Sequence[float]) -> tuple[float, ...]:
    """Return the values with garbage wherever no token is trained."""
    pairs = enumerate(zip(values, row.trained, strict=True))
    return tuple(value if on else garbage[t % len(garbage)] for t, (value, on) in pairs)


def last_trained(row: Row) -> int:
    return max(t for t, on in enumerate(row.trained) if on)


def with_ids(row: Row, positions: Sequence[int]) -> Row:
    ids = tuple((one + 7) % VOCABULARY if t in positions else one for t, one in enumerate(row.token_ids))
    return replace(row, token_ids=ids)


MASKED: dict[str, Change] = {
    "log-probabilities": lambda row: replace(row, logprobs=elsewhere(row, row.logprobs, SILLY)),
    "temperatures": lambda row: replace(row, temperature=elsewhere(row, row.temperature, SILLY)),
    "versions": lambda row: replace(
        row, policy_versions=tuple(int(v) for v in elsewhere(row, row.policy_versions, (99, -5)))
    ),
    "ids behind the last trained token": lambda row: with_ids(row, range(last_trained(row) + 1, len(row.token_ids))),
}
COUNTED: dict[str, Change] = {
    "a log-probability": lambda row: replace(
        row, logprobs=tuple(q - 0.01 if t == last_trained(row) else q for t, q in enumerate(row.logprobs))
    ),
    "a temperature": lambda row: replace(
        row, temperature=tuple(1.3 if t == last_trained(row) else one for t, one in enumerate(row.temperature))
    ),
    "an id of the context": lambda row: with_ids(row, (0,)),
}


def gradient(groups: list[TrainableGroup], loss: LossName) -> torch.Tensor:
    low, high = CLIP_THRESHOLDS[loss]
    policy = tiny_policy()
    optimizer = optimizer_of(policy)
    settings = StepSettings(
        batch=BatchSettings(aggregation="rollout"),
        loss=LossSettings(loss_fn=loss, clip_low_threshold=low, clip_high_threshold=high, entropy_coefficient=0.01),
        proximal="recomputed" if loss == "ppo" else "sampler",
        sampler_gap_warn=1e3,
        sampler_kl_warn=1e3,
    )
    take_step(passes_of(policy), optimizer, groups, settings, step=1)
    return torch.cat([part.flatten() for part in optimizer.gradients[0]])


@pytest.fixture(scope="module")
def groups() -> list[TrainableGroup]:
    made = changed(on_policy_groups(tiny_policy(), rewards=((1, 0, 0.5), (0, 1, 1))), off_policy)
    rows = [row for one in made for attempt in one.attempts for row in attempt.rows]
    assert any(last_trained(row) < len(row.token_ids) - 1 for row in rows)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_not_trained_changes_no_bit_of_the_gradient(groups: list[TrainableGroup], loss: LossName) -> None:
    plain = gradient(groups, loss)
    assert torch.isfinite(plain).all()
    assert plain.norm() > 0
    for name, change in MASKED.items():
        assert changed(groups, change) != groups, name
        assert torch.equal(gradient(changed(groups, change), loss), plain), name


def test_all_of_it_at_once(groups: list[TrainableGroup]) -> None:
    other = groups
    for change in MASKED.values():
        other = changed(other, change)
    assert torch.equal(gradient(other, "cispo"), gradient(groups, "cispo"))


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_trained_or_context_changes_it(groups: list[TrainableGroup], name: str) -> None:
    loss = "importance_sampling"
    assert not torch.equal(gradient(changed(groups, COUNTED[name]), loss), gradient(groups, loss))
