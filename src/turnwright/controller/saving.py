"""Saving: the checkpoints of a run, sealed and tended."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from turnwright.config import RunConfig
from turnwright.controller.components import Components
from turnwright.controller.offloop import off_the_loop
from turnwright.core.timeline import Timeline
from turnwright.learner.checkpointing import describe_model, save_policy, save_resume_state
from turnwright.rundir.checkpoints import promote, tend
from turnwright.rundir.reader import RunReader
from turnwright.rundir.space import recording
from turnwright.rundir.writer import RunWriter


class Saving:
    """Writes checkpoints, keeps those that the run is to keep, and points at the one to deploy."""

    def __init__(self, components: Components, config: RunConfig, writer: RunWriter, timeline: Timeline) -> None:
        """Take what is saved and where."""
        self._components = components
        self._schedule = config.schedule
        self._writer = writer
        self._timeline = timeline

    async def save(self, step: int, report: Callable[[], None] = lambda: None) -> None:
        """Write the checkpoint of a step, unless it is there.

        Args:
            step: Whose version the policy has.
            report: Called before the checkpoint takes its name: there is none without the metrics of its step.
        """
        if self._writer.layout.checkpoint(step).exists():
            report()
            return
        components = self._components
        with ExitStack() as stack:
            with self._timeline.span("checkpoint"):
                folder = stack.enter_context(self._writer.checkpoint(step, model=describe_model(components.policy)))
                await off_the_loop(lambda: self._write(step, folder))
            report()
            publication = stack.pop_all()
        with self._timeline.span("checkpoint"):
            await off_the_loop(publication.close)
            await off_the_loop(self._tend)

    def promote(self) -> None:
        """Point at the checkpoint to deploy, however the run ended."""
        with recording(self._writer.layout.promoted):
            promote(self._writer.layout, self._metrics())

    def _write(self, step: int, folder: Path) -> None:
        components = self._components
        save_policy(components.policy, components.renderer.tokenizer, folder)
        save_resume_state(components.optimizer, folder / "resume", step=step)

    def _tend(self) -> None:
        keep_last, keep_best = self._schedule.keep_last, self._schedule.keep_best
        tend(self._writer.layout, self._metrics(), keep_last=keep_last, keep_best=keep_best)

    def _metrics(self) -> list[dict[str, float]]:
        return RunReader(self._writer.layout.root).metrics()
