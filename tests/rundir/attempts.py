"""Small attempts, groups and steps written by hand."""

from collections.abc import Sequence
from dataclasses import replace

from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.group import Attempt
from turnwright.core.message import Message
from turnwright.core.outcome import Rewarded
from turnwright.core.task import Task
from turnwright.core.trajectory import SampledTurn, Trajectory, hash_ids
from turnwright.rundir import RunWriter
from turnwright.rundir.records import BatchGroup, BatchRecord, Fate


def make_attempt(
    task: str = "t1", number: int = 0, *, reward: float = 1.0, calls: int = 1, versions: tuple[int, int] = (0, 0)
) -> Attempt:
    key = EpisodeKey(task_id=task, attempt=number)
    sampled = tuple(
        SampledTurn(
            index=index,
            parent=index - 1 if index else None,
            kind="clean" if index else "root",
            prompt_token_ids=(1, 2),
            sampled_token_ids=(3, 4),
            logprobs=(-0.1, -0.7),
            policy_versions=versions,
            temperature=1.0,
            top_p=1.0,
            prefix_hash=hash_ids((1, 2)),
        )
        for index in range(calls)
    )
    episode = Episode(
        key=key,
        task=Task(id=task, prompt="order: O3"),
        opening=(Message(role="user", content="order: O3"),),
        turns=tuple(Turn(reply=Message(role="assistant", content="refund")) for _ in sampled),
        outcome=Rewarded(value=reward),
    )
    return Attempt(episode=episode, trajectory=Trajectory(key=key, turns=sampled))


def make_group(number: int, task: str = "t1", *, version: int = 0, fate: Fate = "open", epoch: int = 0) -> BatchGroup:
    return BatchGroup(number=number, task=task, domain="", epoch=epoch, version=version, fate=fate)


def record(step: int, groups: Sequence[BatchGroup], fate: Fate = "trained") -> BatchRecord:
    return BatchRecord(step=step, groups=tuple(replace(group, fate=fate) for group in groups))


def take_step(writer: RunWriter, step: int, *tasks: str) -> None:
    """Write a whole step, of one group of one attempt per task, with its metrics."""
    groups = [make_group(100 * step + i, task, version=step - 1) for i, task in enumerate(tasks or (f"task-{step}",))]
    attempts = [make_attempt(group.task, versions=(group.version, group.version)) for group in groups]
    for group, attempt in zip(groups, attempts, strict=True):
        writer.open_group(group)
        writer.attempt(group.number, attempt)
    writer.close_step(record(step, groups), attempts)
    writer.metrics(step, {"training/loss": 1 / step})
