"""CheckReport: what an audit found, in the shape that ``turnwright check ENV --json`` prints."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from turnwright.core.finding import Finding


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
    """Share of tasks that answers without any work solve."""

    by_reward: float
    by_score: float | None = None
    """By the independent scorer, where one was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Turn settings that follow from the solutions; None where nothing solved a task."""

    typical_turns: int | None
    max_turns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """Result of an audit; ``passed`` when no finding is an error."""

    environment: str
    passed: bool
    findings: tuple[Finding, ...]
    oracle: OracleResult
    floors: Mapping[str, Floor]
    """By name of the answer; "majority_class" is what naming the most frequent gold answer earns."""
    proposed: Proposal

    def to_json(self) -> str:
        """Return the report as one indented JSON object (schemas/check.json)."""
        return REPORT_ADAPTER.dump_json(self, indent=2).decode() + "\n"


REPORT_ADAPTER = TypeAdapter(CheckReport)
