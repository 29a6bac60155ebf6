"""Assignment: what an evaluation is told - checkpoint, configuration, and the place of the result. Loads no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from turnwright.config import ResolvedConfig, RunConfig, resolve, resolve_values
from turnwright.core.errors import ConfigError
from turnwright.models.paths import follow
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
    checkpoint = str(follow(Path(checkpoint)))
    home = run or _run_of(Path(checkpoint))
    if out is None and home is None:
        raise ConfigError(
            f"{checkpoint!r} belongs to no run, so its evaluation has no place: name a run with --run or a folder "
            "with --out"
        )
    place = out or RunLayout(home or Path()).evaluation(name or Path(checkpoint).name)
    resolved = _configuration(checkpoint, config, overrides, home)
    return Assignment(checkpoint=checkpoint, config=resolved.config, folder=place, step=step_of(Path(checkpoint)))


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
