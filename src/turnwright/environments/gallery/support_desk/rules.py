"""The desk's policy as functions: records flow in, a decision flows out, and from it the tables as they shall be.

One function per step, so that the oracle can decide as it goes which tool to call next; ``decide`` does them all.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from turnwright.environments.gallery.support_desk.records import Customer, Desk, Order, Refund, Subscription, Tables

PLANS = ("none", "basic", "plus", "pro")
"""From the lowest to the highest."""
QUEUES = ("disputes", "approvals", "logistics", "billing")
OUTCOMES = (
    "unverified",
    "no_order",
    "already_refunded",
    "on_its_way",
    "delivered",
    "declined",
    "refunded",
    "nothing_to_do",
    "plan_changed",
)
"""What a ticket is closed with; the outcome of any other is escalated."""

FAULTY_DAYS = 60
UNWANTED_DAYS = {"standard": 14, "vip": 30}
UNWANTED_FEE = {"standard": 10, "vip": 0}
APPROVAL_LIMIT = {"standard": 300, "vip": 600}
PARCEL_DAYS = 21
MINIMUM_TERM_DAYS = {"standard": 90, "vip": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a ticket asks for."""

    ticket: int
    name: str
    email: str
    received_on: str
    kind: str
    """refund, delivery or plan."""
    item: str = ""
    reason: str = ""
    """Why a refund is wanted: faulty or unwanted."""
    plan: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the policy decides: the four scored fields of an answer, and the plan to change to."""

    outcome: str
    queue: str = "none"
    order: int | None = None
    amount: int = 0
    """What is paid back with this ticket."""
    plan: str = ""
    """The plan to change to; empty = it stays."""

    @property
    def fields(self) -> dict[str, str | int | None]:
        """Return the scored fields."""
        return {"outcome": self.outcome, "queue": self.queue, "order": self.order, "amount": self.amount}

    def answer(self) -> str:
        """Return the answer block."""
        return f"<final_output>{json.dumps(self.fields)}</final_output>"


def customer_of(customers: Iterable[Customer], email: str) -> Customer | None:
    """Return who wrote: the customer with the sender's address, in whatever case it is written."""
    return next((one for one in customers if one.email.casefold() == email.casefold()), None)


def order_of(orders: Iterable[Order], item: str) -> Order | None:
    """Return the order a ticket is about: of the customer's orders of the item, the one placed last."""
    return max((one for one in orders if one.item == item), key=lambda one: (one.ordered_on, one.id), default=None)


def judge_delivery(order: Order, day: str) -> Decision:
    """Decide on a question after a parcel, and on every order that has not arrived."""
    if order.delivered_on is not None:
        return Decision(outcome="delivered", order=order.id)
    if days_between(order.ordered_on, day) > PARCEL_DAYS:
        return Decision(outcome="escalated", queue="logistics", order=order.id)
    return Decision(outcome="on_its_way", order=order.id)


def judge_refund(request: Request, customer: Customer, order: Order, refunds: Iterable[Refund]) -> Decision:
    """Decide on a refund: the first rule that fits."""
    tier, unwanted = customer.tier, request.reason == "unwanted"
    if order.chargeback == "open":
        return Decision(outcome="escalated", queue="disputes", order=order.id)
    if order.chargeback == "lost":
        return Decision(outcome="already_refunded", order=order.id)
    if order.delivered_on is None:
        return judge_delivery(order, request.received_on)
    window = UNWANTED_DAYS[tier] if unwanted else FAULTY_DAYS
    too_late = days_between(order.delivered_on, request.received_on) > window
    if too_late or (unwanted and order.clearance == "yes"):
        return Decision(outcome="declined", order=order.id)
    fee = UNWANTED_FEE[tier] if unwanted else 0
    amount = order.paid - fee - sum(one.amount for one in refunds if one.order_id == order.id)
    if amount <= 0:
        return Decision(outcome="already_refunded", order=order.id)
    if amount > APPROVAL_LIMIT[tier]:
        return Decision(outcome="escalated", queue="approvals", order=order.id)
    return Decision(outcome="refunded", order=order.id, amount=amount)


def judge_plan(request: Request, customer: Customer, subscription: Subscription) -> Decision:
    """Decide on another plan: the first rule that fits."""
    if subscription.balance_due > 0:
        return Decision(outcome="escalated", queue="billing")
    if subscription.plan == request.plan:
        return Decision(outcome="nothing_to_do")
    lower = PLANS.index(request.plan) < PLANS.index(subscription.plan)
    on_plan = days_between(subscription.changed_on, request.received_on)
    if lower and on_plan < MINIMUM_TERM_DAYS[customer.tier]:
        return Decision(outcome="declined")
    return Decision(outcome="plan_changed", plan=request.plan)


def decide(request: Request, desk: Desk) -> Decision:
    """Return what the policy decides on a ticket."""
    customer = customer_of(desk.customers, request.email)
    if customer is None:
        return Decision(outcome="unverified")
    if request.kind == "plan":
        return judge_plan(request, customer, next(one for one in desk.subscriptions if one.customer == customer.id))
    order = order_of((one for one in desk.orders if one.customer == customer.id), request.item)
    if order is None:
        return Decision(outcome="no_order")
    if request.kind == "delivery":
        return judge_delivery(order, request.received_on)
    return judge_refund(request, customer, order, desk.refunds)


def finished(request: Request, desk: Desk, decision: Decision) -> Tables:
    """Return the tables as the decision leaves them, worked out from the records and not from what the tools do."""
    tables = {table: [dict(row) for row in rows] for table, rows in desk.tables().items()}
    ticket = next(row for row in tables["tickets"] if row["id"] == request.ticket)
    escalated = decision.outcome == "escalated"
    ticket |= {
        "status": "escalated" if escalated else "closed",
        "outcome": decision.outcome,
        "queue": decision.queue,
    }
    if decision.amount and decision.order is not None:
        paid = {"order_id": decision.order, "ticket": request.ticket, "amount": decision.amount}
        tables["refunds"].append({**paid, "paid_on": request.received_on})
    customer = customer_of(desk.customers, request.email)
    if decision.plan and customer is not None:
        row = next(row for row in tables["subscriptions"] if row["customer"] == customer.id)
        row |= {"plan": decision.plan, "changed_on": request.received_on}
    return tables


def right_calls(request: Request, desk: Desk, decision: Decision) -> dict[str, list[dict[str, int | str]]]:
    """Return the calls that do what the decision says, by tool; none for a tool that is to stay alone."""
    calls: dict[str, list[dict[str, int | str]]] = {
        "refund": [],
        "change_plan": [],
        "escalate": [],
        "close_ticket": [],
    }
    if decision.amount and decision.order is not None:
        calls["refund"].append({"ticket": request.ticket, "order": decision.order, "amount": decision.amount})
    customer = customer_of(desk.customers, request.email)
    if decision.plan and customer is not None:
        calls["change_plan"].append({"ticket": request.ticket, "customer": customer.id, "plan": decision.plan})
    if decision.outcome == "escalated":
        calls["escalate"].append({"ticket": request.ticket, "queue": decision.queue})
    else:
        calls["close_ticket"].append({"ticket": request.ticket, "outcome": decision.outcome})
    return calls


def days_between(earlier: str, later: str) -> int:
    """Return the days from one ISO date to another."""
    return (date.fromisoformat(later) - date.fromisoformat(earlier)).days
