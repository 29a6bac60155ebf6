"""What makes a run the same run when it goes on: the model it began with, and the tasks it learns from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from turnwright.config import ResolvedConfig, RunConfig
from turnwright.controller.components import Components
from turnwright.core.checkpoint import ModelRecord
from turnwright.core.errors import ConfigError
from turnwright.core.task import Split, Task
from turnwright.launch.resumption import parent_of
from turnwright.learner.checkpointing import describe_model
from turnwright.models.load import Policy
from turnwright.models.paths import is_adapter, resolve_model_path
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.reader import RunReader
from turnwright.rundir.records import Manifest
from turnwright.rundir.tasks import changed_tasks, hash_split, hash_task, record_tasks

COMPARED = ("architecture", "num_parameters", "shapes", "dtype", "adapters")


def tasks_of(components: Components) -> Mapping[Split, Sequence[Task]]:
    """Return the tasks of a run by split."""
    return {"train": components.train_tasks, "validation": components.validation_tasks}


def identified(manifest: Manifest, components: Components, resolved: ResolvedConfig) -> Manifest:
    """Return the manifest of a new run with its parent, its model and its data."""
    return replace(
        manifest,
        parent=parent_of(resolved),
        model=_first_model(components.policy, resolved.config),
        tasks={split: hash_split(map(hash_task, tasks)) for split, tasks in tasks_of(components).items()},
    )


def record_data(layout: RunLayout, components: Components) -> None:
    """Write which tasks a new run has."""
    record_tasks(layout, tasks_of(components))


def require_same_run(run: Path, components: Components, *, step: int) -> None:
    """Refuse to go on with other data, or with another model, than a run began with.

    Args:
        run: The run directory; what it does not say is not compared.
        components: Built to go on after ``step``.
        step: That of the checkpoint, 0 without one.

    Raises:
        ConfigError: The message says what differs, and what to do.
    """
    manifest = RunReader(run).manifest()
    problems = changed_tasks(RunLayout(run), manifest.tasks, tasks_of(components))
    if problems:
        raise ConfigError(
            f"run '{run}' began with other data: {'; '.join(problems)}. Bring the tasks back to go on, or start a new "
            f"run from its weights: turnwright train run.toml --from {run}"
        )
    if manifest.model is None:
        return
    # Weights that are trained differ from the first ones; those that adapters stand beside never do.
    frozen = components.policy.adapted or not step
    _require_same_model(run, manifest.model, describe_model(components.policy), frozen=frozen)
    if components.reference is not None and not components.policy.adapted:
        _require_same_model(run, manifest.model, describe_model(components.reference.policy), frozen=True)


def _first_model(policy: Policy, config: RunConfig) -> ModelRecord:
    record = describe_model(policy)
    merged = not policy.adapted and is_adapter(resolve_model_path(config.model.path))
    # The sum of weights and adapters may be rounded otherwise another time.
    return replace(record, weights="") if merged else record


def _require_same_model(run: Path, began: ModelRecord, found: ModelRecord, *, frozen: bool) -> None:
    compared = (*COMPARED, "weights") if frozen and began.weights else COMPARED
    for name in compared:
        before, now = getattr(began, name), getattr(found, name)
        if before != now:
            raise ConfigError(
                f"run '{run}' began with another model: its {name} was {_short(before)}, now it is {_short(now)}. Was "
                "the folder of model.path, or of an adapter's base, replaced? Bring it back to go on, or begin anew"
            )


def _short(value: object) -> str:
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else str(value)
