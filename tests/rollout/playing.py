"""A runner whose attempts last and end as they are told, and a journal that keeps what it is told in memory."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace

from turnwright.agents.builtin import LoopLimits
from turnwright.config import resolve_values
from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.outcome import Outcome
from turnwright.core.task import Task
from turnwright.core.trajectory import SampledTurn, Trajectory, hash_ids
from turnwright.gateway.recorder import SamplingLimits
from turnwright.inference.scripted import ScriptedEngine
from turnwright.learner.batch import BatchSettings, is_live
from turnwright.policies.tokenizer import build_tokenizer
from turnwright.rollout.attempts import CollectorSettings, Wanted
from turnwright.rollout.batches import Batches, Dealer
from turnwright.rollout.concurrency import Concurrency
from turnwright.rollout.pool import AttemptPool
from turnwright.rollout.repetition import RepetitionSettings
from turnwright.rollout.runner import EpisodeLimits
from turnwright.rollout.staleness import StalenessBound
from turnwright.rollout.stream import GroupStream, Journal, StreamSettings
from turnwright.rundir.records import BatchGroup, OpenGroup

TOKENIZER = build_tokenizer(["done"] * 9, 300)
EPISODES = CollectorSettings(
    seed=1, sampling=SamplingLimits(max_tokens=60), limits=EpisodeLimits(loop=LoopLimits(max_turns=4)), max_retries=0
)


def make_attempt(
    task: Task, number: int, outcome: Outcome, sampled: Sequence[int] = (3, 4), versions: Sequence[int] | None = None
) -> Attempt:
    """Return an attempt of one turn."""
    key = EpisodeKey(task_id=task.id, attempt=number)
    turn = SampledTurn(
        index=0,
        parent=None,
        kind="root",
        prompt_token_ids=(1, 2),
        sampled_token_ids=tuple(sampled),
        logprobs=(-0.5,) * len(sampled),
        policy_versions=tuple(versions if versions is not None else (0,) * len(sampled)),
        temperature=1.0,
        top_p=1.0,
        prefix_hash=hash_ids((1, 2)),
    )
    return Attempt(
        episode=Episode(key=key, task=task, opening=(), outcome=outcome), trajectory=Trajectory(key=key, turns=(turn,))
    )


class StrictEngine(ScriptedEngine):
    """Refuses, as the embedded engine does, an episode that is open."""

    def __init__(self) -> None:
        super().__init__(TOKENIZER, [])
        self.counts: list[int] = []
        """Open episodes after each one was opened or closed."""

    def open_episode(self, key: EpisodeKey) -> None:
        if key in self.open_episodes:
            raise ValueError(f"episode {key} is already open")
        super().open_episode(key)
        self.counts.append(len(self.open_episodes))

    def close_episode(self, key: EpisodeKey) -> None:
        super().close_episode(key)
        self.counts.append(len(self.open_episodes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """How an attempt goes: one token after every ``pause`` seconds, sampled by whatever version there is by then."""

    outcome: Outcome
    tokens: tuple[int, ...] = (3, 4)
    pause: float = 0.0


@dataclass(kw_only=True)
class Player:
    """Implements EpisodeRunner."""

    play: Callable[[Wanted], Play]
    engine: StrictEngine = field(default_factory=StrictEngine)
    played: list[EpisodeKey] = field(default_factory=list)
    """Keys in order of beginning."""

    async def run(self, wanted: Wanted, settings: CollectorSettings, executor: Executor) -> Attempt:
        self.played.append(wanted.key)
        play, versions = self.play(wanted), list[int]()
        for _ in play.tokens:
            await asyncio.sleep(play.pause)
            versions.append(self.engine.policy_version)
        return make_attempt(wanted.task, wanted.attempt, play.outcome, play.tokens, versions)

    def paused(self) -> AbstractAsyncContextManager[object]:
        return nullcontext()


@dataclass(kw_only=True)
class Notebook:
    """Implements Journal."""

    groups: dict[int, BatchGroup] = field(default_factory=dict)
    attempts: list[tuple[int, Attempt]] = field(default_factory=list)

    def open_group(self, group: BatchGroup) -> None:
        assert group.number not in self.groups
        self.groups[group.number] = group

    def attempt(self, number: int, attempt: Attempt) -> None:
        self.attempts.append((number, attempt))

    def open_groups(self, without: Sequence[BatchGroup] = ()) -> list[OpenGroup]:
        """Return what a run directory has of the groups that no closed step has."""
        closed = {group.number for group in without}
        last: dict[int, dict[EpisodeKey, Attempt]] = {number: {} for number in self.groups}
        for number, attempt in self.attempts:
            last[number].pop(attempt.episode.key, None)
            last[number][attempt.episode.key] = attempt
        return [
            OpenGroup(group=group, attempts=tuple(last[number].values()))
            for number, group in self.groups.items()
            if number not in closed
        ]

    def cut(self, num_lines: int) -> "Notebook":
        """Return what a crash leaves after a number of attempts; groups without a later one stay."""
        return replace(self, groups=dict(self.groups), attempts=self.attempts[:num_lines])


def make_batches(names: Sequence[str], domains: Sequence[str] = (), *, size: int = 3, steps: int = 21) -> Batches:
    """Return the batches of tasks of such names; of a mixture where each has a domain."""
    tasks = [
        Task(id=f"{domain}/{name}" if domain else name, prompt="?", domain=domain or None)
        for name, domain in zip(names, domains or [""] * len(names), strict=True)
    ]
    members = {domain: {"name": "procedures"} for domain in sorted(set(domains))}
    values = {
        "environment": {"mixture": members} if members else {"name": "procedures"},
        "algorithm": {"global_batch_size": size, "updates_per_step": 1},
        "schedule": {"max_steps": steps, "max_epochs": None, "val_every": 0, "save_every": 0},
    }
    return Batches(resolve_values(values, source="test").config, tasks)


def open_stream(
    player: Player,
    batches: Batches,
    journal: Journal,
    *,
    most_off_policy: int = 0,
    group_size: int = 2,
    fill_rounds: int = 0,
    wait: float = 60.0,
    limit: int = 99,
    dealt: Sequence[BatchGroup] = (),
) -> GroupStream:
    """Return a stream over a player; ``dealt`` = what was dealt before."""
    dealer = Dealer(batches)
    dealer.restore(dealt)
    return GroupStream(
        dealer,
        AttemptPool(player, Concurrency.start(lowest=limit, highest=limit)),
        StalenessBound(batch_size=batches.size, max_steps_off_policy=most_off_policy),
        StreamSettings(
            group_size=group_size,
            episodes=EPISODES,
            fill_rounds=fill_rounds,
            repetition=RepetitionSettings(max_repeated_tokens=6),
            straggler_wait_seconds=wait,
        ),
        is_live=lambda group: is_live(group, BatchSettings()),
        journal=journal,
    )
