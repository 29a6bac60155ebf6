"""A run directory that grows step by step, as a training loop writes it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from turnwright.config import ResolvedConfig, RunConfig
from turnwright.core.episode import Episode
from turnwright.core.group import Attempt
from turnwright.core.trajectory import Trajectory
from turnwright.rundir import Manifest, RunWriter
from turnwright.rundir.records import BatchGroup, BatchRecord

CONFIG = ResolvedConfig(config=RunConfig.model_validate({"environment": {"name": "returns_desk"}}), sources={})


def create_run(root: Path) -> RunWriter:
    manifest = Manifest(name=root.name, created="2026-01-01T00:00:00Z", seed=1, host="here")
    return RunWriter.create(root, config=CONFIG, manifest=manifest)


def write_step(writer: RunWriter, step: int, episodes: Sequence[Episode], **metrics: float) -> None:
    """Close a step that trained these episodes, and report it."""
    # A group is played once: its attempts have numbers of their own in every step.
    played = [replace(one, key=replace(one.key, attempt=one.key.attempt + 10 * step)) for one in episodes]
    dealt = BatchGroup(number=step, task=played[0].key.task_id, domain="", epoch=step, fate="trained")
    attempts = [Attempt(episode=episode, trajectory=Trajectory(key=episode.key)) for episode in played]
    writer.open_group(dealt)
    for attempt in attempts:
        writer.attempt(dealt.number, attempt)
    writer.close_step(BatchRecord(step=step, groups=(dealt,)), attempts)
    writer.metrics(step, {name.replace("__", "/"): value for name, value in metrics.items()})
