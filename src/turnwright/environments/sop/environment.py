"""SopEnvironment: any SOP-Bench domain folder as an environment.

The agent reads a procedure, looks records up through tools and answers with one JSON object::

    <final_output>{"enforcement_action": "No Action"}</final_output>

Tools are *recorded* - they answer from the folder's own table, as its ``lookups`` say, and nothing is executed; for the
public domains the lookups are facts kept in ``domains.py`` - or the folder's own tools.py, run in a sandbox.
``mode = "official"`` shows and grades what the original does, defects included; ``original.py`` says what that is.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError, DatasetError, ToolError
from turnwright.core.finding import Finding
from turnwright.core.message import Message
from turnwright.core.task import Split, Task
from turnwright.environments.answers import FORMAT_COEFFICIENT, final_answer, right_share
from turnwright.environments.base import Environment, ToolCrash, TurnRewards
from turnwright.environments.scripts import Script
from turnwright.environments.sop import original
from turnwright.environments.sop.domains import DOMAINS, Domain
from turnwright.environments.sop.findings import beyond_rules, find_ceiling, find_defects
from turnwright.environments.sop.folder import Row, SopFolder, read_sop_folder
from turnwright.environments.sop.licence import SplitRows, read_split_rows, refuse_training
from turnwright.environments.sop.lookups import Lookup, RecordedTable
from turnwright.environments.sop.parity import check_parity
from turnwright.environments.sop.probe import probe_tools
from turnwright.environments.sop.rules import play_rules
from turnwright.environments.sop.sandbox import SandboxedTools, ToolsProcess
from turnwright.environments.tools import Tool

Mode = Literal["repaired", "official"]
ToolSource = Literal["recorded", "sandbox"]

INSTRUCTIONS = """\
Follow this standard operating procedure. Look facts up with the tools; never guess them.

<sop>
{procedure}
</sop>

