"""Runs one episode: opens the environment, lets the agent work, grades, always closes, and names what broke."""

import asyncio
import logging
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from turnwright.agents.builtin import Conversation, LoopLimits, run_tool_loop
from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.errors import AlignmentError, EngineStoppedError
from turnwright.core.outcome import Failed, Outcome, Rewarded, Truncated
from turnwright.core.protocols import UNWATCHED, ChatPolicy, Progress, PromptMeter
from turnwright.core.seeding import derive_key
from turnwright.core.task import Task
from turnwright.environments.base import Environment, ToolCrash, read_reward
from turnwright.rollout.lifetime import Lifetime

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeLimits:
    """What may cut or fail one episode."""

    loop: LoopLimits
    timeout_seconds: float | None = None
    """Wall time of the whole episode. All of it is spent in the environment and in our engine, so running out is a
    failure."""


async def run_episode(
    prototype: Environment,
    task: Task,
    key: EpisodeKey,
    policy: ChatPolicy,
    limits: EpisodeLimits,
    *,
    seed: int,
    executor: Executor | None = None,
    conversation: Conversation | None = None,
    meter: PromptMeter | None = None,
    progress: Progress = UNWATCHED,
) -> Episode:
    """Run one attempt and return it graded; what breaks becomes a ``Failed`` outcome, never an exception.

    Only an AlignmentError passes: it is our own bug and no fact about the attempt.

    Args:
        prototype: The run's environment; the episode works on its own copy.
        task: What to do.
        key: Names the attempt; with ``seed`` it keys the environment's randomness. Attempts of one task share the
            environment's seed, so that a group differs by what the policy did alone.
        policy: Who is asked.
        limits: What may cut or fail the episode.
        seed: The run's seed.
        executor: Where blocking tools run, and open and reward of an environment that waits.
        conversation: Grows with the episode, for somebody who watches it; None = nobody does.
        meter: Counts tokens; needed where ``limits`` have a context policy.
        progress: Told what the environment and its tools are at.
    """
    environment = prototype.for_episode()
    lifetime = Lifetime(environment, key, executor, progress)
    conversation = conversation or Conversation(turns=[])
    episode = Episode(key=key, task=task, opening=())
    limit = asyncio.timeout(limits.timeout_seconds)
    try:
        async with limit:
            await lifetime.open(task, derive_key(seed, "environment", task.id))
            episode = replace(episode, opening=environment.opening(), tools=environment.tool_specs())
            await run_tool_loop(
                environment, policy, conversation, limits.loop, executor, meter, name=str(key), progress=progress
            )
            episode = replace(episode, turns=tuple(conversation.turns))
            return replace(episode, outcome=await _grade(lifetime, episode, conversation))
    except ToolCrash as crash:
        failure = Failed(cause=crash.cause, detail=str(crash))
    except EngineStoppedError as error:
        failure = Failed(cause="engine_error", detail=str(error))
    except AlignmentError:
        raise
    except Exception as error:  # the boundary that attributes what a user's environment raises
        if isinstance(error, TimeoutError) and limit.expired():
            failure = Failed(cause="timeout", detail=f"no end within {limits.timeout_seconds} s")
        else:
            failure = Failed(cause="environment_error", detail=f"{type(error).__name__}: {error}")
            log.warning("episode %s: environment raised", key, exc_info=True)
    finally:
        await lifetime.close()
    return replace(episode, turns=tuple(conversation.turns), outcome=failure)


async def _grade(lifetime: Lifetime, episode: Episode, conversation: Conversation) -> Outcome:
    try:
        grade = read_reward(await lifetime.reward(episode), num_turns=len(episode.turns))
    except Exception as error:  # a grader that breaks is infrastructure, not a reward of 0
        log.warning("episode %s: reward raised", episode.key, exc_info=True)
        return Failed(cause="grader_error", detail=f"{type(error).__name__}: {error}")
    if conversation.truncation is None:
        return Rewarded(value=grade.value, turn_values=grade.turn_values, components=grade.components)
    return Truncated(
        value=grade.value,
        cause=conversation.truncation,
        turn_values=grade.turn_values,
        components=grade.components,
    )
