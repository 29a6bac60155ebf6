"""Finding: a named diagnosis with evidence, likely cause and next action."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing a check or diagnosis found."""

    code: str
    """Stable name such as "replay.diff" or "oracle.fails"."""
    severity: Severity
    where: str
    """The task, file, tool or metric it was seen in."""
    evidence: str
    cure: str
