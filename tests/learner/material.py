"""Rows and groups to train on: with log-probabilities of a stock forward pass, or at ratios chosen by hand."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle

import torch

from models.tiny import VOCABULARY, stock_twin, tiny_policy
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import TrainableAttempt, TrainableGroup
from turnwright.core.trajectory import Row
from turnwright.learner.exclusive import UNDISTURBED, Exclusive
from turnwright.learner.optimizer import Optimizer, OptimizerSettings
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.reference import Reference
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


def sampled_by(groups: Sequence[TrainableGroup], *versions: int) -> list[TrainableGroup]:
    """Return groups whose trained tokens were sampled by these versions in turn, beginning anew in each row."""

    def sampled(row: Row) -> Row:
        turns = cycle(versions)
        return replace(row, policy_versions=tuple(next(turns) if on else -1 for on in row.trained))

    return with_rows(groups, sampled)


def with_rows(groups: Sequence[TrainableGroup], change: Callable[[Row], Row]) -> list[TrainableGroup]:
    """Return groups with every row changed."""
    return [
        replace(one, attempts=tuple(replace(a, rows=tuple(map(change, a.rows))) for a in one.attempts))
        for one in groups
    ]


def on_policy_groups(
    policy: Policy, *, seed: int = 0, rewards: Sequence[Sequence[float]] = ((1, 0, 0, 1), (0, 0, 1, 0), (1, 1, 1, 1))
) -> list[TrainableGroup]:
    """Return groups of multi-turn rows that the policy itself might have sampled, with exact log-probabilities."""
    generator = random.Random(seed)

    def ids(count: int) -> list[int]:
        return [generator.randrange(VOCABULARY) for _ in range(count)]

    system = ids(12)
    unscored: list[Row] = []
    for task, values in enumerate(rewards):
        prompt = system + ids(generator.randint(1, 8))
        for number in range(len(values)):
            token_ids, trained = list(prompt), [False] * len(prompt)
            for _ in range(generator.randint(1, 3)):
                reply, forced = ids(generator.randint(1, 6)), ids(generator.randint(0, 4))
                token_ids += reply + forced
                trained += [True] * len(reply) + [False] * len(forced)
            key = EpisodeKey(task_id=f"task-{task}", attempt=number)
            temperature = generator.choice([0.8, 1.0])
            unscored.append(make_row(key, token_ids, trained, [0.0] * sum(trained), temperature))
    rows = iter(with_stock_logprobs(policy, unscored))
    return [
        group(
            f"task-{task}",
            *(
                TrainableAttempt(key=row.key, reward=float(r), rows=(row,))
                for r, row in zip(values, rows, strict=False)
            ),
        )
        for task, values in enumerate(rewards)
    ]


@torch.no_grad()
def with_stock_logprobs(policy: Policy, rows: Sequence[Row]) -> list[Row]:
    """Return rows with the log-probabilities of the stock model, from one pass over all of them, padded at the end."""
    padded = torch.zeros(len(rows), max(len(row.token_ids) for row in rows), dtype=torch.long)
    for number, row in enumerate(rows):
        padded[number, : len(row.token_ids)] = torch.tensor(row.token_ids)
    logits = stock_twin(policy)(input_ids=padded, use_cache=False).logits.float()
    found: list[Row] = []
    for number, row in enumerate(rows):
        length = len(row.token_ids)
        scaled = logits[number, : length - 1] / torch.tensor(row.temperature[1:])[:, None]
        exact = scaled.log_softmax(-1).gather(1, padded[number, 1:length, None])[:, 0].tolist()
        values = zip([0.0, *exact], row.trained, strict=True)
        found.append(replace(row, logprobs=tuple(value if on else 0.0 for value, on in values)))
    return found


class FixedReference(Reference):
    """Gives every token a log-probability that lies so far below that of ``uniform_policy``."""

    def __init__(self, log_ratio: float) -> None:
        self.log_ratio = log_ratio

    def score(
        self, rows: Sequence[Row], groups: Sequence[str], exclusive: Exclusive = UNDISTURBED
    ) -> tuple[torch.Tensor, ...]:
        return tuple(torch.full((row.num_trained_tokens,), -math.log(VOCABULARY) - self.log_ratio) for row in rows)


class RecordingOptimizer(Optimizer):
    """Keeps the gradient of every update it makes."""

    def __init__(self, policy: Policy, settings: OptimizerSettings) -> None:
        super().__init__(policy.model, settings)
        self.gradients: list[list[torch.Tensor]] = []

    def step(self) -> float:
        self.gradients.append([parameter.grad.clone() for parameter in self._parameters])
        return super().step()


def frozen(policy: Policy) -> Reference:
    """Return a policy as a reference."""
    policy.model.requires_grad_(False)
    return Reference(passes_of(policy))


def passes_of(policy: Policy) -> Passes:
    return Passes(policy, PassSettings())


def optimizer_of(policy: Policy, **settings: float | int | str) -> RecordingOptimizer:
    return RecordingOptimizer(policy, OptimizerSettings(**({"learning_rate": 1e-3, "num_updates": 10} | settings)))


def weights_of(policy: Policy) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in policy.model.parameters()]


def unchanged(policy: Policy, before: list[torch.Tensor]) -> bool:
    return all(torch.equal(now, then) for now, then in zip(weights_of(policy), before, strict=True))
