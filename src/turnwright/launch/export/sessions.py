"""Sessions: who plays which episode, how many at once, and for how long nobody may touch one.

    open --> session --reset--> episode --reply ...--> graded episode --> file
                     `- end, idle too long, server stops: what is not over is abandoned, and written as such

Everything runs in one event loop; blocking tools run in ``executor``.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from turnwright.core.episode import Episode, FinishReason
from turnwright.core.errors import DatasetError
from turnwright.core.message import Message, ToolSpec
from turnwright.core.outcome import Failed
from turnwright.core.seeding import derive_key
from turnwright.core.task import Split, Task
from turnwright.environments.base import Environment
from turnwright.launch.export.choice import SPLITS, Choice
from turnwright.launch.export.episode import HostedEpisode, News
from turnwright.launch.export.errors import ServiceError
from turnwright.launch.export.file import EpisodeFile

MOST_THREADS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportLimits:
    """What sessions may take."""

    capacity: int = 64
    """Sessions at once."""
    idle_seconds: float = 1800.0
    """Time without a request after which a session is ended."""
    max_turns: int | None = None
    """Replies of an episode; None = the environment's own limit."""
    tool_seconds: float = 30.0
    """Time one tool call may take."""


class Session:
    """One client's place: one episode after the other. Made by ``Sessions``; requests of one session take turns."""

    def __init__(self, sessions: "Sessions") -> None:
        """Use ``Sessions.open``."""
        self.id = secrets.token_urlsafe(24)
        self.hosted: HostedEpisode | None = None
        self.choice = Choice()
        self.last_used = asyncio.get_running_loop().time()
        self.turn = asyncio.Lock()
        self.calls = asyncio.Lock()
        """Held by an agent's side while it numbers a call and makes it."""
        self.ended = False
        self._sessions = sessions
        self._written = True

    @property
    def over(self) -> bool:
        """Whether there is no episode to go on with."""
        return self.hosted is None or self.hosted.episode is not None

    def tools(self) -> tuple[ToolSpec, ...]:
        """Return the tools of an episode, before there is one."""
        return self._sessions.prototype.tool_specs()

    async def reset(self, choice: Choice) -> News:
        """Abandon the episode, if one is under way, and start another.

        Raises ServiceError when there is no such task, or the environment cannot be opened.
        """
        async with self.turn:
            self._touch()
            await self._close("the client reset it")
            self.choice, task, seed = self._sessions.choose(choice)
            self.hosted = self._sessions.host(task, seed, self)
            self._written = False
            news = await self.hosted.start()
            self._write(news)
            if news.episode is not None and isinstance(news.episode.outcome, Failed):
                failed = news.episode.outcome
                raise ServiceError("FACTORY_ERROR", f"the episode cannot be opened: {failed.cause}: {failed.detail}")
            self._touch()
            return news

    async def reply(self, message: Message, finish_reason: FinishReason = "stop") -> News:
        """Take a reply of the policy.

        Raises ServiceError when no episode is under way, or this one breaks: that is never a reward of 0.
        """
        async with self.turn:
            self._touch()
            if self.ended or self.hosted is None:
                raise ServiceError("SESSION_ERROR", "no episode has begun: reset first")
            if self.hosted.episode is not None:
                raise ServiceError("VALIDATION_ERROR", "the episode is over: reset to begin another")
            news = await self.hosted.reply(message, finish_reason)
            self._write(news)
            if news.episode is not None and isinstance(news.episode.outcome, Failed):
                failed = news.episode.outcome
                raise ServiceError("EXECUTION_ERROR", f"the episode failed: {failed.cause}: {failed.detail}")
            self._touch()
            return news

    async def leave(self) -> None:
        """Let the agent go: an episode that is not over gets an empty last reply, and is graded as it is."""
        if not self.over and not self.turn.locked():
            with suppress(ServiceError):
                await self.reply(Message(role="assistant"))

    async def finish(self) -> None:
        """End the session for an agent that is done."""
        await self.leave()
        await self.end("the agent left")

    async def end(self, why: str) -> None:
        """End the session; an episode that is not over is abandoned, whatever it is doing."""
        self.ended = True
        self._sessions.forget(self)
        await self._close(why)

    async def _close(self, why: str) -> None:
        if self.hosted is not None:
            episode = await self.hosted.close(why)
            self._write(News(messages=(), episode=episode))

    def _write(self, news: News) -> None:
        if news.episode is not None and not self._written:
            self._written = True
            self._sessions.write(news.episode)

    def _touch(self) -> None:
        self.last_used = asyncio.get_running_loop().time()


