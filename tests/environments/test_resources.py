"""Folders and SQLite files: made from the seed, closed under a tool's hands, swept when their process was killed."""

import gc
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.task import Task
from turnwright.environments.resources.base import ResourceClosedError, hash_state, ordered
from turnwright.environments.resources.database import Database
from turnwright.environments.resources.folder import TemporaryFolder, held_folder, sweep_folders
from turnwright.environments.resources.sqlite import SqliteFile

TASK = Task(id="t", prompt="")
SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, made TEXT DEFAULT CURRENT_TIMESTAMP)"
FOREVER = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"

HOLD = """
import tempfile, time
tempfile.tempdir = {folder!r}
from turnwright.environments.resources.folder import held_folder
with held_folder() as folder:
    (folder / "half written").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that temporary folders go to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_empty_and_goes_with_everything_in_it(temporary: Path) -> None:
    with TemporaryFolder().opened(TASK, 0) as folder:
        assert folder.parent == temporary
        assert list(folder.iterdir()) == []
        (folder / "locked" / "below").mkdir(parents=True)
        (folder / "locked" / "below" / "file").write_text("x")
        (folder / "locked" / "below").chmod(0o500)
        (folder / "locked").chmod(0o000)
    assert list(temporary.iterdir()) == []


def test_a_folder_goes_when_its_episode_raises_and_may_be_gone_before(temporary: Path) -> None:
    with pytest.raises(FileNotFoundError, match="file"), held_folder() as folder:
        (folder / "file").rename(folder / "no file")
    with held_folder() as folder:
        folder.rmdir()
    assert list(temporary.iterdir()) == []


def test_a_folder_that_cannot_be_held_is_not_left_behind(temporary: Path) -> None:
    # Garbage of other tests that has files open would free numbers below the limit.
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"), held_folder():
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert list(temporary.iterdir()) == []


def test_a_folder_goes_while_a_tool_writes_into_it(temporary: Path) -> None:
    def write() -> None:
        with suppress(OSError):
            for number in range(100_000):
                (folder / str(number)).write_text("x")

    with held_folder() as folder:
        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.02)
    writer.join()
    assert list(temporary.iterdir()) == []


def test_state_of_a_folder_is_its_files_by_path() -> None:
    files = TemporaryFolder()
    with files.opened(TASK, 0) as one, files.opened(TASK, 0) as other:
        assert files.state(one) == {}
        for folder in (one, other):
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_text("same")
        assert list(files.state(one)) == ["deep/file"]
        assert files.state(one) == files.state(other)
        (other / "deep" / "file").write_text("else")
        assert hash_state(files.state(one)) != hash_state(files.state(other))


@pytest.mark.slow
def test_sweeping_takes_the_folders_of_killed_processes_and_nothing_else(temporary: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(folder=str(temporary))],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    with child, held_folder() as mine:
        try:
            assert child.stdout is not None
            left = Path(child.stdout.readline().strip())
            assert left.parent == temporary
            for name in ("turnwright-episode-notours-", "turnwright-episodes", "else"):
                (temporary / name).mkdir()
            (temporary / "turnwright-episode-linkedto").symlink_to(mine)
            before = set(temporary.iterdir())
            assert sweep_folders() == ()
            child.send_signal(signal.SIGKILL)
            child.wait()
            assert TemporaryFolder().sweep_leftovers() == (str(left),)
            assert set(temporary.iterdir()) == before - {left}
        finally:
            child.kill()


def test_a_database_begins_as_its_template_and_stays_its_own() -> None:
    notes = SqliteFile(SCHEMA + "; INSERT INTO notes (text) VALUES ('first')")
    with notes.opened(TASK, 0) as one, notes.opened(TASK, 0) as other:
        assert one.change("UPDATE notes SET text = ?", ["changed"]) == 1
        assert one.rows("SELECT text FROM notes") == [{"text": "changed"}]
        assert other.rows("SELECT text FROM notes") == [{"text": "first"}]
        assert [hash_state(notes.state(database)) for database in (one, other)].count(
            hash_state({"notes": ({"id": 1, "text": "first", "made": "2024-01-01 00:00:00"},)})
        ) == 1


def test_the_initial_state_follows_from_task_and_seed() -> None:
    def fill(database: Database, task: Task, seed: int) -> None:
        database.insert("notes", [{"id": seed, "text": task.id}])
        database.change("INSERT INTO notes (id, text) VALUES (abs(random()), hex(randomblob(4)))")

    def begin(seed: int) -> str:
        with notes.opened(TASK, seed) as database:
            return hash_state(database.state())

    notes = SqliteFile(SCHEMA, fill=fill)
    assert begin(1) == begin(1)
    assert begin(1) != begin(2)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("CURRENT_TIMESTAMP", "2031-05-06 07:08:09"),
        ("current_date", "2031-05-06"),
        ("current_time", "07:08:09"),
        ("datetime('NOW', '+1 day')", "2031-05-07 07:08:09"),
        ("date()", "2031-05-06"),
        ("time('now')", "07:08:09"),
        ("strftime('%Y', 'now')", "2031"),
        ("unixepoch()", 1935817689),
        ("julianday('now') - julianday(CURRENT_TIMESTAMP)", 0.0),
        ("date('1999-12-31', '+1 day')", "2000-01-01"),
        ("datetime('no time')", None),
    ],
)
def test_the_clock_stands_still(expression: str, value: object) -> None:
    with SqliteFile(SCHEMA, now="2031-05-06 07:08:09").opened(TASK, 0) as database:
        assert database.rows(f"SELECT {expression} AS value") == [{"value": value}]


def test_chance_is_the_seeds() -> None:
    def draw(seed: int) -> object:
        with SqliteFile(SCHEMA).opened(TASK, seed) as database:
            return database.rows("SELECT random() AS one, random() AS two, hex(randomblob(3)) AS blob")[0]

    first = draw(4)
    assert first == draw(4)
    assert first != draw(5)
    assert isinstance(first, dict)
    assert first["one"] != first["two"]
    assert len(first["blob"]) == 6


def test_a_transaction_keeps_all_or_nothing() -> None:
    with SqliteFile(SCHEMA).opened(TASK, 0) as database:
        with database.transaction():
            database.insert("notes", [{"text": "kept"}, {"text": "kept too"}])
        with pytest.raises(sqlite3.IntegrityError), database.transaction():
            database.insert("notes", [{"text": "lost"}, {"id": 1}])
        assert [row["text"] for row in database.state()["notes"]] == ["kept", "kept too"]


def test_closing_interrupts_a_statement_and_refuses_the_next() -> None:
    raised: list[BaseException] = []

    def work() -> None:
        for statement in (FOREVER, "SELECT 1"):
            try:
                database.rows(statement)
            except Exception as error:
                raised.append(error)

    with SqliteFile(SCHEMA).opened(TASK, 0) as database:
        worker = threading.Thread(target=work)
        worker.start()
        time.sleep(0.05)
    worker.join()
    assert isinstance(raised[0], sqlite3.OperationalError)
    assert isinstance(raised[1], ResourceClosedError)


def test_what_fill_raises_leaves_no_file(temporary: Path) -> None:
    def fill(database: Database, task: Task, seed: int) -> None:
        database.insert("nots", [{"id": 1}])

    with pytest.raises(sqlite3.OperationalError, match="nots"), SqliteFile(SCHEMA, fill=fill).opened(TASK, 0):
        pass
    assert list(temporary.iterdir()) == []


def test_a_bad_schema_or_time_is_told_when_the_class_is_made() -> None:
    with pytest.raises(EnvironmentLoadError, match='near "CRATE": syntax error'):
        SqliteFile("CRATE TABLE notes (id)")
    with pytest.raises(EnvironmentLoadError, match="now = 'noon'"):
        SqliteFile(SCHEMA, now="noon")


VALUES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text("ab'\"%?") | st.binary()


@settings(max_examples=30)
@given(rows=st.lists(st.tuples(VALUES, VALUES), max_size=6), order=st.randoms())
def test_state_does_not_depend_on_the_order_of_rows(rows: list[tuple[object, object]], order: random.Random) -> None:
    records = [{"one": one, "two": two} for one, two in rows]
    shuffled = sorted(records, key=lambda row: order.random())
    assert hash_state({"table": ordered(records)}) == hash_state({"table": ordered(shuffled)})
