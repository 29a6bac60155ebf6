"""Offering a rollout again: while an agent does not take it, wait a little longer each time."""

import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from turnwright.agents.base import AgentError

log = logging.getLogger(__name__)
# Says only "stamina.retry_scheduled"; the reason is logged here.
logging.getLogger("stamina").setLevel(logging.ERROR)

LONGEST_PAUSE = 60.0
"""Seconds; an agent that asks for more is not waited for."""

T = TypeVar("T")


class NotTaken(Exception):
    """The agent did not take the rollout and has started nothing for it, so that it may be offered again."""

    def __init__(self, detail: str, pause_seconds: float | None = None) -> None:
        """Say why, and how long the agent asks to be left alone."""
        super().__init__(detail)
        self.pause_seconds = pause_seconds


async def offer_until_taken(offer: Callable[[], Awaitable[T]], *, attempts: int) -> T:
    """Return what ``offer`` returns, trying again while it raises NotTaken.

    The pause is the one the agent asks for, or else grows exponentially, with jitter: rollouts that were refused
    together do not come back together.

    Raises:
        AgentError: it was not taken in ``attempts`` attempts, or asks for too long a pause.
    """
    try:
        async for attempt in stamina.retry_context(
            on=_pause, attempts=attempts, timeout=None, wait_initial=0.25, wait_max=10.0, wait_jitter=0.5
        ):
            with attempt:
                return await offer()
    except NotTaken as refusal:
        raise AgentError("agent_unreachable", f"{refusal}; offered at most {attempts} times") from refusal
    raise AssertionError("a retry context ends by a return or an exception")


def _pause(error: Exception) -> bool | float:
    if not isinstance(error, NotTaken):
        return False
    if error.pause_seconds is None:
        return True
    return error.pause_seconds <= LONGEST_PAUSE and error.pause_seconds * random.uniform(1.0, 1.1)
