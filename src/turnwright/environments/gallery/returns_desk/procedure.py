"""The returns desk's procedure: its text, and the same rules as a function.

24 cells (window x tier x kind). Every value of ``action`` is right in 6 of them, of ``postage`` in 12, of ``queue``
in 8.
"""

import json
from dataclasses import dataclass
from itertools import product

WINDOWS = ("open", "late")
TIERS = ("gold", "silver", "basic")
KINDS = ("fragile", "sealed", "bulky", "plain")

PROCEDURE = """\
You run a returns desk. You are given one order. Look up the facts, then decide.

Steps:
1. Call get_order with the order. It gives the customer, the item and the window.
2. Call get_customer with that customer. It gives the tier.
3. Call get_item with that item. It gives the kind.
If a tool is busy, call it again.

Action, the first rule that fits:
- window late, tier basic: deny
- window late, tier silver, kind bulky or sealed: deny
- kind fragile: refund
- kind sealed: exchange
- kind bulky: repair
- tier silver: exchange
- tier basic: repair
- tier gold, window open: refund
- tier gold, window late: repair

Postage:
- tier gold: free
- tier silver, kind fragile or sealed: free
- all others: paid

Queue:
- window open, tier gold or silver: fast
- window open, tier basic: normal
- window late, tier gold: normal
- all others: slow

Write no answer before all facts are known. Then write exactly one line of this form:
<final_output>{"action": "refund", "postage": "free", "queue": "fast"}</final_output>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the three lookups say: one cell of the decision table."""

    window: str
    tier: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The three scored fields of an answer."""

    action: str
    postage: str
    queue: str

    def answer(self) -> str:
        """Return the answer block."""
        fields = {"action": self.action, "postage": self.postage, "queue": self.queue}
        return f"<final_output>{json.dumps(fields)}</final_output>"


CELLS = tuple(Facts(window=window, tier=tier, kind=kind) for window, tier, kind in product(WINDOWS, TIERS, KINDS))


def decide(facts: Facts) -> Decision:
    """Return what the procedure decides."""
    return Decision(action=_action(facts), postage=_postage(facts), queue=_queue(facts))


def _action(facts: Facts) -> str:
    if facts.window == "late" and facts.tier == "basic":
        return "deny"
    if facts.window == "late" and facts.tier == "silver" and facts.kind in ("bulky", "sealed"):
        return "deny"
    if facts.kind != "plain":
        return {"fragile": "refund", "sealed": "exchange", "bulky": "repair"}[facts.kind]
    if facts.tier == "gold":
        return "refund" if facts.window == "open" else "repair"
    return {"silver": "exchange", "basic": "repair"}[facts.tier]


def _postage(facts: Facts) -> str:
    free = facts.tier == "gold" or (facts.tier == "silver" and facts.kind in ("fragile", "sealed"))
    return "free" if free else "paid"


def _queue(facts: Facts) -> str:
    if facts.window == "open":
        return "normal" if facts.tier == "basic" else "fast"
    return "normal" if facts.tier == "gold" else "slow"
