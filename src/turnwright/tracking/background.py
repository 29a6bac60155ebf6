"""BackgroundSink: a slow view of a run, written by a thread of its own so that no step waits for it.

    training loop --metrics, episodes--> queue `tracking` (bounded) --> thread `tracking` --> View

What does not fit into the queue is dropped and counted: a view can be made again from the run directory.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from turnwright.core.episode import Episode
from turnwright.tracking.spans import Folder

log = logging.getLogger(__name__)
CLOSE_SECONDS = 60.0
"""Longest that closing waits for what is still queued."""


class View(Protocol):
    """What the thread writes to; it alone calls these."""

    def metrics(self, step: int, values: Mapping[str, float], *, when: float) -> None:
        """Take the metrics of one step; ``when`` is seconds since the epoch."""
        ...

    def episode(self, episode: Episode, *, folder: Folder, step: int, ended: float) -> None:
        """Take one ended episode; ``ended`` is seconds since the epoch."""
        ...

    def close(self, *, completed: bool) -> None:
        """Finish; ``completed`` tells a run that reached its last step from one that was cut short."""
        ...


Job = Callable[[View], None]


class BackgroundSink:
    """A Sink that never blocks and never raises: what goes wrong in the view is logged."""

    def __init__(
        self, open_view: Callable[[], View], *, num_steps: int, traces_per_step: int, capacity: int = 1024
    ) -> None:
        """Start the thread.

        Args:
            open_view: opens the view, in the thread: importing and connecting can take seconds.
            num_steps: last step of the run.
            traces_per_step: training episodes shown per step; validation episodes are all shown.
            capacity: entries the queue holds; one per step and one per shown episode.
        """
        self.dropped = 0
        """Entries that found the queue full or the view broken."""
        self._traces_per_step = traces_per_step
        self._num_steps = num_steps
        self._last_step = -1
        self._queue: queue.Queue[Job | None] = queue.Queue(capacity)
        self._thread = threading.Thread(target=self._work, args=(open_view,), name="tracking", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Entries that wait right now."""
        return self._queue.qsize()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Take the metrics of one step."""
        self._last_step = step
        now, copy = time.time(), dict(values)
        self._put(lambda view: view.metrics(step, copy, when=now))

    def episodes(self, step: int, episodes: Sequence[Episode], *, folder: Folder) -> None:
        """Take the ended episodes of a step; of training episodes only the first few by task and attempt are kept."""
        now = time.time()
        for episode in select_episodes(episodes, folder=folder, traces_per_step=self._traces_per_step):
            self._put(lambda view, episode=episode: view.episode(episode, folder=folder, step=step, ended=now))

    def close(self) -> None:
        """Write what is queued, for at most a minute, and end the thread."""
        if not self._thread.is_alive():
            return
        deadline = time.monotonic() + CLOSE_SECONDS
        with suppress(queue.Full):
            self._queue.put(None, timeout=CLOSE_SECONDS)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            log.warning("tracking is still writing after %.0f s: %d entries are left out", CLOSE_SECONDS, self.queued)
        if self.dropped:
            log.warning(
                "tracking dropped %d entries: rebuild the view from the run directory to see them", self.dropped
            )

    def _put(self, job: Job) -> None:
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self.dropped += 1

    def _work(self, open_view: Callable[[], View]) -> None:
        view: View | None = None
        try:
            view = open_view()
        except Exception:  # the boundary: a view that does not open must not end the run
            log.warning("tracking is off: the view does not open", exc_info=True)
        while (job := self._queue.get()) is not None:
            if view is None:
                self.dropped += 1
            else:
                self._run(job, view)
        if view is not None:
            completed = self._last_step >= self._num_steps
            self._run(lambda view: view.close(completed=completed), view)

    def _run(self, job: Job, view: View) -> None:
        try:
            job(view)
        except Exception:  # the boundary: a view that fails must not end the run
            if not self.dropped:
                log.warning("tracking lost an entry; later ones are only counted", exc_info=True)
            self.dropped += 1


def select_episodes(episodes: Sequence[Episode], *, folder: Folder, traces_per_step: int) -> Sequence[Episode]:
    """Return the episodes of a step that are shown: all of validation; in training the first by task and attempt.

    So a group is seen side by side, and a view that is made again shows the same episodes.
    """
    if folder == "validation":
        return episodes
    return sorted(episodes, key=lambda episode: (episode.key.task_id, episode.key.attempt))[:traces_per_step]
