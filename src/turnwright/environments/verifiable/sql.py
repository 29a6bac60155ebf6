"""SqlQuestions: the policy writes SQL; it is right when it gives what the gold SQL gives, on databases of its own.

    run_sql(...)  on the episode's copy, to find out            <final_query>SELECT ...</final_query>
                                                                     |
    fresh copy of the database  --final query--> rows == rows <--gold query-- fresh copy
    hidden database, other rows --final query--> rows == rows <--gold query-- the same again

What the policy did to its own copy does not count, and an answer written out as constants fails on the hidden rows.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from turnwright.core.episode import Episode
from turnwright.core.errors import ToolError
from turnwright.core.seeding import derive_key
from turnwright.environments.answers import REASONING_END
from turnwright.environments.stateful import StatefulEnvironment
from turnwright.environments.tools import tool
from turnwright.environments.verifiable.queries import (
    Access,
    QueryDatabase,
    QueryFile,
    QueryLimits,
    Table,
    separate,
)

OPENING, CLOSING = "<final_query>", "</final_query>"
FENCE = re.compile(r"\A```(?:sql)?\s*\n(.*)\n```\Z", re.DOTALL | re.IGNORECASE)
MAX_QUERY_LENGTH = 20_000
GRADED_ROWS = 100_000
"""Rows of an answer that is graded; one with more is wrong."""

Compared = Literal["rows", "state"]


class SqlQuestions(StatefulEnvironment):
    """Base of environments that ask for SQL; write ``tasks``, whose data has "gold_query", and ``resources``.

    Example::

        class Sales(SqlQuestions):
            resources = {"db": QueryFile(SCHEMA, fill=fill)}
            hidden = QueryFile(SCHEMA, fill=fill_otherwise)

            def tasks(self, split: Split) -> list[Task]:
                return [Task(id="1", prompt="How many orders are open?",
                             data={"gold_query": "SELECT count(*) FROM orders WHERE open"}, split=split)]
    """

    waits = True
    instructions = (
        "Answer the question by one SQL query (SQLite). Call show_tables to see the tables, run_sql to try queries.\n"
        "When you are done, answer with the query itself: <final_query>SELECT ...</final_query>"
    )

    db: QueryDatabase
    """What the policy works on."""
    hidden: QueryFile | None = None
    """The same tables with other rows, in which the final query must be right as well."""
    access: Access = "read"
    """Whether run_sql may change the episode's copy."""
    compared: Compared = "rows"
    """What is graded: the rows a SELECT returns, or all tables after statements (several, parted by semicolons)."""
    limits: QueryLimits = QueryLimits()
    """What one statement may take."""

    @tool
    def show_tables(self) -> list[str]:
        """Return the statements that made the tables."""
        rows = self.db.rows("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
        return [row["sql"] for row in rows]

    @tool
    def run_sql(self, query: str) -> dict[str, Any]:
        """Run one SQL statement and return its columns and rows.

        Args:
            query: The statement, in SQLite's dialect.
        """
        return self.db.query(query, access=self.access, limits=self.limits).shown(self.limits.cell_characters)

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return 1 when the final query is right in every database; whether there is one that runs is for metrics.

        ``Task.data`` says by "ordered" whether the order of the rows counts.
        """
        query = final_query(episode)
        right = [self._is_right(query, resource, name) for name, resource in self._graded_in()] if query else []
        return {
            "total": float(bool(right) and all(one is True for one in right)),
            "emitted": float(query is not None),
            "runs": float(bool(right) and None not in right),
        }

    def _graded_in(self) -> list[tuple[str, QueryFile]]:
        shown = self.resources["db"]
        if not isinstance(shown, QueryFile):
            raise TypeError(f"resource 'db' of {type(self).__name__} must be a QueryFile, got {type(shown).__name__}")
        return [("db", shown)] + ([("hidden", self.hidden)] if self.hidden is not None else [])

    def _is_right(self, query: str, resource: QueryFile, name: str) -> bool | None:
        """Compare a query with the gold one, each on a fresh database; None when it does not run."""
        seed = derive_key(self.seed, "resource", name)
        with resource.opened(self.task, seed) as ours, resource.opened(self.task, seed) as theirs:
            try:
                expected = self._result(ours, self.task.data["gold_query"])
            except ToolError as error:
                raise ValueError(f"the gold query of task {self.task.id!r} does not run: {error}") from error
            try:
                given = self._result(theirs, query)
            except ToolError:
                return None
        if isinstance(expected, Table) and isinstance(given, Table):
            return given.same_rows(expected, ordered=bool(self.task.data.get("ordered", False)))
        return given == expected

    def _result(self, database: QueryDatabase, query: str) -> Table | Mapping[str, list[tuple[Any, ...]]]:
        limits = replace(self.limits, rows=GRADED_ROWS)
        if self.compared == "state":
            return database.state_after(separate(query), limits=limits)
        return database.query(query, access="read", limits=limits)


def final_query(episode: Episode) -> str | None:
    """Return what the last reply's one <final_query> block holds, outside its reasoning; a code fence in it is cut.

    None when the reply calls tools, or has no block or more than one, or one of more than 20,000 characters.
    """
    if not episode.turns or episode.turns[-1].reply.tool_calls:
        return None
    visible = REASONING_END.split(episode.answer)[-1]
    if visible.count(OPENING) != 1 or visible.count(CLOSING) != 1:
        return None
    query = visible.partition(OPENING)[2].partition(CLOSING)[0].strip()
    fenced = FENCE.match(query)
    query = fenced[1].strip() if fenced else query
    return query if 0 < len(query) <= MAX_QUERY_LENGTH else None
