"""SupportDesk: eight tools over a database of the episode's own, and a reward that reads what is in it at the end."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal

from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError, ToolError
from turnwright.core.seeding import generator
from turnwright.core.task import Split, Task
from turnwright.environments.answers import final_answer, is_right
from turnwright.environments.gallery.sizes import split_sizes
from turnwright.environments.gallery.support_desk.clerks import Habits, work
from turnwright.environments.gallery.support_desk.generator import make_case
from turnwright.environments.gallery.support_desk.policy import POLICY
from turnwright.environments.gallery.support_desk.records import SCHEMA, Refund, changes
from turnwright.environments.gallery.support_desk.rules import finished, right_calls
from turnwright.environments.gallery.support_desk.wording import read
from turnwright.environments.resources.base import Row
from turnwright.environments.resources.database import Database
from turnwright.environments.resources.postgres import PostgresSchema
from turnwright.environments.resources.sqlite import SqliteFile
from turnwright.environments.rewards import with_format
from turnwright.environments.scripts import Script
from turnwright.environments.stateful import StatefulEnvironment
from turnwright.environments.tools import tool

LARGEST_NUMBER = 2**31
"""What a database can compare a number with; no record has a larger one."""


class SupportDesk(StatefulEnvironment):
    """Work on one ticket; what counts is the database afterwards, and what the answer says was done."""

    instructions = POLICY
    typical_turns = 7
    db: Database

    def __init__(
        self,
        *,
        database: str = "sqlite",
        dsn: str = "",
        train_tasks: int = 600,
        validation_tasks: int = 60,
        test_tasks: int = 180,
        seed: int = 0,
    ) -> None:
        """Choose the database and the tasks.

        Args:
            database: sqlite, or postgres for a schema per episode on a server that you run.
            dsn: Where the PostgreSQL database is; what is left out comes from PGHOST and its kin.
            train_tasks: Tasks in this split; the same for the other two.
            validation_tasks: Tasks on which training is watched.
            test_tasks: Tasks kept for evaluation.
            seed: Seed of the desks.
        """
        self._sizes = split_sizes("support_desk", train=train_tasks, validation=validation_tasks, test=test_tasks)
        self._seed = seed
        if database == "sqlite" and not dsn:
            self.resources = {"db": SqliteFile(SCHEMA, fill=self._fill)}
        elif database == "postgres":
            self.resources = {"db": PostgresSchema(dsn, schema=SCHEMA, fill=self._fill)}
        else:
            raise ConfigError(
                f"support_desk: database = {database!r}, dsn = {dsn!r}: expected 'sqlite' without a dsn, or 'postgres'"
            )

    def tasks(self, split: Split) -> Iterator[Task]:
        """Yield the tasks of a split; desks are made when they are asked for."""
        for index in range(self._sizes[split]):
            key = f"{split}-{index}"
            case = make_case(self._seed, key)
            yield Task(
                id=f"support-{self._seed}-{key}",
                prompt=case.prompt,
                data={
                    "key": key,
                    "gold": case.decision.fields,
                    "gold_calls": right_calls(case.request, case.desk, case.decision),
                },
                split=split,
                cluster=case.desk_hash,
            )

    @tool
    def find_customers(self, name: str) -> list[Row]:
        """Return all customers of a name, with their addresses.

        Args:
            name: First and last name.
        """
        asked = name.lower().replace("\0", "?")  # PostgreSQL has no such character
        found = self._rows("SELECT id, name, email FROM customers WHERE lower(name) = ? ORDER BY id", asked)
        if not found:
            raise ToolError(f"no customer is called {name!r}")
        return found

    @tool
    def get_customer(self, customer: int) -> Row:
        """Return a customer's tier and subscription.

        Args:
            customer: Number of the customer.
        """
        return self._one(
            "SELECT id, name, email, tier, plan, balance_due, changed_on FROM customers "
            "JOIN subscriptions ON customer = id WHERE id = ?",
            customer,
            f"customer {customer}",
        )

    @tool
    def get_orders(self, customer: int) -> list[Row]:
        """Return all orders of a customer.

        Args:
            customer: Number of the customer.
        """
        self._one("SELECT id FROM customers WHERE id = ?", customer, f"customer {customer}")
        return self._rows(
            "SELECT id, item, clearance, ordered_on, delivered_on FROM orders WHERE customer = ? ORDER BY id", customer
        )

    @tool
    def get_payments(self, order: int) -> Row:
        """Return what was paid for an order, the state of a chargeback, and earlier refunds.

        Args:
            order: Number of the order.
        """
        payment = self._one("SELECT id, paid, chargeback FROM orders WHERE id = ?", order, f"order {order}")
        refunds = self._rows("SELECT ticket, amount, paid_on FROM refunds WHERE order_id = ? ORDER BY ticket", order)
        return {**payment, "refunds": refunds}

    @tool
    def refund(self, ticket: int, order: int, amount: int) -> str:
        """Pay money back, once per ticket and order.

        Args:
            ticket: Number of the ticket it is paid for.
            order: Number of the order.
            amount: Whole euros.
        """
        day = self._open_ticket(ticket)["received_on"]
        payment = self.get_payments(order)
        left = payment["paid"] - sum(one["amount"] for one in payment["refunds"])
        if any(one["ticket"] == ticket for one in payment["refunds"]):
            raise ToolError(f"ticket {ticket} has its refund on order {order}")
        if not 0 < amount <= left:
            raise ToolError(f"the amount must be from 1 to {left}, which is what is left of order {order}")
        row = Refund(order_id=order, ticket=ticket, amount=amount, paid_on=day)
        self.db.insert("refunds", [asdict(row)])
        return f"refunded {amount} on order {order}"

    @tool
    def change_plan(self, ticket: int, customer: int, plan: Literal["none", "basic", "plus", "pro"]) -> str:
        """Put a customer on another plan from today on.

        Args:
            ticket: Number of the ticket that asks for it.
            customer: Number of the customer.
            plan: The new plan.
        """
        day = self._open_ticket(ticket)["received_on"]
        self.get_customer(customer)
        self._change("UPDATE subscriptions SET plan = ?, changed_on = ? WHERE customer = ?", plan, day, customer)
        return f"customer {customer} has the plan {plan}"

    @tool
    def escalate(self, ticket: int, queue: Literal["disputes", "approvals", "logistics", "billing"]) -> str:
        """Hand an open ticket over to specialists.

        Args:
            ticket: Number of the ticket.
            queue: Whose it is from now on.
        """
        self._open_ticket(ticket)
        self._change(
            "UPDATE tickets SET status = 'escalated', outcome = 'escalated', queue = ? WHERE id = ?", queue, ticket
        )
        return f"ticket {ticket} escalated to {queue}"

    @tool
    def close_ticket(
        self,
        ticket: int,
        outcome: Literal[
            "unverified",
            "no_order",
            "already_refunded",
            "on_its_way",
            "delivered",
            "declined",
            "refunded",
            "nothing_to_do",
            "plan_changed",
        ],
    ) -> str:
        """Close an open ticket; the customer gets the reply that belongs to the outcome.

        Args:
            ticket: Number of the ticket.
            outcome: What came of it.
        """
        self._open_ticket(ticket)
        self._change("UPDATE tickets SET status = 'closed', outcome = ? WHERE id = ?", outcome, ticket)
        return f"ticket {ticket} closed as {outcome}"

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return the share of right entries among what the database should have changed and the fields of the answer.

        Any other change of the database (money paid where none is due, another customer's plan, another ticket) makes
        it 0. An episode without a readable answer loses 0.1.
        """
        case = make_case(self._seed, episode.task.data["key"])
        before = case.desk.tables()
        wanted = changes(before, finished(case.request, case.desk, case.decision))
        made = changes(before, self.state_of("db"))
        own = ("tickets", (case.request.ticket,))
        collateral = any(cell not in wanted and cell[:2] != own for cell in made)
        answer, gold = final_answer(episode), case.decision.fields
        given = answer or {}
        fields = sum(name in given and is_right(given[name], value) for name, value in gold.items())
        state = sum(cell in made and made[cell] == value for cell, value in wanted.items())
        asked = len(gold.keys() | given.keys())
        accuracy = {
            "total": 0.0 if collateral else (state + fields) / (len(wanted) + asked),
            "state": state / len(wanted),
            "fields": fields / asked,
            "clean": float(not collateral),
        }
        return with_format(accuracy, emitted=answer is not None)

    def oracle(self, task: Task) -> Script:
        """Follow the policy to the letter."""
        return work(read(task.prompt), Habits())

    def new_colleague(self, task: Task, seed: int) -> Script:
        """Work as somebody new whose habits, each of which rests now and then, are drawn per task and seed.

        The first customer of a name is taken for the sender, payments are not looked into, and vip customers are
        treated as any others.
        """
        random = generator("support_desk.new_colleague", seed, task.id)
        names, payments, vip = (random.random() < 0.65 for _ in range(3))
        return work(read(task.prompt), Habits(trusts_names=names, skips_payments=payments, forgets_vip=vip))

    def _fill(self, database: Database, task: Task, seed: int) -> None:
        """Put the rows of a task into its database."""
        for table, rows in make_case(self._seed, task.data["key"]).desk.tables().items():
            database.insert(table, rows)

    def _rows(self, sql: str, *parameters: object) -> list[Row]:
        return self.db.rows(sql.replace("?", self.db.placeholder), parameters)

    def _change(self, sql: str, *parameters: object) -> None:
        self.db.change(sql.replace("?", self.db.placeholder), parameters)

    def _one(self, sql: str, key: int, wanted: str) -> Row:
        rows = self._rows(sql, key) if 0 <= key < LARGEST_NUMBER else []
        if not rows:
            raise ToolError(f"no {wanted}")
        return rows[0]

    def _open_ticket(self, ticket: int) -> Row:
        row = self._one("SELECT * FROM tickets WHERE id = ?", ticket, f"ticket {ticket}")
        if row["status"] != "open":
            raise ToolError(f"ticket {ticket} is {row['status']} already")
        return row
