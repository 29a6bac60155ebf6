"""A support desk on SQLite: work on one ticket, by tools that read and change rows; what counts is the final state."""

import json
import random
from typing import Any

from turnwright import Episode, Script, Task, ToolError, call, say, tool
from turnwright.core.seeding import generator
from turnwright.core.task import Split
from turnwright.environments.resources.database import Database
from turnwright.environments.resources.sqlite import SqliteDatabase, SqliteFile
from turnwright.environments.stateful import StatefulEnvironment

SIZES: dict[Split, int] = {"train": 240, "validation": 60, "test": 120}
AGENTS = ("ana", "bo", "cem")
PLANS = ("gold", "basic")
TOPICS = ("refund", "outage", "question")

SCHEMA = """
CREATE TABLE customers (id TEXT PRIMARY KEY, plan TEXT NOT NULL);
CREATE TABLE agents (id TEXT PRIMARY KEY);
CREATE TABLE tickets (
  id INTEGER PRIMARY KEY,
  customer TEXT NOT NULL REFERENCES customers (id),
  topic TEXT NOT NULL,
  paid INTEGER NOT NULL,
  status TEXT NOT NULL,
  agent TEXT REFERENCES agents (id)
);
CREATE TABLE refunds (ticket INTEGER PRIMARY KEY REFERENCES tickets (id), amount INTEGER NOT NULL);
INSERT INTO agents VALUES ('ana'), ('bo'), ('cem');
"""

INSTRUCTIONS = """\
You work at a support desk. You are given one ticket.

1. Call get_ticket. It gives the customer, the topic and what was paid.
2. Topic refund: call get_customer. Plan gold gets all that was paid, plan basic gets half.
   Call refund, then close_ticket.
   Topic outage: call workload, then assign the ticket to the agent with the fewest open tickets; leave it open.
   Topic question: call close_ticket.
3. Say done. Change nothing else."""

Tables = dict[str, list[dict[str, Any]]]


def fill(database: Database, task: Task, seed: int) -> None:
    """Put the rows of a task into its database."""
    for table, rows in task.data["tables"].items():
        database.insert(table, rows)


