"""QueryFile: a SQLite database on which a policy may write the SQL itself.

    statement of a policy --one statement--> authorizer --> at most so many operations --> rows, cut to a number

A statement that is refused, wrong or too expensive is a ``ToolError`` in words for the policy. What it may cost is
counted in operations of SQLite's virtual machine and not in seconds, so that an answer does not depend on the machine.
"""

import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from turnwright.core.errors import ToolError
from turnwright.core.task import Task
from turnwright.environments.resources.database import FIXED_NOW
from turnwright.environments.resources.sqlite import SqliteDatabase, SqliteFile

Access = Literal["read", "change"]
"""read: nothing but SELECT; change: tables and their rows too."""

READS = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
CHANGES = READS | {
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_CREATE_TABLE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_CREATE_TRIGGER,
    sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_DROP_VIEW,
    sqlite3.SQLITE_DROP_TRIGGER,
    sqlite3.SQLITE_ALTER_TABLE,
    sqlite3.SQLITE_REINDEX,
}
REFUSED_FUNCTIONS = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "randomblob"})
"""Files, code, and memory that is taken before any limit is asked."""
REFUSED = {
    sqlite3.SQLITE_ATTACH: "ATTACH and VACUUM",
    sqlite3.SQLITE_DETACH: "DETACH",
    sqlite3.SQLITE_PRAGMA: "this PRAGMA; table_info and SELECT sql FROM sqlite_schema tell of tables",
    sqlite3.SQLITE_TRANSACTION: "a transaction; each statement is committed at once",
    sqlite3.SQLITE_SAVEPOINT: "a savepoint; each statement is committed at once",
}
SCHEMA_PRAGMAS = frozenset({"table_info", "table_xinfo", "index_list", "index_info", "foreign_key_list"})
"""They tell of a table, and change nothing."""
DECLARED = (sqlite3.SQLITE_UPDATE, "sqlite_master")
"""Asked when a table-valued function such as json_each is used; as a statement, SQLite itself refuses it."""
WIDTHS = re.compile(r"[*]|[0-9]+")
MAX_WIDTH = 1000
OPERATIONS_BETWEEN_CHECKS = 1000
SIGNIFICANT_DIGITS = 9
"""Of real numbers that are compared: sums in another order differ in the last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """What one statement may take."""

    operations: int = 10_000_000
    """Of SQLite's virtual machine; about a second."""
    seconds: float = 10.0
    """For what takes long in few operations, as sorting large values does."""
    rows: int = 50
    """Shown; a notice says that there are more."""
    cell_characters: int = 500
    """Shown of a text; three dots say that there is more."""
    value_bytes: int = 50_000
    """Of any text or blob, also on the way."""
    answer_bytes: int = 4_000_000
    """Of all texts and blobs returned; beyond, there are "more rows"."""
    database_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a statement returned.

    Example: ``SELECT 1 AS a, NULL`` gives ``Table(columns=("a", "NULL"), rows=((1, None),))``.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    complete: bool = True
    """Whether there are no more rows."""
    changed: int = 0
    """Rows inserted, updated or deleted."""

    def shown(self, cell_characters: int) -> dict[str, Any]:
        """Return what a tool tells of it, as JSON."""
        if not self.columns:
            return {"changed_rows": self.changed}
        told = [[_shown(value, cell_characters) for value in row] for row in self.rows]
        notice = {} if self.complete else {"notice": f"only the first {len(self.rows)} rows are shown"}
        return {"columns": list(self.columns), "rows": told, **notice}

    def same_rows(self, other: "Table", *, ordered: bool) -> bool:
        """Return whether two tables hold the same rows, each as often, in the same order if that is asked.

        Names of columns do not count, their order does. 1 is 1.0, and reals agree to ``SIGNIFICANT_DIGITS``.
        """
        one, two = ([tuple(map(_comparable, row)) for row in table.rows] for table in (self, other))
        if len(self.columns) != len(other.columns) or not (self.complete and other.complete):
            return False
        return one == two if ordered else Counter(one) == Counter(two)


