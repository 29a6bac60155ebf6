"""PostgresSchema: a schema per episode in a PostgreSQL database that is there already. Needs ``turnwright[postgres]``.

    connect -> lock the name -> schema, settings, script -> fill -> tools -> interrupt -> drop -> disconnect

Unqualified names in statements mean the episode's schema and PostgreSQL's own, nothing else. ``now()`` and its kin say
a fixed time, ``random()`` and ``gen_random_uuid()`` draw from the episode's seed; what is spelled without parentheses,
such as CURRENT_TIMESTAMP, cannot be replaced and would be read from the clock. Let no policy write statements of its
own here: a qualified name reaches every schema that the role can.

The session of an episode holds an advisory lock on the schema's name, which the server lets go of when the process
dies, however it dies. ``sweep_leftovers`` drops schemas of our name that nobody holds locked.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.seeding import generator
from turnwright.core.task import Task
from turnwright.environments.resources import Resource, Row, State
from turnwright.environments.resources_database import FIXED_NOW, Database, quote

if TYPE_CHECKING:
    from psycopg import Connection

CLOCKS = ("now", "transaction_timestamp", "statement_timestamp", "clock_timestamp")
PREFIX = re.compile(r"[a-z][a-z0-9_]{2,39}")

LOCK = "SELECT pg_advisory_lock(hashtextextended(%s, 0))"
TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS free"
FIND = "SELECT nspname FROM pg_namespace WHERE nspname ~ %s ORDER BY nspname"
DROP = "SET lock_timeout = '10s'; DROP SCHEMA IF EXISTS {schema} CASCADE"
"""Gives up when somebody else, such as a process a tool started, is still at work in the schema."""

BEGIN_SCHEMA = """
CREATE SCHEMA {schema};
SET search_path = {schema}, pg_catalog;
SET TimeZone = 'UTC';
SET synchronous_commit = off;
SELECT setseed({start});
CREATE FUNCTION gen_random_uuid() RETURNS uuid VOLATILE LANGUAGE sql AS
  'SELECT md5(random()::text || random()::text)::uuid';
"""
CLOCK = "CREATE FUNCTION {name}() RETURNS timestamptz STABLE LANGUAGE sql AS $$SELECT timestamptz '{now}+00'$$;\n"


class PostgresDatabase(Database):
    """One episode's schema, as its connection sees it. In a statement with parameters a percent sign is written %%."""

    placeholder = "%s"

    def __init__(self, connect: "Callable[[], Connection[Row]]", schema: str) -> None:
        """Connect, and take the schema's name.

        Args:
            connect: Makes a connection.
            schema: Name of the schema, which belongs to this database from now on and is dropped with it.
        """
        super().__init__()
        self.schema = schema
        """Name of the schema, for libraries that connect themselves; what they open they must close."""
        self._connect = connect
        self._connection = connect()

    def tables(self) -> list[str]:
        """Return the names of the schema's tables."""
        found = self.rows("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = %s", [self.schema])
        return [row["tablename"] for row in found]

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
        import psycopg

        drop = DROP.format(schema=quote(self.schema)).encode()
        try:
            self._connection.rollback()
            self._connection.execute(drop)
        except psycopg.Error:  # a connection that a tool broke, or an interruption that arrived late
            self._connection.close()
            with closing(self._connect()) as fresh:
                fresh.execute(drop)
        finally:
            self._connection.close()


class PostgresSchema(Resource[PostgresDatabase]):
    """A schema of its own per episode, dropped when the episode ends.

    Example::

        resources = {"db": PostgresSchema("dbname=desk", schema="CREATE TABLE tickets (id integer PRIMARY KEY)")}
    """

    def __init__(
        self,
        dsn: str = "",
        *,
        schema: str,
        fill: Callable[[Database, Task, int], None] | None = None,
        now: str = FIXED_NOW,
        prefix: str = "turnwright_episode_",
    ) -> None:
        """Say what an episode begins with; nothing is connected yet.

        Args:
            dsn: Where the database is, such as "host=... dbname=..."; what is left out comes from PGHOST and its kin.
            schema: SQL script that every episode begins with, rows included.
            fill: Adds what belongs to one episode, given its database, task and seed.
            now: What the clock says in UTC, such as "2024-01-01 00:00:00".
            prefix: Begins the names of schemas; ``sweep_leftovers`` looks at no others.

        Raises:
            EnvironmentLoadError: prefix or time are malformed, or psycopg is missing.
        """
        if not PREFIX.fullmatch(prefix):
            raise EnvironmentLoadError(
                f"prefix {prefix!r} of a PostgresSchema: expected 3 to 40 lowercase letters, digits and underscores"
            )
        if not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", now):
            raise EnvironmentLoadError(f"now = {now!r} of a PostgresSchema: expected a time such as {FIXED_NOW!r}")
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise EnvironmentLoadError(
                f"a PostgresSchema needs psycopg: {error}; pip install 'turnwright[postgres]'"
            ) from error
        self._dsn = dsn
        self._script = "".join(CLOCK.format(name=name, now=now) for name in CLOCKS) + schema
        self._fill = fill
        self._prefix = prefix

    @contextmanager
    def opened(self, task: Task, seed: int) -> Iterator[PostgresDatabase]:
        """Hold a schema until the episode ends."""
        with closing(PostgresDatabase(self._connect, self._prefix + secrets.token_hex(8))) as database:
            database.rows(LOCK, [database.schema])
            start = generator("postgres", seed).uniform(-1, 1)
            # One message, thus one transaction: all of it or nothing.
            database.change(BEGIN_SCHEMA.format(schema=quote(database.schema), start=start) + self._script)
            if self._fill is not None:
                with database.transaction():
                    self._fill(database, task, seed)
            yield database

    def state(self, handle: PostgresDatabase) -> State:
        """Return all rows of all tables."""
        return handle.state()

    def sweep_leftovers(self) -> tuple[str, ...]:
        """Drop the schemas with our prefix that no session holds, and return their names."""
        swept: list[str] = []
        with closing(self._connect()) as connection:
            for found in connection.execute(FIND.encode(), [f"^{self._prefix}[0-9a-f]{{16}}$"]).fetchall():
                name = found["nspname"]
                lock = connection.execute(TRY_LOCK.encode(), [name]).fetchone()
                if lock and lock["free"]:
                    connection.execute(DROP.format(schema=quote(name)).encode())
                    swept.append(name)
        return tuple(swept)

    def _connect(self) -> "Connection[Row]":
        from psycopg import Connection
        from psycopg.rows import dict_row

        return Connection[Row].connect(self._dsn, autocommit=True, row_factory=dict_row)
