"""Rows and groups to train on: with log-probabilities of a stock forward pass, or at ratios chosen by hand."""

import math
import random
from collections.abc import Sequence

import torch

from models.tiny import VOCABULARY, stock_logprobs, stock_twin, tiny_policy
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import TrainableAttempt, TrainableGroup
from turnwright.core.trajectory import Row
from turnwright.learner.optimizer import Optimizer, OptimizerSettings
from turnwright.learner.passes import Passes, PassSettings
from turnwright.models.load import Policy


def make_row(
    key: EpisodeKey,
    token_ids: Sequence[int],
    trained: Sequence[bool],
    logprobs: Sequence[float],
    temperature: float = 1.0,
) -> Row:
    """Return a row; ``logprobs`` has one entry per trained token."""
    values = iter(logprobs)
    return Row(
        key=key,
        token_ids=tuple(token_ids),
        trained=tuple(trained),
        logprobs=tuple(next(values) if on else 0.0 for on in trained),
        turn_index=tuple(0 if on else -1 for on in trained),
        policy_versions=tuple(0 if on else -1 for on in trained),
        temperature=tuple(temperature if on else 1.0 for on in trained),
    )


def attempt(
    task_id: str, number: int, reward: float, ratios: Sequence[float], *, truncated: bool = False, rows: int = 1
) -> TrainableAttempt:
    """Return an attempt whose tokens have these ratios p / q under ``uniform_policy``, cut into so many rows."""
    key = EpisodeKey(task_id=task_id, attempt=number)
    size = -(-len(ratios) // rows) if ratios else 1
    parts = [ratios[start : start + size] for start in range(0, len(ratios), size)] or [()]
    return TrainableAttempt(
        key=key,
        reward=reward,
        truncated=truncated,
        rows=tuple(
            make_row(
                key,
                (1, 2, *range(3, 3 + len(part))),
                (False, False, *(True for _ in part)),
                [-math.log(VOCABULARY) - math.log(ratio) for ratio in part],
            )
            for part in parts
        ),
    )


def group(task_id: str, *attempts: TrainableAttempt) -> TrainableGroup:
    return TrainableGroup(task_id=task_id, attempts=attempts)


def uniform_policy() -> Policy:
    """Return a policy whose weights are all 0: every token has probability 1 / VOCABULARY."""
    policy = tiny_policy("llama")
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.zero_()
    return policy


def on_policy_groups(
    policy: Policy, *, seed: int = 0, rewards: Sequence[Sequence[float]] = ((1, 0, 0, 1), (0, 0, 1, 0), (1, 1, 1, 1))
) -> list[TrainableGroup]:
    """Return groups of multi-turn rows that the policy itself might have sampled, with exact log-probabilities."""
    generator = random.Random(seed)
    twin = stock_twin(policy)

    def ids(count: int) -> list[int]:
        return [generator.randrange(VOCABULARY) for _ in range(count)]

    system = ids(12)
    groups: list[TrainableGroup] = []
    for task, values in enumerate(rewards):
        prompt = system + ids(generator.randint(1, 8))
        attempts: list[TrainableAttempt] = []
        for number, reward in enumerate(values):
            token_ids, trained = list(prompt), [False] * len(prompt)
            for _ in range(generator.randint(1, 3)):
                reply, forced = ids(generator.randint(1, 6)), ids(generator.randint(0, 4))
                token_ids += reply + forced
                trained += [True] * len(reply) + [False] * len(forced)
            temperature = generator.choice([0.8, 1.0])
            with torch.no_grad():
                exact = stock_logprobs(twin, token_ids, trained, [temperature] * len(token_ids))
            key = EpisodeKey(task_id=f"task-{task}", attempt=number)
            row = make_row(key, token_ids, trained, exact.tolist(), temperature)
            attempts.append(TrainableAttempt(key=key, reward=float(reward), rows=(row,)))
        groups.append(group(f"task-{task}", *attempts))
    return groups


class RecordingOptimizer(Optimizer):
    """Keeps the gradient of every update it makes."""

    def __init__(self, policy: Policy, settings: OptimizerSettings) -> None:
        super().__init__(policy.model, settings)
        self.gradients: list[list[torch.Tensor]] = []

    def step(self) -> float:
        self.gradients.append([parameter.grad.clone() for parameter in self._parameters])
        return super().step()


def passes_of(policy: Policy) -> Passes:
    return Passes(policy, PassSettings())


def optimizer_of(policy: Policy, **settings: float | int | str) -> RecordingOptimizer:
    return RecordingOptimizer(policy, OptimizerSettings(**({"learning_rate": 1e-3, "num_updates": 10} | settings)))


def weights_of(policy: Policy) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in policy.model.parameters()]


def unchanged(policy: Policy, before: list[torch.Tensor]) -> bool:
    return all(torch.equal(now, then) for now, then in zip(weights_of(policy), before, strict=True))
