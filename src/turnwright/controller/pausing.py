"""Pausing: the journal of a stream of groups, which holds the stream while too many attempts fail.

attempt ends --disk--> FailurePause --too many failed--> stream held --probe after probe--> failed ones made again
"""

import asyncio
from collections.abc import Awaitable, Callable

from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed, Outcome
from turnwright.rollout.attempts import Wanted
from turnwright.rollout.pause import FailurePause, outlast
from turnwright.rollout.stream import GroupStream
from turnwright.rundir.records import BatchGroup
from turnwright.rundir.writer import RunWriter


class Pausing:
    """Implements Journal over a run directory."""

    def __init__(
        self,
        writer: RunWriter,
        pause: FailurePause,
        probe: Callable[[Wanted], Awaitable[Outcome]],
        say: Callable[[str], None],
    ) -> None:
        """Take where attempts are written.

        Args:
            writer: Of the run.
            pause: Says when failures are too many.
            probe: Makes one attempt and returns how it ended.
            say: Told what a paused run waits for; "" when it goes on.
        """
        self.pause = pause
        self.gave_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises what ends the run when no probe survives."""
        self._writer = writer
        self._probe = probe
        self._say = say
        self._stream: GroupStream | None = None
        self._failed: Wanted | None = None
        """The last attempt that failed."""
        self._task: asyncio.Task[None] | None = None

    def watch(self, stream: GroupStream) -> None:
        """Hold this stream; called once, before it begins."""
        self._stream = stream

    def open_group(self, group: BatchGroup) -> None:
        """Write that a group was dealt."""
        self._writer.open_group(group)

    def attempt(self, number: int, attempt: Attempt) -> None:
        """Write an attempt, and begin a pause when it is one failure too many."""
        self._writer.attempt(number, attempt)
        key, outcome = attempt.episode.key, attempt.episode.outcome
        if isinstance(outcome, Failed):
            self._failed = Wanted(task=attempt.episode.task, attempt=key.attempt)
        self.pause.ended(outcome, asyncio.get_running_loop().time())
        if self.pause.is_paused and self._task is None and self._stream is not None:
            self._stream.hold()
            self._task = asyncio.create_task(self._outlast(self._stream), name="pause")

    async def close(self) -> None:
        """End a pause that goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.gave_up.cancel()

    async def _outlast(self, stream: GroupStream) -> None:
        try:
            await outlast(self.pause, self._try_again, self._say)
        except Exception as error:  # the boundary to whoever waits for groups
            self.gave_up.set_exception(error)
            return
        self._task = None
        stream.make_again()
        stream.go_on()
        self._say("")

    async def _try_again(self) -> Outcome:
        assert self._failed is not None, "a pause begins with a failure"
        return await self._probe(self._failed)
