"""Tasks from a file: parquet, jsonl, json (an array) or csv (with a header).

The column ``prompt``, or the first one besides ``id`` and ``cluster``, is the prompt, verbatim. ``id`` and ``cluster``
are what they say; all other columns become ``Task.data``, which no agent sees.

``scan`` returns the tasks and everything that is wrong with the file; ``load_tasks`` refuses a file with an error.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from turnwright.core.errors import DatasetError
from turnwright.core.finding import Finding
from turnwright.core.task import Split, Task
from turnwright.datasets.json_rows import read_array, read_jsonl
from turnwright.datasets.rows import MAX_ROW_BYTES, Row, broken, explain, quote, too_large
from turnwright.datasets.table_rows import read_csv, read_parquet

READERS: Mapping[str, Callable[[Path], Iterator[Row | Finding]]] = {
    ".parquet": read_parquet,
    ".jsonl": read_jsonl,
    ".json": read_array,
    ".csv": read_csv,
}
MAX_PROBLEMS = 50
"""Problems of one file after which reading stops."""
MAX_DEPTH = 64
"""Lists and objects inside each other, in one row."""
RESERVED = ("id", "cluster")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a file holds and what is wrong with it."""

    path: Path
    tasks: tuple[Task, ...]
    """The rows without an error, in the order of the file."""
    findings: tuple[Finding, ...]
    """Errors in the order of the file, at most ``MAX_PROBLEMS``; then warnings."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What makes the file unusable."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def load_tasks(path: Path, split: Split = "train") -> tuple[Task, ...]:
    """Return the tasks of a file, in its order.

    Raises DatasetError that lists everything wrong with the file: row, reason and cure.
    """
    return usable(scan(path, split)).tasks


def usable(scanned: Scan) -> Scan:
    """Return what was scanned if it has no error.

    Raises DatasetError that lists the errors: row, reason and cure.
    """
    if scanned.errors:
        raise DatasetError("\n".join(explain(error) for error in scanned.errors))
    return scanned


def scan(path: Path, split: Split = "train") -> Scan:
    """Read a file to its end, or to its ``MAX_PROBLEMS``th problem.

    Raises DatasetError when there is no such file or its name ends in none of the formats.
    """
    if not path.is_file():
        raise DatasetError(f"there is no file {path.resolve()}: check the path")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path} has the ending {path.suffix!r}: expected {', '.join(READERS)}")
    tasks, problems = list[Task](), list[Finding]()
    for found in _read(reader(path), path.stem, split):
        if isinstance(found, Task):
            tasks.append(found)
            continue
        problems.append(found)
        if len(problems) == MAX_PROBLEMS:
            cure = "mend these first; the rows after them were not read"
            problems.append(broken("file.many_problems", str(path), f"has {MAX_PROBLEMS} problems or more", cure))
            break
    if not tasks and not problems:
        problems.append(broken("file.empty", str(path), "has no rows", "write at least one row with a prompt"))
    return Scan(path=path, tasks=tuple(tasks), findings=(*problems, *_missing_columns(tasks, path)))


def _read(rows: Iterator[Row | Finding], stem: str, split: Split) -> Iterator[Task | Finding]:
    prompt_column: str | None = None
    seen: dict[str, str] = {}
    for row in rows:
        if isinstance(row, Finding):
            yield row
            continue
        prompt_column = prompt_column or _prompt_column(row.columns)
        task = _value_problem(row) or _task(row, prompt_column, f"{stem}-{row.number}", split)
        if isinstance(task, Task):
            first = seen.setdefault(task.id, row.where)
            if first != row.where:
                cure = f"give every row its own; {first} has it first"
                task = broken("row.repeated_id", row.where, f"has id = {quote(task.id)} again", cure)
        yield task


def _prompt_column(columns: Mapping[str, Any]) -> str:
    return "prompt" if "prompt" in columns else next((name for name in columns if name not in RESERVED), "prompt")


def _task(row: Row, prompt_column: str, default_id: str, split: Split) -> Task | Finding:
    columns = dict(row.columns)
    if "prompt" in columns and prompt_column != "prompt":
        cure = "the first row has not: name the prompt alike in all rows"
        return broken("row.no_prompt", row.where, "has a column 'prompt'", cure)
    if prompt_column not in columns:
        cure = f"every row needs it; this one has {', '.join(columns) or 'no columns'}"
        return broken("row.no_prompt", row.where, f"has no column {prompt_column!r}", cure)
    prompt, identity, cluster = columns.pop(prompt_column), columns.pop("id", None), columns.pop("cluster", None)
    if not isinstance(prompt, str) or not prompt.strip():
        evidence = f"has {prompt_column} = {quote(prompt)}"
        return broken("row.empty_prompt", row.where, evidence, "expected text that is not empty")
    identity = default_id if identity is None else identity
    if not isinstance(identity, str) or not identity:
        return broken("row.bad_id", row.where, f"has id = {quote(identity)}", "expected text that is not empty")
    if isinstance(cluster, bool) or not isinstance(cluster, str | int | None):
        return broken(
            "row.bad_cluster", row.where, f"has cluster = {quote(cluster)}", "expected text or a whole number"
        )
    # A blank cell of a table says that there is none.
    return Task(
        id=identity, prompt=prompt, data=columns, split=split, cluster=None if cluster is None else str(cluster) or None
    )


def _value_problem(row: Row) -> Finding | None:
    """Return what keeps the values of a row from being JSON in UTF-8 of a bounded size."""
    flaw = next(_flaws(row.columns, "", 0), None)
    if flaw:
        code, evidence, cure = flaw
        return broken(code, row.where, evidence, cure)
    try:
        encoded = json.dumps(row.columns, ensure_ascii=False).encode()
    except TypeError as error:
        return broken("row.not_json", row.where, f"holds what is not JSON: {error}", "write text, numbers or lists")
    except UnicodeEncodeError:
        return broken("row.not_utf8", row.where, "holds text that is not UTF-8", "save the file as UTF-8")
    return too_large(row.where) if len(encoded) > MAX_ROW_BYTES else None


def _flaws(value: object, place: str, depth: int) -> Iterator[tuple[str, str, str]]:
    """Yield code, evidence and cure of what JSON has no place for, or not for so much of it."""
    if isinstance(value, float) and not math.isfinite(value):
        cure = "write null, or leave the column out, where there is no number"
        yield "row.not_finite", f"has {place} = {value}, which is not JSON", cure
    elif depth > MAX_DEPTH:
        yield "row.too_deep", f"nests lists or objects more than {MAX_DEPTH} deep", "flatten its columns"
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, object]", value).items():
            yield from _flaws(inner, f"{place}.{key}" if place else key, depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[object]", value)):
            yield from _flaws(inner, f"{place}[{index}]", depth + 1)


def _missing_columns(tasks: list[Task], path: Path) -> Iterator[Finding]:
    """Yield a warning for each column that some rows have and others lack."""
    columns = dict.fromkeys(name for task in tasks for name in task.data)
    lacking = {name: [task.id for task in tasks if name not in task.data] for name in columns}
    if any(task.cluster for task in tasks):
        lacking["cluster"] = [task.id for task in tasks if task.cluster is None]
    for name, ids in lacking.items():
        if ids:
            yield Finding(
                code="column.missing",
                severity="warning",
                where=str(path),
                evidence=f"has no {name!r} in {len(ids)} of {len(tasks)} rows, first {ids[0]!r}",
                cure="fill it in, or make sure that whatever reads it copes",
            )
