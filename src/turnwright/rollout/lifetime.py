"""Lifetime of an episode's environment: where its open, reward and close run, and that a close follows every open.

    inline                open ----------------> tools ... reward -> close          all in the event loop
    environment.waits     open in the executor -> tools ... reward there -> close in the loop's own threads
    cut while it opens    open goes on, and the thread that ran it closes what it made

Close takes no place in the executor: what fills that may be tools which only a close interrupts.
"""

import asyncio
import logging
from concurrent.futures import Executor, Future

from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.progress import working
from turnwright.core.protocols import UNWATCHED, Progress
from turnwright.core.task import Task
from turnwright.environments.base import Environment, TurnRewards

log = logging.getLogger(__name__)


class Lifetime:
    """Opens, grades and closes the environment of one episode."""

    def __init__(
        self, environment: Environment, key: EpisodeKey, executor: Executor | None, progress: Progress = UNWATCHED
    ) -> None:
        """Take the environment of an episode, not opened yet.

        Args:
            environment: Opened, graded and closed here.
            key: Names the episode.
            executor: The threads it may wait in; None = inline.
            progress: Told what it is at.
        """
        self._environment = environment
        self._key = key
        self._executor = executor if environment.waits else None
        self._opening: Future[None] | None = None
        self._progress = progress
        self._part = f"environment of {key}"

    async def open(self, task: Task, seed: int) -> None:
        """Open the environment; raises what its ``open`` raises."""
        with working(self._progress, self._part, "open"):
            if self._executor is None:
                self._environment.open(task, seed)
                return
            self._opening = self._executor.submit(self._environment.open, task, seed)
            await asyncio.wrap_future(self._opening)

    async def reward(self, episode: Episode) -> float | dict[str, float] | TurnRewards:
        """Grade the episode; raises what ``reward`` raises."""
        with working(self._progress, self._part, "reward"):
            if self._executor is None:
                return self._environment.reward(episode)
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._environment.reward, episode)

    async def close(self) -> None:
        """Close the environment, or see to it that its ``open``, if it still runs, is followed by a close.

        What ``close`` raises is logged: a leak is reported, but the attempt that ended stays what it was.
        """
        if self._opening is None:
            self._close()
        elif self._opening.cancelled():  # its turn in the executor never came
            return
        elif not self._opening.done():
            self._opening.add_done_callback(lambda opened: self._close())
        else:
            # Whoever is cancelled once more here goes on, and so does the close.
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._close))

    def _close(self) -> None:
        try:
            self._environment.close()
        except Exception:  # the boundary that attributes what a user's environment raises
            log.exception("episode %s: environment.close() raised; it may have left something behind", self._key)
