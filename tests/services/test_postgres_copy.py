"""Copies of a template database on a real PostgreSQL server: whole, apart, and gone whatever ended the episode."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from services.asking import ask, copies, sessions
from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.task import Task
from turnwright.environments.resources.base import ResourceClosedError, hash_state
from turnwright.environments.resources.database import Database
from turnwright.environments.resources.postgres_copy import PostgresCopy

pytestmark = pytest.mark.services

TASK = Task(id="t", prompt="")
SHOP = """
CREATE TABLE notes (id serial PRIMARY KEY, text text NOT NULL);
CREATE SCHEMA stock;
CREATE TABLE stock.items (id integer PRIMARY KEY);
INSERT INTO notes (text) VALUES ('100 % first');
INSERT INTO stock.items VALUES (7);
"""
BEGIN = {"notes": ({"id": 1, "text": "100 % first"},), "stock.items": ({"id": 7},)}

HOLD = """
import time
from turnwright.core.task import Task
from turnwright.environments.resources.postgres_copy import PostgresCopy
with PostgresCopy({dsn!r}, schema={shop!r}).opened(Task(id="t", prompt=""), 0) as database:
    print(database.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def dsn(postgres_dsn: str) -> Iterator[str]:
    """Return where the server is, and leave no template to other tests."""
    yield postgres_dsn
    PostgresCopy(postgres_dsn, schema=SHOP).sweep_leftovers()
    assert copies(postgres_dsn) == []


def episodes(dsn: str) -> list[str]:
    return [name for name in copies(dsn) if "template" not in name]


def test_a_copy_begins_as_its_template_and_stays_its_own(dsn: str) -> None:
    resource = PostgresCopy(dsn, schema=SHOP)
    with resource.opened(TASK, 0) as one, resource.opened(TASK, 0) as other:
        assert one.state() == other.state() == BEGIN
        # Any statement, of any schema, is of this episode alone.
        one.change("DELETE FROM stock.items; DROP TABLE public.notes")
        assert one.state() == {"stock.items": ()}
        assert other.state() == BEGIN
    assert episodes(dsn) == []
    assert sessions(dsn) == 0


def test_a_database_that_is_there_is_copied_and_left_alone(dsn: str) -> None:
    import psycopg

    ask(dsn, "CREATE DATABASE shop")
    try:
        with psycopg.connect(f"{dsn} dbname=shop", autocommit=True) as shop:
            shop.execute(SHOP.encode())
        with PostgresCopy(dsn, template="shop").opened(TASK, 0) as database:
            database.change("DELETE FROM notes")
        assert ask(f"{dsn} dbname=shop", "SELECT text FROM notes") == ["100 % first"]
    finally:
        ask(dsn, "DROP DATABASE shop WITH (FORCE)")
    with pytest.raises(EnvironmentLoadError, match="found no database 'shop' to copy: create it"):
        PostgresCopy(dsn, template="shop").opened(TASK, 0).__enter__()


def test_the_initial_state_follows_from_task_and_seed(dsn: str) -> None:
    def add(database: Database, task: Task, seed: int) -> None:
        database.insert("notes", [{"text": f"{task.id} {seed}"}])
        database.change("INSERT INTO notes (text) VALUES (random()::text || gen_random_uuid() || now())")

    def begin(seed: int) -> str:
        with PostgresCopy(dsn, schema=SHOP, fill=add).opened(TASK, seed) as database:
            assert "2024-01-01 00:00:00+00" in database.state()["notes"][2]["text"]
            return hash_state(database.state())

    assert begin(1) == begin(1)
    assert begin(1) != begin(2)


def test_a_script_or_fill_that_raises_leaves_no_database(dsn: str) -> None:
    import psycopg

    def add(database: Database, task: Task, seed: int) -> None:
        database.insert("notes", [{"text": None}])

    for resource in (
        PostgresCopy(dsn, schema=SHOP + "; CRATE TABLE more (id int)"),
        PostgresCopy(dsn, schema=SHOP, fill=add),
    ):
        with pytest.raises(psycopg.Error), resource.opened(TASK, 0):
            pass
    assert (episodes(dsn), sessions(dsn)) == ([], 0)


def test_closing_interrupts_a_statement_and_refuses_the_next(dsn: str) -> None:
    import psycopg

    raised: list[BaseException] = []
    with PostgresCopy(dsn, schema=SHOP).opened(TASK, 0) as database:

        def work() -> None:
            for statement in ("SELECT pg_sleep(600)", "SELECT 1"):
                try:
                    database.rows(statement)
                except (psycopg.Error, ResourceClosedError) as error:
                    raised.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        time.sleep(0.1)
    worker.join()
    assert [type(error) for error in raised] == [psycopg.errors.QueryCanceled, ResourceClosedError]
    assert episodes(dsn) == []


def test_a_copy_goes_although_a_tool_broke_its_connection_and_holds_another(dsn: str) -> None:
    import psycopg

    with PostgresCopy(dsn, schema=SHOP).opened(TASK, 0) as database:
        own = psycopg.connect(f"{dsn} dbname={database.name}")
        with pytest.raises(psycopg.OperationalError):
            database.rows("SELECT pg_terminate_backend(pg_backend_pid())")
    own.close()
    assert (episodes(dsn), sessions(dsn)) == ([], 0)


def test_sweeping_drops_the_copies_of_killed_processes_and_templates_nobody_needs(
    dsn: str, child_environment: dict[str, str]
) -> None:
    resource = PostgresCopy(dsn, schema=SHOP)
    command = [sys.executable, "-c", HOLD.format(dsn=dsn, shop=SHOP)]
    with (
        resource.opened(TASK, 0) as mine,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment) as child,
    ):
        try:
            assert child.stdout is not None
            left = child.stdout.readline().strip()
            (template,) = resource.sweep_leftovers()
            assert "template" in template
            child.send_signal(signal.SIGKILL)
            child.wait()
            swept: tuple[str, ...] = ()
            for _ in range(100):  # the server notices the death a moment later
                swept = resource.sweep_leftovers()
                if swept:
                    break
                time.sleep(0.02)
            assert (swept, copies(dsn)) == ((left,), [mine.name])
        finally:
            child.kill()
    with resource.opened(TASK, 0) as rebuilt:
        assert rebuilt.state() == BEGIN


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"prefix": "Copy-"}, "prefix 'Copy-' of a PostgresCopy: expected"),
        ({"now": "'; DROP"}, "of a PostgresCopy: expected a time"),
        ({"template": "shop"}, "exactly one of template"),
        ({"schema": None}, "exactly one of template"),
    ],
)
def test_bad_settings_are_told_before_anything_is_connected(bad: dict[str, Any], message: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(EnvironmentLoadError, match=message):
        PostgresCopy("host=nowhere", **{"schema": SHOP, **bad})
