"""Rows to train on, of random ids in the shapes that matter, under the log-probabilities of a policy.

A ratio of exactly 1 would make a loss of 0 that nobody can compare: the recorded log-probabilities are the policy's own
and a little noise, so that some tokens are clipped and the loss is a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from turnwright.core.episode import EpisodeKey
from turnwright.core.group import TrainableAttempt, TrainableGroup
from turnwright.core.trajectory import Row
from turnwright.learner.batch import BatchSettings, build_batch
from turnwright.learner.passes import Passes

NOISE = 0.3
"""Standard deviation in nats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Groups of attempts of one turn: every attempt of a group has the group's prompt and a reply of its own."""

    prompt: int
    reply: int
    replies: int = 8
    groups: int = 1

    @property
    def num_sampled(self) -> int:
        """Sampled tokens of all rows."""
        return self.groups * self.replies * self.reply

    @property
    def longest(self) -> int:
        """Tokens of a row."""
        return self.prompt + self.reply

    @property
    def bound(self) -> float:
        """Tokens of all rows / distinct tokens."""
        return self.replies * self.longest / (self.prompt + self.replies * self.reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Attempts at tasks of their own, of several turns; each adds what the world says and a reply."""

    prompt: int
    turns: int
    said: int
    reply: int
    attempts: int

    @property
    def num_sampled(self) -> int:
        """Sampled tokens of all rows."""
        return self.attempts * self.turns * self.reply

    @property
    def longest(self) -> int:
        """Tokens of the row that a whole attempt is."""
        return self.prompt + self.turns * (self.said + self.reply)

    @property
    def bound(self) -> float:
        """Tokens of one row per call / tokens of the merged row."""
        added = self.said + self.reply
        return (self.turns * self.prompt + added * self.turns * (self.turns + 1) / 2) / self.longest


def group_rows(shape: Shape, passes: Passes, *, seed: int) -> list[TrainableGroup]:
    """Return groups whose attempts have rewards 0, 1, ..."""
    random = torch.Generator().manual_seed(seed)
    groups: list[TrainableGroup] = []
    for number in range(shape.groups):
        task = f"task-{number}"
        prompt = _ids(shape.prompt, passes, random)
        rows = [
            _row(EpisodeKey(task_id=task, attempt=i), prompt, [((), _ids(shape.reply, passes, random))])
            for i in range(shape.replies)
        ]
        scored = _scored(rows, passes, random)
        attempts = [
            TrainableAttempt(key=row.key, reward=float(reward), rows=(row,)) for reward, row in enumerate(scored)
        ]
        groups.append(TrainableGroup(task_id=task, attempts=tuple(attempts)))
    return groups


def turn_rows(shape: Turns, passes: Passes, *, seed: int) -> tuple[list[TrainableGroup], list[TrainableGroup]]:
    """Return the same attempts twice: each merged into one row, and with one row per model call."""
    random = torch.Generator().manual_seed(seed)
    merged: list[TrainableGroup] = []
    per_turn: list[TrainableGroup] = []
    for number in range(shape.attempts):
        key = EpisodeKey(task_id=f"task-{number}", attempt=0)
        prompt = _ids(shape.prompt, passes, random)
        turns = [(_ids(shape.said, passes, random), _ids(shape.reply, passes, random)) for _ in range(shape.turns)]
        (whole,) = _scored([_row(key, prompt, turns)], passes, random)
        attempt = TrainableAttempt(key=key, reward=1.0 + number, rows=(whole,))
        calls = tuple(_call(whole, turn) for turn in range(shape.turns))
        merged.append(TrainableGroup(task_id=key.task_id, attempts=(attempt,)))
        per_turn.append(TrainableGroup(task_id=key.task_id, attempts=(replace(attempt, rows=calls),)))
    return merged, per_turn


def peer_rows(groups: Sequence[TrainableGroup], settings: BatchSettings) -> list[dict[str, Any]]:
    """Return rows as peers/trl_step.py reads them, with the advantages that ours computes."""
    rows: list[dict[str, Any]] = []
    for entry in (entry for update in build_batch(groups, settings).updates for entry in update):
        row, start = entry.row, entry.row.trained.index(True)
        rows.append(
            {
                "prompt": row.token_ids[:start],
                "completion": row.token_ids[start:],
                "mask": [int(on) for on in row.trained[start:]],
                "old_logprobs": row.logprobs[start:],
                "advantage": entry.advantages[0],
            }
        )
    return rows


def _ids(count: int, passes: Passes, random: torch.Generator) -> tuple[int, ...]:
    return tuple(torch.randint(int(passes.policy.model.config.vocab_size), (count,), generator=random).tolist())


def _row(key: EpisodeKey, prompt: Sequence[int], turns: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Row:
    ids, turn_index = [*prompt], [-1] * len(prompt)
    for number, (said, reply) in enumerate(turns):
        ids += [*said, *reply]
        turn_index += [-1] * len(said) + [number] * len(reply)
    length = len(ids)
    return Row(
        key=key,
        token_ids=tuple(ids),
        trained=tuple(turn >= 0 for turn in turn_index),
        logprobs=(0.0,) * length,
        turn_index=tuple(turn_index),
        policy_versions=tuple(0 if turn >= 0 else -1 for turn in turn_index),
        temperature=(1.0,) * length,
    )


def _scored(rows: Sequence[Row], passes: Passes, random: torch.Generator) -> list[Row]:
    """Return the rows with log-probabilities on their trained tokens."""
    found: list[Row] = []
    for row, scores in zip(rows, passes.score(rows, [row.key.task_id for row in rows]), strict=True):
        noisy = iter((scores + NOISE * torch.randn(scores.shape, generator=random)).tolist())
        found.append(replace(row, logprobs=tuple(next(noisy) if on else 0.0 for on in row.trained)))
    return found


def _call(whole: Row, turn: int) -> Row:
    """Return the row of one model call: all that stood before it as context, its reply trained."""
    end = len(whole.turn_index) - whole.turn_index[::-1].index(turn)
    own = [number == turn for number in whole.turn_index[:end]]
    return replace(
        whole,
        token_ids=whole.token_ids[:end],
        trained=tuple(own),
        logprobs=tuple(value if on else 0.0 for value, on in zip(whole.logprobs[:end], own, strict=True)),
        turn_index=tuple(turn if on else -1 for on in own),
        policy_versions=tuple(0 if on else -1 for on in own),
        temperature=whole.temperature[:end],
    )
