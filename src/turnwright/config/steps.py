"""How far a run goes: steps from its schedule and the number of its tasks."""

from dataclasses import dataclass

from turnwright.config.run import RunConfig
from turnwright.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCount:
    """How far a run goes."""

    per_epoch: int
    total: int
    """schedule.max_steps or max_epochs, whichever ends first."""


def count_steps(config: RunConfig, num_train_tasks: int) -> StepCount:
    """Return how many steps a run makes; raises ConfigError when its tasks do not fill one batch."""
    size, schedule = config.algorithm.global_batch_size, config.schedule
    per_epoch = num_train_tasks // size
    if not per_epoch:
        raise ConfigError(
            f"algorithm.global_batch_size = {size} is more than the {num_train_tasks} training tasks of environment "
            f"{config.environment.title!r}: lower it or add tasks"
        )
    most = schedule.max_steps
    return StepCount(
        per_epoch=per_epoch,
        total=most if schedule.max_epochs is None else min(most, schedule.max_epochs * per_epoch),
    )
