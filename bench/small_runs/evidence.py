"""What a run directory proves about its attempts: which are on disk, which a step has, and which were trained.

Attempts are compared by content, not by name alone: one that was lost and sampled again has its name and other tokens.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TypeVar

import pydantic_core

from turnwright.core.errors import RunDirectoryError
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed
from turnwright.rundir.files import read_lines
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.reader import RunReader
from turnwright.rundir.record_log import recover

NOT_COMPARED = (
    "time",
    "timing_s/",
    "busy_s/",
    "training/peak_memory_mb",
    "rollout/ended/",
    "rollout/wasted_",
    "rollout/in_flight",
    "rollout/ready_groups",
    "rollout/concurrency",
)
"""Beginnings of the names of metrics that say something about the process and not about the run: the clock, the
machine, and the rollouts that this process played. A step that is trained again from disk has played none."""
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An attempt that ended and did not fail: nothing may lose it."""

    key: str
    tokens: str
    """Hash of all ids it was asked and answered with, and of the versions that sampled them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """What a finished run is made of."""

    attempts: frozenset[Ended]
    """In the steps it closed."""
    trained_twice: tuple[str, ...]
    """Groups and attempts that more than one step has trained."""
    metrics: tuple[Mapping[str, float], ...]
    """One per step, without what depends on the process that took it."""
    missing_steps: tuple[int, ...]
    """Steps whose metrics are missing or there more than once."""
    weights: str
    """SHA-256 of the last checkpoint's weights."""
    rewards: tuple[float, ...]
    """Of the attempts of all steps."""

    @property
    def reward(self) -> float:
        """Their mean."""
        return sum(self.rewards) / max(1, len(self.rewards))


def on_disk(root: Path) -> frozenset[Ended]:
    """Return every attempt that a run has finished, wherever it lies: it may still be running."""

    def look() -> frozenset[Ended]:
        run = RunReader(root)
        # Open groups first: what is closed meanwhile is then seen twice instead of not at all.
        found = {ended for group in run.open_groups() for ended in _ended(group.attempts)}
        found |= {ended for record in recover(run.layout.records) for ended in _ended(_attempt(record))}
        return frozenset(found | {ended for batch in run.batches() for ended in _ended(run.attempts(batch.step))})

    return _insist(look)


def final(root: Path, *, steps: int) -> Final:
    """Return what a run that has taken all its steps is made of."""
    run = RunReader(root)
    attempts = {batch.step: tuple(run.attempts(batch.step)) for batch in run.batches()}
    rewards = [_reward(attempt) for step in attempts.values() for attempt in step]
    counted = Counter(_steps_of_metrics(run.layout))
    return Final(
        attempts=frozenset(ended for step in attempts.values() for ended in _ended(step)),
        trained_twice=_trained_twice(run, attempts),
        metrics=tuple(_of_the_run(step) for step in run.metrics()),
        missing_steps=tuple(step for step in range(1, steps + 1) if counted[step] != 1),
        weights=_hash_weights(run.layout, steps),
        rewards=tuple(reward for reward in rewards if reward is not None),
    )


def _trained_twice(run: RunReader, attempts: Mapping[int, tuple[Attempt, ...]]) -> tuple[str, ...]:
    trained = [group for batch in run.batches() for group in batch.groups if group.fate == "trained"]
    names = Counter(f"group {group.number}" for group in trained)
    names += Counter(f"task {group.task!r} in epoch {group.epoch}" for group in trained)
    names += Counter(f"attempt {ended.key}" for step in attempts.values() for ended in set(_ended(step)))
    return tuple(sorted(name for name, count in names.items() if count > 1))


def _steps_of_metrics(layout: RunLayout) -> list[int]:
    """Return the step of every line that no later line takes back, each as often as it is there."""
    steps: list[int] = []
    for record in map(pydantic_core.from_json, read_lines(layout.metrics)):
        if (resumed_after := record.get("resumed_after_step")) is not None:
            steps = [step for step in steps if step <= resumed_after]
        else:
            steps.append(record["step"])
    return steps


def _of_the_run(metrics: Mapping[str, float]) -> Mapping[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith(NOT_COMPARED)}


def _hash_weights(layout: RunLayout, step: int) -> str:
    files = sorted(layout.checkpoint(step).glob("*.safetensors"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest() if files else ""


def _reward(attempt: Attempt) -> float | None:
    outcome = attempt.episode.outcome
    return None if isinstance(outcome, Failed) else outcome.value


def _attempt(record: object) -> tuple[Attempt, ...]:
    attempt = record.attempt()  # pyright: ignore[reportAttributeAccessIssue]
    return () if attempt is None else (attempt,)


def _ended(attempts: "Iterator[Attempt] | tuple[Attempt, ...]") -> Iterator[Ended]:
    for attempt in attempts:
        if isinstance(attempt.episode.outcome, Failed) or attempt.episode.task.split != "train":
            continue
        tokens = [
            (turn.prompt_token_ids, turn.sampled_token_ids, turn.policy_versions) for turn in attempt.trajectory.turns
        ]
        digest = blake2b(repr(tokens).encode(), digest_size=12).hexdigest()
        yield Ended(key=str(attempt.episode.key), tokens=digest)


def _insist(look: Callable[[], Found], times: int = 5) -> Found:
    """Look again when a file went away under the reader: a running run deletes what it has moved on."""
    for left in reversed(range(times)):
        try:
            return look()
        except (FileNotFoundError, RunDirectoryError):
            if not left:
                raise
            time.sleep(0.05)
    raise AssertionError("unreachable")
