"""Going on with a run, and going on from one: what may change, what must not, and where the weights come from.

    --resume RUN    the same run: its configuration, with changes of what decides nothing about what it learns
    --from RUN      a new run: the promoted checkpoint's weights, everything else as its own configuration says

Loads no torch: what is refused here costs no model.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from turnwright.config import ResolvedConfig, resolve, resolve_values
from turnwright.config.resolved import as_text, validate
from turnwright.core.errors import ConfigError, RunDirectoryError
from turnwright.models.paths import ADAPTER_CONFIG, is_adapter, lasting_name
from turnwright.rundir.catalog import find_run
from turnwright.rundir.checkpoints import promoted, read_manifest, verify
from turnwright.rundir.files import write_atomic
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.reader import RunReader

FREE = (
    "async_config.straggler_wait_seconds",
    "agent.options",
    "algorithm.max_filter_rate",
    "evaluation.allow_reward_as_scorer",
    "evaluation.attempts",
    "evaluation.greedy",
    "evaluation.resamples",
    "evaluation.split",
    "evaluation.tasks",
    "evaluation.temperature",
    "gateway.",
    "inference.",
    "learner.",
    "rollout.max_failed_fraction",
    "rollout.max_pause_seconds",
    "rollout.rollout_launches_per_second",
    "rollout.rollout_max_concurrency",
    "rollout.rollout_max_retries",
    "rollout.rollout_min_concurrency",
    "rollout.rollout_timeout",
    "rollout.tool_timeout",
    "run.watchdog_seconds",
    "schedule.keep_best",
    "schedule.keep_last",
    "schedule.save_every",
    "schedule.val_every",
    "tracking.",
    "validation.pass_k_values",
    "validation.success_threshold",
    "warmstart.",
)
"""Settings with which a run may go on changed; a dot at the end stands for a whole section. All others decide what is
learned, on what, or by which numbers checkpoints are compared."""
FIXED_IN_FREE = ("gateway.max_sampled_tokens", "gateway.sampling")
"""Settings of such a section that change episodes."""
GROWING = ("schedule.max_epochs", "schedule.max_steps")
"""Settings that may become larger."""
OF_THE_DIRECTORY = ("run.name", "run.output_dir")
"""Settings that say where a run lies; a run that exists lies where it lies."""
BITS = ("inference.", "learner.", "rollout.rollout_max_concurrency", "rollout.rollout_min_concurrency")
"""Free settings on which the last bits of a result depend."""
STARTED_FROM = "--from "
"""Begins the source of ``model.path`` in a run that began with another one's weights."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A setting with which a run goes on, or would."""

    key: str
    """Dotted; below an option of an environment as far as the values differ."""
    before: str
    after: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """How a run goes on."""

    run: Path
    config: ResolvedConfig
    """The run's own, with the changes; each changed value names its source and what it was before."""
    changes: tuple[Change, ...] = ()

    def describe(self) -> tuple[str, ...]:
        """Return one line per change, and per consequence that is not obvious."""
        lines = [
            f"changed: {change.key} {change.before} -> {change.after} ({change.source})" for change in self.changes
        ]
        config, keys = self.config.config, {change.key for change in self.changes}
        if "schedule.max_steps" in keys and config.optimizer.lr_schedule != "constant":
            schedule = config.optimizer.lr_schedule
            lines.append(f"note: the learning rate ({schedule}) now falls to 0 at step {config.schedule.max_steps}")
        if config.run.deterministic and any(key.startswith(BITS) for key in keys):
            lines.append("note: from here on the bits are no longer those of an undisturbed run (run.deterministic)")
        return tuple(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The checkpoint that a new run takes its weights from."""

    run: Path
    step: int
    checkpoint: Path

    def __str__(self) -> str:
        """Return what ``--from`` takes: "runs/first@40"."""
        return f"{self.run}@{self.step}"


def plan_resumption(run: Path, file: Path | None = None, overrides: Sequence[str] = ()) -> Resumption:
    """Work out with which configuration a run goes on.

    Args:
        run: The run directory.
        file: A run.toml; settings that it does not mention stay as the run has them. None = all do.
        overrides: Settings that win over it.

    Raises:
        ConfigError: A setting would change what is learned, or is wrong; the message is a table of those.
        RunDirectoryError: The run is being written, or an earlier version wrote it.
    """
    reader = RunReader(run)
    # Refused again under the lock; here before checkpoints are read and a model is loaded.
    if reader.is_running() and (status := reader.status()) is not None:
        raise RunDirectoryError(f"run '{run}' is being written by process {status.pid}: wait until it ends, or stop it")
    reader.require_replayable()
    own = reader.config()
    if file is None and not overrides:
        return Resumption(run=run, config=own)
    if file is None:
        given = resolve_values(own.config.model_dump(), source="run", overrides=overrides)
        given = replace(given, sources={key: source for key, source in given.sources.items() if source != "run"})
    else:
        given = resolve(file, overrides)
    changes = tuple(_changes(own, given))
    if refused := [change for change in changes if not _may_change(change, own, given)]:
        raise ConfigError(_refusal(run, file, refused))
    return Resumption(run=run, config=_changed(run, own, given, changes), changes=changes)


def parent_of(resolved: ResolvedConfig) -> str:
    """Return what a run's manifest names as its parent: the checkpoint it was started ``--from``, or ``model.path``."""
    source = resolved.sources.get("model.path", "")
    return source.removeprefix(STARTED_FROM) if source.startswith(STARTED_FROM) else resolved.config.model.path


def find_parent(name: str, output_dir: Path) -> Parent:
    """Return the checkpoint that ``--from`` names: "RUN" its promoted one, "RUN@STEP" that of a step.

    A run that has none promoted gives its newest.

    Raises:
        RunDirectoryError: There is no such run or checkpoint, or its files are not what was saved.
    """
    before, at, step = name.rpartition("@")
    wanted = int(step) if at and step.isdecimal() else None
    run = find_run(before if wanted is not None else name, output_dir)
    saved = {found.step: found.path for found in RunReader(run).checkpoints()}
    if not saved:
        raise RunDirectoryError(f"run '{run}' has saved no checkpoint: nothing to start from; resume it instead")
    if wanted is None:
        chosen = promoted(RunLayout(run))
        wanted = next((step for step, path in saved.items() if path == chosen), max(saved))
    if wanted not in saved:
        there = ", ".join(map(str, saved))
        raise RunDirectoryError(f"run '{run}' has no checkpoint of step {wanted}: there are those of {there}")
    _require_intact(saved[wanted])
    return Parent(run=run, step=wanted, checkpoint=saved[wanted].resolve())


def resolve_from(parent: Parent, file: Path | None, overrides: Sequence[str] = ()) -> ResolvedConfig:
    """Return the configuration of a new run that takes its weights from a checkpoint.

    Args:
        parent: Where the weights come from.
        file: A run.toml; None = the configuration of the parent, under a new name.
        overrides: Settings that win over it.

    Raises:
        ConfigError: ``model.path`` is set besides, or the checkpoint's adapters are not those that would be trained.
    """
    if any(text.partition("=")[0].strip() == "model.path" for text in overrides):
        raise ConfigError("--from and model.path both say where the weights come from: leave one of them out")
    if file is None:
        own = RunReader(parent.run).config().config.model_dump()
        own["run"]["name"] = None
        resolved = resolve_values(own, source=parent.run.name, overrides=overrides)
    else:
        resolved = resolve(file, overrides)
    values = resolved.config.model_dump()
    values["model"]["path"] = str(parent.checkpoint)
    sources = {**resolved.sources, "model.path": f"{STARTED_FROM}{parent}"}
    started = ResolvedConfig(config=validate(values), sources=sources)
    _require_trainable_adapters(parent, started)
    return started


def record_config(layout: RunLayout, resolved: ResolvedConfig) -> None:
    """Write what a run goes on with; unchanged it stays as it is."""
    text = resolved.to_json()
    if text != layout.config_resolved.read_text(encoding="utf-8"):
        write_atomic(layout.config_resolved, text)


def _changes(own: ResolvedConfig, given: ResolvedConfig) -> Iterator[Change]:
    """Yield what a given configuration says otherwise than the run's own; what it does not mention stays."""
    for setting, now in zip(own.settings(), given.settings(), strict=True):
        key = setting.key
        if now.source == "default" or key in OF_THE_DIRECTORY or setting.value == now.value:
            continue
        if key == "model.path" and _same_policy(own, setting.value, now.value, given):
            continue
        for path, before, after in _differences(setting.value, now.value):
            yield Change(key=".".join((key, *path)), before=as_text(before), after=as_text(after), source=now.source)


def _same_policy(own: ResolvedConfig, before: str, after: str, given: ResolvedConfig) -> bool:
    """Tell whether a model.path says what the run has: in other words, or because ``--from`` won over the file then."""
    if lasting_name(before) == lasting_name(after):
        return True
    started_from = own.sources.get("model.path", "").startswith(STARTED_FROM)
    return started_from and given.sources.get("model.path") != "override"


def _differences(before: Any, after: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield the places of two values at which they differ; tables are compared entry by entry."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        if before != after:
            yield path, before, after
        return
    first, second = cast(dict[str, Any], before), cast(dict[str, Any], after)
    for key in {**first, **second}:
        yield from _differences(first.get(key), second.get(key), (*path, key))


def _may_change(change: Change, own: ResolvedConfig, given: ResolvedConfig) -> bool:
    key = change.key
    if key in GROWING:
        before, after = own.get_info(key).value, given.get_info(key).value
        return before is not None and (after is None or after > before)
    if key == "agent.target":
        # An address: what is there is the same agent. A function or a program would be another.
        return own.config.agent.kind == given.config.agent.kind == "http"
    return f"{key}.".startswith(tuple(f"{name.removesuffix('.')}." for name in FREE)) and key not in FIXED_IN_FREE


def _changed(run: Path, own: ResolvedConfig, given: ResolvedConfig, changes: Sequence[Change]) -> ResolvedConfig:
    values, sources = own.config.model_dump(), dict(own.sources)
    launch = 1 + len(list(RunLayout(run).logs.glob("attempt_*")))
    for change in changes:
        section, name, *_ = change.key.split(".")
        key = f"{section}.{name}"
        was = own.get_info(key)
        values[section][name] = given.get_info(key).value
        sources = {known: source for known, source in sources.items() if not known.startswith(f"{key}.")}
        sources[key] = f"{change.source}, from attempt {launch} on (was {as_text(was.value)}: {was.source})"
    return ResolvedConfig(config=validate(values), sources=sources)


def _refusal(run: Path, file: Path | None, refused: Sequence[Change]) -> str:
    rows = [("setting", "run has", "given"), *((change.key, change.before, change.after) for change in refused)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    table = "\n".join(f"  {a:<{widths[0]}} | {b:<{widths[1]}} | {c}" for a, b, c in rows)
    shorter = [change.key for change in refused if change.key in GROWING]
    hint = f"\n{' and '.join(shorter)} can only grow: to end a run earlier, stop it with Ctrl-C" if shorter else ""
    return (
        f"run '{run}' cannot go on with a change of what it learns, or on what:\n{table}{hint}\nLeave them out to go "
        f"on with the run as it was (turnwright train --resume {run}), or start a new run from its weights: turnwright "
        f"train {file or 'run.toml'} ... --from {run}"
    )


def _require_intact(checkpoint: Path) -> None:
    if read_manifest(checkpoint) is None:
        log.warning("checkpoint '%s' has no manifest.json: whether its files are whole is not known", checkpoint)
    elif problems := verify(checkpoint):
        raise RunDirectoryError("\n".join(problems))


def _require_trainable_adapters(parent: Parent, resolved: ResolvedConfig) -> None:
    """Refuse to merge adapters unasked, or to train others than the checkpoint has; loading looks at their layers."""
    if not is_adapter(str(parent.checkpoint)):
        return
    found = json.loads((parent.checkpoint / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    model = resolved.config.model
    for name, has, asked in (
        ("lora_rank", found.get("r"), model.lora_rank),
        ("lora_alpha", found.get("lora_alpha"), model.adapter_alpha),
    ):
        if has != asked:
            raise ConfigError(
                f"the checkpoint of {parent} has adapters with {name} = {has:g}, and model.{name} = {asked:g}: set "
                f"model.{name} = {has:g} to go on training them, or merge them first (turnwright merge "
                f"{parent.checkpoint} merged) and set model.path = merged"
            )
