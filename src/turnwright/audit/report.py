"""CheckReport: what an audit found, in the shape that ``turnwright check ENV --json`` prints."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from turnwright.core.finding import Finding
from turnwright.rundir.files import write_atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleResult:
    """How many tasks a known solution solves."""

    kind: Literal["rules", "gold"]
    """"rules": the environment's oracle. "gold": every tool called once, then the ground truth in the ordinary answer
    format, which proves that parser and graders can be satisfied, not that the task can be solved.
    """
    solved: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Share of tasks that a play solves."""

    by_reward: float
    by_score: float | None = None
    """By the independent scorer, where one was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Turn settings that follow from the solutions; None where nothing solved a task."""

    typical_turns: int | None
    max_turns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """A tool as it is told to the policy, and how the solutions use it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments."""
    calls: int
    errors: int
    longest_answer: int
    """Characters."""
    mean_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was measured beside the verdict."""

    tasks: Mapping[str, int]
    """Number of tasks by split."""
    turns: Mapping[str, int]
    """Number of solutions by the turns they take."""
    turn_limit: int
    """Turns after which the environment cuts an episode."""
    seconds_per_episode: float
    """What the world takes for one solution; no model is asked."""
    longest_opening: int
    """Characters of instructions and prompt together."""
    tools: tuple[ToolFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the audit was asked for; the same settings give the same report."""

    options: Mapping[str, str]
    """Options of the environment, as text."""
    seed: int
    num_tasks: int
    success_threshold: float
    scorer: str
    """Name of the independent scorer's class; empty without one."""
    allow_network: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """Result of an audit; ``passed`` when no finding is an error."""

    environment: str
    passed: bool
    findings: tuple[Finding, ...]
    oracle: OracleResult
    floors: Mapping[str, Floor]
    """By name of the play; "majority_class" is what naming the most frequent right answer earns."""
    attacks: Mapping[str, Floor]
    """Share of solved tasks on which a right answer counts in another form than they have; by name of the attack."""
    proposed: Proposal
    facts: Facts
    settings: Settings

    def to_json(self) -> str:
        """Return the report as one indented JSON object (schemas/check.json)."""
        return REPORT_ADAPTER.dump_json(self, indent=2).decode() + "\n"


REPORT_ADAPTER = TypeAdapter(CheckReport)


def write_report(report: CheckReport, path: Path) -> None:
    """Write a report as a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, report.to_json())
