"""SqliteFile: a database file per episode, copied from a template that is built once.

The database of an episode has no clock and no chance of its own: ``CURRENT_TIMESTAMP``, ``datetime('now')`` and their
kin say a fixed time, ``random()`` and ``randomblob()`` draw from the episode's seed. The modifier 'localtime' still
follows the machine's time zone.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.seeding import generator
from turnwright.core.task import Task
from turnwright.environments.resources.base import Resource, Row, State
from turnwright.environments.resources.database import FIXED_NOW, Database
from turnwright.environments.resources.folder import held_folder, sweep_folders

TIME_FUNCTIONS = {"date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1}
"""At which argument the time stands; left out, it is now."""


class SqliteDatabase(Database):
    """An open database file."""

    placeholder = "?"

    def __init__(self, path: Path | str, *, seed: int, now: str = FIXED_NOW) -> None:
        """Open a file.

        Args:
            path: The file.
            seed: What ``random()`` and ``randomblob()`` draw from.
            now: What the clock says.
        """
        super().__init__()
        self.path = path
        """The file, for libraries that open it themselves; what they open they must close."""
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._clock = sqlite3.connect(":memory:", check_same_thread=False)
        _fix_clock(self._connection, self._clock, now)
        _fix_chance(self._connection, generator("sqlite", seed))
        # Nobody reads the file after a crash; a journal on disk would only cost time.
        self._connection.executescript(
            "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON;"
        )

    def tables(self) -> list[str]:
        """Return the names of the tables, without SQLite's own."""
        names = self.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'")
        return [row["name"] for row in names]

    def run_script(self, sql: str) -> bytes:
        """Run statements separated by semicolons, and return the database as the bytes of a file."""
        self._connection.executescript(sql)
        return self._connection.serialize()

    def _execute(self, sql: str, parameters: Sequence[Any]) -> tuple[list[Row], int]:
        with closing(self._connection.execute(sql, parameters)) as cursor:
            columns = [column[0] for column in cursor.description or ()]
            rows = [dict(zip(columns, values, strict=True)) for values in cursor]
            return rows, max(cursor.rowcount, 0)

    def _interrupt(self) -> None:
        self._connection.interrupt()

    def _close(self) -> None:
        self._connection.close()
        self._clock.close()


class SqliteFile(Resource[SqliteDatabase]):
    """A SQLite database per episode.

    Example::

        def fill(database: Database, task: Task, seed: int) -> None:
            database.insert("tickets", task.data["tickets"])

        resources = {"db": SqliteFile("CREATE TABLE tickets (id INTEGER PRIMARY KEY, status TEXT)", fill=fill)}
    """

    database: type[SqliteDatabase] = SqliteDatabase
    """What an episode gets opened."""

    def __init__(
        self, schema: str, *, fill: Callable[[Database, Task, int], None] | None = None, now: str = FIXED_NOW
    ) -> None:
        """Build the template.

        Args:
            schema: SQL script of everything that all episodes begin with, rows included.
            fill: Adds what belongs to one episode, given its database, task and seed.
            now: What the clock says, such as "2024-01-01 00:00:00".

        Raises:
            EnvironmentLoadError: the script does not run.
        """
        self._fill = fill
        self._now = now
        with closing(SqliteDatabase(":memory:", seed=0, now=now)) as template:
            if template.rows("SELECT datetime('now') AS now") == [{"now": None}]:
                raise EnvironmentLoadError(f"now = {now!r} of a SqliteFile: expected a time such as {FIXED_NOW!r}")
            try:
                self._template = template.run_script(schema)
            except sqlite3.Error as error:
                raise EnvironmentLoadError(
                    f"the schema of a SqliteFile does not run: {error}; correct its SQL"
                ) from error

    @contextmanager
    def opened(self, task: Task, seed: int) -> Iterator[SqliteDatabase]:
        """Hold a copy of the template, filled for the episode, until it ends."""
        with held_folder() as folder:
            path = folder / "episode.db"
            path.write_bytes(self._template)
            with closing(self.database(path, seed=seed, now=self._now)) as database:
                if self._fill is not None:
                    with database.transaction():
                        self._fill(database, task, seed)
                yield database

    def state(self, handle: SqliteDatabase) -> State:
        """Return all rows of all tables."""
        return handle.state()

    def sweep_leftovers(self) -> tuple[str, ...]:
        """Remove the episode folders of processes that are gone."""
        return sweep_folders()


def _fix_clock(connection: sqlite3.Connection, clock: sqlite3.Connection, now: str) -> None:
    """Let the time functions of ``connection`` say ``now``; ``clock`` is one that still has the plain functions."""
    known = {name for (name,) in clock.execute("SELECT name FROM pragma_function_list")}
    for name, position in TIME_FUNCTIONS.items():
        if name in known:
            function = partial(_time, clock, name, position, now)
            connection.create_function(name, -1, function, deterministic=True)
    for name, plain in (("current_timestamp", "datetime"), ("current_date", "date"), ("current_time", "time")):
        connection.create_function(name, 0, partial(_time, clock, plain, 0, now), deterministic=True)


def _time(clock: sqlite3.Connection, name: str, position: int, now: str, *arguments: Any) -> Any:
    values = list(arguments)
    if len(values) == position:
        values.append(now)
    elif len(values) > position and isinstance(values[position], str) and values[position].lower() == "now":
        values[position] = now
    return clock.execute(f"SELECT {name}({', '.join('?' * len(values))})", values).fetchone()[0]


def _fix_chance(connection: sqlite3.Connection, chance: random.Random) -> None:
    connection.create_function("random", 0, lambda: chance.getrandbits(64) - (1 << 63))
    connection.create_function("randomblob", 1, lambda size: chance.randbytes(max(1, int(size or 0))))
