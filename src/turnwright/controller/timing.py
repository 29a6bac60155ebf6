"""Timing: tells a run's timeline when episodes are in flight, whoever asked for them."""

from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager

from turnwright.core.group import Attempt
from turnwright.core.timeline import Timeline
from turnwright.inference.base import Engine
from turnwright.rollout.attempts import CollectorSettings, EpisodeRunner, Wanted


class TimedRunner:
    """Implements EpisodeRunner: another one, whose attempts are counted while they are made."""

    def __init__(self, runner: EpisodeRunner, timeline: Timeline) -> None:
        """Take the runner that makes the attempts."""
        self._runner, self._timeline = runner, timeline

    @property
    def engine(self) -> Engine:
        """Samples the replies."""
        return self._runner.engine

    async def run(self, wanted: Wanted, settings: CollectorSettings, executor: Executor) -> Attempt:
        """Make one attempt."""
        with self._timeline.span("tools"):
            return await self._runner.run(wanted, settings, executor)

    def paused(self) -> AbstractAsyncContextManager[object]:
        """Let no new model call begin, as long as weights change."""
        return self._runner.paused()
