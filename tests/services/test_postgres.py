"""Schemas of a real PostgreSQL server: from the seed, apart from all others, and gone whatever ended the episode."""

import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from services.asking import ask, schemas, sessions
from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.task import Task
from turnwright.environments.resources.base import ResourceClosedError, hash_state
from turnwright.environments.resources.database import Database
from turnwright.environments.resources.postgres import PostgresDatabase, PostgresSchema

pytestmark = pytest.mark.services

TASK = Task(id="t", prompt="")
NOTES = "CREATE TABLE notes (id serial PRIMARY KEY, text text NOT NULL, made timestamptz DEFAULT now())"

HOLD = """
import time
from turnwright.core.task import Task
from turnwright.environments.resources.postgres import PostgresSchema
with PostgresSchema({dsn!r}, schema="CREATE TABLE notes (id int)").opened(Task(id="t", prompt=""), 0) as database:
    print(database.name, flush=True)
    time.sleep(60)
"""


def test_a_schema_begins_as_its_script_and_stays_its_own(postgres_dsn: str) -> None:
    resource = PostgresSchema(postgres_dsn, schema=NOTES + "; INSERT INTO notes (text) VALUES ('100 % first')")
    with resource.opened(TASK, 0) as one, resource.opened(TASK, 0) as other:
        assert one.change("UPDATE notes SET text = %s", ["changed"]) == 1
        assert one.rows("SELECT id, text FROM notes") == [{"id": 1, "text": "changed"}]
        assert other.rows("SELECT id, text FROM notes WHERE text LIKE '100 %'") == [{"id": 1, "text": "100 % first"}]
        assert other.change("SELECT 1") == 0
        assert str(other.state()["notes"][0]["made"]) == "2024-01-01 00:00:00+00:00"
    assert schemas(postgres_dsn) == []


def test_the_initial_state_follows_from_task_and_seed(postgres_dsn: str) -> None:
    def add(database: Database, task: Task, seed: int) -> None:
        database.insert("notes", [{"text": f"{task.id} {seed}"}])
        database.change("INSERT INTO notes (text) VALUES (random()::text || gen_random_uuid() || clock_timestamp())")

    def begin(seed: int) -> str:
        with PostgresSchema(postgres_dsn, schema=NOTES, fill=add).opened(TASK, seed) as database:
            return hash_state(database.state())

    assert begin(1) == begin(1)
    assert begin(1) != begin(2)


def test_a_script_or_fill_that_raises_leaves_no_schema(postgres_dsn: str) -> None:
    import psycopg

    def add(database: Database, task: Task, seed: int) -> None:
        database.insert("notes", [{"text": None}])

    for resource in (
        PostgresSchema(postgres_dsn, schema=NOTES + "; CRATE TABLE more (id int)"),
        PostgresSchema(postgres_dsn, schema=NOTES, fill=add),
    ):
        with pytest.raises(psycopg.Error), resource.opened(TASK, 0):
            pass
    assert (schemas(postgres_dsn), sessions(postgres_dsn)) == ([], 0)


def test_closing_interrupts_a_statement_and_refuses_the_next(postgres_dsn: str) -> None:
    import psycopg

    raised: list[BaseException] = []

    def work(database: PostgresDatabase) -> None:
        for statement in ("BEGIN; INSERT INTO notes (text) VALUES ('x'); SELECT pg_sleep(600)", "SELECT 1"):
            try:
                database.rows(statement)
            except Exception as error:
                raised.append(error)

    with PostgresSchema(postgres_dsn, schema=NOTES).opened(TASK, 0) as database:
        worker = threading.Thread(target=work, args=[database])
        worker.start()
        time.sleep(0.1)
    worker.join()
    assert isinstance(raised[0], psycopg.errors.QueryCanceled)
    assert isinstance(raised[1], ResourceClosedError)
    assert schemas(postgres_dsn) == []


def test_a_schema_goes_although_a_tool_broke_its_connection(postgres_dsn: str) -> None:
    import psycopg

    with PostgresSchema(postgres_dsn, schema=NOTES).opened(TASK, 0) as database:
        with pytest.raises(psycopg.OperationalError):
            database.rows("SELECT pg_terminate_backend(pg_backend_pid())")
        assert schemas(postgres_dsn) == [database.name]
    assert (schemas(postgres_dsn), sessions(postgres_dsn)) == ([], 0)


def test_sweeping_drops_the_schemas_of_killed_processes_and_nothing_else(
    postgres_dsn: str, child_environment: dict[str, str]
) -> None:
    resource = PostgresSchema(postgres_dsn, schema=NOTES)
    others = ["turnwright_episode_", "turnwright_episode_mine", "turnwright_other_0123456789abcdef"]
    ask(postgres_dsn, f"{'; '.join(f'CREATE SCHEMA {name}' for name in others)}")
    command = [sys.executable, "-c", HOLD.format(dsn=postgres_dsn)]
    with (
        resource.opened(TASK, 0) as mine,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment) as child,
    ):
        try:
            assert child.stdout is not None
            left = child.stdout.readline().strip()
            assert resource.sweep_leftovers() == ()
            child.send_signal(signal.SIGKILL)
            child.wait()
            swept: tuple[str, ...] = ()
            for _ in range(100):  # the server notices the death a moment later
                swept = resource.sweep_leftovers()
                if swept:
                    break
                time.sleep(0.02)
            assert swept == (left,)
            assert schemas(postgres_dsn) == sorted([*others, mine.name])
        finally:
            child.kill()
    ask(postgres_dsn, f"{'; '.join(f'DROP SCHEMA {name}' for name in others)}")


@pytest.mark.parametrize("bad", [{"prefix": "Episode-"}, {"prefix": ""}, {"now": "'; DROP"}])
def test_a_bad_prefix_or_time_is_told_before_anything_is_connected(bad: dict[str, Any]) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(EnvironmentLoadError, match="of a PostgresSchema: expected"):
        PostgresSchema("host=nowhere", schema=NOTES, **bad)