class Sessions:
    """Every session of a service; open it with ``open_sessions``."""

    def __init__(
        self, prototype: Environment, *, limits: ExportLimits, split: Split | None, seed: int, file: EpisodeFile | None
    ) -> None:
        """Use ``open_sessions``."""
        self.prototype = prototype
        self.limits = limits
        self.by_id: dict[str, Session] = {}
        self.tasks: dict[Split, Sequence[Task]] = {name: _tasks(prototype, name) for name in SPLITS}
        with_tasks: list[Split] = [name for name in SPLITS if self.tasks[name]]
        first: Split = with_tasks[0] if with_tasks else "train"
        self.split: Split = first if split is None else split
        self._first_seed = seed
        self._file = file
        self._started = 0
        self._executor = ThreadPoolExecutor(max_workers=min(limits.capacity, MOST_THREADS), thread_name_prefix="tool")

    def open(self) -> Session:
        """Make a session; raises ServiceError when there is no room for one."""
        if len(self.by_id) >= self.limits.capacity:
            raise ServiceError(
                "CAPACITY_REACHED",
                f"{len(self.by_id)} of {self.limits.capacity} sessions are open: close one, wait until an idle one is "
                "ended, or start the service with a larger --capacity",
            )
        session = Session(self)
        self.by_id[session.id] = session
        return session

    def find(self, session_id: str) -> Session:
        """Return a session by its id; raises ServiceError when there is none."""
        session = self.by_id.get(session_id)
        if session is None:
            raise ServiceError("SESSION_ERROR", f"there is no session {session_id[:64]!r}: it ended, or never was")
        return session

    def choose(self, choice: Choice) -> tuple[Choice, Task, int]:
        """Return a choice with nothing left open, its task, and its seed; raises ServiceError when there is none."""
        seed = self._first_seed + self._started if choice.seed is None else choice.seed
        split = choice.split or self.split
        if choice.task_id is not None:
            splits = SPLITS if choice.split is None else (choice.split,)
            task = next((one for name in splits for one in self.tasks[name] if one.id == choice.task_id), None)
        elif choice.index is not None:
            task = self.tasks[split][choice.index] if 0 <= choice.index < len(self.tasks[split]) else None
        else:
            tasks = self.tasks[split]
            task = tasks[derive_key(seed, "exported task") % len(tasks)] if tasks else None
        if task is None:
            counts = ", ".join(f"{len(self.tasks[name])} {name}" for name in SPLITS)
            wanted = f"id {choice.task_id!r}" if choice.task_id is not None else f"index {choice.index} of {split!r}"
            raise ServiceError("VALIDATION_ERROR", f"there is no task with {wanted}; there are {counts}")
        episode_id = choice.episode_id or secrets.token_hex(8)
        filled = Choice(task_id=task.id, split=task.split, index=choice.index, seed=seed, episode_id=episode_id)
        return filled, task, seed

    def host(self, task: Task, seed: int, session: Session) -> HostedEpisode:
        """Return an episode of a session, not started yet."""
        limits = self.limits
        hosted = HostedEpisode(
            self.prototype,
            task,
            seed=seed,
            attempt=self._started,
            max_turns=self.prototype.turn_limit if limits.max_turns is None else limits.max_turns,
            tool_seconds=limits.tool_seconds,
            executor=self._executor,
            metadata={"episode_id": session.choice.episode_id or "", "session_id": session.id, "seed": str(seed)},
        )
        self._started += 1
        return hosted

    def forget(self, session: Session) -> None:
        """Give the place of a session free."""
        self.by_id.pop(session.id, None)

    def write(self, episode: Episode) -> None:
        """Keep an episode that is over."""
        if self._file is not None:
            self._file.append(episode)

    async def end_idle(self) -> None:
        """End idle sessions, for ever."""
        while True:
            await asyncio.sleep(min(self.limits.idle_seconds / 4, 30.0))
            now = asyncio.get_running_loop().time()
            for session in list(self.by_id.values()):
                if now - session.last_used > self.limits.idle_seconds and not session.turn.locked():
                    await session.end(f"nobody asked for {self.limits.idle_seconds:g} s")

    async def close(self) -> None:
        """End every session."""
        await asyncio.gather(*(session.end("the service stopped") for session in list(self.by_id.values())))
        self._executor.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def open_sessions(
    prototype: Environment,
    *,
    limits: ExportLimits,
    split: Split | None = None,
    seed: int = 1,
    episodes: Path | None = None,
) -> AsyncIterator[Sessions]:
    """Keep sessions until the block ends, and end all of them with it.

    Args:
        prototype: The environment.
        limits: What sessions may take.
        split: Where tasks come from that nobody names; None = the first of train, validation and test that has any.
        seed: Of the first episode that has none of its own; later ones count on.
        episodes: File for the graded episodes, one JSON object per line; None = they are not kept.
    """
    file = EpisodeFile(episodes) if episodes is not None else None
    sessions = Sessions(prototype, limits=limits, split=split, seed=seed, file=file)
    reaper = asyncio.create_task(sessions.end_idle())
    try:
        yield sessions
    finally:
        reaper.cancel()
        await asyncio.wait([reaper])
        await sessions.close()


def _tasks(prototype: Environment, split: Split) -> Sequence[Task]:
    try:
        return tuple(prototype.tasks(split))
    except DatasetError:
        return ()
