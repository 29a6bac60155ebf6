"""Score: what an independent scorer says of an episode."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Verdict of a scorer that is not the reward."""

    success: bool
    """Everything the task asks for is right."""
    fields: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """Per scored output field: is it right?"""
    completed: bool = True
    """The episode ended in an answer the scorer could read."""
