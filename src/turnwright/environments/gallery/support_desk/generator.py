"""Desks: a pure function of seed and key, one desk per task, none shared.

What should come out is drawn first, each outcome in its proportion; then desks are dealt until the policy's own rules
give that. Days lie around the edges of the policy's periods, and some customers share a name.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from hashlib import blake2b
from random import Random

from turnwright.core.seeding import generator
from turnwright.environments.gallery.support_desk.records import Customer, Desk, Order, Refund, Subscription, Ticket
from turnwright.environments.gallery.support_desk.rules import PLANS, Decision, Request, decide
from turnwright.environments.gallery.support_desk.wording import ITEMS, write

FIRST_NAMES = ("Ana", "Ben", "Carla", "Dario", "Eva", "Finn", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Luca")
LAST_NAMES = ("Abel", "Brandt", "Costa", "Dahl", "Ebner", "Fischer", "Gomez", "Haas", "Iversen", "Jansen", "Keller")
HOSTS = ("example.org", "example.com", "example.net")

WANTED = (
    ("refund", "refunded", "none", 24),
    ("refund", "declined", "none", 12),
    ("refund", "already_refunded", "none", 9),
    ("refund", "escalated", "disputes", 7),
    ("refund", "escalated", "approvals", 7),
    ("refund", "on_its_way", "none", 3),
    ("refund", "no_order", "none", 3),
    ("refund", "unverified", "none", 3),
    ("delivery", "delivered", "none", 5),
    ("delivery", "on_its_way", "none", 4),
    ("delivery", "escalated", "logistics", 5),
    ("delivery", "no_order", "none", 2),
    ("plan", "plan_changed", "none", 6),
    ("plan", "declined", "none", 4),
    ("plan", "escalated", "billing", 3),
    ("plan", "nothing_to_do", "none", 2),
    ("plan", "unverified", "none", 1),
)
"""Kind of ticket, outcome and queue, with how many in a hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One task: what is asked, in which words, at which desk, and what the policy decides."""

    request: Request
    prompt: str
    desk: Desk
    decision: Decision

    @property
    def desk_hash(self) -> str:
        """Return a digest of every record of the desk."""
        return blake2b(repr(self.desk).encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=4096)
def make_case(seed: int, key: str) -> Case:
    """Make the case named by seed and key."""
    random = generator("support_desk", seed, key)
    kind, outcome, queue = random.choices([entry[:3] for entry in WANTED], [entry[3] for entry in WANTED])[0]
    while True:
        request, desk = _deal(random, kind, known=outcome != "unverified")
        decision = decide(request, desk)
        if (decision.outcome, decision.queue) == (outcome, queue):
            return Case(request=request, prompt=write(random, request), desk=desk, decision=decision)


def _deal(random: Random, kind: str, *, known: bool) -> tuple[Request, Desk]:
    """Deal a request and a desk, whatever comes out; ``known`` says whether the sender is a customer."""
    today = date(2031, 1, 1) + timedelta(days=random.randrange(700))
    customers = _deal_customers(random)
    asking = customers[0]
    email = asking.email if known else _email(random, asking.name)
    numbers = random.sample(range(1000, 10000), 16)
    item = random.choice(ITEMS)
    orders = [_deal_order(random, today, numbers.pop(), customer.id, item) for customer in customers for _ in range(3)]
    request = Request(
        ticket=numbers.pop(),
        name=asking.name,
        email=email,
        received_on=today.isoformat(),
        kind=kind,
        item="" if kind == "plan" else item,
        reason=random.choice(("faulty", "unwanted")) if kind == "refund" else "",
        plan=random.choice(PLANS) if kind == "plan" else "",
    )
    tickets = [Ticket(id=request.ticket, sender=email, received_on=request.received_on)]
    tickets += [
        Ticket(id=numbers.pop(), sender=one.email, received_on=_before(today, random.randrange(3)))
        for one in customers[1:3]
    ]
    return request, Desk(
        customers=tuple(sorted(customers, key=lambda one: one.id)),
        subscriptions=tuple(_deal_subscription(random, today, one.id) for one in customers),
        orders=tuple(orders),
        tickets=tuple(tickets),
        refunds=tuple(refund for order in orders for refund in _deal_refunds(random, today, order)),
    )


def _deal_customers(random: Random) -> list[Customer]:
    """Deal four customers; the first shares the name with one or two others."""
    names = [f"{random.choice(FIRST_NAMES)} {last}" for last in random.sample(LAST_NAMES, 3)]
    shared = [names[0]] * random.choice((2, 2, 3))
    ids, emails = random.sample(range(100, 1000), 4), set[str]()
    customers: list[Customer] = []
    for number, name in zip(ids, (*shared, *names[1:]), strict=False):
        email = _email(random, name)
        while email in emails:
            email = _email(random, name)
        emails.add(email)
        tier = "vip" if random.random() < 0.4 else "standard"
        customers.append(Customer(id=number, name=name, email=email, tier=tier))
    return customers


def _email(random: Random, name: str) -> str:
    first, last = name.lower().split()
    local = random.choice((f"{first}.{last}", f"{first[0]}.{last}", f"{last}.{first}", f"{first}{last}"))
    return f"{local}{random.randrange(10, 100)}@{random.choice(HOSTS)}"


def _deal_order(random: Random, today: date, number: int, customer: int, item: str) -> Order:
    """Deal an order, of the item asked about as a rule."""
    age = random.choice((3, 9, 12, 14, 15, 17, 28, 30, 31, 33, 58, 60, 61, 64, 80))
    arrived = random.random() < 0.75
    on_the_way = random.randrange(2, 7) if arrived else 0
    waiting = random.choice((2, 11, 20, 21, 22, 24, 35))
    return Order(
        id=number,
        customer=customer,
        item=item if random.random() < 0.6 else random.choice(ITEMS),
        clearance="yes" if random.random() < 0.25 else "no",
        paid=random.choice((random.randrange(25, 250), random.randrange(250, 340), random.randrange(340, 700))),
        ordered_on=_before(today, age + on_the_way if arrived else waiting),
        delivered_on=_before(today, age) if arrived else None,
        chargeback=random.choices(("none", "open", "won", "lost"), (70, 10, 12, 8))[0],
    )


def _deal_refunds(random: Random, today: date, order: Order) -> list[Refund]:
    """Deal what was paid back before: nothing, a part, or all there is."""
    if order.delivered_on is None or random.random() < 0.6:
        return []
    amount = random.choice((order.paid, order.paid - 10, order.paid // 2, order.paid // 4, 5))
    plain = Refund(order_id=order.id, ticket=random.randrange(100, 1000), amount=amount, paid_on=_before(today, 1))
    if amount < 20 or random.random() < 0.7:
        return [plain]
    rest = replace(plain, ticket=plain.ticket + 1000, amount=amount - amount // 2)
    return [replace(plain, amount=amount // 2), rest]


def _deal_subscription(random: Random, today: date, customer: int) -> Subscription:
    return Subscription(
        customer=customer,
        plan=random.choice(PLANS),
        balance_due=random.choice((0, 0, 0, 12, 24)),
        changed_on=_before(today, random.choice((10, 40, 80, 89, 90, 91, 120, 300))),
    )


def _before(today: date, days: int) -> str:
    return (today - timedelta(days=days)).isoformat()
