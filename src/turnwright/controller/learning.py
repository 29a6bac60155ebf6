"""Learning: one step trained off the event loop, beside an engine that goes on sampling.

    groups --learner's thread--> passes --first write of weights--> engine held --publish--> engine goes on
                                   |                                                 |
                            engine samples version t - 1                      samples version t, its KV is void

The engine reads the very tensors that the learner writes, so it is held from the first write of a step to the
publication: no token is ever sampled from weights between two versions. An engine with weights of its own samples on.
"""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, contextmanager

from turnwright.controller.canary import compare_weights
from turnwright.controller.components import Components
from turnwright.core.group import TrainableGroup
from turnwright.core.progress import working
from turnwright.core.timeline import Timeline
from turnwright.core.update import Step
from turnwright.learner.exclusive import UNDISTURBED
from turnwright.learner.executor import learner_executor
from turnwright.learner.step import take_step
from turnwright.models.memory import watch_peak_memory
from turnwright.rollout.collector import EpisodeRunner


class Learning:
    """The learner of one run, on a thread of its own."""

    def __init__(self, components: Components, timeline: Timeline, *, num_threads: int | None) -> None:
        """Take what is trained; torch uses ``num_threads`` cores for it, None = all."""
        self._components = components
        self._timeline = timeline
        self._executor = learner_executor(num_threads)

    async def train(self, step: int, groups: Sequence[TrainableGroup], runner: EpisodeRunner) -> dict[str, float]:
        """Train on the groups of a step and publish its version; return the metrics.

        Args:
            step: Number of the step, from 1, and the version that it publishes.
            groups: In the order in which they are trained.
            runner: Whose agents must not start a call while the engine is held.
        """
        components = self._components
        hold = _Hold(components, runner)
        try:
            with self._timeline.span("training"), watch_peak_memory(components.policy.device) as peak:
                result = await self._off_the_loop(step, groups, hold)
            with self._timeline.span("weight_update"):
                await components.engine.publish(step)
        finally:
            await hold.release()
        metrics = {**result.metrics, "training/peak_memory_mb": peak.megabytes}
        if result.num_updates:
            with self._timeline.span("weight_update"):
                metrics["training/canary_gap"] = await compare_weights(components, step)
        return metrics

    async def _off_the_loop(self, step: int, groups: Sequence[TrainableGroup], hold: "_Hold") -> Step:
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
                    exclusive=hold if components.engine.shares_weights else UNDISTURBED,
                )

        training = asyncio.get_running_loop().run_in_executor(self._executor, train)
        try:
            return await asyncio.shield(training)
        except asyncio.CancelledError:
            # A thread cannot be stopped, and this one may still ask the loop to hold the engine.
            await asyncio.wait({training})
            raise

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdown()


class _Hold:
    """Implements Exclusive for the learner's thread: who samples waits, by way of the event loop."""

    def __init__(self, components: Components, runner: EpisodeRunner) -> None:
        self._engine, self._runner = components.engine, runner
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
        if self._held is None:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self._runner.paused())
                await stack.enter_async_context(self._engine.paused())
                self._held = stack.pop_all()

    async def release(self) -> None:
        """Let everybody go on; without effect where nobody is held."""
        held, self._held = self._held, None
        if held is not None:
            await held.aclose()
