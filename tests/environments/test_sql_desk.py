"""The example on SQLite is solved by its oracle, and by nothing that leaves one row wrong."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from turnwright.audit.play import play
from turnwright.core.message import Message
from turnwright.core.outcome import Rewarded
from turnwright.core.task import Split, Task
from turnwright.environments import Script, call, load_environment, say
from turnwright.environments.scripts import numbered

DESK = load_environment(f"{Path(__file__).parents[2] / 'examples' / 'sql_desk' / 'environment.py'}:SqlDesk")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def ticket_of(task: Task) -> dict[str, object]:
    return task.data["tables"]["tickets"][0]


def task_of(topic: str) -> Task:
    return next(task for task in DESK.tasks("test") if ticket_of(task)["topic"] == topic)


def outcome_of(task: Task, script: Script) -> Rewarded:
    outcome = asyncio.run(play(DESK, task, script, seed=0)).outcome
    assert isinstance(outcome, Rewarded)
    return outcome


def solution_and(task: Task, *more: Message) -> Script:
    """Do what the oracle does, then more."""
    script, responses = DESK.scripted("oracle")(task, 0), ()
    message = next(script)
    while message.tool_calls:
        responses = yield message
        message = script.send(responses)
    yield from numbered([*more, say("done")])


def test_oracle_solves_every_ticket() -> None:
    tasks = [task for split in SPLITS for task in DESK.tasks(split)]
    assert len({task.id for task in tasks}) == len(tasks) == 420
    assert all(outcome_of(task, DESK.scripted("oracle")(task, 0)).value == 1.0 for task in tasks[::6])
    assert min(Counter(ticket_of(task)["topic"] for task in tasks).values()) > 100


@pytest.mark.parametrize("topic", ["refund", "outage", "question"])
def test_what_is_left_undone_or_done_besides_is_not_solved(topic: str) -> None:
    task = task_of(topic)
    other = task.data["tables"]["tickets"][1]["id"]
    assert outcome_of(task, numbered(solution_and(task))).value == 1.0
    assert outcome_of(task, numbered([say("done")])).value == 0.0
    assert outcome_of(task, numbered(solution_and(task, call("close_ticket", ticket=other)))).value == 0.0
    assert outcome_of(task, numbered(solution_and(task, call("assign", ticket=other, agent="nobody")))).value == 1.0


def test_a_wrong_amount_leaves_one_table_wrong() -> None:
    task = task_of("refund")
    calls = [call("refund", ticket=task.data["asked"], amount=1), call("close_ticket", ticket=task.data["asked"])]
    outcome = outcome_of(task, numbered([*calls, say("done")]))
    assert (outcome.value, outcome.components) == (0.0, {"right_tables": 0.75})


def test_refusals_are_answers() -> None:
    task = task_of("refund")
    asked, paid = task.data["asked"], ticket_of(task)["paid"]
    script = [
        call("get_ticket", ticket=100),
        call("get_customer", customer="nobody"),
        call("refund", ticket=asked, amount=0),
        call("refund", ticket=asked, amount=paid),
        call("refund", ticket=asked, amount=paid),
        say("done"),
    ]
    episode = asyncio.run(play(DESK, task, numbered(script), seed=0))
    assert [turn.responses[0].content for turn in episode.turns[:-1]] == [
        '{"error": "no ticket 100"}',
        '{"error": "no customer nobody"}',
        f'{{"error": "amount must be between 1 and {paid}"}}',
        "refunded",
        f'{{"error": "ticket {asked} has its refund"}}',
    ]
