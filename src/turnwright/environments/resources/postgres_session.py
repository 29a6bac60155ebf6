"""PostgresDatabase: an episode's session with a PostgreSQL server, and how its clock and chance are fixed.

``now()`` and its kin say a fixed time, ``random()`` and ``gen_random_uuid()`` draw from the episode's seed; what is
spelled without parentheses, such as CURRENT_TIMESTAMP, cannot be replaced and is read from the server's clock.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.seeding import generator
from turnwright.environments.resources.base import Row, State, ordered
from turnwright.environments.resources.database import FIXED_NOW, Database

if TYPE_CHECKING:
    from psycopg import Connection

CLOCKS = ("now", "transaction_timestamp", "statement_timestamp", "clock_timestamp")
PREFIX = re.compile(r"[a-z][a-z0-9_]{2,29}")
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")

LOCK = "SELECT pg_advisory_lock(hashtextextended(%s, 0))"
TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS free"

BEGIN_SESSION = """
CREATE SCHEMA {schema};
SET search_path = {path};
SET TimeZone = 'UTC';
SET synchronous_commit = off;
SELECT setseed({start});
CREATE FUNCTION {schema}.gen_random_uuid() RETURNS uuid VOLATILE LANGUAGE sql AS
  'SELECT md5(random()::text || random()::text)::uuid';
"""
CLOCK = (
    "CREATE FUNCTION {schema}.{name}() RETURNS timestamptz STABLE LANGUAGE sql AS $$SELECT timestamptz '{now}+00'$$;\n"
)


class PostgresDatabase(Database):
    """What one episode has of a server. In a statement with parameters a percent sign is written %%."""

    placeholder = "%s"

    def __init__(
        self, connection: "Connection[Row]", *, name: str, tables: str, drop: "Callable[[Connection[Row]], None]"
    ) -> None:
        """Take over a connection.

        Args:
            connection: The episode's own, in autocommit mode.
            name: Of the schema or database that belongs to the episode.
            tables: Statement whose rows are the tables that belong to the episode: ``name``, and ``spelled`` as a
                statement spells it.
            drop: Removes what the episode has, given its connection, which may be broken, and closes that.
        """
        super().__init__()
        self.name = name
        """The schema or database, for libraries that connect themselves; what they open they must close."""
        self._connection = connection
        self._tables = tables
        self._drop = drop

    def tables(self) -> list[str]:
        """Return the names of the episode's tables."""
        return [row["name"] for row in self.rows(self._tables)]

    def state(self) -> State:
        """Return all rows of all tables."""
        tables = sorted((row["name"], row["spelled"]) for row in self.rows(self._tables))
        return {name: ordered(self.rows(f"SELECT * FROM {spelled}")) for name, spelled in tables}

    def _execute(self, sql: str, parameters: Sequence[Any]) -> tuple[list[Row], int]:
        # Without parameters a percent sign is only itself, and there may be several statements.
        with self._connection.execute(sql.encode(), parameters or None) as cursor:
            if cursor.description is None:
                return [], max(cursor.rowcount, 0)
            return cursor.fetchall(), 0 if (cursor.statusmessage or "").startswith("SELECT") else cursor.rowcount

    def _interrupt(self) -> None:
        import psycopg

        # Where the server cannot be reached, the statement ends by that.
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=5)

    def _close(self) -> None:
        self._drop(self._connection)


def connect(dsn: str, *, database: str | None = None) -> "Connection[Row]":
    """Open a session that commits each statement, in ``database`` where that is given instead of the one in ``dsn``."""
    from psycopg import Connection
    from psycopg.conninfo import make_conninfo
    from psycopg.rows import dict_row

    where = dsn if database is None else make_conninfo(dsn, dbname=database)
    return Connection[Row].connect(where, autocommit=True, row_factory=dict_row)


def begin_session(schema: str, *, path: str, now: str, seed: int) -> str:
    """Return the statements that fix clock and chance of a session.

    Args:
        schema: Quoted name of the schema that they make for what replaces PostgreSQL's own functions.
        path: Where unqualified names are looked up: quoted names of schemas.
        now: What the clock says.
        seed: What chance follows from.
    """
    start = generator("postgres", seed).uniform(-1, 1)
    clocks = "".join(CLOCK.format(schema=schema, name=name, now=now) for name in CLOCKS)
    return BEGIN_SESSION.format(schema=schema, path=path, start=start) + clocks


def check_settings(resource: str, *, prefix: str, now: str) -> None:
    """Check what every resource on a server is given.

    Raises EnvironmentLoadError when prefix or time are malformed, or psycopg is missing.
    """
    if not PREFIX.fullmatch(prefix):
        raise EnvironmentLoadError(
            f"prefix {prefix!r} of a {resource}: expected 3 to 30 lowercase letters, digits and underscores"
        )
    if not TIME.fullmatch(now):
        raise EnvironmentLoadError(f"now = {now!r} of a {resource}: expected a time such as {FIXED_NOW!r}")
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise EnvironmentLoadError(
            f"a {resource} needs psycopg: {error}; pip install 'turnwright[postgres]'"
        ) from error