class QueryDatabase(SqliteDatabase):
    """A database file that also runs statements nobody vouches for."""

    def __init__(self, path: Path | str, *, seed: int, now: str = FIXED_NOW) -> None:
        """Open a file as SqliteDatabase does; ``printf`` and ``format`` refuse wide fields."""
        super().__init__(path, seed=seed, now=now)
        for name in ("printf", "format"):
            self._connection.create_function(name, -1, self._printf, deterministic=True)

    def query(self, sql: str, *, access: Access, limits: QueryLimits) -> Table:
        """Run one statement of a policy.

        Raises ToolError when it is refused, does not run, or takes more than it may.
        """
        with self._lock:
            self._refuse_if_closed(sql)
            with self._guarded(access, limits) as guard:
                try:
                    return self._fetch(sql, limits)
                except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
                    self._refuse_if_closed(sql)
                    told = f"printf takes widths up to {MAX_WIDTH}" if "user-defined" in str(error) else str(error)
                    raise ToolError(guard.in_words or told) from error

    def state_after(self, statements: Sequence[str], *, limits: QueryLimits) -> Mapping[str, list[tuple[Any, ...]]]:
        """Run statements of a policy that may change rows, and return the rows of every table, to be compared.

        Raises ToolError as ``query`` does.
        """
        for sql in statements:
            self.query(sql, access="change", limits=limits)
        return {table: [tuple(map(_comparable, row.values())) for row in rows] for table, rows in self.state().items()}

    def _fetch(self, sql: str, limits: QueryLimits) -> Table:
        rows: list[tuple[Any, ...]] = []
        bytes_left, complete = limits.answer_bytes, True
        with closing(self._connection.execute(sql)) as cursor:
            for row in cursor:
                complete = len(rows) < limits.rows and bytes_left > 0
                if not complete:
                    break
                rows.append(row)
                bytes_left -= sum(len(value) for value in row if isinstance(value, str | bytes))
            columns = tuple(column[0] for column in cursor.description or ())
            return Table(columns=columns, rows=tuple(rows), complete=complete, changed=max(cursor.rowcount, 0))

    def _printf(self, form: Any = None, *arguments: Any) -> Any:
        # SQLite walks through all of a width of two thousand million, in one operation.
        if any(width == "*" or int(width) > MAX_WIDTH for width in WIDTHS.findall(str(form))):
            raise ValueError(form)
        places = ", ".join("?" * (1 + len(arguments)))
        return self._clock.execute(f"SELECT printf({places})", [form, *arguments]).fetchone()[0]

    @contextmanager
    def _guarded(self, access: Access, limits: QueryLimits) -> Iterator["_Guard"]:
        connection, guard = self._connection, _Guard(access, limits)
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {limits.database_bytes // page_bytes}")
        before = {
            category: connection.setlimit(category, most)
            for category, most in (
                (sqlite3.SQLITE_LIMIT_LENGTH, limits.value_bytes),
                (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
            )
        }
        connection.set_authorizer(guard.authorize)
        connection.set_progress_handler(guard.is_spent, OPERATIONS_BETWEEN_CHECKS)
        try:
            yield guard
        finally:
            connection.set_progress_handler(None, 0)
            connection.set_authorizer(None)
            for category, most in before.items():
                connection.setlimit(category, most)


class QueryFile(SqliteFile):
    """A SQLite database per episode on which a policy may write the SQL; see SqliteFile."""

    database = QueryDatabase

    def opened(self, task: Task, seed: int) -> AbstractContextManager[QueryDatabase]:
        """Hold a copy of the template, filled for the episode, until it ends."""
        return cast("AbstractContextManager[QueryDatabase]", super().opened(task, seed))


class _Guard:
    """Decides about one statement, and remembers in words what it refused."""

    def __init__(self, access: Access, limits: QueryLimits) -> None:
        self.in_words = ""
        self._access: Access = access
        self._limits = limits
        self._checks_left = limits.operations // OPERATIONS_BETWEEN_CHECKS
        self._deadline = time.monotonic() + limits.seconds

    def authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION and second in REFUSED_FUNCTIONS:
            self.in_words = f"not allowed: {second}()"
        elif action == sqlite3.SQLITE_PRAGMA and first in SCHEMA_PRAGMAS:
            return sqlite3.SQLITE_OK
        elif action in REFUSED:
            self.in_words = f"not allowed: {REFUSED[action]}"
        elif action not in CHANGES:
            self.in_words = "not allowed: this kind of statement"
        elif self._access == "read" and action not in READS and (action, first) != DECLARED:
            self.in_words = "not allowed: only SELECT; the database is for reading"
        else:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def is_spent(self) -> bool:
        self._checks_left -= 1
        if self._checks_left > 0 and time.monotonic() < self._deadline:
            return False
        self.in_words = "the statement takes too long: ask for less, or join on a condition"
        return True


def separate(script: str) -> list[str]:
    """Return the statements of a script, as the semicolons that are not in a text or comment part them."""
    statements, begun = [], ""
    for piece in script.split(";"):
        begun += piece + ";"
        if sqlite3.complete_statement(begun):
            statements.append(begun.strip())
            begun = ""
    statements.append(begun.strip())
    return [statement for statement in statements if statement.strip("; \t\r\n")]


def _shown(value: Any, cell_characters: int) -> Any:
    text = value.hex() if isinstance(value, bytes) else value
    if isinstance(text, float) and text in (float("inf"), float("-inf")):
        return str(text)
    return f"{text[:cell_characters]}..." if isinstance(text, str) and len(text) > cell_characters else text


def _comparable(value: Any) -> Any:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
