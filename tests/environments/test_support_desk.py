"""The desk's policy by hand-checked cases; tickets are read back, every trap bites, and collateral costs everything."""

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from turnwright.audit.play import play
from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError
from turnwright.core.message import Message, ToolCall
from turnwright.core.outcome import Failed, Rewarded
from turnwright.core.task import Split, Task
from turnwright.environments import call, load_environment, say
from turnwright.environments.gallery.support_desk.environment import SupportDesk
from turnwright.environments.gallery.support_desk.generator import Case, make_case
from turnwright.environments.gallery.support_desk.policy import POLICY
from turnwright.environments.gallery.support_desk.records import (
    Customer,
    Desk,
    Order,
    Refund,
    Subscription,
    Ticket,
    changes,
)
from turnwright.environments.gallery.support_desk.rules import (
    OUTCOMES,
    PLANS,
    QUEUES,
    Decision,
    Request,
    decide,
    finished,
)
from turnwright.environments.gallery.support_desk.wording import ITEMS, read
from turnwright.environments.scripts import Script, numbered
from turnwright.evaluation.calls import CallsScorer
from turnwright.evaluation.scorers import FinalOutputScorer, collect_vocabulary

SUPPORT = SupportDesk(train_tasks=70, validation_tasks=10, test_tasks=20)
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ALL = [task for split in SPLITS for task in SUPPORT.tasks(split)]

DAY = "2031-04-18"
REFUND = Request(
    ticket=9, name="Ana Abel", email="ana@example.org", received_on=DAY, kind="refund", item="kettle", reason="unwanted"
)
FAULTY = replace(REFUND, reason="faulty")
WHERE = replace(REFUND, kind="delivery", reason="")
PLAN = replace(REFUND, kind="plan", item="", reason="", plan="basic")
ORDER = Order(
    id=50,
    customer=1,
    item="kettle",
    clearance="no",
    paid=200,
    ordered_on="2031-04-01",
    delivered_on="2031-04-08",
    chargeback="none",
)
DESK = Desk(
    customers=(
        Customer(id=1, name="Ana Abel", email="ana@example.org", tier="standard"),
        Customer(id=2, name="Ana Abel", email="abel@example.org", tier="vip"),
    ),
    subscriptions=(
        Subscription(customer=1, plan="plus", balance_due=0, changed_on="2030-01-01"),
        Subscription(customer=2, plan="pro", balance_due=0, changed_on="2030-01-01"),
    ),
    orders=(ORDER, replace(ORDER, id=60, customer=2)),
    tickets=(Ticket(id=9, sender="ana@example.org", received_on=DAY),),
    refunds=(),
)


def desk(*, tier: str = "standard", refunds: tuple[int, ...] = (), plan: Mapping[str, Any] | None = None, **order: Any):
    ana = replace(DESK.customers[0], tier=tier)
    paid = [Refund(order_id=50, ticket=number, amount=one, paid_on=DAY) for number, one in enumerate(refunds)]
    return replace(
        DESK,
        customers=(ana, DESK.customers[1]),
        subscriptions=(replace(DESK.subscriptions[0], **(plan or {})), DESK.subscriptions[1]),
        orders=(replace(ORDER, **order), *DESK.orders[1:]),
        refunds=tuple(paid),
    )


def on_order(outcome: str, amount: int = 0, queue: str = "none") -> Decision:
    return Decision(outcome=outcome, queue=queue, order=50, amount=amount)


PARCEL: Mapping[str, Any] = {"delivered_on": None}
OVERDUE: Mapping[str, Any] = {"delivered_on": None, "ordered_on": "2031-03-27"}

