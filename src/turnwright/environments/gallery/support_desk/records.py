"""What the support desk's database holds, as records, and the tables they are kept in.

Days are ISO dates (``2031-04-18``); as text they are in order of time. Amounts are whole euros.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turnwright.environments.resources.base import Row

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, tier TEXT NOT NULL);
CREATE TABLE subscriptions (
  customer INTEGER PRIMARY KEY REFERENCES customers (id),
  plan TEXT NOT NULL,
  balance_due INTEGER NOT NULL,
  changed_on TEXT NOT NULL
);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  customer INTEGER NOT NULL REFERENCES customers (id),
  item TEXT NOT NULL,
  clearance TEXT NOT NULL,
  paid INTEGER NOT NULL,
  ordered_on TEXT NOT NULL,
  delivered_on TEXT,
  chargeback TEXT NOT NULL
);
CREATE TABLE tickets (
  id INTEGER PRIMARY KEY,
  sender TEXT NOT NULL,
  received_on TEXT NOT NULL,
  status TEXT NOT NULL,
  outcome TEXT NOT NULL,
  queue TEXT NOT NULL
);
CREATE TABLE refunds (
  order_id INTEGER NOT NULL REFERENCES orders (id),
  ticket INTEGER NOT NULL,
  amount INTEGER NOT NULL,
  paid_on TEXT NOT NULL,
  PRIMARY KEY (order_id, ticket)
);
"""
"""For SQLite and PostgreSQL alike."""

KEYS: Mapping[str, Sequence[str]] = {
    "customers": ("id",),
    "subscriptions": ("customer",),
    "orders": ("id",),
    "tickets": ("id",),
    "refunds": ("order_id", "ticket"),
}
"""By table, in an order in which rows can be inserted: the columns that name a row."""

Tables = Mapping[str, Sequence[Row]]
Cells = Mapping[tuple[Any, ...], object]
"""What changed: value by (table, key, column), and the whole row by (table, key) where one came or went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """One customer; names are not unique, addresses are."""

    id: int
    name: str
    email: str
    tier: str
    """standard or vip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A customer's plan."""

    customer: int
    plan: str
    balance_due: int
    changed_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order of one item."""

    id: int
    customer: int
    item: str
    clearance: str
    """yes or no."""
    paid: int
    ordered_on: str
    delivered_on: str | None
    chargeback: str
    """none, or how a dispute at the customer's bank stands: open, won (we kept the money) or lost (it went back)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money paid back on one order, for one ticket."""

    order_id: int
    ticket: int
    amount: int
    paid_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One ticket."""

    id: int
    sender: str
    received_on: str
    status: str = "open"
    """open, closed or escalated."""
    outcome: str = "none"
    queue: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Everything the database of one task begins with."""

    customers: tuple[Customer, ...]
    subscriptions: tuple[Subscription, ...]
    orders: tuple[Order, ...]
    tickets: tuple[Ticket, ...]
    refunds: tuple[Refund, ...]

    def tables(self) -> Tables:
        """Return the rows of every table."""
        # Flat records: what asdict copies besides takes ten times as long, in every episode.
        return {
            table: [{name: getattr(record, name) for name in record.__slots__} for record in getattr(self, table)]
            for table in KEYS
        }


def changes(before: Tables, after: Tables) -> Cells:
    """Return what differs between two states of the tables."""
    found: dict[tuple[Any, ...], object] = {}
    for table, columns in KEYS.items():
        old, new = ({tuple(row[name] for name in columns): row for row in state[table]} for state in (before, after))
        for key in old.keys() | new.keys():
            if key not in old or key not in new:
                found[table, key] = dict(new.get(key, {}))
                continue
            found |= {(table, key, name): value for name, value in new[key].items() if old[key][name] != value}
    return found
