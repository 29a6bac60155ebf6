"""Outcome: how an episode ended. A failure of infrastructure is never a reward of 0."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

TruncationCause = Literal["token_cap", "max_turns", "sequence", "time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewarded:
    """The episode ran to its own end and was graded."""

    value: float
    """Reward of the attempt."""
    turn_values: tuple[float, ...] = ()
    """One reward per turn, when the environment gives them; their sum is ``value``."""
    components: Mapping[str, float] = field(default_factory=dict[str, float])
    """Named parts of the reward, for metrics."""
    kind: Literal["rewarded"] = "rewarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncated:
    """A limit cut the episode; it was graded as it stood."""

    value: float
    cause: TruncationCause
    turn_values: tuple[float, ...] = ()
    components: Mapping[str, float] = field(default_factory=dict[str, float])
    kind: Literal["truncated"] = "truncated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Something other than the policy broke: the attempt leaves its group and is never trained."""

    cause: str
    """Short code such as "tool_error", "tool_timeout", "engine_error", "grader_error", "agent_error"."""
    detail: str = ""
    kind: Literal["failed"] = "failed"


Outcome = Rewarded | Truncated | Failed
