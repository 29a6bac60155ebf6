"""ReturnsDesk: the demo's environment, with an oracle and an imperfect clerk to learn from."""

import json
from collections.abc import Generator
from typing import Any

from turnwright.core.finding import Finding
from turnwright.core.message import Message
from turnwright.core.seeding import generator
from turnwright.core.task import Task
from turnwright.environments.gallery.returns_desk.generator import generate_folder
from turnwright.environments.gallery.returns_desk.procedure import PROCEDURE, Decision, Facts, decide
from turnwright.environments.scripts import Script, call, say
from turnwright.environments.sop.environment import SopEnvironment

Result = dict[str, Any]


class ReturnsDesk(SopEnvironment):
    """Decide what happens to a returned order: three chained lookups, three decision tables, tools that are busy."""

    def __init__(
        self, *, train_tasks: int = 1200, validation_tasks: int = 120, test_tasks: int = 360, seed: int = 0
    ) -> None:
        """Generate the domain; each number of tasks is a multiple of 120."""
        super().__init__(generate_folder(seed=seed, train=train_tasks, validation=validation_tasks, test=test_tasks))
        self.instructions = PROCEDURE
        self.typical_turns = 5

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return what is wrong with the folder; every task has a world of its own, so that prompts may be alike."""
        return tuple(finding for finding in super().findings if finding.code != "data.label")

    def oracle(self, task: Task) -> Script:
        """Follow the procedure, calling busy tools again."""
        order = yield from _insist("get_order", order=_order(task))
        customer = yield from _insist("get_customer", customer=order["customer"])
        item = yield from _insist("get_item", item=order["item"])
        facts = Facts(window=order["window"], tier=customer["tier"], kind=item["kind"])
        yield say(decide(facts).answer())

    def hasty_clerk(self, task: Task, seed: int) -> Script:
        """Work as a clerk with systematic habits, each of which rests now and then, drawn per task and seed.

        A late order is denied unseen, a busy tool ends the search with a guess, a fragile item is exchanged, silver
        pays postage for a sealed item, and an open order of a basic customer waits.
        """
        random = generator("returns_desk.hasty_clerk", seed, task.id)
        denies_late = random.random() < 0.6
        gives_up, exchanges_fragile, charges_sealed, slows_basic = (random.random() < 0.65 for _ in range(4))
        guess = say(Decision(action="refund", postage="paid", queue="normal").answer())
        order = yield from _ask("get_order", gives_up, order=_order(task))
        if order is None:
            yield guess
            return
        if order["window"] == "late" and denies_late:
            yield say(Decision(action="deny", postage="paid", queue="slow").answer())
            return
        customer = yield from _ask("get_customer", gives_up, customer=order["customer"])
        item = (yield from _ask("get_item", gives_up, item=order["item"])) if customer else None
        if customer is None or item is None:
            yield guess
            return
        facts = Facts(window=order["window"], tier=customer["tier"], kind=item["kind"])
        right = decide(facts)
        basic_waits = slows_basic and (facts.window, facts.tier) == ("open", "basic")
        silver_pays = charges_sealed and (facts.tier, facts.kind) == ("silver", "sealed")
        answer = Decision(
            action="exchange" if exchanges_fragile and facts.kind == "fragile" else right.action,
            postage="paid" if silver_pays else right.postage,
            queue="slow" if basic_waits else right.queue,
        )
        yield say(answer.answer())


def _order(task: Task) -> str:
    return task.prompt.removeprefix("order: ")


def _insist(tool: str, **arguments: str) -> Generator[Message, tuple[Message, ...], Result]:
    """Call a tool until it answers."""
    while True:
        result = yield from _ask(tool, True, **arguments)
        if result is not None:
            return result


def _ask(tool: str, gives_up: bool, /, **arguments: str) -> Generator[Message, tuple[Message, ...], Result | None]:
    """Call a tool, once more after an error unless the caller gives up; None without an answer."""
    for _ in range(1 if gives_up else 2):
        (message,) = yield call(tool, **arguments)
        result: Result = json.loads(message.content)
        if "error" not in result:
            return result
    return None
