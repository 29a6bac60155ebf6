import math

import pytest
import torch

from learner.material import optimizer_of, uniform_policy
from models.tiny import VOCABULARY, stock_logprobs, stock_twin, tiny_policy
from turnwright.core.episode import EpisodeKey
from turnwright.core.trajectory import Demonstration
from turnwright.learner.warmstart import supervise


def demonstration(number: int, *weighted: tuple[int, float]) -> Demonstration:
    return Demonstration(
        key=EpisodeKey(task_id=f"t{number % 2}", attempt=number),
        token_ids=tuple(token for token, _ in weighted),
        weights=tuple(weight for _, weight in weighted),
    )


BATCH = [
    demonstration(0, (1, 0), (2, 0), (3, 1), (4, 1)),
    demonstration(1, (1, 0), (2, 0), (5, 1), (6, 0), (7, 2), (8, 2)),
    demonstration(2, (1, 0), (2, 0), (9, 0), (3, 0.5)),
]


def test_the_loss_is_the_weighted_mean_over_the_experts_tokens():
    policy = tiny_policy()
    twin = stock_twin(policy)
    total = 0.0
    for one in BATCH:
        logprobs = stock_logprobs(twin, one.token_ids, [w > 0 for w in one.weights], [1.0] * len(one.token_ids))
        total += sum(-w * p for w, p in zip((w for w in one.weights if w), logprobs.tolist(), strict=True))
    (update,) = supervise(policy, [BATCH], optimizer_of(policy), tokens_per_microbatch=999)
    assert update.loss == pytest.approx(total / 7.5, abs=1e-5)
    assert (update.update, update.num_tokens) == (1, 6)


def test_a_uniform_policy_loses_log_v():
    policy = uniform_policy()
    (update,) = supervise(policy, [BATCH], optimizer_of(policy), tokens_per_microbatch=999)
    assert update.loss == pytest.approx(math.log(VOCABULARY), abs=1e-5)


def test_passes_add_up_to_one():
    losses, gradients = [], []
    for budget in (1, 999):
        policy = tiny_policy()
        optimizer = optimizer_of(policy)
        losses += [update.loss for update in supervise(policy, [BATCH], optimizer, tokens_per_microbatch=budget)]
        gradients.append(torch.cat([gradient.flatten() for gradient in optimizer.gradients[0]]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-5 * gradients[1].abs().max()


def test_it_learns():
    policy = tiny_policy()
    optimizer = optimizer_of(policy, learning_rate=1e-2, num_updates=30, warmup_updates=3, lr_schedule="linear")
    updates = list(supervise(policy, [BATCH] * 30, optimizer, tokens_per_microbatch=999))
    assert [update.update for update in updates] == list(range(1, 31))
    # Two demonstrations go on differently from the same ids: 2 log 2 of 7.5 cannot be learned.
    assert updates[-1].loss == pytest.approx(2 * math.log(2) / 7.5, abs=0.02)
    assert updates[0].learning_rate < updates[3].learning_rate > updates[-1].learning_rate
