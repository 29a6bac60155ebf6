"""What the original benchmark would have measured on recorded SOP-Bench episodes, beside what it does not look at.

    episodes --parsed and compared as the original does--> ECR, C-TSR, TSR
             --calls against those a solution needs-----> grounded success;  --> tool errors, turns, limits hit

The original's numbers are for comparison with published ones and for nothing else: its grader can be satisfied without
work (docs/sop_bench.md). Success is decided by the strict scorer.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from turnwright.core.episode import Episode
from turnwright.core.outcome import Failed, Truncated
from turnwright.environments.sop.original import is_right

NAME_PREFIX = "sop:"
"""Begins the names of environments that are SOP-Bench folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SopMeasures:
    """Shares over recorded episodes; None where there is nothing to share.

    Example: of 4 attempts one failed, two are right by the original's grader: ``original_ecr`` is 0.75,
    ``original_c_tsr`` 2/3 and ``original_tsr`` 0.5.
    """

    attempts: int
    original_ecr: float
    """Completed attempts, over all: what broke is not, an attempt cut by the turn limit is."""
    original_c_tsr: float | None
    """Right by the original's grader, over completed."""
    original_tsr: float
    """Right by the original's grader, over all."""
    strict_success: float | None
    """Right by the strict scorer, over scored attempts."""
    grounded_success: float | None
    """As ``strict_success``, and every tool that a solution needs was asked with the right ids and answered; None
    where no solution is known."""
    tool_error_fraction: float | None
    """Tool calls answered with an error."""
    turns_mean: float | None
    limit_hit_fraction: float | None
    """Attempts cut at the turn limit, over those that did not fail."""

    def to_json(self) -> str:
        """Return the numbers as one indented JSON object."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "SopMeasures":
        """Read what ``to_json`` wrote; raises ValueError or TypeError for anything else."""
        return cls(**json.loads(text))

    @property
    def shares(self) -> Mapping[str, float | None]:
        """The shares by what they are called for people."""
        return {
            "as the original does: completed (ECR)": self.original_ecr,
            "as the original does: right if completed (C-TSR)": self.original_c_tsr,
            "as the original does: right (TSR)": self.original_tsr,
            "strict success": self.strict_success,
            "strict success, needed tools asked (grounded)": self.grounded_success,
            "tool calls answered with an error": self.tool_error_fraction,
            "attempts cut at the turn limit": self.limit_hit_fraction,
        }

    def describe(self) -> str:
        """Return one line per number."""
        lines = [f"{name:<50}  {'-' if share is None else f'{share:.1%}'}" for name, share in self.shares.items()]
        turns = "-" if self.turns_mean is None else f"{self.turns_mean:.3g}"
        return "\n".join((*lines, f"{'turns per attempt':<50}  {turns}"))


def measure_sop(environment: str, episodes: Sequence[Episode]) -> SopMeasures | None:
    """Measure scored episodes of an environment by its name; None without any, or where it is no SOP-Bench folder."""
    if not environment.startswith(NAME_PREFIX) or not episodes:
        return None
    completed = [episode for episode in episodes if _completed(episode)]
    right = sum(original_success(episode) for episode in completed)
    ended = [episode for episode in episodes if not isinstance(episode.outcome, Failed)]
    scored = [episode for episode in ended if episode.score is not None]
    judged = [episode for episode in scored if needed_calls(episode) is not None]
    tools = [tool for episode in ended for turn in episode.turns for tool in turn.tools]
    return SopMeasures(
        attempts=len(episodes),
        original_ecr=len(completed) / len(episodes),
        original_c_tsr=_share(right, completed),
        original_tsr=right / len(episodes),
        strict_success=_share(sum(_succeeded(episode) for episode in scored), scored),
        grounded_success=_share(sum(_succeeded(episode) and is_grounded(episode) for episode in judged), judged),
        tool_error_fraction=_share(sum(tool.error for tool in tools), tools),
        turns_mean=_share(sum(len(episode.turns) for episode in ended), ended),
        limit_hit_fraction=_share(sum(_hit_limit(episode) for episode in ended), ended),
    )


def original_success(episode: Episode) -> bool:
    """Return the original grader's verdict on one episode; one that it would have broken off is not right."""
    return _completed(episode) and is_right(episode, episode.task.data["gold"])


def needed_calls(episode: Episode) -> Sequence[Mapping[str, Any]] | None:
    """Return the calls that a solution of the task makes, each a tool and its ids; None where none is known."""
    needed = episode.task.data.get("needed")
    return cast("Sequence[Mapping[str, Any]]", needed) if isinstance(needed, list) else None


def is_grounded(episode: Episode) -> bool:
    """Return whether every needed tool was asked with the right ids, among other arguments, and answered."""
    made = [
        (call.name, call.arguments)
        for turn in episode.turns
        for call, outcome in zip(turn.reply.tool_calls, turn.tools, strict=False)
        if not outcome.error
    ]
    return all(_was_made(need, made) for need in needed_calls(episode) or ())


def _was_made(need: Mapping[str, Any], made: Sequence[tuple[str, str]]) -> bool:
    ids = cast("Mapping[str, Any]", need["ids"]).items()
    return any(name == need["tool"] and ids <= _arguments(text).items() for name, text in made)


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text or "{}")
    except ValueError:
        return {}
    return cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}


def _completed(episode: Episode) -> bool:
    """The original breaks an attempt off when it calls a tool that is not on offer."""
    offered = {tool.name for tool in episode.tools}
    called = {call.name for turn in episode.turns for call in turn.reply.tool_calls}
    return not isinstance(episode.outcome, Failed) and (not offered or called <= offered)


def _succeeded(episode: Episode) -> bool:
    return episode.score is not None and episode.score.success


def _hit_limit(episode: Episode) -> bool:
    return isinstance(episode.outcome, Truncated) and episode.outcome.cause == "max_turns"


def _share(part: float, whole: Sequence[object]) -> float | None:
    return part / len(whole) if whole else None
