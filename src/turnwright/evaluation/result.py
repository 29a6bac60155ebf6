"""EvaluationResult: what one checkpoint scored on one suite, as it is kept in the run directory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from turnwright.core.errors import RunDirectoryError
from turnwright.evaluation.statistics import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRate:
    """Chances of k sampled attempts at one task, averaged over tasks with at least k scored attempts."""

    k: int
    at_least_one: Interval
    """pass@k."""
    all: Interval
    """pass^k."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One task of the suite: enough to pair two checkpoints on it."""

    task_id: str
    cluster: str | None
    attempts: int
    """Sampled attempts that were scored; failed ones are not among them."""
    successes: int
    failed: int
    """Sampled attempts lost to something other than the policy."""
    greedy: bool | None
    """Success of the greedy attempt; None when there is none or it failed."""
    fields: Mapping[str, float] = field(default_factory=dict)
    """Per output field: share of the scored sampled attempts that got it right."""
    domain: str | None = None
    """Member of a mixture that the task belongs to."""

    @property
    def field_accuracy(self) -> float | None:
        """Share of right fields over the scored sampled attempts."""
        return sum(self.fields.values()) / len(self.fields) if self.fields else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeShares:
    """Shares of all attempts, sampled and greedy; they sum to 1."""

    rewarded: float
    truncated: float
    failed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainResult:
    """One domain of a mixture, on its own tasks alone; fields as in EvaluationResult."""

    environment: str
    scorer: str
    num_tasks: int
    success: Interval | None
    greedy_success: Interval | None
    field_accuracy: Interval | None
    fields: Mapping[str, Interval]
    completion: Interval | None
    reward: Interval | None
    turns_mean: float | None
    outcomes: OutcomeShares


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """Scores of a checkpoint on a suite.

    ``success`` is the chance that one attempt at the suite's temperature succeeds (pass@1), ``greedy_success`` the
    share of tasks whose attempt at temperature 0 does. Failed attempts are counted in ``outcomes`` and in no score;
    None stands for a number without a single scored attempt.
    """

    suite: str
    environment: str
    options: Mapping[str, Any]
    split: str
    scorer: str
    reward_is_scorer: bool
    """The suite lets the environment's own reward judge: not independent evidence."""
    checkpoint: str
    step: int | None
    """Training step of the checkpoint, when known."""
    tasks_hash: str
    """Hash of ids, prompts and ground truth: two results are comparable only if it is equal."""
    num_tasks: int
    attempts: int
    """Sampled attempts asked for per task."""
    temperature: float
    seed: int
    success: Interval | None
    pass_rates: tuple[PassRate, ...]
    greedy_success: Interval | None
    field_accuracy: Interval | None
    """Sampled attempts; an attempt without a readable answer has every field wrong."""
    greedy_field_accuracy: Interval | None
    fields: Mapping[str, Interval]
    """Accuracy per output field, sampled attempts."""
    completion: Interval | None
    """Share of sampled attempts with an answer that the scorer can read."""
    reward: Interval | None
    """Mean reward of sampled attempts; for reading beside the score, never in place of it."""
    turns_mean: float | None
    tool_error_fraction: float | None
    """Tool calls answered with an error, over all calls of sampled attempts."""
    outcomes: OutcomeShares
    warnings: tuple[str, ...]
    """Plain sentences on what weakens this result."""
    tasks: tuple[TaskResult, ...]
    domains: Mapping[str, DomainResult] = field(default_factory=dict)
    """Of a mixture: each domain by itself. ``success`` and the other numbers above pool the tasks of all (micro)."""
    macro_success: Interval | None = None
    """Mean of the domains' success, each counting the same however many tasks it has; None outside a mixture."""
    macro_greedy_success: Interval | None = None

    def to_json(self) -> str:
        """Return the result as one indented JSON object (schemas/evaluation.json)."""
        return RESULT_ADAPTER.dump_json(self, indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "evaluation result") -> "EvaluationResult":
        """Read what ``to_json`` wrote.

        Raises:
            RunDirectoryError: the text is not an evaluation result; the message names ``where``.
        """
        try:
            return RESULT_ADAPTER.validate_python(json.loads(text))
        except (ValidationError, ValueError) as error:
            raise RunDirectoryError(f"{where} is not an evaluation result written by this version: {error}") from error


RESULT_ADAPTER = TypeAdapter(EvaluationResult)
