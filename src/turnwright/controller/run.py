"""Controller: the loop of a training run, and the one place that starts and joins its work.

    step 0                 validate
    step 1..max_steps      groups --record--> train --weights--> publish --> [validate] --> [save] --> report
                             ^                  |                   |
      stream of groups ------+           learner's thread     engine held from the first write of weights
      | one task per episode
      | engine's thread                  [gateway: server, record log, one task per model call]

    groups    global_batch_size groups that may be trained together (rollout/stream.py): with max_steps_off_policy = 0
              those of the version just published, otherwise whichever are ready while others are still played. Each
              attempt is on disk the moment it ends, and which groups make a step before it is trained
    train     rows and rewards in, updates_per_step optimizer updates; the engine samples meanwhile until weights change
    publish   only the version number and the KV change; a canary then compares engine and learner on one reply
    validate  the same tasks with the same random numbers each time
    report    the step's line of metrics; with a checkpoint it comes before that takes its name

A run that was interrupted trains the steps behind its newest checkpoint again from disk, without sampling (replay), and
goes on with the groups that were open. Whatever ends the loop - the last step, an error, Ctrl-C, SIGTERM - the engine
is closed, the status is written and what was finished is on disk.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from turnwright.config import RunConfig
from turnwright.controller.components import Components
from turnwright.controller.description import Description
from turnwright.controller.groups import open_stream
from turnwright.controller.learning import Learning
from turnwright.controller.offloop import off_the_loop
from turnwright.controller.pausing import Pausing
from turnwright.controller.pulse import Pulse
from turnwright.controller.replay import Continuation, read_step
from turnwright.controller.saving import Saving
from turnwright.controller.timing import TimedRunner
from turnwright.controller.validation import play_validation
from turnwright.core.errors import DiskError
from turnwright.core.protocols import Sink
from turnwright.core.timeline import Timeline
from turnwright.evaluation.watch import with_score
from turnwright.learner.checkpointing import load_resume_state
from turnwright.rollout.attempts import EpisodeRunner
from turnwright.rollout.batches import Batches
from turnwright.rollout.filling import StepGroups
from turnwright.rollout.guards import require_few_repetitions
from turnwright.rollout.repetition import describe_worst
from turnwright.rollout.stream import GroupStream
from turnwright.rollout.watchdog import watched
from turnwright.rundir.reader import RunReader
from turnwright.rundir.writer import RunWriter

log = logging.getLogger(__name__)


class Controller:
    """Runs one training run to its end."""

    def __init__(
        self,
        components: Components,
        config: RunConfig,
        writer: RunWriter,
        sinks: Sequence[Sink] = (),
    ) -> None:
        """Prepare a run.

        Args:
            components: What the run is made of; the controller closes their engine.
            config: What the run does.
            writer: Where everything it makes is written.
            sinks: Views that get each step's metrics after they are on disk; closed with the run.
        """
        self.components = components
        self.config = config
        self.writer = writer
        self.sinks = sinks
        self.batches = Batches(config, components.train_tasks)
        self.stopped = False
        """Whether ``stop`` ended the run before its last step."""
        self._pulse = Pulse(writer, components.progress)
        self._timeline = Timeline()
        components.engine.on_busy = lambda busy: self._timeline.set("generation", busy)
        self._learning = Learning(components, self._timeline, num_threads=components.learner_threads)
        self._describe = Description(config=config, scorer=components.scorer)
        self._stopping = asyncio.Event()
        self._saving = Saving(components, config, writer, self._timeline)
        self._taken = Counter[str | None]()
        """Groups in place of others, so far, by domain."""
        self._step_now = 0

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End the run after the step that is being trained, with a checkpoint."""
        self._stopping.set()

    async def run(self, continuation: Continuation | None = None) -> None:
        """Train until the last step, or until ``stop``.

        Args:
            continuation: Where an interrupted run goes on, with components built from its checkpoint; None = a new run.
        """
        start = continuation or Continuation()
        self._step_now = start.checkpoint
        try:
            if start.checkpoint:
                done = RunReader(self.writer.layout.root).batches()[: start.checkpoint]
                self._taken += self.batches.taken(done)
                load_resume_state(self.components.optimizer, self.writer.layout.resume_state(start.checkpoint))
                await self.components.engine.publish(start.checkpoint)
            with watched(
                self.components.progress,
                seconds=self.config.run.watchdog_seconds,
                stacks=self.writer.log_folder / "stacks.log",
                on_look=self._pulse.beat,
            ):
                await self._loop(start)
            self.stopped = self._step_now < self.batches.total
            if self.stopped and self._step_now:
                await self._save(self._step_now)
            self._pulse.end("stopped" if self.stopped else "finished", self._step_now)
        except BaseException as error:
            stopped = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
            # The error that ended the run is to be told, not that its disk does not take the last word either.
            with suppress(DiskError):
                self._pulse.end("stopped" if stopped else "failed", self._step_now, message=repr(error))
            raise
        finally:
            await self._learning.close()
            await self.components.engine.close()
            # Done again when the run is resumed.
            with suppress(DiskError):
                self._saving.promote()
            for sink in self.sinks:
                sink.close()

    async def _loop(self, start: Continuation) -> None:
        """Make the steps that are left, those first whose groups are on disk."""
        layout = self.writer.layout
        async with self.components.open_runner(layout.root.name, layout.records) as opened:
            runner = TimedRunner(opened, self._timeline)
            if not start.checkpoint and 0 not in start.reported and self.config.schedule.val_every:
                with self._timeline.span("evaluation"):
                    metrics = await self._validate(0, runner)
                self._report(0, metrics | self._timeline.metrics())
            while self._step_now < start.closed_until and not self.stopping:
                self._step_now += 1
                await self._train_again(self._step_now, runner, start)
            async with open_stream(
                self.components, self.config, self.batches, runner, self.writer, start, self._say_paused
            ) as (stream, pausing):
                stream.published(self._step_now)
                while self._step_now < self.batches.total and not self.stopping:
                    groups = await self._next_groups(stream, pausing, self._step_now + 1)
                    if groups is None:
                        break
                    self._step_now += 1
                    await self._step(self._step_now, groups, runner, stream)
                await self._learning.settle()

    # ------------------------------------------------------------------ groups

    async def _next_groups(self, stream: GroupStream, pausing: Pausing, step: int) -> StepGroups | None:
        """Return the groups of a step; None when the run is to stop first."""
        self._pulse.say("rollout", step)
        waiting = asyncio.create_task(stream.next_groups(step), name=f"groups of step {step}")
        stopping = asyncio.create_task(self._stopping.wait(), name="stop")
        try:
            with self._timeline.span("waiting"):
                await asyncio.wait({waiting, stopping, pausing.gave_up}, return_when=asyncio.FIRST_COMPLETED)
            if pausing.gave_up.done():
                pausing.gave_up.result()
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()
            stopping.cancel()
            await asyncio.gather(waiting, stopping, return_exceptions=True)

    # ------------------------------------------------------------------ a step

    async def _step(self, step: int, groups: StepGroups, runner: EpisodeRunner, stream: GroupStream) -> None:
        """Train on the groups of a step, publish, validate, save and report."""
        self._require_health(step, groups)
        await off_the_loop(lambda: self.writer.close_step(groups.record(step), groups.attempts))
        self._pulse.say("update", step)
        overlapping = self.config.async_config.max_steps_off_policy > 0
        patient = overlapping and step < self.batches.total
        metrics = await self._learning.train(step, groups.trainable, runner, patient=patient)
        if overlapping:
            stream.published(step)
        metrics |= self._describe.of_step(groups) | stream.metrics() | self._progress(step, groups)
        await self._complete(step, metrics, runner)
        if not overlapping:
            # Nothing is played beside the validation: its episodes would share the rounds of deterministic sampling.
            stream.published(step)

    async def _train_again(self, step: int, runner: EpisodeRunner, start: Continuation) -> None:
        """Train a step again whose weights were lost, from the groups that are on disk."""
        self._pulse.say("replay", step)
        groups = read_step(RunReader(self.writer.layout.root), step, self.batches, self.config)
        metrics = await self._learning.train(step, groups.trainable, runner, patient=False)
        metrics |= self._describe.of_step(groups) | self._progress(step, groups)
        if step in start.reported:
            if self._is_due(step, self.config.schedule.save_every):
                await self._save(step)
            # What doing it again took belongs to no step.
            self._timeline.take()
            return
        await self._complete(step, metrics, runner)

    async def _complete(self, step: int, metrics: dict[str, float], runner: EpisodeRunner) -> None:
        """Validate and save where it is due, and report."""
        if self.config.schedule.val_every and self._is_due(step, self.config.schedule.val_every):
            with self._timeline.span("evaluation"):
                metrics |= await self._validate(step, runner)

        def report() -> None:
            self._report(step, metrics | self._timeline.metrics())

        if self._is_due(step, self.config.schedule.save_every):
            await self._save(step, report)
        else:
            report()

    def _progress(self, step: int, groups: StepGroups) -> dict[str, float]:
        """Return how far the run is in its tasks, and count what the step took besides its own groups."""
        metrics = {"training/global_step": float(step)} | self.batches.metrics(step, self._taken)
        metrics |= {f"{domain}/rollout/groups": float(groups.num_of(domain)) for domain in self.batches.domains}
        self._taken += self.batches.taken([groups.record(step)])
        return metrics

    async def _validate(self, step: int, runner: EpisodeRunner) -> dict[str, float]:
        """Play the validation tasks with the policy that a step published; return what they say."""
        self._pulse.say("validation", step)
        scorer = self.components.scorer
        groups = await play_validation(
            self.components,
            self.config,
            runner,
            lambda attempt: self.writer.validation(step, with_score(attempt.episode, scorer)),
        )
        if not groups:
            return {}
        return self._describe.of_validation(groups)

    async def _save(self, step: int, report: Callable[[], None] = lambda: None) -> None:
        self._pulse.say("checkpoint", step)
        await self._saving.save(step, report)

    def _say_paused(self, message: str) -> None:
        """Say in the status what a paused run waits for, or that it goes on."""
        self._pulse.say("paused" if message else "rollout", self._step_now + 1, message)

    def _require_health(self, step: int, groups: StepGroups) -> None:
        decode = self.components.renderer.decode
        repetitions = groups.repetitions.values()
        require_few_repetitions(
            step,
            repetitions,
            num_attempts=len(groups.attempts),
            limit=self.config.algorithm.max_filter_rate,
            decode=decode,
        )
        if repetitions:
            message = "step %d: left out %d attempts that repeat themselves, the worst is %s"
            log.warning(message, step, len(repetitions), describe_worst(repetitions, decode))

    def _is_due(self, step: int, every: int) -> bool:
        return step == self.batches.total or bool(every and step % every == 0)

    def _report(self, step: int, metrics: dict[str, float]) -> None:
        self.writer.metrics(step, metrics)
        for sink in self.sinks:
            sink.metrics(step, metrics)
