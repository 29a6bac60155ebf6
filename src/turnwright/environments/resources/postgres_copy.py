"""PostgresCopy: a database per episode, copied from a template on a PostgreSQL server. Needs ``turnwright[postgres]``.

    template, once:  create -> script -> rename      (or a database of yours, to which nobody may be connected)
    an episode:      lock the name -> copy -> connect -> settings -> fill -> tools -> interrupt -> drop

Statements of a policy reach its own copy only, as far as its role goes: connect as a role that may create databases
and nothing else (CREATEDB, no superuser). A copy takes longer than a schema; it suits databases that are large, have
several schemas, or are asked in SQL.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING

from turnwright.core.errors import EnvironmentLoadError
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

OURS = "turnwright"
"""Schema in each copy that holds what replaces the clock and chance of PostgreSQL."""
TABLES = (
    "SELECT CASE schemaname WHEN 'public' THEN tablename ELSE schemaname || '.' || tablename END AS name, "
    "format('%I.%I', schemaname, tablename) AS spelled "
    "FROM pg_catalog.pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
)
FIND_UNUSED = (
    "SELECT datname FROM pg_database d WHERE datname ~ %s "
    "AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.datname = d.datname) ORDER BY datname"
)
"""Asked first, because the server waits five seconds for a database that is in use before it refuses to drop it."""
EXISTS = "SELECT 1 FROM pg_database WHERE datname = %s"


class PostgresCopy(Resource[PostgresDatabase]):
    """A database of its own per episode, dropped when the episode ends.

    Example::

        resources = {"db": PostgresCopy("host=...", template="shop_with_test_data")}
    """

    def __init__(
        self,
        dsn: str = "",
        *,
        template: str | None = None,
        schema: str | None = None,
        fill: Callable[[Database, Task, int], None] | None = None,
        now: str = FIXED_NOW,
        prefix: str = "turnwright_copy_",
    ) -> None:
        """Say what an episode begins with; nothing is connected yet.

        Args:
            dsn: Where the server is, and a database of it to connect to while copies are made and dropped; what is
                left out comes from PGHOST and its kin.
            template: Name of a database that is there already. While it is copied nobody may be connected to it.
            schema: SQL script of a template that is built when it is first needed and kept, rows included.
            fill: Adds what belongs to one episode, given its database, task and seed.
            now: What the clock says in UTC; column defaults of a template's tables keep the clock they had.
            prefix: Begins the names of databases; ``sweep_leftovers`` looks at no others.

        Raises:
            EnvironmentLoadError: not exactly one of template and schema, prefix or time are malformed, or psycopg is
                missing.
        """
        check_settings("PostgresCopy", prefix=prefix, now=now)
        if (template is None) == (schema is None):
            raise EnvironmentLoadError(
                "a PostgresCopy needs exactly one of template (a database) and schema (a script)"
            )
        self._dsn = dsn
        self._script = schema
        self._fill = fill
        self._now = now
        self._prefix = prefix
        digest = blake2b((schema or "").encode(), digest_size=8).hexdigest()
        self._template = template if template is not None else f"{prefix}template_{digest}"

    @contextmanager
    def opened(self, task: Task, seed: int) -> Iterator[PostgresDatabase]:
        """Hold a copy until the episode ends."""
        name = self._prefix + secrets.token_hex(8)
        with closing(connect(self._dsn)) as server:
            # Until somebody is connected to the copy, only this lock says that it is in use.
            server.execute(LOCK.encode(), [name])
            self._copy(server, name)
            database = self._connect(name)
        with closing(database):
            path = f"{quote(OURS)}, public, pg_catalog"
            database.change(begin_session(quote(OURS), path=path, now=self._now, seed=seed))
            if self._fill is not None:
                with database.transaction():
                    self._fill(database, task, seed)
            yield database

    def state(self, handle: PostgresDatabase) -> State:
        """Return all rows of all tables; those outside ``public`` are named with their schema."""
        return handle.state()

    def sweep_leftovers(self) -> tuple[str, ...]:
        """Drop databases with our prefix that nobody uses, and return their names.

        Templates built from scripts are among them; they are built again when they are needed.
        """
        import psycopg

        swept: list[str] = []
        with closing(connect(self._dsn)) as server:
            ours = f"^{self._prefix}(template_)?[0-9a-f]{{16}}$"
            for found in server.execute(FIND_UNUSED.encode(), [ours]).fetchall():
                name = found["datname"]
                lock = server.execute(TRY_LOCK.encode(), [name]).fetchone()
                if lock and lock["free"]:
                    with suppress(psycopg.errors.ObjectInUse, psycopg.errors.InvalidCatalogName):
                        server.execute(f"DROP DATABASE {quote(name)}".encode())
                        swept.append(name)
        return tuple(swept)

    def _connect(self, name: str) -> PostgresDatabase:
        drop = partial(_drop, self._dsn, name)
        try:
            return PostgresDatabase(connect(self._dsn, database=name), name=name, tables=TABLES, drop=drop)
        except BaseException:
            _drop_database(self._dsn, name)
            raise

    def _copy(self, server: "Connection[Row]", name: str) -> None:
        import psycopg

        copy = f"CREATE DATABASE {quote(name)} TEMPLATE {quote(self._template)}".encode()
        try:
            server.execute(copy)
        except psycopg.errors.InvalidCatalogName as error:
            if self._script is None:
                raise EnvironmentLoadError(
                    f"a PostgresCopy found no database {self._template!r} to copy: create it, or correct template"
                ) from error
            self._build(server, self._script)
            server.execute(copy)

    def _build(self, server: "Connection[Row]", script: str) -> None:
        """Build the template, unless somebody else just did; it has its name only when it is complete."""
        raw = self._prefix + secrets.token_hex(8)
        server.execute(LOCK.encode(), [self._template])
        if server.execute(EXISTS.encode(), [self._template]).fetchone():
            return
        server.execute(LOCK.encode(), [raw])
        server.execute(f"CREATE DATABASE {quote(raw)}".encode())
        try:
            with closing(connect(self._dsn, database=raw)) as inside:
                inside.execute(script.encode())
            server.execute(f"ALTER DATABASE {quote(raw)} RENAME TO {quote(self._template)}".encode())
        except BaseException:
            _drop_database(self._dsn, raw)
            raise


def _drop(dsn: str, name: str, connection: "Connection[Row]") -> None:
    connection.close()
    _drop_database(dsn, name)


def _drop_database(dsn: str, name: str) -> None:
    # By force: a tool may have left sessions of its own.
    with closing(connect(dsn)) as server:
        server.execute(f"DROP DATABASE IF EXISTS {quote(name)} WITH (FORCE)".encode())
