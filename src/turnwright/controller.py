"""Controller: the loop of a training run, and the one place that starts and joins its work.

Synchronous: every box waits for the one before it.

    step 0                 validate
    step 1..max_steps      collect  --attempts-->  train  --weights-->  publish  -->  [validate]  -->  [save]
                             |                       |                    |
                           engine thread           learner thread       engine's KV is void from here
                           + one task per episode
                           [+ gateway: server, record log, one task per model call]

    collect   global_batch_size x group_size attempts; each is on disk the moment it ends. The built-in agent makes
              them in this process; an agent of its own calls the gateway, which is served from the first step to the
              last. Groups without signal make room for others in rollout.fill_rounds further rounds
    train     rows and rewards in, updates_per_step optimizer updates; the engine is paused meanwhile
    publish   the engine samples from the learner's own tensors: only the version number and the KV change;
              a canary then compares both on one sequence
    validate  the same tasks with the same random numbers each time

Whatever ends the loop - the last step, an error, Ctrl-C - the engine is closed, the status is written and what was
finished is on disk.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from turnwright.config import RunConfig
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt, Group
from turnwright.core.protocols import Sink
from turnwright.core.seeding import derive_key
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.evaluation.scorers import Scorer
from turnwright.evaluation.watch import pass_metrics, score_metrics, with_score
from turnwright.gateway.recorder import SamplingLimits
from turnwright.inference.base import GenerationRequest
from turnwright.inference.local import LocalEngine
from turnwright.learner.batch import is_live
from turnwright.learner.canary import CANARY_TEMPERATURE, require_same_weights
from turnwright.learner.checkpointing import load_resume_state, save_policy, save_resume_state
from turnwright.learner.executor import learner_executor
from turnwright.learner.optimizer import Optimizer
from turnwright.learner.passes import Passes
from turnwright.learner.reference import Reference
from turnwright.learner.step import StepSettings, take_step
from turnwright.models.load import Policy
from turnwright.models.memory import watch_peak_memory
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.batches import Batches, Dealt
from turnwright.rollout.collector import CollectorSettings, EpisodeRunner, Wanted, collect_attempts
from turnwright.rollout.filling import MadeGroup, StepGroups, collect_groups, filling_metrics, make_groups
from turnwright.rollout.guards import require_few_failures, require_few_repetitions
from turnwright.rollout.metrics import attempt_metrics, group_metrics, with_domains
from turnwright.rollout.repetition import RepetitionSettings, describe_worst
from turnwright.rollout.runner import EpisodeLimits
from turnwright.rollout.trainable import token_metrics
from turnwright.rundir.reader import RunReader
from turnwright.rundir.records import BatchGroup
from turnwright.rundir.writer import RunWriter

log = logging.getLogger(__name__)
CANARY_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """What a run is made of, built by ``launch``."""

    prototype: Environment
    open_runner: Callable[[str, Path], AbstractAsyncContextManager[EpisodeRunner]]
    """Given the run's name and the folder of its records: what makes attempts, until the block ends."""
    policy: Policy
    passes: Passes
    renderer: Renderer
    engine: LocalEngine
    optimizer: Optimizer
    step_settings: StepSettings
    reference: Reference | None
    """The policy the run began with; None where no divergence from it counts."""
    limits: EpisodeLimits
    turn_limits: Mapping[str, int]
    """Turn limits of a mixture's domains; empty where one limit holds for all episodes."""
    train_tasks: Sequence[Task]
    validation_tasks: Sequence[Task]
    scorer: Scorer | None
    """The independent scorer, watched beside the reward; never trained on."""


