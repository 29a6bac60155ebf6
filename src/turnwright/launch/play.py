"""Plays one episode to look at: by a scripted policy of the environment, without torch, or by a model."""

import asyncio
from collections.abc import Sequence

from turnwright.config import RunConfig
from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError, DatasetError
from turnwright.core.task import Split, Task
from turnwright.environments.base import Environment
from turnwright.environments.mixture import load_choice
from turnwright.evaluation.watch import with_score
from turnwright.launch.scoring import configured_scorer
from turnwright.rollout.demonstrations import run_script

ORACLE = "oracle"
SPLITS: tuple[Split, ...] = ("test", "validation", "train")
"""Where a task to look at comes from when nobody says: the first split that has any."""


def play_episode(
    config: RunConfig, *, split: Split | None = None, task: str | None = None, greedy: bool = False
) -> Episode:
    """Play one episode and return it with its score.

    Args:
        config: Environment, policy, sampling and seed; ``model.path`` may also be "oracle" or another scripted policy
            of the environment.
        split: Tasks to take from; None = the first of test, validation and train that has any.
        task: Id of the task; None = the first one.
        greedy: Always take the likeliest token.

    Raises:
        ConfigError: There is no such task.
    """
    prototype = load_choice(config.environment)
    tasks = _tasks(prototype, split)
    chosen = _choose(tasks, task, config.environment.title)
    policy = config.model.path
    if policy in (ORACLE, *prototype.demonstrators()):
        episode = asyncio.run(run_script(prototype, chosen, policy, seed=config.run.seed))
    else:
        temperature = 0.0 if greedy else config.sampling.temperature
        episode = asyncio.run(_play(prototype, chosen, config, temperature=temperature))
    return with_score(episode, configured_scorer(config, tasks))


async def _play(prototype: Environment, task: Task, config: RunConfig, *, temperature: float) -> Episode:
    # Imported here: it loads torch, which a scripted policy does without.
    from turnwright.launch.player import build_player, play_attempts

    player = build_player(config, environment=prototype)
    try:
        (attempt,) = await play_attempts(
            player, [task], config, attempts=1, temperature=temperature, seed=config.run.seed
        )
        return attempt.episode
    finally:
        await player.engine.close()


def _tasks(prototype: Environment, split: Split | None) -> Sequence[Task]:
    if split is not None:
        return tuple(prototype.tasks(split))
    for candidate in SPLITS:
        try:
            tasks = tuple(prototype.tasks(candidate))
        except DatasetError:
            continue
        if tasks:
            return tasks
    return ()


def _choose(tasks: Sequence[Task], task_id: str | None, environment: str) -> Task:
    found = next((task for task in tasks if task_id in (None, task.id)), None)
    if found is None:
        known = ", ".join(task.id for task in tasks[:3]) or "none"
        raise ConfigError(f"environment {environment!r} has no task {task_id!r} here; the first ones are: {known}")
    return found
