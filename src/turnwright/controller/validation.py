"""Validation: the same tasks with the same random numbers each time, so that curves compare policies."""

from collections.abc import Callable

from turnwright.config import RunConfig
from turnwright.controller.components import Components
from turnwright.core.group import Attempt, Group
from turnwright.core.seeding import derive_key
from turnwright.gateway.recorder import SamplingLimits
from turnwright.rollout.collector import CollectorSettings, EpisodeRunner, Wanted, collect_attempts


def collector_settings(
    components: Components, config: RunConfig, *, seed: int, temperature: float
) -> CollectorSettings:
    """Return how the episodes of a run are played."""
    return CollectorSettings(
        seed=seed,
        sampling=SamplingLimits(
            temperature=temperature,
            top_p=config.sampling.sampling_top_p if temperature else 1.0,
            max_tokens=config.sampling.sampling_max_tokens,
        ),
        limits=components.limits,
        turn_limits=components.turn_limits,
        max_concurrency=config.rollout.rollout_max_concurrency,
        max_retries=config.rollout.rollout_max_retries,
    )


async def play_validation(
    components: Components,
    config: RunConfig,
    runner: EpisodeRunner,
    on_attempt: Callable[[Attempt], None],
) -> list[Group]:
    """Play the validation tasks with the policy as it is published; return their groups, none without tasks.

    Args:
        components: Of the run.
        config: Of the run.
        runner: Makes the attempts.
        on_attempt: Sees each attempt the moment it ends.
    """
    section = config.validation
    tasks = components.validation_tasks[: section.val_tasks]
    wanted = [Wanted(task=task, attempt=i) for task in tasks for i in range(section.val_group_size)]
    attempts = await collect_attempts(
        runner,
        wanted,
        collector_settings(
            components,
            config,
            seed=derive_key(config.run.seed, "validation"),
            temperature=section.val_temperature,
        ),
        on_attempt,
    )
    by_task: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_task.setdefault(attempt.episode.task.id, []).append(attempt)
    return [Group(task=task, attempts=tuple(by_task[task.id])) for task in tasks]
