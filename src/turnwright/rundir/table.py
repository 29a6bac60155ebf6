"""Trajectories as Parquet, one row per model call; ``polars.read_parquet`` gives the columns named below."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import RunDirectoryError
from turnwright.core.trajectory import SampledTurn, Trajectory
from turnwright.rundir.files import publish, sync
from turnwright.rundir.space import recording


def write_table(trajectories: Iterable[Trajectory], path: Path) -> None:
    """Write the file atomically. An attempt without a model call has no row; its episode tells why."""
    import polars

    integers = polars.List(polars.Int64)
    floats = polars.List(polars.Float64)
    schema = {
        "task_id": polars.String,
        "attempt": polars.Int64,
        "index": polars.Int64,
        "parent": polars.Int64,
        "kind": polars.String,
        "cause": polars.String,
        "prompt_token_ids": integers,
        "sampled_token_ids": integers,
        "logprobs": floats,
        "policy_versions": integers,
        "temperature": polars.Float64,
        "top_p": polars.Float64,
        "kept_logmass": floats,
        "prefix_hash": polars.String,
        "abandoned": polars.Boolean,
    }
    columns: dict[str, list[Any]] = {name: [] for name in schema}
    for trajectory in trajectories:
        for turn in trajectory.turns:
            columns["task_id"].append(trajectory.key.task_id)
            columns["attempt"].append(trajectory.key.attempt)
            for field in fields(SampledTurn):
                columns[field.name].append(getattr(turn, field.name))
    temporary = path.with_name(f".{path.name}.tmp")
    with recording(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            polars.DataFrame(columns, schema=schema).write_parquet(temporary, compression="zstd", statistics=False)
            sync(temporary)
            publish(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def read_table(path: Path) -> Iterator[Trajectory]:
    """Yield the trajectories in the order they were written; raises RunDirectoryError when the file is damaged."""
    import polars

    try:
        table = polars.read_parquet(path)
    except polars.exceptions.PolarsError as error:
        raise RunDirectoryError(f"'{path}' cannot be read: {error}; restore the file") from error
    turns: list[SampledTurn] = []
    key: EpisodeKey | None = None
    for row in table.iter_rows(named=True):
        row_key = EpisodeKey(task_id=row.pop("task_id"), attempt=row.pop("attempt"))
        if key is not None and row_key != key:
            yield Trajectory(key=key, turns=tuple(turns))
            turns = []
        key = row_key
        turns.append(SampledTurn(**{name: _as_field(value) for name, value in row.items()}))
    if key is not None:
        yield Trajectory(key=key, turns=tuple(turns))


def _as_field(value: Any) -> Any:
    return tuple(cast(list[Any], value)) if isinstance(value, list) else value
