"""Clerks: scripts that work a ticket through, reading the database through the tools alone."""

import json
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from turnwright.core.message import Message
from turnwright.environments.gallery.support_desk.records import Customer, Order, Refund, Subscription
from turnwright.environments.gallery.support_desk.rules import (
    Decision,
    Request,
    customer_of,
    judge_delivery,
    judge_plan,
    judge_refund,
    order_of,
)
from turnwright.environments.scripts import Script, call, say


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What somebody new at the desk does against the policy."""

    trusts_names: bool = False
    """Takes the first customer of the name."""
    skips_payments: bool = False
    """Neither looks for a chargeback nor for earlier refunds."""
    forgets_vip: bool = False


def work(request: Request, habits: Habits) -> Script:
    """Work a ticket through."""
    decision, customer = yield from _decide(request, habits)
    if decision.amount:
        yield from _ask("refund", ticket=request.ticket, order=decision.order, amount=decision.amount)
    if decision.plan:
        yield from _ask("change_plan", ticket=request.ticket, customer=customer, plan=decision.plan)
    if decision.outcome == "escalated":
        yield from _ask("escalate", ticket=request.ticket, queue=decision.queue)
    else:
        yield from _ask("close_ticket", ticket=request.ticket, outcome=decision.outcome)
    yield say(decision.answer())


def _decide(request: Request, habits: Habits) -> Generator[Message, tuple[Message, ...], tuple[Decision, int | None]]:
    """Find out what the policy asks about, and decide; also return the customer's number."""
    found = yield from _ask("find_customers", name=request.name)
    people = [Customer(**one, tier="") for one in found] if isinstance(found, list) else []
    customer = people[0] if habits.trusts_names and people else customer_of(people, request.email)
    if customer is None:
        return Decision(outcome="unverified"), None
    record = yield from _ask("get_customer", customer=customer.id)
    tier = "standard" if habits.forgets_vip else record["tier"]
    customer = replace(customer, tier=tier)
    if request.kind == "plan":
        held = {name: record[name] for name in ("plan", "balance_due", "changed_on")}
        return judge_plan(request, customer, Subscription(customer=customer.id, **held)), customer.id
    orders = yield from _ask("get_orders", customer=customer.id)
    order = order_of((Order(**one, customer=customer.id, paid=0, chargeback="none") for one in orders), request.item)
    if order is None:
        return Decision(outcome="no_order"), customer.id
    if request.kind == "delivery":
        return judge_delivery(order, request.received_on), customer.id
    payment = yield from _ask("get_payments", order=order.id)
    order = replace(order, paid=payment["paid"])
    if habits.skips_payments:
        return judge_refund(request, customer, order, ()), customer.id
    refunds = [Refund(order_id=order.id, **one) for one in payment["refunds"]]
    return judge_refund(request, customer, replace(order, chargeback=payment["chargeback"]), refunds), customer.id


def _ask(name: str, /, **arguments: object) -> Generator[Message, tuple[Message, ...], Any]:
    """Call a tool and return what it answered: JSON, or the text itself."""
    (message,) = yield call(name, **arguments)
    try:
        return json.loads(message.content)
    except ValueError:
        return message.content
