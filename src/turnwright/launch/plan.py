"""What a run would do: the numbers that follow from its configuration, environment and policy."""

from dataclasses import dataclass, fields
from math import ceil
from typing import TYPE_CHECKING

from turnwright.config import RunConfig
from turnwright.rollout.batches import Batches

if TYPE_CHECKING:
    # For its name alone: it loads torch.
    from turnwright.controller.components import Components


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainPlan:
    """What a run does in one domain of a mixture."""

    domain: str
    share: float
    """Of the run's groups, by weight."""
    train_tasks: int
    groups: int
    """Over the whole run."""
    epochs: float
    """Passes over its own training tasks."""
    max_turns: int

    def describe(self) -> str:
        """Return one line."""
        return (
            f"domain {self.domain}: {self.share:.1%} of the groups, {self.groups:,} in all, {self.epochs:.2f} passes "
            f"over {self.train_tasks:,} training tasks, at most {self.max_turns} turns"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes of a run, for people to read before anything is spent."""

    train_tasks: int
    validation_tasks: int
    """Tasks used by each validation."""
    steps: int
    steps_per_epoch: int
    """Of a mixture: until the domain that takes longest has gone through its tasks."""
    epochs: int
    """Passes over the training tasks, the last one perhaps not to its end; of a mixture those that every domain
    begins."""
    optimizer_updates: int
    episodes_per_step: int
    training_episodes: int
    filling_episodes: int
    """Further ones that rollout.fill_rounds may cost, at most."""
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
    trained_parameters: int
    """Fewer where adapters are trained."""
    domains: tuple[DomainPlan, ...] = ()
    """Of a mixture."""

    def describe(self) -> str:
        """Return one line per number, then one per domain."""
        names = [field.name for field in fields(self) if field.name != "domains"]
        width = max(map(len, names))
        lines = [f"{name.replace('_', ' '):<{width}}  {getattr(self, name):,}" for name in names]
        return "\n".join([*lines, *(domain.describe() for domain in self.domains)])


def plan_run(components: "Components", config: RunConfig) -> Plan:
    """Return the plan of a run whose parts are built."""
    batches = Batches(config, components.train_tasks)
    num_steps = batches.total
    algorithm, schedule, validation = config.algorithm, config.schedule, config.validation
    validated = len(components.validation_tasks[: validation.val_tasks])
    validations = 1 + ceil(num_steps / schedule.val_every) if schedule.val_every and validated else 0
    parameters = list(components.policy.model.parameters())
    episodes_per_step = algorithm.global_batch_size * algorithm.group_size
    return Plan(
        train_tasks=len(components.train_tasks),
        validation_tasks=validated,
        steps=num_steps,
        steps_per_epoch=batches.steps_per_epoch,
        epochs=batches.epochs(num_steps - 1) + 1,
        optimizer_updates=num_steps * algorithm.updates_per_step,
        episodes_per_step=episodes_per_step,
        training_episodes=num_steps * episodes_per_step,
        filling_episodes=num_steps * episodes_per_step * config.rollout.fill_rounds,
        validations=validations,
        validation_episodes=validations * validated * validation.val_group_size,
        checkpoints=ceil(num_steps / schedule.save_every) if schedule.save_every else 1,
        max_turns=components.limits.loop.max_turns,
        sequence_limit=components.engine.max_sequence_length,
        engine_slots=components.engine.num_slots,
        parameters=sum(parameter.numel() for parameter in parameters),
        trained_parameters=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        domains=tuple(_plan_domain(domain, components, batches) for domain in batches.domains),
    )


def _plan_domain(domain: str, components: "Components", batches: Batches) -> DomainPlan:
    tasks, groups = batches.num_tasks(domain), batches.num_groups(batches.total, domain)
    return DomainPlan(
        domain=domain,
        share=batches.share(domain),
        train_tasks=tasks,
        groups=groups,
        epochs=groups / tasks,
        max_turns=components.turn_limits.get(domain, components.limits.loop.max_turns),
    )
