"""SQL of a policy: contained on its own copy, and right by what it gives, on rows it has not seen too."""

import asyncio
import tempfile
import threading
from pathlib import Path

import pytest

from turnwright.audit.play import play
from turnwright.core.errors import ToolError
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Outcome, Rewarded
from turnwright.core.task import Split, Task
from turnwright.environments import call, say
from turnwright.environments.resources.base import ResourceClosedError
from turnwright.environments.resources.database import Database
from turnwright.environments.scripts import numbered
from turnwright.environments.verifiable.queries import QueryFile, QueryLimits, Table, separate
from turnwright.environments.verifiable.sql import SqlQuestions

SCHEMA = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, amount REAL);
INSERT INTO orders VALUES (1, 'ana', 10), (2, 'bo', 20), (3, 'ana', 5.5);
"""
LIMITS = QueryLimits(operations=200_000, rows=5, value_bytes=10_000, cell_characters=20, database_bytes=1 << 20)
FOREVER = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
GOLD = "SELECT customer, sum(amount) FROM orders GROUP BY customer"
TASK = Task(id="t", prompt="How much did each customer order?", data={"gold_query": GOLD})


def more_orders(database: Database, task: Task, seed: int) -> None:
    database.insert("orders", [{"id": 4, "customer": "cem", "amount": 1}])


class Sales(SqlQuestions):
    """Asks for sums."""

    resources = {"db": QueryFile(SCHEMA)}  # noqa: RUF012 - nobody changes it
    hidden = QueryFile(SCHEMA, fill=more_orders)
    limits = LIMITS

    def tasks(self, split: Split) -> list[Task]:
        return [TASK]


class Bookings(Sales):
    """Asks for changes."""

    access = "change"
    compared = "state"


def outcome(environment: SqlQuestions, *replies: Message, task: Task = TASK) -> Outcome:
    return asyncio.run(play(environment, task, numbered(replies), seed=0)).outcome


def value(environment: SqlQuestions, query: str, task: Task = TASK) -> float:
    graded = outcome(environment, say(f"<final_query>{query}</final_query>"), task=task)
    assert isinstance(graded, Rewarded)
    return graded.value


@pytest.fixture
def database():
    with QueryFile(SCHEMA).opened(TASK, 0) as opened:
        yield opened


@pytest.mark.parametrize("access", ["read", "change"])
@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("ATTACH 'other.db' AS other", "not allowed: ATTACH"),
        ("ATTACH DATABASE '/etc/passwd' AS other", "not allowed: ATTACH"),
        ("VACUUM INTO 'copy.db'", "not allowed"),
        ("VACUUM", "not allowed"),
        ("DETACH main", "not allowed"),
        ("PRAGMA writable_schema = 1", "not allowed: this PRAGMA"),
        ("SELECT * FROM pragma_database_list", "not allowed"),
        ("SELECT load_extension('libc.so')", "not allowed: load_extension"),
        ("SELECT writefile('x', 'y')", "no such function: writefile"),
        ("SELECT readfile('/etc/passwd')", "no such function: readfile"),
        ("SELECT length(randomblob(2000000000))", "not allowed: randomblob"),
        ("SELECT length(hex(zeroblob(2000000000)))", "too big"),
        ("SELECT length(printf('%.*c', 2000000000, 'x'))", "widths up to 1000"),
        ("SELECT format('%02000000000d', 1)", "widths up to 1000"),
        ("SELECT length(replace(hex(zeroblob(4000)), '0', hex(zeroblob(4000))))", "too big"),
        ("SELECT 'x' LIKE hex(zeroblob(4000))", "too complex"),
        (FOREVER, "takes too long"),
        ("SELECT count(*) FROM " + ", ".join(f"orders {letter}" for letter in "abcdefghijklm"), "takes too long"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("BEGIN", "not allowed: a transaction"),
        ("SAVEPOINT s", "not allowed: a savepoint"),
        ("CREATE VIRTUAL TABLE v USING fts5(x)", "not allowed"),
        ("CREATE TEMP TABLE t (x)", "not allowed"),
        ("UPDATE sqlite_schema SET sql = ''", "may not be modified"),
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELEC 1", "syntax error"),
        ("SELECT ?", "[Bb]inding"),
        ("SELECT '\0'", "null|unrecognized token"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_is_refused_is_told_and_changes_nothing(database, access, sql: str, told: str):
    before = database.state()
    if sql:
        with pytest.raises(ToolError, match=told):
            database.query(sql, access=access, limits=LIMITS)
    assert database.state() == before
    # The guard is gone again: the environment's own statements are free.
    database.rows("PRAGMA table_info(orders)")
    with database.transaction():
        assert database.change("UPDATE orders SET amount = amount") == 3


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM orders", "INSERT INTO orders (id) VALUES (9)", "UPDATE orders SET amount = 0", "DROP TABLE orders",
     "CREATE TABLE x (y)", "ALTER TABLE orders RENAME TO x",
     "CREATE TRIGGER t AFTER INSERT ON orders BEGIN SELECT 1; END",
     "WITH x AS (SELECT 1) DELETE FROM orders", "REPLACE INTO orders (id) VALUES (1) RETURNING id"],
)  # fmt: skip
def test_only_a_copy_to_change_is_changed(database, sql: str):
    before = database.state()
    with pytest.raises(ToolError, match="only SELECT"):
        database.query(sql, access="read", limits=LIMITS)
    assert database.state() == before
    database.query(sql, access="change", limits=LIMITS)
    assert database.rows("SELECT sql FROM sqlite_schema") != [] or sql.startswith("DROP")


def test_a_database_grows_only_so_far(database):
    fill = "WITH RECURSIVE n(x) AS (SELECT 10 UNION ALL SELECT x + 1 FROM n LIMIT 900) INSERT INTO orders SELECT x,"
    with pytest.raises(ToolError, match="full"):
        database.query(f"{fill} hex(zeroblob(4000)), 0 FROM n", access="change", limits=LIMITS)
    assert len(database.state()["orders"]) == 3


def test_answers_are_cut_with_a_notice(database):
    numbers = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 9) SELECT x, hex(zeroblob(x)) FROM n"
    )
    shown = database.query(numbers, access="read", limits=LIMITS).shown(4)
    assert shown["rows"][:3] == [[1, "00"], [2, "0000"], [3, "0000..."]]
    assert (len(shown["rows"]), shown["notice"]) == (5, "only the first 5 rows are shown")
    assert database.query("SELECT 1 AS a, 2 AS a, x'ff', 9e999", access="read", limits=LIMITS).shown(9) == {
        "columns": ["a", "a", "x'ff'", "9e999"],
        "rows": [[1, 2, "ff", "inf"]],
    }
    large = QueryLimits(answer_bytes=100, rows=1000)
    assert len(database.query(numbers, access="read", limits=large).rows) == 9
    cut = database.query(numbers.replace("zeroblob(x)", "zeroblob(40)"), access="read", limits=large)
    assert (len(cut.rows), cut.complete) == (2, False)
    assert database.query("DELETE FROM orders", access="change", limits=LIMITS).shown(9) == {"changed_rows": 3}


def test_closing_ends_the_statement_of_a_policy():
    endless = QueryLimits(operations=10**15, seconds=600)
    raised: list[BaseException] = []
    with QueryFile(SCHEMA).opened(TASK, 0) as opened:
        begun = threading.Event()

        def run() -> None:
            begun.set()
            try:
                opened.query(FOREVER, access="read", limits=endless)
            except ResourceClosedError as error:
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        begun.wait()
    thread.join(20)
    assert len(raised) == 1


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("SELECT value FROM json_each('[7]')", (7,)),
        ("SELECT name FROM pragma_table_info('orders')", ("id",)),
        ("PRAGMA table_info(orders)", (0, "id", "INTEGER", 0, None, 1)),
        ("VALUES (1)", (1,)),
        ("-- a comment\nSELECT datetime('now')", ("2024-01-01 00:00:00",)),
        ("SELECT sum(amount) OVER (ORDER BY id) FROM orders", (10.0,)),
    ],
)
def test_what_only_reads_is_allowed(database, sql: str, row: tuple[object, ...]):
    before = database.state()
    assert database.query(sql, access="read", limits=LIMITS).rows[0] == row
    assert database.state() == before


def test_printf_is_that_of_sqlite(database):
    (row,) = database.query(
        "SELECT printf('%05.1f|%-4s|%,d|%%', 3.14159, 'a', 1234567)", access="read", limits=LIMITS
    ).rows
    assert row == ("003.1|a   |1,234,567|%",)


def table(*rows: tuple[object, ...]) -> Table:
    return Table(columns=("a",) * len(rows[0]), rows=rows)


def test_rows_are_compared_as_bags_or_in_order():
    rows = table((1, "x"), (2, "y"), (2, "y"))
    assert rows.same_rows(table((2, "y"), (1, "x"), (2, "y")), ordered=False)
    assert not rows.same_rows(table((2, "y"), (1, "x"), (2, "y")), ordered=True)
    assert not rows.same_rows(table((1, "x"), (2, "y")), ordered=False)
    assert not rows.same_rows(table((1, "x"), (1, "x"), (2, "y")), ordered=False)
    assert not rows.same_rows(table(("x", 1), ("y", 2), ("y", 2)), ordered=False)
    assert table((0.1 + 0.2, 1)).same_rows(table((0.3, 1.0)), ordered=True)
    assert not table(("1",)).same_rows(table((1,)), ordered=True)
    assert not table((None,)).same_rows(table((0,)), ordered=True)
    assert not Table(columns=("a",), rows=()).same_rows(Table(columns=("a", "b"), rows=()), ordered=False)


def test_scripts_are_parted_where_statements_end():
    assert separate("INSERT INTO a VALUES (';'); -- ;\nDELETE FROM a") == [
        "INSERT INTO a VALUES (';');",
        "-- ;\nDELETE FROM a;",
    ]
    assert len(separate("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END; SELECT 3;")) == 2
    assert separate(" ; ;") == []


@pytest.mark.parametrize(
    ("query", "reward"),
    [
        (GOLD, 1.0),
        ("SELECT customer AS name, total(amount) FROM orders GROUP BY 1 ORDER BY 2 DESC", 1.0),
        ("```sql\n" + GOLD + "\n```", 1.0),
        (GOLD + ";", 1.0),
        ("SELECT 'ana', 15.5 UNION ALL SELECT 'bo', 20", 0.0),
        ("SELECT customer, sum(amount) FROM orders WHERE customer <> 'cem' GROUP BY customer", 0.0),
        ("SELECT sum(amount), customer FROM orders GROUP BY customer", 0.0),
        ("SELECT customer, sum(amount), 1 FROM orders GROUP BY customer", 0.0),
        ("SELECT DISTINCT customer FROM orders", 0.0),
        ("SELECT * FROM nowhere", 0.0),
        ("DELETE FROM orders", 0.0),
        (FOREVER, 0.0),
        ("", 0.0),
    ],
)
def test_a_query_is_right_by_what_it_gives_on_rows_it_has_not_seen(query: str, reward: float):
    assert value(Sales(), query) == reward


def test_order_counts_where_the_task_says_so():
    gold = "SELECT id FROM orders ORDER BY amount"
    task = Task(id="t", prompt="", data={"gold_query": gold, "ordered": True})
    assert value(Sales(), gold, task) == 1.0
    assert value(Sales(), "SELECT id FROM orders ORDER BY id", task) == 0.0


@pytest.mark.parametrize(
    "reply",
    [GOLD, f"<think><final_query>{GOLD}</final_query></think> done", f"<final_query>{GOLD}</final_query>" * 2,
     f"<final_query>{GOLD}", f"<sql>{GOLD}</sql>", "<final_query>" + "-" * 20_001 + "</final_query>"],
)  # fmt: skip
def test_only_one_block_outside_the_reasoning_is_read(reply: str):
    assert outcome(Sales(), say(reply)) == Rewarded(value=0.0, components={"emitted": 0.0, "runs": 0.0})


def test_what_is_done_to_the_copy_does_not_count():
    replies = [
        call("run_sql", query="DELETE FROM orders WHERE customer = 'ana'"),
        say(f"<final_query>{GOLD}</final_query>"),
    ]
    assert outcome(Sales(), *replies) == Rewarded(value=1.0, components={"emitted": 1.0, "runs": 1.0})

    class Changing(Sales):
        access = "change"

    assert outcome(Changing(), *replies) == Rewarded(value=1.0, components={"emitted": 1.0, "runs": 1.0})


@pytest.mark.parametrize(
    ("query", "reward"),
    [
        ("DELETE FROM orders WHERE customer = 'ana'; UPDATE orders SET amount = 0 WHERE id = 2", 1.0),
        ("UPDATE orders SET amount = iif(id = 2, 0, amount); DELETE FROM orders WHERE customer LIKE 'ana'", 1.0),
        ("DELETE FROM orders; INSERT INTO orders VALUES (2, 'bo', 0)", 0.0),
        ("DELETE FROM orders WHERE customer = 'ana'", 0.0),
        (
            "DELETE FROM orders WHERE customer = 'ana'; UPDATE orders SET amount = 0 WHERE id = 2; CREATE TABLE x (y)",
            0.0,
        ),
        ("DELETE FROM orders WHERE customer = 'ana'; ROLLBACK", 0.0),
    ],
)
def test_statements_are_right_by_the_state_they_leave(query: str, reward: float):
    gold = "DELETE FROM orders WHERE customer = 'ana'; UPDATE orders SET amount = 0 WHERE id = 2"
    assert value(Bookings(), query, Task(id="t", prompt="", data={"gold_query": gold})) == reward


def test_a_gold_query_that_does_not_run_fails_the_episode():
    task = Task(id="t", prompt="", data={"gold_query": "SELECT 1 FROM nowhere"})
    graded = outcome(Sales(), say(f"<final_query>{GOLD}</final_query>"), task=task)
    assert isinstance(graded, Failed)
    assert "gold query of task 't' does not run: no such table" in graded.detail


def test_tools_tell_the_tables_and_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = numbered([call("show_tables"), call("run_sql", query="SELECT count(*) FROM orders"), say("done")])
    episode = asyncio.run(play(Sales(), TASK, script, seed=0))
    tables, rows = (turn.responses[0].content for turn in episode.turns[:2])
    assert "CREATE TABLE orders" in tables
    assert rows == '{"columns": ["count(*)"], "rows": [[3]]}'
    assert list(tmp_path.iterdir()) == []
