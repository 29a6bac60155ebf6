"""PostgresSchema: a schema per episode in a PostgreSQL database that is there already. Needs ``turnwright[postgres]``.

    connect -> lock the name -> schema, settings, script -> fill -> tools -> interrupt -> drop -> disconnect

Unqualified names in statements mean the episode's schema and PostgreSQL's own, nothing else. Let no policy write
statements of its own here: a qualified name reaches every schema that the role can. ``PostgresCopy`` is for those.

The session of an episode holds an advisory lock on the schema's name, which the server lets go of when the process
dies, however it dies. ``sweep_leftovers`` drops schemas of our name that nobody holds locked.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from turnwright.core.task import Task
from turnwright.environments.resources.base import Resource, Row, State
from turnwright.environments.resources.database import FIXED_NOW, Database, quote
from turnwright.environments.resources.postgres_session import (
    LOCK,
    TRY_LOCK,
    PostgresDatabase,
    begin_session,
    check_settings,
    connect,
)

if TYPE_CHECKING:
    from psycopg import Connection

FIND = "SELECT nspname FROM pg_namespace WHERE nspname ~ %s ORDER BY nspname"
TABLES = (
    "SELECT tablename AS name, quote_ident(tablename) AS spelled FROM pg_catalog.pg_tables WHERE schemaname = '{name}'"
)
DROP = "SET lock_timeout = '10s'; DROP SCHEMA IF EXISTS {schema} CASCADE"
"""Gives up when somebody else, such as a process a tool started, is still at work in the schema."""


class PostgresSchema(Resource[PostgresDatabase]):
    """A schema of its own per episode, dropped when the episode ends.

    Example::

        resources = {"db": PostgresSchema("dbname=desk", schema="CREATE TABLE tickets (id integer PRIMARY KEY)")}
    """

    waits = True

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
        check_settings("PostgresSchema", prefix=prefix, now=now)
        self._dsn = dsn
        self._script = schema
        self._fill = fill
        self._now = now
        self._prefix = prefix

    @contextmanager
    def opened(self, task: Task, seed: int) -> Iterator[PostgresDatabase]:
        """Hold a schema until the episode ends."""
        name = self._prefix + secrets.token_hex(8)
        database = PostgresDatabase(
            connect(self._dsn), name=name, tables=TABLES.format(name=name), drop=partial(_drop, self._dsn, name)
        )
        with closing(database):
            database.rows(LOCK, [name])
            begin = begin_session(quote(name), path=f"{quote(name)}, pg_catalog", now=self._now, seed=seed)
            # One message, thus one transaction: all of it or nothing.
            database.change(begin + self._script)
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
        with closing(connect(self._dsn)) as connection:
            for found in connection.execute(FIND.encode(), [f"^{self._prefix}[0-9a-f]{{16}}$"]).fetchall():
                name = found["nspname"]
                lock = connection.execute(TRY_LOCK.encode(), [name]).fetchone()
                if lock and lock["free"]:
                    connection.execute(DROP.format(schema=quote(name)).encode())
                    swept.append(name)
        return tuple(swept)


def _drop(dsn: str, name: str, connection: "Connection[Row]") -> None:
    import psycopg

    drop = DROP.format(schema=quote(name)).encode()
    try:
        connection.rollback()
        connection.execute(drop)
    except psycopg.Error:  # a connection that a tool broke, or an interruption that arrived late
        connection.close()
        with closing(connect(dsn)) as fresh:
            fresh.execute(drop)
    finally:
        connection.close()
