"""Feedback: what an agent tells the gateway about its rollout. Blocking and asyncio, with the same methods.

    open --complete("ready")--> ready --reward(...)--> rewarded
      `--report_error(...)--> failed

A report is tried again with the same ClientToken while the gateway is busy or out of reach; whatever it refuses is
raised as FeedbackError, with its status and the gateway's words.
"""

import asyncio
import time
from collections.abc import Mapping
from numbers import Real

from turnwright.client.delivery import Backoff, Delivery
from turnwright.client.reports import Report, RewardValue, Status, completion, rewarding
from turnwright.client.request import Rollout


class FeedbackClient:
    """Reports on one rollout and waits for the answers; may be used from any thread.

    Example::

        FeedbackClient(rollout).report(0.8, components={"answer": 1.0, "length": -0.2})
    """

    def __init__(self, rollout: Rollout, *, backoff: Backoff | None = None) -> None:
        """Report on this rollout, trying again as ``backoff`` says."""
        self._rollout = rollout
        self._backoff = backoff or Backoff()

    def complete(self, status: Status = "ready", *, detail: str = "") -> None:
        """Seal the trajectory: no more turns. "failed" means it must not be trained, for the reason in ``detail``."""
        self.send(completion(status, detail))

    def reward(self, value: RewardValue, *, components: Mapping[str, Real | float] | None = None) -> None:
        """Give the reward: one number, or a list with one number per turn, and optionally its named parts."""
        self.send(rewarding(value, components))

    def report(self, reward: RewardValue, *, components: Mapping[str, Real | float] | None = None) -> None:
        """Seal the trajectory as ready and give its reward. A bad reward raises before anything is sent."""
        reward_report = rewarding(reward, components)
        self.complete()
        self.send(reward_report)

    def report_error(self, error: BaseException | str) -> None:
        """Seal the trajectory as failed; it is recorded with the error and never trained."""
        self.complete("failed", detail=described(error))

    def send(self, report: Report) -> None:
        """Deliver a report; raises FeedbackError when the gateway refuses it or cannot be reached."""
        delivery = Delivery(self._rollout, report, self._backoff)
        while (pause := delivery.pause_after(delivery.attempt())) is not None:
            time.sleep(pause)


class AsyncFeedbackClient:
    """Reports on one rollout without blocking the event loop.

    Example::

        await AsyncFeedbackClient(rollout).report(0.8)
    """

    def __init__(self, rollout: Rollout, *, backoff: Backoff | None = None) -> None:
        """Report on this rollout, trying again as ``backoff`` says."""
        self._rollout = rollout
        self._backoff = backoff or Backoff()

    async def complete(self, status: Status = "ready", *, detail: str = "") -> None:
        """Seal the trajectory: no more turns. "failed" means it must not be trained, for the reason in ``detail``."""
        await self.send(completion(status, detail))

    async def reward(self, value: RewardValue, *, components: Mapping[str, Real | float] | None = None) -> None:
        """Give the reward: one number, or a list with one number per turn, and optionally its named parts."""
        await self.send(rewarding(value, components))

    async def report(self, reward: RewardValue, *, components: Mapping[str, Real | float] | None = None) -> None:
        """Seal the trajectory as ready and give its reward. A bad reward raises before anything is sent."""
        reward_report = rewarding(reward, components)
        await self.complete()
        await self.send(reward_report)

    async def report_error(self, error: BaseException | str) -> None:
        """Seal the trajectory as failed; it is recorded with the error and never trained."""
        await self.complete("failed", detail=described(error))

    async def send(self, report: Report) -> None:
        """Deliver a report; raises FeedbackError when the gateway refuses it or cannot be reached."""
        delivery = Delivery(self._rollout, report, self._backoff)
        while (pause := delivery.pause_after(await asyncio.to_thread(delivery.attempt))) is not None:
            await asyncio.sleep(pause)


def described(error: BaseException | str) -> str:
    """Return one line that names an error's class and its words."""
    return error if isinstance(error, str) else f"{type(error).__name__}: {error}"
