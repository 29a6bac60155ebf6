"""Plays an environment by script: one attempt, or the same actions again."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from turnwright.agents.builtin import LoopLimits
from turnwright.audit.patience import renew_patience
from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.message import Message, ToolSpec
from turnwright.core.protocols import ChatPolicy, Reply
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.environments.scripts import Script, numbered
from turnwright.rollout.demonstrations import ScriptedPolicy
from turnwright.rollout.runner import EpisodeLimits, run_episode

TURNS_ALLOWED = 4
"""Times the environment's own turn limit: a script that needs more turns than allowed shall show how many."""

TIMEOUT_SECONDS = 60.0
"""One scripted episode asks no model, so only a tool that hangs takes this long."""


class YieldingPolicy:
    """Lets other episodes move between any two turns, so that episodes side by side really mix."""

    def __init__(self, policy: ChatPolicy) -> None:
        """Wrap the policy that answers."""
        self._policy = policy

    async def chat(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Wait a turn of the event loop, then answer."""
        await asyncio.sleep(0)
        renew_patience()
        return await self._policy.chat(messages, tools)


async def play(prototype: Environment, task: Task, script: Script, *, seed: int) -> Episode:
    """Play one task by a script; whatever breaks is the episode's outcome."""
    renew_patience()
    limits = EpisodeLimits(
        loop=LoopLimits(max_turns=TURNS_ALLOWED * prototype.turn_limit), timeout_seconds=TIMEOUT_SECONDS
    )
    key = EpisodeKey(task_id=task.id, attempt=0)
    return await run_episode(prototype, task, key, YieldingPolicy(ScriptedPolicy(script)), limits, seed=seed)


async def play_again(prototype: Environment, episode: Episode, *, seed: int) -> Episode:
    """Play the task of an episode with exactly its actions, whatever the world answers this time."""
    return await play(prototype, episode.task, numbered(turn.reply for turn in episode.turns), seed=seed)


def find_difference(first: Episode, second: Episode) -> str:
    """Say where two plays of the same actions part; empty when they agree."""
    if first.opening != second.opening:
        return f"opening messages differ: {_first_difference(first.opening, second.opening)}"
    if first.tools != second.tools:
        return "the tools on offer differ"
    for number, (one, other) in enumerate(zip(first.turns, second.turns, strict=False), start=1):
        if one.responses != other.responses:
            return f"turn {number}{_called(one)} was answered differently: " + _first_difference(
                one.responses, other.responses
            )
        if [replace(tool, latency_ms=0.0) for tool in one.tools] != [replace(t, latency_ms=0.0) for t in other.tools]:
            return f"turn {number}{_called(one)}: a tool call was an error in one play only"
    if len(first.turns) != len(second.turns):
        return f"one play ended after {len(first.turns)} turns, the other after {len(second.turns)}"
    if first.outcome != second.outcome:
        return f"outcomes differ: {first.outcome} and {second.outcome}"
    return ""


def _called(turn: Turn) -> str:
    """Return the calls of a turn in brackets; nothing for a turn without."""
    calls = ", ".join(f"{call.name} {call.arguments}" for call in turn.reply.tool_calls)
    return f" ({_cut(calls)})" if calls else ""


def _first_difference(first: Iterable[Message], second: Iterable[Message]) -> str:
    one, other = list(first), list(second)
    for left, right in zip(one, other, strict=False):
        if left != right:
            return f"{_cut(left.content)!r} and {_cut(right.content)!r}"
    return f"{len(one)} messages and {len(other)}"


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
