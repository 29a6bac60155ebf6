"""The rows that bench/train.py trains on: the merged attempt and its single calls are the same tokens."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from models.tiny import tiny_policy
from turnwright.learner.batch import BatchSettings
from turnwright.learner.passes import Passes, PassSettings

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, which is no part of the package."""
    monkeypatch.syspath_prepend(str(BENCH))
    for name in ("training", "training.rows"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import training.rows  # pyright: ignore[reportMissingImports]

    return training.rows


@pytest.fixture
def passes() -> Passes:
    return Passes(tiny_policy(), PassSettings(layout="dense"))


def test_bounds_are_the_ratios_of_tokens(rows: ModuleType):
    group = rows.Shape(prompt=2000, reply=300)
    assert (group.longest, group.num_sampled) == (2300, 2400)
    assert group.bound == pytest.approx(18400 / 4400)
    turns = rows.Turns(prompt=1000, turns=10, said=40, reply=80, attempts=2)
    assert (turns.longest, turns.num_sampled) == (2200, 1600)
    # 1120 + 1240 + ... + 2200 tokens in rows of one call each, 2200 in the merged one.
    assert turns.bound == pytest.approx(sum(range(1120, 2201, 120)) / 2200)


def test_calls_train_each_sampled_token_once_under_its_own_prefix(rows: ModuleType, passes: Passes):
    merged, per_turn = rows.turn_rows(rows.Turns(prompt=5, turns=3, said=2, reply=4, attempts=2), passes, seed=1)
    for whole_group, call_group in zip(merged, per_turn, strict=True):
        (whole,) = whole_group.attempts[0].rows
        calls = call_group.attempts[0].rows
        assert [len(call.token_ids) for call in calls] == [11, 17, 23]
        for turn, call in enumerate(calls):
            assert call.token_ids == whole.token_ids[: len(call.token_ids)]
            assert [i for i, on in enumerate(call.trained) if on] == list(range(7 + 6 * turn, 11 + 6 * turn))
        trained = [(i, call.logprobs[i]) for call in calls for i, on in enumerate(call.trained) if on]
        assert trained == [(i, whole.logprobs[i]) for i, on in enumerate(whole.trained) if on]


def test_attempts_of_a_group_share_the_prompt_and_differ_in_reward(rows: ModuleType, passes: Passes):
    groups = rows.group_rows(rows.Shape(prompt=6, reply=3, replies=2, groups=2), passes, seed=1)
    prompts = [attempt.rows[0].token_ids[:6] for group in groups for attempt in group.attempts]
    assert prompts[0] == prompts[1] != prompts[2] == prompts[3]
    assert [attempt.reward for attempt in groups[0].attempts] == [0.0, 1.0]


def test_logprobs_are_the_policys_own_and_noise(rows: ModuleType, passes: Passes):
    groups = rows.group_rows(rows.Shape(prompt=6, reply=200), passes, seed=1)
    found = [attempt.rows[0] for attempt in groups[0].attempts]
    own = torch.cat(passes.score(found, [groups[0].task_id] * len(found)))
    given = torch.tensor([value for row in found for value, on in zip(row.logprobs, row.trained, strict=True) if on])
    # 1,600 draws: the mean is within four standard errors of 0, the spread within 10 % of what was asked for.
    assert abs((given - own).mean().item()) < 4 * rows.NOISE / 40
    assert (given - own).std().item() == pytest.approx(rows.NOISE, rel=0.1)


def test_the_peer_gets_ids_masks_and_advantages_of_the_same_tokens(rows: ModuleType, passes: Passes):
    groups = rows.group_rows(rows.Shape(prompt=6, reply=3, replies=2), passes, seed=1)
    given = rows.peer_rows(groups, BatchSettings())
    for attempt, row in zip(groups[0].attempts, given, strict=True):
        assert (*row["prompt"], *row["completion"]) == attempt.rows[0].token_ids
        assert row["mask"] == [1, 1, 1]
        assert row["old_logprobs"] == attempt.rows[0].logprobs[6:]
    # Rewards 0 and 1: one standard deviation (n - 1) is 0.7071, the mean 0.5.
    assert [row["advantage"] for row in given] == pytest.approx([-0.70711, 0.70711], abs=1e-4)
