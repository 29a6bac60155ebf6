"""Delivery: a Report -> the gateway, tried again until it is certain that it arrived, and applied once.

Every attempt at one report carries the same ClientToken, so the gateway applies it once however often it comes. This
file decides; who waits between attempts, and how, is the two clients' affair (``feedback.py``).
"""

import json
import random
from dataclasses import dataclass
from uuid import uuid4

from turnwright.client.errors import FeedbackError
from turnwright.client.reports import Report
from turnwright.client.request import Rollout
from turnwright.client.transport import Answer, NoAnswer, exchange

_SEALED = "Cannot transition trajectory"
"""What the gateway says when a trajectory is past the state that a report asks for."""

_MOST_DOUBLINGS = 30
_jitter = random.Random()
"""Not the module's generator: the agent may have seeded that for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long and how often to try: by default about a minute, long enough for a gateway to be restarted."""

    attempts: int = 8
    first_seconds: float = 0.5
    """Pause after the first attempt; each further pause is twice as long."""
    most_seconds: float = 30.0
    """No pause is longer, whatever Retry-After says."""
    answer_seconds: float = 60.0
    """Longest wait for an answer."""

    def pause(self, attempt: int, retry_after: str | None) -> float:
        """Return the seconds to wait after an attempt (1 = the first).

        Pauses are drawn between half and all of their length, so that many agents do not come back at once.
        """
        drawn = self.first_seconds * 2 ** min(attempt - 1, _MOST_DOUBLINGS) * _jitter.uniform(0.5, 1.0)
        return min(max(drawn, _seconds(retry_after)), self.most_seconds)


def _seconds(retry_after: str | None) -> float:
    """Read a Retry-After header; 0 when there is none, or when it is a date."""
    try:
        return float(retry_after or 0)
    except ValueError:
        return 0.0


class Delivery:
    """One report on its way."""

    def __init__(self, rollout: Rollout, report: Report, backoff: Backoff) -> None:
        """Fix what is sent, ClientToken included."""
        self._rollout = rollout
        self._path = report.path
        self._backoff = backoff
        content = {"TrajectoryId": rollout.trajectory_id, **report.fields, "ClientToken": uuid4().hex}
        self._body = json.dumps(content, allow_nan=False).encode()
        self._attempts = 0
        self._may_have_arrived = False

    def attempt(self) -> Answer | NoAnswer:
        """Send the report once; blocks until there is an answer or none will come."""
        return exchange(
            "POST",
            self._rollout.endpoint + self._path,
            headers={**self._rollout.headers(), "Content-Type": "application/json"},
            body=self._body,
            seconds=self._backoff.answer_seconds,
        )

    def pause_after(self, outcome: Answer | NoAnswer) -> float | None:
        """Judge an attempt.

        Returns:
            Seconds to wait before the next attempt; None when the report has arrived.

        Raises:
            FeedbackError: The gateway refused the report, or the attempts are used up.
        """
        self._attempts += 1
        match outcome:
            case Answer() if 200 <= outcome.status < 300:
                return None
            case Answer(status=409) if self._may_have_arrived and _SEALED in outcome.message:
                return None  # an earlier attempt did it, and its answer was lost
            case Answer(status=status, retry_after=retry_after):
                again = status == 429 or status >= 500
                self._may_have_arrived |= status >= 500
            case NoAnswer():
                status, retry_after, again = None, None, True
                self._may_have_arrived |= outcome.may_have_arrived
        if again and self._attempts < self._backoff.attempts:
            return self._backoff.pause(self._attempts, retry_after)
        raise FeedbackError(
            f"POST {self._path} (trajectory {self._rollout.trajectory_id})",
            status=status,
            message=outcome.message,
            attempts=self._attempts,
        )
