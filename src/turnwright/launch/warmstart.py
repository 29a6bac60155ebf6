"""Warm start: learn from demonstrations of a scripted expert, and measure the foothold that this gives."""

import asyncio
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from turnwright.config import RunConfig
from turnwright.core.errors import ConfigError, EnvironmentLoadError, RunDirectoryError, TrainingError
from turnwright.core.outcome import Failed
from turnwright.core.seeding import generator
from turnwright.core.task import Task
from turnwright.core.trajectory import Demonstration
from turnwright.evaluation.watch import with_score
from turnwright.launch.local import independent_scorer
from turnwright.launch.player import Player, build_player, load_tasks, play_attempts
from turnwright.learner.checkpointing import save_policy
from turnwright.learner.optimizer import Optimizer, OptimizerSettings
from turnwright.learner.warmstart import SupervisedUpdate, supervise
from turnwright.rollout.demonstrations import demonstrate

FOOTHOLD_TASKS = 100
"""Validation tasks that a foothold is measured on, one attempt each at the training temperature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foothold:
    """What the policy can do after some updates: the share of attempts that succeed, from which RL can grow."""

    update: int
    success: float
    """By the run's scorer, otherwise rewards that reach ``validation.success_threshold``."""
    num_tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """A finished warm start."""

    path: Path
    """The policy in Hugging Face format."""
    footholds: tuple[Foothold, ...]
    """As measured, in order of updates; the last one is the saved policy's."""
    final_loss: float


def warmstart(
    config: RunConfig,
    out: Path,
    *,
    on_update: Callable[[SupervisedUpdate], None] = lambda update: None,
    on_foothold: Callable[[Foothold], None] = lambda foothold: None,
) -> WarmStart:
    """Learn from demonstrations, save the policy in ``out`` and measure its foothold.

    Raises:
        RunDirectoryError: ``out`` has content.
        ConfigError: There is no such demonstrator.
        TrainingError: ``warmstart.min_foothold`` was not reached; the policy is saved nevertheless.
    """
    section = config.warmstart
    if out.exists() and any(out.iterdir()):
        raise RunDirectoryError(f"'{out}' is not empty: choose another folder for the warm-started policy")
    player = build_player(config, learns=True)
    if section.from_scratch:
        _reset_weights(player, config.run.seed)
    tasks = load_tasks(player.prototype, "train", section.num_demonstrations)
    _require_demonstrator(player, tasks, config)
    held_out = load_tasks(player.prototype, "validation", FOOTHOLD_TASKS) or tasks[:FOOTHOLD_TASKS]
    optimizer = Optimizer(
        player.policy.model,
        OptimizerSettings(
            learning_rate=section.learning_rate,
            num_updates=section.steps,
            warmup_updates=section.warmup_steps,
            lr_schedule="linear",
            beta2=section.adam_beta2,
        ),
    )
    footholds: list[Foothold] = []

    def measure(update: int) -> float:
        success = loop.run_until_complete(_measure(player, held_out, config, version=update))
        footholds.append(Foothold(update=update, success=success, num_tasks=len(held_out)))
        on_foothold(footholds[-1])
        return success

    loss, least = 0.0, section.min_foothold
    with _event_loop(player) as loop:
        batches = demonstration_batches(player, tasks, config, loop)
        for update in supervise(
            player.policy, batches, optimizer, tokens_per_microbatch=config.learner.tokens_per_microbatch
        ):
            on_update(update)
            loss = update.loss
            due = update.update == section.steps or (section.eval_every and update.update % section.eval_every == 0)
            if due and measure(update.update) >= (least or 2.0):
                break
    save_policy(player.policy, player.renderer.tokenizer, out)
    if least is not None and footholds[-1].success < least:
        raise TrainingError(
            f"the foothold after {footholds[-1].update} updates is {footholds[-1].success:.1%}, below "
            f"warmstart.min_foothold = {least:g}: raise warmstart.steps or warmstart.learning_rate, or look at the "
            f"demonstrations; the policy as it stands is in '{out}'"
        )
    return WarmStart(path=out, footholds=tuple(footholds), final_loss=loss)


def _require_demonstrator(player: Player, tasks: Sequence[Task], config: RunConfig) -> None:
    """Raise ConfigError when tasks of some domain have no script: a batch with one may come late."""
    for task in {task.domain: task for task in tasks}.values():
        try:
            player.prototype.scripted(config.warmstart.demonstrator)(task, config.run.seed)
        except (EnvironmentLoadError, NotImplementedError) as error:
            raise ConfigError(f"warmstart.demonstrator = {config.warmstart.demonstrator!r}: {error}") from error


def demonstration_batches(
    player: Player, tasks: Sequence[Task], config: RunConfig, loop: asyncio.AbstractEventLoop
) -> Iterator[list[Demonstration]]:
    """Yield one batch of demonstrations per update, each epoch in another order and with other random habits."""
    section = config.warmstart
    order: list[tuple[int, Task]] = []
    epoch = 0
    for _ in range(section.steps):
        while len(order) < section.batch_size:
            shuffled = list(tasks)
            generator(config.run.seed, "demonstrations", epoch).shuffle(shuffled)
            order += [(epoch, task) for task in shuffled]
            epoch += 1
        batch, order = order[: section.batch_size], order[section.batch_size :]
        yield [
            loop.run_until_complete(
                demonstrate(
                    player.prototype,
                    task,
                    section.demonstrator,
                    player.renderer,
                    seed=config.run.seed + epoch,
                    answer_weight=section.answer_weight,
                    context=player.limits.loop.context,
                )
            )
            for epoch, task in batch
        ]


async def _measure(player: Player, tasks: Sequence[Task], config: RunConfig, *, version: int) -> float:
    await player.engine.publish(version)
    attempts = await play_attempts(
        player, tasks, config, attempts=1, temperature=config.sampling.temperature, seed=config.run.seed
    )
    scorer, threshold = independent_scorer(config, tasks), config.validation.success_threshold
    solved: list[bool] = []
    for attempt in attempts:
        episode = with_score(attempt.episode, scorer)
        if isinstance(episode.outcome, Failed):
            continue
        solved.append(episode.score.success if episode.score else episode.outcome.value >= threshold)
    if not solved:
        raise TrainingError(
            f"every one of {len(attempts)} attempts failed ({attempts[0].episode.outcome}): run 'turnwright check'"
        )
    return fmean(solved)


@contextmanager
def _event_loop(player: Player) -> Generator[asyncio.AbstractEventLoop]:
    """Give a loop for scripts and attempts, and close the engine with it."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.run_until_complete(player.engine.close())
        loop.close()


def _reset_weights(player: Player, seed: int) -> None:
    """Give the policy the random weights with which its architecture starts."""
    if player.policy.adapted:
        raise ConfigError("warmstart.from_scratch = true trains all weights: expected model.lora_rank = 0")
    # Imported here: transformers belongs to the extra [train].
    from transformers import set_seed

    set_seed(seed)
    model = player.policy.model
    fresh = type(model)(model.config)
    model.load_state_dict(fresh.state_dict())
