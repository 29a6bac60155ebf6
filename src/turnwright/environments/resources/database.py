"""Database: what the tools of an episode see of its database, the same for SQLite and PostgreSQL.

A tool that took too long may still be inside a statement when its episode is closed. Statements therefore run one at a
time under a lock, and closing interrupts the one that runs; the tool's next statement is a ResourceClosedError.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString, cast

from turnwright.environments.resources.base import ResourceClosedError, Row, State, ordered

FIXED_NOW = "2024-01-01 00:00:00"
"""What the clock of a database says, in UTC, unless its resource is given another time."""

INTERRUPT_EVERY_SECONDS = 0.02


class Database(ABC):
    """Runs statements; each is committed at once, except within ``transaction``.

    Example::

        database.change("UPDATE tickets SET status = ? WHERE id = ?", ["closed", 7])    # PostgreSQL: %s for ?
        database.rows("SELECT id FROM tickets WHERE status = ?", ["open"])              # [{"id": 3}, {"id": 9}]
    """

    placeholder: LiteralString
    """How a parameter is written in a statement."""

    def __init__(self) -> None:
        """Begin open."""
        self._lock = threading.Lock()
        self._closed = False

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run a statement and return its rows; none for a statement that returns none."""
        return self._run(sql, parameters)[0]

    def change(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it inserted, updated or deleted."""
        return self._run(sql, parameters)[1]

    def insert(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert rows; their keys are the columns."""
        for row in rows:
            columns = ", ".join(quote(column) for column in row)
            places = ", ".join([self.placeholder] * len(row))
            self.change(f"INSERT INTO {quote(table)} ({columns}) VALUES ({places})", list(row.values()))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all changes of the block, or none when it raises."""
        self.change("BEGIN")
        try:
            yield
        except BaseException:
            if not self._closed:
                self.change("ROLLBACK")
            raise
        self.change("COMMIT")

    def state(self) -> State:
        """Return all rows of all tables."""
        return {table: ordered(self.rows(f"SELECT * FROM {quote(table)}")) for table in sorted(self.tables())}

    def close(self) -> None:
        """Interrupt the statement that runs, if any, and let no other begin."""
        self._closed = True
        while not self._lock.acquire(timeout=INTERRUPT_EVERY_SECONDS):
            self._interrupt()
        try:
            self._close()
        finally:
            self._lock.release()

    @abstractmethod
    def tables(self) -> list[str]:
        """Return the names of the tables."""

    @abstractmethod
    def _execute(self, sql: str, parameters: Sequence[Any]) -> tuple[list[Row], int]:
        """Return rows and number of changed rows of a statement."""

    @abstractmethod
    def _interrupt(self) -> None:
        """End the statement that another thread runs, if there is one; that thread gets an exception."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of the connection."""

    def _run(self, sql: str, parameters: Sequence[Any]) -> tuple[list[Row], int]:
        with self._lock:
            self._refuse_if_closed(sql)
            return self._execute(sql, parameters)

    def _refuse_if_closed(self, sql: str) -> None:
        if self._closed:
            raise ResourceClosedError(
                f"the episode's database is closed: {sql[:80]!r} came after the end of the episode; "
                "a tool must end within its time limit, and keep no database for later"
            )


def quote(name: str) -> LiteralString:
    """Return a table's or column's name as SQL spells it."""
    return cast(LiteralString, '"' + name.replace('"', '""') + '"')