class SqlDesk(StatefulEnvironment):
    """Work on one ticket; the database must end as the procedure says, down to the last row."""

    instructions = INSTRUCTIONS
    typical_turns = 5
    resources = {"db": SqliteFile(SCHEMA, fill=fill)}  # noqa: RUF012 - nobody changes it
    db: SqliteDatabase

    def tasks(self, split: Split) -> list[Task]:
        """Return tasks that each bring a desk of their own."""
        return [make_task(split, index) for index in range(SIZES[split])]

    @tool
    def get_ticket(self, ticket: int) -> dict[str, Any]:
        """Return a ticket: customer, topic, what was paid, status, agent."""
        return self._one("SELECT * FROM tickets WHERE id = ?", ticket, f"ticket {ticket}")

    @tool
    def get_customer(self, customer: str) -> dict[str, Any]:
        """Return a customer and the plan."""
        return self._one("SELECT * FROM customers WHERE id = ?", customer, f"customer {customer}")

    @tool
    def workload(self) -> dict[str, int]:
        """Return how many open tickets each agent has."""
        rows = self.db.rows(
            "SELECT agents.id, count(tickets.id) AS open FROM agents"
            " LEFT JOIN tickets ON tickets.agent = agents.id AND tickets.status = 'open' GROUP BY agents.id ORDER BY 1"
        )
        return {row["id"]: row["open"] for row in rows}

    @tool
    def refund(self, ticket: int, amount: int) -> str:
        """Pay an amount back, once per ticket."""
        paid = self.get_ticket(ticket)["paid"]
        if not 0 < amount <= paid:
            raise ToolError(f"amount must be between 1 and {paid}")
        if self.db.rows("SELECT 1 FROM refunds WHERE ticket = ?", [ticket]):
            raise ToolError(f"ticket {ticket} has its refund")
        self.db.insert("refunds", [{"ticket": ticket, "amount": amount}])
        return "refunded"

    @tool
    def assign(self, ticket: int, agent: str) -> str:
        """Hand a ticket to an agent."""
        self._one("SELECT * FROM agents WHERE id = ?", agent, f"agent {agent}")
        if not self.db.change("UPDATE tickets SET agent = ? WHERE id = ?", [agent, ticket]):
            raise ToolError(f"no ticket {ticket}")
        return "assigned"

    @tool
    def close_ticket(self, ticket: int) -> str:
        """Close a ticket."""
        if not self.db.change("UPDATE tickets SET status = 'closed' WHERE id = ?", [ticket]):
            raise ToolError(f"no ticket {ticket}")
        return "closed"

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return 1 when every table is as it should be; how many are, is for the metrics."""
        expected = finished(episode.task.data["tables"], episode.task.data["asked"])
        state = self.state_of("db")
        right = [list(state[table]) == rows for table, rows in expected.items()]
        return {"right_tables": sum(right) / len(right), "total": float(all(right))}

    def oracle(self, task: Task) -> Script:
        """Follow the instructions."""
        asked = int(task.prompt.removeprefix("ticket: "))
        (found,) = yield call("get_ticket", ticket=asked)
        ticket = json.loads(found.content)
        if ticket["topic"] == "refund":
            (found,) = yield call("get_customer", customer=ticket["customer"])
            whole = json.loads(found.content)["plan"] == "gold"
            yield call("refund", ticket=asked, amount=ticket["paid"] if whole else ticket["paid"] // 2)
        if ticket["topic"] == "outage":
            (found,) = yield call("workload")
            workload = json.loads(found.content)
            yield call("assign", ticket=asked, agent=min(workload, key=workload.__getitem__))
        else:
            yield call("close_ticket", ticket=asked)
        yield say("done")

    def _one(self, sql: str, key: object, name: str) -> dict[str, Any]:
        rows = self.db.rows(sql, [key])
        if not rows:
            raise ToolError(f"no {name}")
        return rows[0]


def make_task(split: Split, index: int) -> Task:
    """Draw a desk, and ask for one of its tickets."""
    chance = generator("sql_desk", split, index)
    customers = [{"id": f"C{number}", "plan": chance.choice(PLANS)} for number in sorted(chance.sample(range(100), 3))]
    asked, *others = chance.sample(range(1, 100), 7)
    tickets = [_ticket(chance, asked, customers, agent=None)]
    # One, two and three open tickets: one agent has the fewest.
    loads = [agent for load, agent in enumerate(chance.sample(AGENTS, 3), start=1) for _ in range(load)]
    tickets += [_ticket(chance, number, customers, agent) for number, agent in zip(others, loads, strict=True)]
    tables: Tables = {"customers": customers, "tickets": tickets}
    return Task(id=f"{split}-{index}", prompt=f"ticket: {asked}", data={"tables": tables, "asked": asked}, split=split)


def finished(tables: Tables, asked: int) -> Tables:
    """Return the tables as the procedure leaves them, worked out from the rows and not from what the tools do."""
    plans = {customer["id"]: customer["plan"] for customer in tables["customers"]}
    tickets = {ticket["id"]: dict(ticket) for ticket in tables["tickets"]}
    ticket, refunds = tickets[asked], []
    if ticket["topic"] == "outage":
        agents = [other["agent"] for other in tables["tickets"]]
        ticket["agent"] = min(AGENTS, key=agents.count)
    else:
        ticket["status"] = "closed"
    if ticket["topic"] == "refund":
        refunds = [{"ticket": asked, "amount": ticket["paid"] // {"gold": 1, "basic": 2}[plans[ticket["customer"]]]}]
    return {
        "agents": [{"id": agent} for agent in AGENTS],
        "customers": sorted(tables["customers"], key=lambda customer: customer["id"]),
        "refunds": refunds,
        "tickets": [tickets[number] for number in sorted(tickets)],
    }


def _ticket(chance: random.Random, number: int, customers: list[dict[str, Any]], agent: str | None) -> dict[str, Any]:
    return {
        "id": number,
        "customer": chance.choice(customers)["id"],
        "topic": chance.choice(TOPICS),
        "paid": 2 * chance.randint(1, 50),
        "status": "open",
        "agent": agent,
    }
