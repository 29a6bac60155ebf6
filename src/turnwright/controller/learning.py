"""Learning: one step trained off the event loop, beside an engine that goes on sampling.

    groups --learner's thread--> passes --first write of weights--> engine held --publish--> engine goes on
                                   |                                                 |
                            engine samples version t - 1                      samples version t, its KV is void

The engine reads the very tensors that the learner writes, so it is held from the first write of a step to the
publication: no token is ever sampled from weights between two versions. An engine with weights of its own samples on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager

from turnwright.controller.canary import compare_weights
from turnwright.controller.components import Components
from turnwright.controller.offloop import off_the_loop
from turnwright.core.group import TrainableGroup
from turnwright.core.progress import working
from turnwright.core.timeline import Timeline
from turnwright.core.update import Step
from turnwright.learner.executor import learner_executor
from turnwright.learner.step import take_step
from turnwright.models.memory import watch_peak_memory
from turnwright.rollout.attempts import EpisodeRunner


class Learning:
    """The learner of one run, on a thread of its own."""

    def __init__(self, components: Components, timeline: Timeline, *, num_threads: int | None) -> None:
        """Take what is trained; torch uses ``num_threads`` cores for it, None = all."""
        self._components = components
        self._timeline = timeline
        self._executor = learner_executor(num_threads)
        self._comparison: asyncio.Task[float] | None = None

    async def train(
        self, step: int, groups: Sequence[TrainableGroup], runner: EpisodeRunner, *, patient: bool
    ) -> dict[str, float]:
        """Train on the groups of a step and publish its version; return the metrics.

        The canary of a version ends before a weight of the next one is written: it is waited for here, or, beside
        rollouts that are before it in the engine's queue, then.

        Args:
            step: Number of the step, from 1, and the version that it publishes.
            groups: In the order in which they are trained.
            runner: Whose agents must not start a call while the engine is held.
            patient: Whether the canary may wait; its gap is then among the metrics of the next step.
        """
        components = self._components
        hold = _Hold(components, runner, self.settle)
        try:
            with self._timeline.span("training"), watch_peak_memory(components.policy.device) as peak:
                result = await self._take_step(step, groups, hold)
            with self._timeline.span("weight_update"):
                await components.engine.publish(step)
        finally:
            await hold.release()
        metrics = {**result.metrics, "training/peak_memory_mb": peak.megabytes}
        if hold.canary_gap is not None:
            metrics["training/canary_gap"] = hold.canary_gap
        if result.num_updates:
            self._comparison = asyncio.create_task(compare_weights(components, step), name=f"canary {step}")
        if not patient and (gap := await self.settle()) is not None:
            metrics["training/canary_gap"] = gap
        return metrics

    async def settle(self) -> float | None:
        """Wait for the canary, if one is under way; return its gap, raise what it raised."""
        comparison, self._comparison = self._comparison, None
        if comparison is None:
            return None
        with self._timeline.span("weight_update"):
            return await comparison

    async def _take_step(self, step: int, groups: Sequence[TrainableGroup], hold: "_Hold") -> Step:
        components = self._components

        def train() -> Step:
            with working(components.progress, "learner", f"step {step}"):
                return take_step(
                    components.passes,
                    components.optimizer,
                    groups,
                    components.step_settings,
                    step=step,
                    reference=components.reference,
                    exclusive=hold,
                )

        return await off_the_loop(train, self._executor)

    async def close(self) -> None:
        """End the thread, and a canary that nobody waits for any more."""
        if self._comparison is not None:
            self._comparison.cancel()
            await asyncio.gather(self._comparison, return_exceptions=True)
        self._executor.shutdown()


class _Hold:
    """Implements Exclusive for the learner's thread: who reads its weights waits, by way of the event loop."""

    def __init__(
        self, components: Components, runner: EpisodeRunner, settle: Callable[[], Awaitable[float | None]]
    ) -> None:
        self.canary_gap: float | None = None
        """Of the version before, where its canary had not ended."""
        self._engine, self._runner = components.engine, runner
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._held: AsyncExitStack | None = None

    @contextmanager
    def alone(self) -> Generator[None]:
        if self._held is not None:
            yield
            return
        self.until_published()
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(self.release(), self._loop).result()

    def until_published(self) -> None:
        asyncio.run_coroutine_threadsafe(self._hold(), self._loop).result()

    async def _hold(self) -> None:
        if self._held is not None:
            return
        if (gap := await self._settle()) is not None:
            self.canary_gap = gap
        async with AsyncExitStack() as stack:
            if self._engine.shares_weights:
                await stack.enter_async_context(self._runner.paused())
                await stack.enter_async_context(self._engine.paused())
            self._held = stack.pop_all()

    async def release(self) -> None:
        """Let everybody go on; without effect where nobody is held."""
        held, self._held = self._held, None
        if held is not None:
            await held.aclose()
