"""FailurePause: when too many attempts fail, stop starting new ones until a probe shows that it works again.

    running --more than max_failed_fraction of the last window failed--> paused --a probe survives--> running
                                                                           |
               waiting cures none of it, or the time is used up            v
    running, paused  ---------------------------------------------->  TrainingError

While it is paused one attempt at a time is made, the probe: first after a second, then after twice as long each time,
at most a minute. Groups with an attempt that failed and that no step has taken are made whole afterwards, not trained
on their few survivors. A pause that begins again before a whole window has ended well is the same one: its waits go on
growing and its time is not given anew, so that a run that limps along stops instead of making the same groups for ever.

Some failures are no matter of time. ``skipped`` is the agent's choice, ``grader_error`` is code that was given all it
asks for and raised (a grader that asks somebody else waits for them itself), and after a ``record_error`` the gateway's
log takes nothing more: where these alone are too many the run stops at once. Everything that ended is on disk by then,
so that a run that is mended goes on with --resume.

Nothing here knows of clocks or tasks: times are given, in seconds of any clock that does not go backwards.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence

from turnwright.core.errors import TrainingError
from turnwright.core.outcome import Failed, Outcome

log = logging.getLogger(__name__)

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
INCURABLE = frozenset({"skipped", "grader_error", "record_error"})
"""Causes of failures that are not different after a while."""
DETAIL_CHARACTERS = 300


class FailurePause:
    """Whether a run makes attempts, or waits for what they need.

    Example: with a window of 10 and a limit of 0.2 the third failure among the last ten attempts begins a pause, and
    the probes come 1, 2, 4, ... seconds after the one before them.
    """

    def __init__(self, *, limit: float, window: int, max_seconds: float) -> None:
        """Begin without a failure.

        Args:
            limit: Share of the last attempts that may fail for good; above it the run pauses.
            window: How many attempts that is: those of a step.
            max_seconds: Longest pause; 0 = the run stops instead of pausing.
        """
        self.limit = limit
        self.window = window
        self.max_seconds = max_seconds
        self.num_pauses = 0
        """Pauses so far; one that began again counts again."""
        self._recent: deque[Outcome] = deque(maxlen=window)
        self._began: float | None = None
        self._probe_at = 0.0
        self._wait = FIRST_WAIT
        self._spent = 0.0
        """Seconds of the pauses before this one that it goes on from."""
        self._in_all = 0.0
        """Seconds of all pauses that are over."""
        self._well = window
        """Attempts that have ended since the last pause."""

    @property
    def is_paused(self) -> bool:
        """Whether only probes may start."""
        return self._began is not None

    def ended(self, outcome: Outcome, now: float) -> None:
        """Take note of an attempt that ended for good, its retries included; a probe is not one.

        Raises:
            TrainingError: Too many failed, and waiting does not help or is not wanted.
        """
        self._recent.append(outcome)
        self._well += 1
        if self.is_paused:
            return
        if not self._too_many(self._failures):
            if self._well >= self.window:
                self._wait, self._spent = FIRST_WAIT, 0.0
            return
        if self._too_many([failure for failure in self._failures if failure.cause in INCURABLE]):
            raise TrainingError(f"{self.reason}. Time does not cure that: {_CURE}")
        if not self.max_seconds or self._spent >= self.max_seconds:
            raise self._too_long(now)
        self.num_pauses += 1
        self._began = now
        self._plan_probe(now)

    def seconds_to_probe(self, now: float) -> float:
        """Return how long to wait before the next probe; 0 = it is due."""
        return max(0.0, self._probe_at - now)

    def probed(self, outcome: Outcome, now: float) -> None:
        """Take note of how a probe ended: the run goes on, or waits longer.

        Raises:
            TrainingError: It failed and the time is used up.
        """
        assert self._began is not None, "a probe belongs to a pause"
        if not isinstance(outcome, Failed):
            self._spent += now - self._began
            self._in_all += now - self._began
            self._began, self._well = None, 0
            self._recent.clear()
            return
        self._recent.append(outcome)
        if self._paused_seconds(now) >= self.max_seconds:
            raise self._too_long(now)
        self._plan_probe(now)

    @property
    def reason(self) -> str:
        """What failed, in words: share, causes with their counts, and the newest detail of the commonest."""
        return (
            f"{len(self._failures)} of the last {len(self._recent)} attempts failed, more than {self.limit:.0%} of "
            f"{self.window} (rollout.max_failed_fraction); causes: {describe_failures(self._failures)}"
        )

    def message(self, now: float) -> str:
        """Return what the status of a paused run says; empty while it is not paused."""
        if self._began is None:
            return ""
        left = max(0.0, self.max_seconds - self._paused_seconds(now))
        return (
            f"{self.reason}; the next probe is due in {self.seconds_to_probe(now):.0f} s, and the run stops if none "
            f"has succeeded in {left:.0f} s"
        )

    def seconds(self, now: float) -> float:
        """Return how long the run has been paused in all."""
        return self._in_all + (0.0 if self._began is None else now - self._began)

    @property
    def _failures(self) -> list[Failed]:
        return [outcome for outcome in self._recent if isinstance(outcome, Failed)]

    def _too_many(self, failures: Sequence[Failed]) -> bool:
        return len(failures) / self.window > self.limit

    def _plan_probe(self, now: float) -> None:
        # The last probe comes when the time is used up, not a minute later.
        self._probe_at = now + min(self._wait, max(0.0, self.max_seconds - self._paused_seconds(now)))
        self._wait = min(2 * self._wait, LONGEST_WAIT)

    def _paused_seconds(self, now: float) -> float:
        """Return how long this pause has lasted, with those that it goes on from."""
        return self._spent + (0.0 if self._began is None else now - self._began)

    def _too_long(self, now: float) -> TrainingError:
        waited = self._paused_seconds(now)
        tried = (
            f"it was paused for {waited:.0f} s and did not pass (rollout.max_pause_seconds = {self.max_seconds:g}): "
        )
        return TrainingError(f"{self.reason}; {tried if waited else ''}{_CURE}")


async def outlast(
    pause: FailurePause,
    probe: Callable[[], Awaitable[Outcome]],
    say: Callable[[str], None],
) -> None:
    """Wait until a pause is over, by the clock of the event loop.

    Args:
        pause: Paused.
        probe: Makes one attempt of a group that failed and returns how it ended, with its retries.
        say: Told what the run waits for, before each wait.

    Raises:
        TrainingError: No probe survived in time.
    """
    clock = asyncio.get_running_loop().time
    log.warning("paused: %s", pause.message(clock()))
    while pause.is_paused:
        say(pause.message(clock()))
        await asyncio.sleep(pause.seconds_to_probe(clock()))
        pause.probed(await probe(), clock())
    log.warning("a probe has succeeded: the run goes on")


def describe_failures(failures: Sequence[Failed]) -> str:
    """Return the commonest causes with their counts, and the newest detail of the first."""
    causes = Counter(failure.cause for failure in failures).most_common(3)
    if not causes:
        return "none"
    detail = next(failure.detail for failure in reversed(failures) if failure.cause == causes[0][0])
    shown = detail if len(detail) <= DETAIL_CHARACTERS else f"{detail[:DETAIL_CHARACTERS]}..."
    return f"{', '.join(f'{cause} ({count})' for cause, count in causes)}; for example: {shown or 'no detail'}"


_CURE = "mend the environment or the agent, then continue with --resume"