CASES: Mapping[str, tuple[Request, Desk, Decision]] = {
    "unwanted costs a fee": (REFUND, desk(), on_order("refunded", 190)),
    "vip pays no fee": (REFUND, desk(tier="vip"), on_order("refunded", 200)),
    "faulty has no fee": (FAULTY, desk(), on_order("refunded", 200)),
    "address in capitals": (replace(FAULTY, email="Ana@Example.org"), desk(), on_order("refunded", 200)),
    "the other Ana": (
        replace(FAULTY, email="abel@example.org"),
        desk(),
        Decision(outcome="refunded", order=60, amount=200),
    ),
    "no Ana": (replace(FAULTY, email="a@example.org"), desk(), Decision(outcome="unverified")),
    "no such item": (replace(FAULTY, item="keyboard"), desk(), Decision(outcome="no_order")),
    "day 14": (REFUND, desk(delivered_on="2031-04-04"), on_order("refunded", 190)),
    "day 15": (REFUND, desk(delivered_on="2031-04-03"), on_order("declined")),
    "day 30 of a vip": (REFUND, desk(tier="vip", delivered_on="2031-03-19"), on_order("refunded", 200)),
    "day 31 of a vip": (REFUND, desk(tier="vip", delivered_on="2031-03-18"), on_order("declined")),
    "faulty on day 60": (FAULTY, desk(delivered_on="2031-02-17"), on_order("refunded", 200)),
    "faulty on day 61": (FAULTY, desk(tier="vip", delivered_on="2031-02-16"), on_order("declined")),
    "clearance": (REFUND, desk(clearance="yes"), on_order("declined")),
    "faulty on clearance": (FAULTY, desk(clearance="yes"), on_order("refunded", 200)),
    "less what was paid back": (REFUND, desk(refunds=(50, 40)), on_order("refunded", 100)),
    "nothing left": (REFUND, desk(refunds=(190,)), on_order("already_refunded")),
    "chargeback open": (FAULTY, desk(chargeback="open", delivered_on=None), on_order("escalated", queue="disputes")),
    "chargeback lost": (FAULTY, desk(chargeback="lost"), on_order("already_refunded")),
    "chargeback won": (FAULTY, desk(chargeback="won"), on_order("refunded", 200)),
    "300 needs nobody": (FAULTY, desk(paid=300), on_order("refunded", 300)),
    "301 needs approval": (FAULTY, desk(paid=301), on_order("escalated", queue="approvals")),
    "the rest of 301": (FAULTY, desk(paid=301, refunds=(1,)), on_order("refunded", 300)),
    "600 of a vip": (FAULTY, desk(tier="vip", paid=600), on_order("refunded", 600)),
    "601 of a vip": (FAULTY, desk(tier="vip", paid=601), on_order("escalated", queue="approvals")),
    "refund before it came": (FAULTY, desk(**PARCEL), on_order("on_its_way")),
    "parcel after 21 days": (WHERE, desk(delivered_on=None, ordered_on="2031-03-28"), on_order("on_its_way")),
    "parcel after 22 days": (WHERE, desk(**OVERDUE), on_order("escalated", queue="logistics")),
    "parcel there": (WHERE, desk(chargeback="open"), on_order("delivered")),
    "lower plan": (PLAN, desk(), Decision(outcome="plan_changed", plan="basic")),
    "lower after 90 days": (
        PLAN,
        desk(plan={"changed_on": "2031-01-18"}),
        Decision(outcome="plan_changed", plan="basic"),
    ),
    "lower after 89 days": (PLAN, desk(plan={"changed_on": "2031-01-19"}), Decision(outcome="declined")),
    "vip any time": (
        PLAN,
        desk(tier="vip", plan={"changed_on": DAY}),
        Decision(outcome="plan_changed", plan="basic"),
    ),
    "higher any time": (
        replace(PLAN, plan="pro"),
        desk(plan={"changed_on": DAY}),
        Decision(outcome="plan_changed", plan="pro"),
    ),
    "same plan": (replace(PLAN, plan="plus"), desk(), Decision(outcome="nothing_to_do")),
    "debts first": (
        replace(PLAN, plan="plus"),
        desk(plan={"balance_due": 1}),
        Decision(outcome="escalated", queue="billing"),
    ),
}


def case_of(task: Task) -> Case:
    return make_case(0, task.data["key"])


def played(task: Task, script: Script, environment: SupportDesk = SUPPORT) -> Episode:
    return asyncio.run(play(environment, task, script, seed=0))


def value_of(episode: Episode) -> float:
    assert not isinstance(episode.outcome, Failed)
    return episode.outcome.value


def outcome_of(task: Task, *messages: Message) -> Mapping[str, float]:
    outcome = played(task, numbered(messages)).outcome
    assert isinstance(outcome, Rewarded)
    return {"total": outcome.value, **outcome.components}


