"""HostedEpisode: an episode that is driven from outside, reply by reply.

    start --> opening messages;  reply --> what follows it, or the end;  close --> what happened, graded or abandoned

It is the runner that plays it, with a policy that waits for the replies: an episode over the wire is by construction
the one that ``turnwright play`` plays in this process.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from turnwright.agents.builtin import Conversation, LoopLimits
from turnwright.core.episode import Episode, EpisodeKey, FinishReason, ToolOutcome
from turnwright.core.message import Message, ToolSpec
from turnwright.core.outcome import Failed
from turnwright.core.protocols import Reply
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.launch.export.errors import ServiceError
from turnwright.rollout.runner import EpisodeLimits, run_episode

ABANDONED = "abandoned"
"""Cause of the outcome of an episode that nobody played to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What the world says to a reply."""

    messages: tuple[Message, ...]
    """Messages since the reply."""
    tools: tuple[ToolOutcome, ...] = ()
    """What happened to the calls of the reply."""
    episode: Episode | None = None
    """The graded episode, when this is its end."""


class HostedEpisode:
    """Implements ChatPolicy towards the runner; one reply is under way at a time."""

    def __init__(
        self,
        prototype: Environment,
        task: Task,
        *,
        seed: int,
        attempt: int,
        max_turns: int,
        tool_seconds: float,
        executor: Executor,
        metadata: Mapping[str, str],
    ) -> None:
        """Take an environment and a task; nothing is opened yet."""
        self.task = task
        self.episode: Episode | None = None
        self.opening: tuple[Message, ...] = ()
        self.specs: tuple[ToolSpec, ...] = ()
        self._prototype = prototype
        self._key = EpisodeKey(task_id=task.id, attempt=attempt)
        self._seed = seed
        self._limits = EpisodeLimits(loop=LoopLimits(max_turns=max_turns, tool_timeout=tool_seconds))
        self._executor = executor
        self._metadata = metadata
        self._conversation = Conversation(turns=[])
        self._asked: asyncio.Queue[tuple[Message, ...]] = asyncio.Queue()
        self._replies: asyncio.Queue[Reply] = asyncio.Queue()
        self._seen = 0
        self._running: asyncio.Task[Episode] | None = None

    @property
    def num_turns(self) -> int:
        """Replies so far."""
        return len(self._conversation.turns)

    async def start(self) -> News:
        """Open the environment and return its opening messages; the end at once when it cannot be opened."""
        self._running = asyncio.create_task(
            run_episode(
                self._prototype,
                self.task,
                self._key,
                self,
                self._limits,
                seed=self._seed,
                executor=self._executor,
                conversation=self._conversation,
            )
        )
        news = await self._news()
        self.opening = news.messages
        return news

    async def reply(self, message: Message, finish_reason: FinishReason = "stop") -> News:
        """Take the reply of the policy and return what follows it."""
        self._seen += 1
        self._replies.put_nowait(
            Reply(
                message=message,
                finish_reason=finish_reason,
                num_prompt_tokens=0,
                num_sampled_tokens=0,
                mean_logprob=0.0,
                policy_version=0,
            )
        )
        return await self._news()

    async def close(self, why: str) -> Episode:
        """End the episode, wherever it is, and return it; one that was not over is abandoned, and not graded."""
        if self._running is not None and self.episode is None:
            self._running.cancel()
            await asyncio.wait([self._running])
            if not self._running.cancelled():
                self._finish(self._running.result())
        if self.episode is None:
            turns = tuple(self._conversation.turns)
            self._finish(
                Episode(
                    key=self._key,
                    task=self.task,
                    opening=self.opening,
                    tools=self.specs,
                    turns=turns,
                    outcome=Failed(cause=ABANDONED, detail=why),
                )
            )
        assert self.episode is not None
        return self.episode

    async def chat(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Show the runner's messages to whoever drives the episode, and wait for a reply."""
        self.specs = tuple(tools)
        self._asked.put_nowait(tuple(messages[self._seen :]))
        self._seen = len(messages)
        return await self._replies.get()

    async def _news(self) -> News:
        assert self._running is not None
        asked = asyncio.create_task(self._asked.get())
        try:
            await asyncio.wait([asked, self._running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        last = self._conversation.turns[-1] if self._conversation.turns else None
        tools = last.tools if last else ()
        if asked.done() and not asked.cancelled():
            return News(messages=asked.result(), tools=tools)
        if self._running.cancelled():
            raise ServiceError("SESSION_ERROR", "the session was ended meanwhile")
        self._finish(self._running.result())
        return News(messages=last.responses if last else (), tools=tools, episode=self.episode)

    def _finish(self, episode: Episode) -> None:
        self.episode = replace(episode, metadata={**episode.metadata, **self._metadata})
