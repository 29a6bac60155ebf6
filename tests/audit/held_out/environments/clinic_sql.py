"""Questions about a clinic's visits, answered in SQL."""

import random
import re

from turnwright import Task, call, say
from turnwright.environments.verifiable.queries import QueryFile
from turnwright.environments.verifiable.sql import SqlQuestions

SCHEMA = """
CREATE TABLE doctors (id INTEGER PRIMARY KEY, name TEXT NOT NULL, ward TEXT NOT NULL);
CREATE TABLE visits (id INTEGER PRIMARY KEY, doctor INTEGER NOT NULL REFERENCES doctors (id), minutes INTEGER NOT NULL);
"""
WARDS = ("eyes", "heart", "skin")
QUESTIONS = {
    "By doctor's name, how many visits on ward {ward} took more than {minutes} minutes? Leave out doctors with none.": (
        "SELECT name, count(*) FROM doctors JOIN visits ON doctor = doctors.id"
        " WHERE ward = '{ward}' AND minutes > {minutes} GROUP BY doctors.id"
    ),
    "Which doctors (names) of ward {ward} had a visit of under {minutes} minutes?": (
        "SELECT DISTINCT name FROM doctors JOIN visits ON doctor = doctors.id"
        " WHERE ward = '{ward}' AND minutes < {minutes}"
    ),
}
CASES = [(question, ward, minutes) for question in QUESTIONS for ward in WARDS for minutes in range(20, 48, 4)]
SPLITS = {"train": CASES[0::2], "validation": CASES[1::4], "test": CASES[3::4]}


def fill(database, task, seed):
    """Draw a clinic."""
    chance = random.Random(f"clinic {seed}")
    names = ("Adler", "Brun", "Costa", "Diaz", "Engel", "Falk", "Goto", "Hahn", "Ito")
    database.insert(
        "doctors",
        [{"id": number, "name": name, "ward": WARDS[number % 3]} for number, name in enumerate(names, start=1)],
    )
    database.insert(
        "visits",
        [{"id": number, "doctor": chance.randint(1, 9), "minutes": chance.randint(5, 60)} for number in range(1, 61)],
    )


class ClinicSql(SqlQuestions):
    """Answer one question about visits by a query."""

    typical_turns = 3
    resources = {"db": QueryFile(SCHEMA, fill=fill)}  # noqa: RUF012
    hidden = QueryFile(SCHEMA, fill=fill)

    def tasks(self, split):
        """Return the questions of a split."""
        return [
            Task(
                id=f"{split}-{number}",
                prompt=question.format(ward=ward, minutes=minutes),
                data={"gold_query": QUESTIONS[question].format(ward=ward, minutes=minutes)},
                split=split,
            )
            for number, (question, ward, minutes) in enumerate(SPLITS[split])
        ]

    def oracle(self, task):
        """Look at the tables, try the query, answer with it."""
        yield call("show_tables")
        for question, query in QUESTIONS.items():
            pattern = re.escape(question).replace(r"\{ward\}", r"(\w+)").replace(r"\{minutes\}", r"(\d+)")
            found = re.fullmatch(pattern, task.prompt)
            if found:
                query = query.format(ward=found[1], minutes=found[2])
                yield call("run_sql", query=query)
                yield say(f"<final_query>{query}</final_query>")
                return