def solution(task: Task) -> list[Message]:
    """Return what the oracle does to the database, and its answer."""
    replies = [turn.reply for turn in played(task, SUPPORT.scripted("oracle")(task, 0)).turns]
    reading = ("find_customers", "get_customer", "get_orders", "get_payments")
    return [reply for reply in replies if not reply.tool_calls or reply.tool_calls[0].name not in reading]


def task_with(outcome: str) -> Task:
    return next(task for task in ALL if case_of(task).decision.outcome == outcome)


@pytest.mark.parametrize("name", CASES)
def test_rules_decide_as_worked_out_by_hand(name: str) -> None:
    request, at, expected = CASES[name]
    assert decide(request, at) == expected


def test_the_finished_tables_differ_in_what_the_policy_changes_and_nothing_else() -> None:
    before = DESK.tables()
    refunded = changes(before, finished(REFUND, DESK, decide(REFUND, DESK)))
    assert refunded == {
        ("tickets", (9,), "status"): "closed",
        ("tickets", (9,), "outcome"): "refunded",
        ("refunds", (50, 9)): {"order_id": 50, "ticket": 9, "amount": 190, "paid_on": DAY},
    }
    assert changes(before, finished(PLAN, DESK, decide(PLAN, DESK))) == {
        ("tickets", (9,), "status"): "closed",
        ("tickets", (9,), "outcome"): "plan_changed",
        ("subscriptions", (1,), "plan"): "basic",
        ("subscriptions", (1,), "changed_on"): DAY,
    }
    late = desk(**OVERDUE)
    assert changes(late.tables(), finished(WHERE, late, decide(WHERE, late))) == {
        ("tickets", (9,), "status"): "escalated",
        ("tickets", (9,), "outcome"): "escalated",
        ("tickets", (9,), "queue"): "logistics",
    }


@pytest.mark.slow
def test_the_oracle_solves_every_ticket_for_reward_and_scorer() -> None:
    scorer = FinalOutputScorer(collect_vocabulary(ALL))
    for task in ALL:
        episode = played(task, SUPPORT.scripted("oracle")(task, 0))
        assert value_of(episode) == 1.0
        assert scorer.score(episode).success
        assert CallsScorer().score(episode).success
        assert not any(tool.error for turn in episode.turns for tool in turn.tools)
        assert len(episode.turns) <= SUPPORT.typical_turns


def test_tickets_are_read_back_and_tell_no_outcome() -> None:
    words = Counter[str]()
    for task in ALL:
        request = read(task.prompt)
        wanted = case_of(task).request
        assert replace(request, email=request.email.casefold()) == wanted
        words[task.prompt.partition("\n\n")[2]] += 1
        assert not any(outcome in task.prompt for outcome in (*OUTCOMES, "escalated", *QUEUES) if "_" in outcome)
    assert words.most_common(1)[0][1] == 1
    kinds = {kind: Counter(case_of(t).decision.outcome for t in ALL if case_of(t).request.kind == kind)
             for kind in ("refund", "delivery", "plan")}  # fmt: skip
    for counts in kinds.values():
        assert counts.most_common(1)[0][1] < 0.6 * counts.total(), counts
    with pytest.raises(ValueError, match="no line of the ticket"):
        read("ticket: 1\n\nHello")


def test_no_answer_is_frequent_and_every_label_occurs() -> None:
    golds = [task.data["gold"] for task in ALL]
    assert Counter(map(str, golds)).most_common(1)[0][1] < 0.12 * len(ALL)
    assert {gold["outcome"] for gold in golds} == {*OUTCOMES, "escalated"}
    assert {gold["queue"] for gold in golds} == {*QUEUES, "none"}
    assert all(label in POLICY for label in (*OUTCOMES, *QUEUES, "escalated"))
    assert 300 <= len(POLICY.split()) <= 600


