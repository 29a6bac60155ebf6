"""What a run would do: the numbers that follow from its configuration, environment and policy."""

from dataclasses import dataclass, fields
from math import ceil
from typing import TYPE_CHECKING

from turnwright.config import RunConfig
from turnwright.config.steps import count_steps

if TYPE_CHECKING:
    # For its name alone: it loads torch.
    from turnwright.controller import Components


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes of a run, for people to read before anything is spent."""

    train_tasks: int
    validation_tasks: int
    """Tasks used by each validation."""
    steps: int
    steps_per_epoch: int
    epochs: int
    """Passes over the training tasks, the last one perhaps not to its end."""
    optimizer_updates: int
    episodes_per_step: int
    training_episodes: int
    validations: int
    """Including those at step 0 and at the end."""
    validation_episodes: int
    checkpoints: int
    max_turns: int
    sequence_limit: int
    """Tokens of prompt and reply together."""
    engine_slots: int
    """Episodes whose keys and values are held at once."""
    parameters: int

    def describe(self) -> str:
        """Return one line per number."""
        names = [field.name for field in fields(self)]
        width = max(map(len, names))
        return "\n".join(f"{name.replace('_', ' '):<{width}}  {getattr(self, name):,}" for name in names)


def plan_run(components: "Components", config: RunConfig) -> Plan:
    """Return the plan of a run whose parts are built."""
    steps = count_steps(config, len(components.train_tasks))
    num_steps = steps.total
    algorithm, schedule, validation = config.algorithm, config.schedule, config.validation
    validated = len(components.validation_tasks[: validation.val_tasks])
    validations = 1 + ceil(num_steps / schedule.val_every) if schedule.val_every and validated else 0
    episodes_per_step = algorithm.global_batch_size * algorithm.group_size
    return Plan(
        train_tasks=len(components.train_tasks),
        validation_tasks=validated,
        steps=num_steps,
        steps_per_epoch=steps.per_epoch,
        epochs=ceil(num_steps / steps.per_epoch),
        optimizer_updates=num_steps * algorithm.updates_per_step,
        episodes_per_step=episodes_per_step,
        training_episodes=num_steps * episodes_per_step,
        validations=validations,
        validation_episodes=validations * validated * validation.val_group_size,
        checkpoints=ceil(num_steps / schedule.save_every) if schedule.save_every else 1,
        max_turns=components.limits.loop.max_turns,
        sequence_limit=components.engine.max_sequence_length,
        engine_slots=components.engine.num_slots,
        parameters=sum(parameter.numel() for parameter in components.policy.model.parameters()),
    )