When you are done, answer with exactly one line of this form, one JSON object with exactly these keys:
<final_output>{answer}</final_output>
This form replaces any other output format or tag that the procedure asks for."""
PLACEHOLDERS: Mapping[str, Any] = {"boolean": False, "integer": 0, "number": 0.0}


class SopEnvironment(Environment):
    """The tasks, tools and reward of one domain folder."""

    def __init__(
        self,
        folder: str | Path | SopFolder,
        *,
        mode: Mode = "repaired",
        tools: ToolSource | None = None,
        sandbox: str = "auto",
        unsafe_local: bool = False,
        split_lock: str | None = None,
        acknowledge_licence: bool = False,
    ) -> None:
        """Load ``folder``.

        Args:
            folder: Where the domain's files are.
            mode: "repaired" shows no label and asks for ``<final_output>``; "official" is the original, defects
                included.
            tools: "recorded" or "sandbox"; unset = recorded where what they answer is known, otherwise sandbox where
                there is a tools.py.
            sandbox: Which sandbox runs tools.py.
            unsafe_local: Run tools.py without one where none works.
            split_lock: Lock file that ``turnwright data split sop:FOLDER`` wrote; it divides the test rows.
            acknowledge_licence: Train on benchmark rows in knowledge of their licence; needs ``split_lock``.
        """
        for option, value, choices in (("mode", mode, get_args(Mode)), ("tools", tools, (None, *get_args(ToolSource)))):
            if value not in choices:
                named = ", ".join(repr(choice) for choice in choices if choice)
                raise ConfigError(f"sop: {option} = {value!r}: expected {named}")
        self.folder = folder if isinstance(folder, SopFolder) else read_sop_folder(Path(folder))
        self.mode = mode
        domain = _known_domain(self.folder)
        lookups = self.folder.lookups or (domain.lookups if domain else ())
        self._tables = _tables(lookups, self.folder.rows)
        self._solve = domain.solve if domain else None
        self._sandboxed = self._contain(tools, sandbox, unsafe_local=unsafe_local)
        self.waits = self._sandboxed is not None
        self.typical_turns = domain.typical_turns if domain else len(self.folder.tools) + 1
        self.max_turns = original.MAX_ITERATIONS if mode == "official" else None
        self._labels = self.folder.label_cells()
        if mode == "repaired":
            answer = json.dumps({name: PLACEHOLDERS.get(cell.type, "...") for name, cell in self._labels.items()})
            self.instructions = INSTRUCTIONS.format(procedure=self.folder.procedure, answer=answer)
        self._tools = {
            spec.name: Tool(spec=spec, function=_tool(spec.name), strict=False) for spec in self.folder.tools
        }
        self._split = read_split_rows(self.folder, Path(split_lock)) if split_lock else None
        self.acknowledges_licence = acknowledge_licence
        self._made: dict[Split, list[Task]] = {}
        self._process: ToolsProcess | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is doubtful about the folder: its files, tools and rows, and whether recorded tools equal real ones."""
        parity = check_parity(self) if self.lookups and self.folder.tools_file else ()
        return (*self.folder.findings, *find_defects(self), *find_ceiling(self), *parity, *probe_tools(self))

    @property
    def lookups(self) -> Mapping[str, Lookup]:
        """What the recorded tools answer, by tool."""
        return {name: table.lookup for (split, name), table in self._tables.items() if split == "test"}

    @property
    def tool_source(self) -> ToolSource:
        """Where answers come from."""
        return "sandbox" if self._sandboxed else "recorded"

    @property
    def sandboxed(self) -> SandboxedTools | None:
        """The tools in their sandbox, where they are what answers."""
        return self._sandboxed

    @property
    def split_rows(self) -> SplitRows | None:
        """How the test rows are divided, where a lock file says so."""
        return self._split

    def tasks(self, split: Split) -> list[Task]:
        """Return one task per row of the split that has a task id.

        Raises DatasetError for a split the folder does not have, and for benchmark rows that may not be trained on.
        """
        if split not in self._made:
            self._made[split] = self._make(split)
        return list(self._made[split])

    def open(self, task: Task, seed: int) -> None:
        """Begin an episode; a transient error, if the task has one, is still to come."""
        super().open(task, seed)
        self._table: Split = self._table_of(task.split)
        self._row = self.folder.rows[self._table][task.data["row"]]
        transient = self.folder.transient
        self._busy_tool = self._row[transient.column] if transient else ""
        self._process = None

    def close(self) -> None:
        """End the tools of the episode, where they run."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def tools(self) -> Mapping[str, Tool]:
        """Return the folder's tools."""
        return self._tools

    def look_up(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Answer a call of the tool ``name``.

        Raises ToolError when the tool refuses it or is busy for once, ToolCrash when nothing can answer it.
        """
        if name == self._busy_tool and self.folder.transient is not None:
            self._busy_tool = ""
            raise ToolError(self.folder.transient.message)
        if self._sandboxed is not None:
            self._process = self._process or self._sandboxed.start()
            return self._process.call(name, arguments)
        return self.recorded_answer(name, arguments, self._row, self._table)

    def recorded_answer(self, name: str, arguments: Mapping[str, Any], row: Row, split: Split = "test") -> Any:
        """Answer a call from the table; raises as ``look_up``."""
        table = self._tables.get((split, name))
        if table is None:
            raise ToolCrash(
                f"nothing says what tool {name!r} of SOP folder {self.folder.name!r} answers: describe it under "
                "'lookups' in metadata.json, or point at a full checkout, whose tools.py runs in a sandbox"
            )
        return table.answer(arguments, row)

    def reward(self, episode: Episode) -> float | dict[str, float] | TurnRewards:
        """Return the share of right output fields, less 0.1 when the last reply holds no readable answer block.

        In mode "official" it is the original grader's verdict, 0 or 1.
        """
        gold = episode.task.data["gold"]
        if self.mode == "official":
            return float(original.is_right(episode, gold))
        answer = final_answer(episode)
        fields, emitted = right_share(answer, gold), float(answer is not None)
        return {"total": fields + FORMAT_COEFFICIENT * (emitted - 1.0), "fields": fields, "emitted": emitted}

    def oracle(self, task: Task) -> Iterable[Message]:
        """Return the domain's rules as a script, where they are known."""
        if self._solve is None:
            return super().oracle(task)
        return self._solve(task)

    @property
    def has_rules(self) -> bool:
        """Whether the domain's rules are known as a script."""
        return self._solve is not None

    def rules(self, task: Task) -> Script:
        """Return the domain's rules as a script; raises NotImplementedError where they are not known."""
        if self._solve is None:
            raise NotImplementedError(f"no rules of SOP folder {self.folder.name!r} are known")
        return self._solve(task)

    @property
    def unreachable_tasks(self) -> frozenset[str]:
        """Ids of test tasks whose label the known rules do not give, which the finding ``oracle.ceiling`` counts."""
        return frozenset(beyond_rules(self))

    @property
    def shadowed(self) -> Mapping[str, tuple[Row, ...]]:
        """Rows of the test table that no call of a tool reaches, by tool."""
        tables = {name: table for (split, name), table in self._tables.items() if split == "test"}
        return {name: table.shadowed for name, table in tables.items() if table.shadowed}

    def _contain(self, tools: ToolSource | None, sandbox: str, *, unsafe_local: bool) -> SandboxedTools | None:
        if tools == "recorded" or (tools is None and (self._tables or self.folder.tools_file is None)):
            return None
        return SandboxedTools(self.folder, sandbox=sandbox, unsafe_local=unsafe_local)

    def _table_of(self, split: Split) -> Split:
        return "test" if self._split is not None else split

    def _make(self, split: Split) -> list[Task]:
        if self._split is None and split not in self.folder.rows:
            raise refuse_training(self.folder, split, acknowledged=self.acknowledges_licence)
        if self._split is not None and split != "test" and not self.acknowledges_licence:
            raise refuse_training(self.folder, split, acknowledged=False)
        table = self._table_of(split)
        shown, printed = self.folder.input_columns, None
        if self.mode == "official":
            shown = self.folder.official_columns or shown
            printed = original.printed_columns(self.folder.rows[table], shown)
        made: list[Task] = []
        for index, row in self.folder.task_rows(table):
            if self._split is not None and self._split.split_of(row) != split:
                continue
            cells = {name: printed[name][index] if printed else row[name] for name in shown}
            made.append(self._task(split, index, row, "\n".join(f"{name}: {cell}" for name, cell in cells.items())))
        return made

    def _task(self, split: Split, index: int, row: Row, shown: str) -> Task:
        column = self.folder.task_column
        scopes = [row[lookup.scope] for lookup in self.lookups.values() if lookup.scope]
        official = original.PROMPT.format(procedure=self.folder.procedure, task=shown)
        data = {"gold": {name: cell.read(row) for name, cell in self._labels.items()}, "row": index}
        task = Task(
            id=row[column] if column else f"{self.folder.name}-{index}",
            prompt=official if self.mode == "official" else shown,
            data=data,
            split=split,
            cluster=scopes[0] if scopes else None,
        )
        needed = self._needed(task, row)
        return task if needed is None else replace(task, data={**data, "needed": needed})

    def _needed(self, task: Task, row: Row) -> list[dict[str, Any]] | None:
        """Return the calls a solution makes, where the rules are known."""
        if self._solve is None:
            return None
        table = self._table_of(task.split)
        played = play_rules(self._solve(task), lambda name, given: self.recorded_answer(name, given, row, table))
        return None if played is None else played.needed(self.lookups)


def _known_domain(folder: SopFolder) -> Domain | None:
    """Return the facts about a public domain, if the folder brings no lookups and its table has their columns."""
    domain = DOMAINS.get(folder.name)
    if domain is None or folder.lookups:
        return None
    needed = frozenset[str]().union(*(lookup.columns for lookup in domain.lookups))
    offered = {spec.name for spec in folder.tools}
    fits = needed <= set(folder.columns) and {lookup.tool for lookup in domain.lookups} <= offered
    return domain if fits and _readable(domain.lookups, folder.rows) else None


def _readable(lookups: Iterable[Lookup], rows: Mapping[Split, tuple[Row, ...]]) -> bool:
    cells = [cell for lookup in lookups for cell in lookup.cells]
    try:
        for row in (row for some in rows.values() for row in some):
            for cell in cells:
                cell.read(row)
    except DatasetError:
        return False
    return True


def _tables(lookups: Iterable[Lookup], rows: Mapping[Split, tuple[Row, ...]]) -> dict[tuple[Split, str], RecordedTable]:
    return {(split, lookup.tool): RecordedTable(lookup, some) for lookup in lookups for split, some in rows.items()}


def _tool(name: str) -> Callable[..., Any]:
    return partial(_answer, name)


def _answer(name: str, environment: SopEnvironment, /, **arguments: Any) -> str:
    """Answer a call as JSON: the original shows a text in quotes as well."""
    return json.dumps(environment.look_up(name, arguments), ensure_ascii=False, allow_nan=False)
