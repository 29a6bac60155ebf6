"""SopEnvironment: any SOP-Bench domain folder as an environment.

The agent reads a procedure, looks records up through tools and answers with one JSON object::

    <final_output>{"enforcement_action": "No Action"}</final_output>

Tools are *recorded*: they answer from the folder's own table, as its ``lookups`` say, and nothing is executed. For the
public domains the lookups are facts kept in ``sop_domains.py``. Public rows are for evaluation only.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError, EnvironmentLoadError, ToolError
from turnwright.core.finding import Finding
from turnwright.core.message import Message
from turnwright.core.task import Split, Task
from turnwright.environments.base import Environment, TurnRewards
from turnwright.environments.sop_domains import DOMAINS
from turnwright.environments.sop_folder import Cell, Lookup, Row, SopFolder, read_sop_folder
from turnwright.environments.tools import Tool

ANSWER = re.compile(r"<final_output>(.*?)</final_output>", re.DOTALL)
FORMAT_COEFFICIENT = 0.1

INSTRUCTIONS = """\
Follow this standard operating procedure. Look facts up with the tools; never guess them.

<sop>
{procedure}
</sop>

When you are done, answer with exactly one line of this form, one JSON object with exactly these keys:
<final_output>{answer}</final_output>
This form replaces any other output format or tag that the procedure asks for."""


class SopEnvironment(Environment):
    """The tasks, recorded tools and reward of one domain folder."""

    def __init__(self, folder: str | Path | SopFolder) -> None:
        """Load ``folder``; raises EnvironmentLoadError when a tool has nothing to answer from."""
        self.folder = folder if isinstance(folder, SopFolder) else read_sop_folder(Path(folder))
        domain = DOMAINS.get(self.folder.name)
        lookups = self.folder.lookups or (domain.lookups if domain else ())
        self._lookups = {lookup.tool: lookup for lookup in lookups}
        self._solve = domain.solve if domain and not self.folder.lookups else None
        self.typical_turns = domain.typical_turns if domain else len(self.folder.tools) + 1
        answer = json.dumps(dict.fromkeys(self.folder.output_columns, "..."))
        self.instructions = INSTRUCTIONS.format(procedure=self.folder.procedure, answer=answer)
        missing = [spec.name for spec in self.folder.tools if spec.name not in self._lookups]
        if missing:
            raise EnvironmentLoadError(
                f"SOP folder {self.folder.name!r}: nothing says what {', '.join(missing)} answers: "
                f"describe it under 'lookups' in metadata.json"
            )
        self._tools = {
            spec.name: Tool(spec=spec, function=_recorded(spec.name), strict=False) for spec in self.folder.tools
        }
        self._index = {
            (split, name): _first_rows(lookup, rows)
            for split, rows in self.folder.rows.items()
            for name, lookup in self._lookups.items()
        }

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is doubtful about the folder itself."""
        return self.folder.findings

    def tasks(self, split: Split) -> list[Task]:
        """Return one task per row of the split that has a task id.

        Raises DatasetError for a split the folder does not have: public domains may only be evaluated.
        """
        if split not in self.folder.rows:
            raise DatasetError(
                f"SOP folder {self.folder.name!r} has no {split!r} tasks, only: {', '.join(self.folder.rows)}. "
                f"SOP-Bench rows are all test rows under CC BY-NC 4.0 and are not trained on: train on your own folder "
                f"with a train.csv (see returns_desk) and evaluate on this one"
            )
        column = self.folder.task_column
        rows = enumerate(self.folder.rows[split])
        return [self._task(split, index, row) for index, row in rows if column is None or row[column]]

    def open(self, task: Task, seed: int) -> None:
        """Begin an episode; a transient error, if the task has one, is still to come."""
        super().open(task, seed)
        self._row = self.folder.rows[task.split][task.data["row"]]
        transient = self.folder.transient
        self._busy_tool = self._row[transient.column] if transient else ""

    def tools(self) -> Mapping[str, Tool]:
        """Return the folder's tools."""
        return self._tools

    def look_up(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a call of the tool ``name`` from the table.

        Raises ToolError when the tool is busy for once, or when no record has these arguments.
        """
        if name == self._busy_tool and self.folder.transient is not None:
            self._busy_tool = ""
            raise ToolError(self.folder.transient.message)
        lookup = self._lookups[name]
        row = self._row
        missing = [argument for argument in lookup.match if argument not in arguments]
        if missing:
            raise ToolError(f"Missing required argument: {', '.join(missing)}")
        if lookup.match:
            wanted = tuple(_key(cell, arguments[argument]) for argument, cell in lookup.match.items())
            scope = self._row[lookup.scope] if lookup.scope else ""
            found = self._index[self.task.split, name].get((scope, *wanted))
            if found is None and lookup.otherwise is not None:
                return dict(lookup.otherwise)
            if found is None:
                raise ToolError("no " + ", ".join(f"{argument} {arguments[argument]}" for argument in lookup.match))
            row = found
        return {key: cell.read(row) for key, cell in lookup.returns.items()} | dict(lookup.constants)

    def reward(self, episode: Episode) -> float | dict[str, float] | TurnRewards:
        """Return the share of right output fields, less 0.1 when the last reply holds no readable answer block."""
        given = read_answer(episode.answer)
        gold: Mapping[str, str] = episode.task.data["gold"]
        right = [given is not None and _plain(given.get(name)) == _plain(value) for name, value in gold.items()]
        fields, emitted = sum(right) / len(right), float(given is not None)
        return {"total": fields + FORMAT_COEFFICIENT * (emitted - 1.0), "fields": fields, "emitted": emitted}

    def oracle(self, task: Task) -> Iterable[Message]:
        """Return the domain's rules as a script, where they are known."""
        if self._solve is None:
            return super().oracle(task)
        return self._solve(task)

    def _task(self, split: Split, index: int, row: Row) -> Task:
        column = self.folder.task_column
        scopes = [row[lookup.scope] for lookup in self._lookups.values() if lookup.scope]
        return Task(
            id=row[column] if column else f"{self.folder.name}-{index}",
            prompt="\n".join(f"{name}: {row[name]}" for name in self.folder.input_columns),
            data={"gold": {name: row[name] for name in self.folder.output_columns}, "row": index},
            split=split,
            cluster=scopes[0] if scopes else None,
        )


def read_answer(text: str) -> dict[str, Any] | None:
    """Return the JSON object of the one answer block in ``text``; None without exactly one readable block."""
    blocks = ANSWER.findall(text)
    if len(blocks) != 1:
        return None
    try:
        answer = json.loads(blocks[0])
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else None


def _recorded(name: str) -> Callable[..., Any]:
    return partial(_answer_from_table, name)


def _answer_from_table(name: str, environment: SopEnvironment, /, **arguments: Any) -> dict[str, Any]:
    return environment.look_up(name, arguments)


def _first_rows(lookup: Lookup, rows: Iterable[Row]) -> dict[tuple[str, ...], Row]:
    """Return the first row for each scope and each combination of matched cells."""
    first: dict[tuple[str, ...], Row] = {}
    for row in rows:
        wanted = tuple(_key(cell, cell.read(row)) for cell in lookup.match.values())
        first.setdefault((row[lookup.scope] if lookup.scope else "", *wanted), row)
    return first


def _key(cell: Cell, value: Any) -> str:
    """Return ``value`` in a form that is equal exactly when the values are; JSON keeps true and 1 apart."""
    if cell.type == "number" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    return json.dumps(value, sort_keys=True)


def _plain(value: Any) -> str:
    return str(value).strip().casefold().replace("_", " ").replace("-", " ")
