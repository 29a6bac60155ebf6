"""SQL: questions about a small shop, answered by a query that must also be right on rows it has not seen."""

import re

from turnwright import Script, Task, call, say
from turnwright.core.seeding import generator
from turnwright.core.task import Split
from turnwright.environments.resources.database import Database
from turnwright.environments.verifiable.queries import QueryFile
from turnwright.environments.verifiable.sql import SqlQuestions

SIZES: dict[Split, int] = {"train": 160, "validation": 40, "test": 80}
CITIES = ("Oslo", "Lima", "Turin", "Kyoto")

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  customer INTEGER NOT NULL REFERENCES customers (id),
  amount INTEGER NOT NULL,
  paid INTEGER NOT NULL
);
"""

QUESTIONS = {
    "How much did customers from {city} order in all, by name? Leave out orders under {least}.": (
        "SELECT name, sum(amount) FROM customers JOIN orders ON customer = customers.id"
        " WHERE city = '{city}' AND amount >= {least} GROUP BY customers.id"
    ),
    "Which customers (by name) from {city} have no unpaid order of {least} or more?": (
        "SELECT name FROM customers WHERE city = '{city}' AND id NOT IN"
        " (SELECT customer FROM orders WHERE NOT paid AND amount >= {least})"
    ),
    "How many paid orders of at least {least} are there from cities other than {city}, by city?": (
        "SELECT city, count(*) FROM customers JOIN orders ON customer = customers.id"
        " WHERE city <> '{city}' AND paid AND amount >= {least} GROUP BY city"
    ),
}


def fill(database: Database, task: Task, seed: int) -> None:
    """Draw a shop of the episode's own; the hidden one is drawn with another seed."""
    chance = generator("sales.rows", seed)
    names = [f"{first}{last}" for first in ("An", "Bo", "Ce", "Di") for last in ("na", "ri", "lo")]
    database.insert(
        "customers",
        ({"id": number, "name": name, "city": chance.choice(CITIES)} for number, name in enumerate(names, start=1)),
    )
    database.insert(
        "orders",
        (
            {
                "id": number,
                "customer": chance.randint(1, 12),
                "amount": chance.randint(1, 99),
                "paid": chance.randint(0, 1),
            }
            for number in range(1, 61)
        ),
    )


class Sales(SqlQuestions):
    """Answer a question about the shop by one query."""

    typical_turns = 3
    resources = {"db": QueryFile(SCHEMA, fill=fill)}  # noqa: RUF012 - nobody changes it
    hidden = QueryFile(SCHEMA, fill=fill)

    def tasks(self, split: Split) -> list[Task]:
        """Return questions that no other split has."""
        values = [(question, city, least) for question in QUESTIONS for city in CITIES for least in range(20, 60)]
        generator("sales").shuffle(values)
        first = sum(SIZES[earlier] for earlier in list(SIZES)[: list(SIZES).index(split)])
        return [
            Task(
                id=f"{split}-{number}",
                prompt=question.format(city=city, least=least),
                data={"gold_query": QUESTIONS[question].format(city=city, least=least)},
                split=split,
            )
            for number, (question, city, least) in enumerate(values[first : first + SIZES[split]])
        ]

    def oracle(self, task: Task) -> Script:
        """Look at the tables, try the query, answer with it."""
        query = next(filter(None, (read_question(task.prompt, question) for question in QUESTIONS)))
        yield call("show_tables")
        yield call("run_sql", query=query)
        yield say(f"<final_query>{query}</final_query>")


def read_question(prompt: str, question: str) -> str:
    """Return the query that answers a prompt made from a question; empty if it is made from another one."""
    pattern = re.escape(question).replace(r"\{city\}", r"(?P<city>\w+)").replace(r"\{least\}", r"(?P<least>\d+)")
    found = re.fullmatch(pattern, prompt)
    return QUESTIONS[question].format(**found.groupdict()) if found else ""