class Controller:
    """Runs one training run to its end."""

    def __init__(
        self,
        components: Components,
        config: RunConfig,
        writer: RunWriter,
        sinks: Sequence[Sink] = (),
        on_validation: Callable[[int, Sequence[Attempt]], None] = lambda step, attempts: None,
        on_training: Callable[[int, Sequence[Attempt]], None] = lambda step, attempts: None,
    ) -> None:
        """Prepare a run.

        Args:
            components: What the run is made of; the controller closes their engine.
            config: What the run does.
            writer: Where everything it makes is written.
            sinks: Views that get each step's metrics after they are on disk; closed with the run.
            on_validation: Called with the attempts of each validation.
            on_training: Called with the attempts of each step.
        """
        self.components = components
        self.config = config
        self.writer = writer
        self.sinks = sinks
        self._on_validation, self._on_training = on_validation, on_training
        self._learner = learner_executor(config.learner.num_threads)
        self.batches = Batches(config, components.train_tasks)
        self._runner: EpisodeRunner | None = None
        self._taken = Counter[str | None]()
        self._open: dict[tuple[str, int], int] = {}
        """Numbers of the open groups, by task and pass."""
        self._next_group = 0
        self._repetition = RepetitionSettings.from_config(config.algorithm)

    async def run(self, *, resume_from: int = 0, finished: Sequence[Attempt] = ()) -> None:
        """Train until the last step.

        Args:
            resume_from: Step whose checkpoint the components were built from; 0 for a new run.
            finished: Attempts of step ``resume_from + 1`` that an interrupted process left on disk.
        """
        step = resume_from
        run = RunReader(self.writer.layout.root)
        self._open = {(found.group.task, found.group.epoch): found.group.number for found in run.open_groups()}
        numbers = [group.number for batch in run.batches() for group in batch.groups]
        self._next_group = 1 + max([*numbers, *self._open.values()], default=-1)
        try:
            if resume_from:
                done = [record for record in run.batches() if record.step <= resume_from]
                self._taken = self.batches.taken(done)
                load_resume_state(self.components.optimizer, self.writer.layout.resume_state(resume_from))
                await self.components.engine.publish(resume_from)
            layout = self.writer.layout
            async with self.components.open_runner(layout.root.name, layout.records) as runner:
                self._runner = runner
                if not resume_from and self.config.schedule.val_every:
                    self._report(0, await self._validate(0))
                while step < self.batches.total:
                    step += 1
                    await self._step(step, finished if step == resume_from + 1 else ())
            self.writer.status("finished", step)
        except BaseException as error:
            stopped = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
            self.writer.status("stopped" if stopped else "failed", step, message=repr(error))
            raise
        finally:
            await self.components.engine.close()
            self._learner.shutdown()
            for sink in self.sinks:
                sink.close()

    async def _step(self, step: int, finished: Sequence[Attempt]) -> None:
        started = time.perf_counter()
        self.writer.status("rollout", step)
        groups = await self._collect(step, finished)
        collected = time.perf_counter()
        self._close(step, groups)
        self.writer.status("update", step)
        components = self.components
        assert self._runner is not None
        async with self._runner.paused(), components.engine.paused():
            with watch_peak_memory(components.policy.device) as peak:
                result = await asyncio.get_running_loop().run_in_executor(
                    self._learner,
                    lambda: take_step(
                        components.passes,
                        components.optimizer,
                        groups.trainable,
                        components.step_settings,
                        step=step,
                        reference=components.reference,
                    ),
                )
        trained = time.perf_counter()
        await components.engine.publish(step)
        metrics = {**result.metrics, "training/peak_memory_mb": peak.megabytes}
        if result.num_updates:
            metrics["training/canary_gap"] = await self._canary(step)
        metrics |= self._describe(groups)
        metrics |= self.batches.metrics(step, self._taken)
        self._taken += self.batches.taken([groups.record(step)])
        metrics |= {
            "training/global_step": float(step),
            "timing_s/rollout": collected - started,
            "timing_s/training": trained - collected,
        }
        if self.config.schedule.val_every and self._due(step, self.config.schedule.val_every):
            metrics |= await self._validate(step)
            metrics["timing_s/eval"] = time.perf_counter() - trained
        if self._due(step, self.config.schedule.save_every):
            saving = time.perf_counter()
            self.writer.status("checkpoint", step)
            with self.writer.checkpoint(step) as folder:
                save_policy(components.policy, components.renderer.tokenizer, folder)
                save_resume_state(components.optimizer, folder / "resume", step=step)
                metrics["timing_s/save_checkpoint"] = time.perf_counter() - saving
                metrics["timing_s/step"] = time.perf_counter() - started
                # Inside: a checkpoint takes its name only when the metrics of its step are on disk.
                self._report(step, metrics)
        else:
            metrics["timing_s/step"] = time.perf_counter() - started
            self._report(step, metrics)
        self._on_training(step, groups.attempts)

    async def _collect(self, step: int, finished: Sequence[Attempt]) -> StepGroups:
        """Collect the groups of a step; attempts that an interrupted process finished are not made again."""
        config, left = self.config, {attempt.episode.key: attempt for attempt in finished}

        def play(wanted: Sequence[Wanted]) -> Awaitable[list[Attempt]]:
            return self._collect_attempts(
                wanted,
                seed=config.run.seed,
                temperature=config.sampling.temperature,
                on_attempt=record,
            )

        def record(attempt: Attempt) -> None:
            key = attempt.episode.key
            self.writer.attempt(self._open[key.task_id, key.attempt // config.algorithm.group_size], attempt)

        def make(dealt: Sequence[Dealt]) -> Awaitable[list[MadeGroup]]:
            for one in dealt:
                self._open_group(step, one)
            return make_groups(dealt, config.algorithm.group_size, play, left, self._repetition)

        collected = await collect_groups(
            step,
            self.batches,
            make,
            taken=self._taken,
            fill_rounds=config.rollout.fill_rounds,
            is_live=lambda group: is_live(group, self.components.step_settings.batch),
            on_round=lambda collected: self._require_health(step, collected),
        )
        if repetitions := collected.repetitions.values():
            worst = describe_worst(repetitions, self.components.renderer.decode)
            message = "step %d: left out %d attempts that repeat themselves, the worst is %s"
            log.warning(message, step, len(repetitions), worst)
        return collected

    def _open_group(self, step: int, dealt: Dealt) -> None:
        place = (dealt.task.id, dealt.epoch)
        if place not in self._open:
            self._open[place] = self._next_group
            self._next_group += 1
            self.writer.open_group(
                BatchGroup(
                    number=self._open[place],
                    task=dealt.task.id,
                    domain=dealt.task.domain or "",
                    epoch=dealt.epoch,
                    round=dealt.round,
                    version=step - 1,
                )
            )

    def _close(self, step: int, groups: StepGroups) -> None:
        record = groups.record(step)
        named = [
            replace(
                group,
                number=self._open.pop((group.task, group.epoch)),
                version=step - 1,
                fate="no_signal" if group.replaced else "trained",
            )
            for group in record.groups
        ]
        self.writer.close_step(replace(record, groups=tuple(named)), groups.attempts)

    async def _validate(self, step: int) -> dict[str, float]:
        """Play the validation tasks; the random numbers are the same each time, so that curves compare policies."""
        section = self.config.validation
        self.writer.status("validation", step)
        tasks = self.components.validation_tasks[: section.val_tasks]
        if not tasks:
            return {}
        wanted = [Wanted(task=task, attempt=i) for task in tasks for i in range(section.val_group_size)]
        attempts = await self._collect_attempts(
            wanted,
            seed=derive_key(self.config.run.seed, "validation"),
            temperature=section.val_temperature,
            on_attempt=lambda attempt: self.writer.validation(
                step, with_score(attempt.episode, self.components.scorer)
            ),
        )
        self._on_validation(step, attempts)
        by_task: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            by_task.setdefault(attempt.episode.task.id, []).append(attempt)
        groups = [Group(task=task, attempts=tuple(by_task[task.id])) for task in tasks]
        return with_domains(groups, self._describe_validation)

    async def _collect_attempts(
        self, wanted: Sequence[Wanted], *, seed: int, temperature: float, on_attempt: Callable[[Attempt], None]
    ) -> list[Attempt]:
        config = self.config
        assert self._runner is not None
        return await collect_attempts(
            self._runner,
            wanted,
            CollectorSettings(
                seed=seed,
                sampling=SamplingLimits(
                    temperature=temperature,
                    top_p=config.sampling.sampling_top_p if temperature else 1.0,
                    max_tokens=config.sampling.sampling_max_tokens,
                ),
                limits=self.components.limits,
                turn_limits=self.components.turn_limits,
                max_concurrency=config.rollout.rollout_max_concurrency,
                max_retries=config.rollout.rollout_max_retries,
            ),
            on_attempt,
        )

    async def _canary(self, step: int) -> float:
        """Let engine and learner score the same short reply; return the largest gap between them."""
        components = self.components
        task = next(iter(components.validation_tasks or components.train_tasks))
        environment = components.prototype.for_episode()
        environment.open(task, 0)
        try:
            prompt = components.renderer.prompt_ids(environment.opening(), environment.tool_specs())
        finally:
            environment.close()
        key = EpisodeKey(task_id=f"canary {task.id}", attempt=step)
        components.engine.open_episode(key)
        try:
            request = GenerationRequest(
                key=key,
                turn=0,
                prompt_token_ids=prompt,
                shared_prefix_length=len(prompt) // 2,
                max_tokens=CANARY_TOKENS,
                temperature=CANARY_TEMPERATURE,
            )
            generation = await components.engine.generate(request)
        finally:
            components.engine.close_episode(key)
        return require_same_weights(components.policy, prompt, generation.token_ids, generation.logprobs)

    def _describe(self, groups: StepGroups) -> dict[str, float]:
        """Return what a step's groups say, those included that left the step for others."""
        rows, repetitions, left_out = groups.rows, groups.repetitions, groups.left_out

        def describe(some: Sequence[Group]) -> dict[str, float]:
            attempts = [attempt for group in some for attempt in group.attempts]
            keys = {attempt.episode.key for attempt in attempts}
            metrics = attempt_metrics(attempts, "rollout") | group_metrics(some, batch_size=len(some))
            metrics |= self._score(attempts, "score")
            metrics |= token_metrics(attempts, [row for row in rows if row.key in keys], left_out)
            if self._repetition is not None:
                metrics["rollout/filtered_frac"] = len(keys & repetitions.keys()) / len(keys)
            return metrics

        metrics = with_domains(groups.groups, describe)
        if self.config.rollout.fill_rounds:
            metrics |= with_domains([made.group for made in groups.replaced], filling_metrics)
            metrics["rollout/fill/rounds"] = float(groups.num_rounds)
        return metrics

    def _describe_validation(self, groups: Sequence[Group]) -> dict[str, float]:
        """Return what some groups of a validation say."""
        attempts = [attempt for group in groups for attempt in group.attempts]
        section = self.config.validation
        passed = pass_metrics(
            groups, "val", pass_k_values=section.pass_k_values, success_threshold=section.success_threshold
        )
        return attempt_metrics(attempts, "val") | passed | self._score(attempts, "val/score")

    def _score(self, attempts: Sequence[Attempt], prefix: str) -> dict[str, float]:
        episodes = [attempt.episode for attempt in attempts]
        threshold = self.config.validation.success_threshold
        return score_metrics(episodes, self.components.scorer, prefix, success_threshold=threshold)

    def _require_health(self, step: int, groups: StepGroups) -> None:
        attempts, config = groups.attempts, self.config
        require_few_failures(step, attempts, limit=config.rollout.max_failed_fraction)
        require_few_repetitions(
            step,
            groups.repetitions.values(),
            num_attempts=len(attempts),
            limit=config.algorithm.max_filter_rate,
            decode=self.components.renderer.decode,
        )

    def _due(self, step: int, every: int) -> bool:
        return step == self.batches.total or bool(every and step % every == 0)

    def _report(self, step: int, metrics: dict[str, float]) -> None:
        self.writer.metrics(step, metrics)
        for sink in self.sinks:
            sink.metrics(step, metrics)
