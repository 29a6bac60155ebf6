"""Evaluates a checkpoint from disk in this process: a player of its own, a scorer of its own, nothing of a learner."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from turnwright.config import ResolvedConfig, RunConfig, resolve, resolve_values
from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError
from turnwright.core.group import Attempt
from turnwright.evaluation.evaluator import AttemptRequest, Evaluation, evaluate
from turnwright.evaluation.store import write_evaluation
from turnwright.evaluation.suites import Suite, select_tasks
from turnwright.launch.local import build_player, load_tasks, play_attempts
from turnwright.rundir.layout import RunLayout, step_of
from turnwright.rundir.reader import RunReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What to evaluate, by which configuration, and where to keep the result."""

    checkpoint: str
    """Folder, hub id or "tiny"."""
    config: RunConfig
    folder: Path
    step: int | None
    """Training step of the checkpoint; None for the model from which a run starts."""


def assign(
    checkpoint: str,
    *,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    run: Path | None = None,
    name: str | None = None,
    out: Path | None = None,
) -> Assignment:
    """Work out what an evaluation needs from what was said.

    A checkpoint of a run belongs to that run: its configuration and its ``evaluations`` folder are the defaults.
    Of a configuration only how episodes are played and scored counts, not what was trained.

    Args:
        checkpoint: Folder, hub id or "tiny".
        config: A run.toml; None = the run's configuration.
        overrides: Settings that win over it.
        run: Run directory that keeps the result; None = the one the checkpoint lies in.
        name: Folder below ``evaluations``; None = the checkpoint's name.
        out: Folder of the result, in place of run and name.

    Raises:
        ConfigError: There is no configuration, or no place for the result.
    """
    home = run or _run_of(Path(checkpoint))
    if out is None and home is None:
        raise ConfigError(
            f"{checkpoint!r} belongs to no run, so its evaluation has no place: name a run with --run or a folder "
            "with --out"
        )
    place = out or RunLayout(home or Path()).evaluation(name or Path(checkpoint).name)
    resolved = _configuration(checkpoint, config, overrides, home)
    return Assignment(checkpoint=checkpoint, config=resolved.config, folder=place, step=step_of(Path(checkpoint)))


def run_evaluation(
    assignment: Assignment, *, on_attempt: Callable[[int, int], None] = lambda done, total: None
) -> Evaluation:
    """Play the suite with the checkpoint, score it, and write the result with its episodes.

    ``on_attempt`` is told after each attempt how many of how many are done.
    """
    evaluation = asyncio.run(_evaluate(assignment, on_attempt))
    write_evaluation(assignment.folder, evaluation)
    return evaluation


async def _evaluate(assignment: Assignment, on_attempt: Callable[[int, int], None]) -> Evaluation:
    config = assignment.config
    suite = Suite.from_config(config)
    player = build_player(config, model=assignment.checkpoint)
    try:
        tasks = load_tasks(player.prototype, suite.split)
        total = len(select_tasks(suite, tasks)) * (suite.attempts + suite.greedy)
        done = 0

        def count(attempt: Attempt) -> None:
            nonlocal done
            done += 1
            on_attempt(done, total)

        async def collect(request: AttemptRequest) -> Sequence[Episode]:
            attempts = await play_attempts(
                player,
                request.tasks,
                config,
                attempts=request.attempts,
                temperature=request.temperature,
                seed=request.seed,
                on_attempt=count,
            )
            return [attempt.episode for attempt in attempts]

        return await evaluate(
            Path(assignment.checkpoint), suite, split_tasks=tasks, collect=collect, step=assignment.step
        )
    finally:
        await player.engine.close()


def _configuration(checkpoint: str, config: Path | None, overrides: Sequence[str], home: Path | None) -> ResolvedConfig:
    if config is not None:
        return resolve(config, overrides)
    if home is not None:
        given = RunReader(home).config().config
        return resolve_values(given.model_dump(), source=home.name, overrides=overrides)
    if not overrides:
        raise ConfigError(
            f"nothing says what to evaluate {checkpoint!r} on: name a run.toml with --config, or a run with --run"
        )
    return resolve(None, overrides)


def _run_of(checkpoint: Path) -> Path | None:
    """Return the run directory whose ``checkpoints`` folder holds the checkpoint."""
    root = checkpoint.parent.parent
    return root if RunLayout(root).checkpoints == checkpoint.parent and RunLayout(root).manifest.is_file() else None