Change = Callable[[Desk], Desk]
TRAPS: Mapping[str, Change] = {
    "tier": lambda at: replace(at, customers=tuple(replace(one, tier="standard") for one in at.customers)),
    "earlier refunds": lambda at: replace(at, refunds=()),
    "chargeback": lambda at: replace(at, orders=tuple(replace(one, chargeback="none") for one in at.orders)),
    "clearance": lambda at: replace(at, orders=tuple(replace(one, clearance="no") for one in at.orders)),
    "namesakes": lambda at: replace(
        at,
        customers=tuple(
            replace(one, email=other.email) for one, other in zip(at.customers, reversed(at.customers), strict=True)
        ),
    ),
    "debts": lambda at: replace(at, subscriptions=tuple(replace(one, balance_due=0) for one in at.subscriptions)),
    "minimum term": lambda at: replace(
        at, subscriptions=tuple(replace(one, changed_on="2000-01-01") for one in at.subscriptions)
    ),
    "order placed last": lambda at: replace(
        at, orders=tuple(replace(one, ordered_on=f"20{99 - int(one.ordered_on[2:4])}-01-01") for one in at.orders)
    ),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_changes_the_decision_on_some_ticket(trap: str) -> None:
    differ = [
        task for task in ALL if decide(case_of(task).request, TRAPS[trap](case_of(task).desk)) != case_of(task).decision
    ]
    assert differ


def test_partial_credit_counts_entries_and_fields() -> None:
    task = task_with("refunded")
    refund, close, answer = solution(task)
    case = case_of(task)
    assert outcome_of(task, refund, close, answer) == {
        "total": 1.0, "state": 1.0, "fields": 1.0, "clean": 1.0, "emitted": 1.0
    }  # fmt: skip
    # Of three entries (refund, status, outcome) and four fields:
    assert outcome_of(task, say("done"))["total"] == pytest.approx(-0.1)
    assert outcome_of(task, answer)["total"] == pytest.approx(4 / 7)
    assert outcome_of(task, refund, close, say("done"))["total"] == pytest.approx(3 / 7 - 0.1)
    assert outcome_of(task, refund, answer)["total"] == pytest.approx(5 / 7)
    short = call("refund", ticket=case.request.ticket, order=case.decision.order, amount=1)
    assert outcome_of(task, short, close, answer)["total"] == pytest.approx((case.decision.amount == 1) or 6 / 7)
    wrong = call("close_ticket", ticket=case.request.ticket, outcome="declined")
    assert outcome_of(task, refund, wrong, answer)["total"] == pytest.approx(6 / 7)
    elsewhere = call("escalate", ticket=case.request.ticket, queue="billing")
    assert outcome_of(task, refund, elsewhere, answer)["total"] == pytest.approx(5 / 7)
    more = say(answer.content.replace("}", ', "remark": "fine"}'))
    assert outcome_of(task, refund, close, more)["total"] == pytest.approx((3 + 4) / (3 + 5))
    for unread in (f"<think>{answer.content}</think>", answer.content * 2, answer.content.replace("_output", "")):
        assert outcome_of(task, refund, close, say(unread))["emitted"] == 0.0


def test_collateral_costs_everything() -> None:
    task = task_with("declined")
    *steps, answer = solution(task)
    case = case_of(task)
    mine, other = case.request.ticket, next(one for one in case.desk.tickets if one.id != case.request.ticket)
    refunded = {one.order_id for one in case.desk.refunds}
    free = next(one for one in case.desk.orders if one.id not in refunded)
    customer = case.desk.subscriptions[0]
    plan = "pro" if customer.plan != "pro" else "none"
    for harm in (
        call("refund", ticket=mine, order=free.id, amount=1),
        call("change_plan", ticket=mine, customer=customer.customer, plan=plan),
        call("close_ticket", ticket=other.id, outcome="declined"),
        call("escalate", ticket=other.id, queue="billing"),
    ):
        graded = outcome_of(task, harm, *steps, answer)
        assert (graded["total"], graded["clean"]) == (0.0, 0.0)
        assert graded["fields"] == 1.0
    assert outcome_of(task, *steps, answer)["total"] == 1.0


@pytest.mark.parametrize("outcome", ["refunded", "escalated", "plan_changed", "declined"])
def test_the_scorer_of_calls_agrees_with_the_reward_on_the_final_state(outcome: str) -> None:
    task, other = task_with(outcome), case_of(task_with(outcome)).desk.tickets[1]
    *steps, answer = solution(task)
    harm = call("escalate", ticket=other.id, queue="billing")
    refused = call("escalate", ticket=1, queue="billing")
    plays = ([*steps, answer], [answer], [*steps, say("done")], [*steps, harm, answer], [refused, *steps, answer])
    for script in plays:
        episode = played(task, numbered(script))
        assert CallsScorer().score(episode).success == (value_of(episode) == 1.0)


def test_tools_refuse_in_words_and_change_nothing() -> None:
    task = task_with("refunded")
    refund, close, answer = solution(task)
    case = case_of(task)
    mine, order, paid = case.request.ticket, case.decision.order, case.decision.amount
    asked = [
        call("find_customers", name="Nobody\x00 Here"),
        call("get_customer", customer=10**40),
        call("get_orders", customer=-1),
        call("get_payments", order=1),
        call("refund", ticket=1, order=order, amount=1),
        call("refund", ticket=mine, order=order, amount=10**30),
        call("refund", ticket=mine, order=order, amount=0),
        call("change_plan", ticket=mine, customer=1, plan="pro"),
        call("change_plan", ticket=mine, customer=10**30, plan="pro"),
        call("change_plan", ticket=mine, customer=1, plan="gold"),
        refund,
        call("refund", ticket=mine, order=order, amount=paid),
        close,
        close,
        answer,
    ]
    episode = played(task, numbered(asked))
    refused = [turn.responses[0].content for turn in episode.turns[:-1] if turn.tools[0].error]
    assert len(refused) == 12
    assert refused[:3] == [
        json.dumps({"error": "no customer is called 'Nobody\\x00 Here'"}),
        f'{{"error": "no customer {10**40}"}}',
        '{"error": "no customer -1"}',
    ]
    assert refused[-1] == f'{{"error": "ticket {mine} is closed already"}}'
    assert value_of(episode) == 1.0


def test_tools_offer_the_labels_that_the_rules_know() -> None:
    offered = {spec.name: spec.parameters["properties"] for spec in SUPPORT.tool_specs()}
    assert offered["close_ticket"]["outcome"]["enum"] == list(OUTCOMES)
    assert offered["escalate"]["queue"]["enum"] == list(QUEUES)
    assert offered["change_plan"]["plan"]["enum"] == list(PLANS)
    assert all(f"{name}(" in POLICY for name in offered)


def test_names_are_found_in_any_case_and_namesakes_are_listed() -> None:
    task = ALL[0]
    case = case_of(task)
    episode = played(task, numbered([call("find_customers", name=case.request.name.upper()), say("")]))
    same = [one for one in case.desk.customers if one.name == case.request.name]
    assert len(same) > 1
    assert all(one.email in episode.turns[0].responses[0].content for one in same)


def test_the_new_colleague_is_right_now_and_then() -> None:
    def rewards(seed: int, tasks: list[Task] = ALL[:10]) -> list[float]:
        return [value_of(played(task, SUPPORT.scripted("new_colleague")(task, seed))) for task in tasks]

    first = rewards(1, ALL[:40])
    assert 0.3 < sum(reward == 1.0 for reward in first) / len(first) < 0.65
    assert SUPPORT.demonstrators() == ("new_colleague",)
    assert rewards(1) == first[:10] != rewards(2)


def test_desks_depend_on_the_seed_alone_and_are_not_shared() -> None:
    assert len({task.id for task in ALL}) == len({task.cluster for task in ALL}) == len(ALL) == 100
    make_case.cache_clear()
    again = SupportDesk(train_tasks=20, validation_tasks=0, test_tasks=0)
    assert list(again.tasks("train")) == ALL[:20]
    assert not list(again.tasks("test"))
    assert not {task.cluster for task in SupportDesk(train_tasks=20, seed=1).tasks("train")} & {t.cluster for t in ALL}
    assert {case_of(task).request.item for task in ALL} == {*ITEMS, ""}


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for task in ALL[:5]:
        played(task, SUPPORT.scripted("oracle")(task, 0))
        played(task, numbered([Message(role="assistant", tool_calls=(ToolCall(id="", name="x", arguments="{"),))]))
    assert not list(tmp_path.iterdir())


def test_the_built_in_name_takes_options_and_refuses_others() -> None:
    assert len(list(load_environment("support_desk", {"train_tasks": 3}).tasks("train"))) == 3
    with pytest.raises(ConfigError, match="support_desk: test_tasks = -1: expected 0 or more"):
        SupportDesk(test_tasks=-1)
    with pytest.raises(ConfigError, match="database = 'oracle', dsn = '': expected 'sqlite'"):
        SupportDesk(database="oracle")
