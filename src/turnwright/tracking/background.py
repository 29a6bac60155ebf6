"""BackgroundSink: a view of a run that follows its directory in a thread of its own, so that no step waits for it.

    training loop --a step is on disk--> thread `tracking` --> Follower --> view
                                               |
           the view fails: the run goes on, and it is tried again after a while, longer each time

Nothing is queued: what the view missed is read from the run directory.
"""

import logging
import threading
from collections.abc import Mapping

from turnwright.core.protocols import UNWATCHED, Progress
from turnwright.tracking.following import Follower

log = logging.getLogger(__name__)
CLOSE_SECONDS = 60.0
"""Longest that closing waits for what is not shown yet."""
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 60.0
PART = "tracking"


class BackgroundSink:
    """A Sink that never blocks and never raises: what goes wrong in the view is logged, once per outage."""

    def __init__(
        self, follower: Follower, *, name: str, num_steps: int, cure: str = "", progress: Progress = UNWATCHED
    ) -> None:
        """Start the thread, which begins with what the view missed before.

        Args:
            follower: Shows the run; its view is opened in the thread, because importing and connecting take seconds.
            name: Of the view, for messages.
            num_steps: Last step of the run.
            cure: What to do, once the run has ended, about steps that are not shown.
            progress: Told of every step that is being shown.
        """
        self._follower = follower
        self._name = name
        self._num_steps = num_steps
        self._cure = cure
        self._progress = progress
        self._last_step = -1
        self._woken, self._closing = threading.Event(), threading.Event()
        self._fails = False
        self._woken.set()
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    @property
    def is_behind(self) -> bool:
        """Whether a step that was reported is not shown."""
        return self._follower.step < self._last_step

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Take note that a step is on disk."""
        self._last_step = step
        self._woken.set()

    def close(self) -> None:
        """Show what is not shown yet, for at most a minute, and end the thread."""
        if not self._thread.is_alive():
            return
        self._closing.set()
        self._woken.set()
        self._thread.join(CLOSE_SECONDS)
        if self.is_behind:
            log.warning("%s misses %d steps of this run%s", self._name, self._follower.num_missed(), self._cure)

    def _work(self) -> None:
        pause, is_last = FIRST_PAUSE, False
        while not is_last:
            if self._fails:
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                self._woken.wait()
                pause = FIRST_PAUSE
            self._woken.clear()
            is_last = self._closing.is_set()
            self._show()
        if not self._fails:
            try:
                self._follower.close(completed=self._last_step >= self._num_steps)
            except Exception:  # the boundary: a view that fails must not end the run
                log.warning("%s cannot be told that the run has ended", self._name, exc_info=True)

    def _show(self) -> None:
        try:
            self._follower.catch_up(lambda step: self._progress.begin(PART, f"step {step}"))
        except Exception as error:  # the boundary: a view that fails must not end the run
            if not self._fails:
                message = "%s cannot be written, the run goes on: %s. What it misses is shown when it is back"
                log.warning(message, self._name, error, exc_info=log.isEnabledFor(logging.DEBUG))
            self._fails = True
        else:
            if self._fails:
                log.warning("%s is back and shows the run up to step %d", self._name, self._follower.step)
            self._fails = False
        finally:
            self._progress.end(PART)
