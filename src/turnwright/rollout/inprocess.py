"""The built-in agent as an episode runner: environment, tool loop and recorder in this process, without HTTP."""

from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

from turnwright.core.group import Attempt
from turnwright.core.protocols import UNWATCHED, Progress
from turnwright.environments.base import Environment
from turnwright.gateway.recorder import Recorder
from turnwright.inference.base import Engine
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.attempts import CollectorSettings, Wanted
from turnwright.rollout.runner import run_episode


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcessRunner:
    """Implements EpisodeRunner."""

    prototype: Environment
    renderer: Renderer
    engine: Engine
    progress: Progress = UNWATCHED
    """Told what environments and tools are at."""

    async def run(self, wanted: Wanted, settings: CollectorSettings, executor: Executor) -> Attempt:
        """Play one episode with a recorder of its own."""
        limits = settings.limits_for(wanted.task)
        recorder = Recorder(
            wanted.key,
            self.renderer,
            self.engine,
            sampling=settings.sampling,
            run_seed=settings.seed,
            has_context_policy=limits.loop.context.policy != "none",
        )
        episode = await run_episode(
            self.prototype,
            wanted.task,
            wanted.key,
            recorder,
            limits,
            seed=settings.seed,
            executor=executor,
            meter=recorder,
            progress=self.progress,
        )
        return Attempt(episode=episode, trajectory=recorder.trajectory())

    def paused(self) -> AbstractAsyncContextManager[object]:
        """Hold nothing: calls come from attempts alone, and wait in the engine."""
        return nullcontext()
