"""The moderation policy by hand-checked cases; no text and no single fact gives the answer away."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.audit.play import play
from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError
from turnwright.core.outcome import Failed
from turnwright.core.task import Split, Task
from turnwright.environments import call, load_environment, say
from turnwright.environments.gallery.content_moderation.environment import ContentModeration
from turnwright.environments.gallery.content_moderation.generator import Case, make_case
from turnwright.environments.gallery.content_moderation.policy import POLICY
from turnwright.environments.gallery.content_moderation.records import (
    Account,
    Community,
    Contact,
    Item,
    PastDecision,
    Post,
    Shared,
    Strike,
    World,
)
from turnwright.environments.gallery.content_moderation.rules import Facts, Verdict, count_strikes, facts_of, judge
from turnwright.environments.gallery.content_moderation.wording import TEXTS, WARNINGS, Reading, read, write
from turnwright.environments.scripts import Script, numbered
from turnwright.evaluation.scorers import FinalOutputScorer, collect_vocabulary

QUEUE = ContentModeration(train_tasks=80, validation_tasks=10, test_tasks=20)
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ALL = [task for split in SPLITS for task in QUEUE.tasks(split)]

DAY = "2031-04-18"
REPORT = Item(post="P1", kind="report", moderator="M1", day=DAY)
APPEAL = replace(REPORT, kind="appeal")
POST = Post(
    post="P1", account="U1", community="c/chess", posted_on="2031-04-16", text=TEXTS["none"][0], quotes=None, link=None
)
OTHERS = replace(POST, post="P2", account="U2")
NUMBER = Contact(contact="555-0142", kind="private", account="U3")
LAST = PastDecision(
    decided_on="2031-04-01", moderator="M2", decision="remove", rule="spam", appealed_on="2031-04-17", appeal=None
)
PRIVATE = "About the tickets: call 555-0142 and ask for Kim."
SCAM = TEXTS["scam"][0].format(amount=50)
BOTH = TEXTS["private_data and scam"][0].format(contact="555-0142", amount=50)
SPEAKS = "Harbour Bank speaking: from tomorrow on everything is half the price."
RAID = TEXTS["brigading"][1].format(target="c/photos")
AD = "Sale until Sunday: lamp-outlet.example"


def facts(text: str, kind: str = "general", **changes: Any) -> Facts:
    """Return facts about a post with this text in a community of this kind, with changes to post and facts."""
    about_post = {name: changes.pop(name) for name in ("quotes", "link", "community") if name in changes}
    post = replace(POST, text=text, **about_post)
    plain = Facts(post=post, community=Community(community=post.community, kind=kind), strikes=(), channels=())
    return replace(plain, **changes)


def strikes(*words: str) -> tuple[Strike, ...]:
    """Read ``rule:day`` words, overturned where they end in x."""
    parts = [(word.removesuffix("x").split(":"), word.endswith("x")) for word in words]
    return tuple(Strike(post="P9", rule=rule, given_on=day, overturned=gone) for (rule, day), gone in parts)


def ads(*days: str) -> tuple[Shared, ...]:
    return tuple(Shared(post="P8", posted_on=day, link="lamp-outlet.example") for day in ("2031-04-16", *days))


def account(parody: bool = False, verified_as: str | None = None) -> Account:
    return Account(account="U1", parody=parody, verified_as=verified_as)


def verdict(decision: str, rule: str, number: int, appeal: str = "none", escalate: bool = False) -> Verdict:
    return Verdict(decision=decision, rule=rule, strikes=number, appeal=appeal, escalate=escalate)


KEEP = verdict("keep", "none", 0)
OWN = (Strike(post="P1", rule="spam", given_on="2031-04-01", overturned=False),)
ONE = strikes("spam:2031-04-01")
SPAM: Mapping[str, Any] = {"link": "lamp-outlet.example", "history": ads("2031-04-10", "2031-04-09")}

CASES: Mapping[str, tuple[Item, Facts, Verdict]] = {
    "nothing touched": (REPORT, facts(POST.text), KEEP),
    # private data
    "private number": (REPORT, facts(PRIVATE, contact=NUMBER), verdict("remove", "private_data", 1)),
    "own number": (REPORT, facts(PRIVATE, contact=replace(NUMBER, account="U1")), KEEP),
    "number of a business": (REPORT, facts(PRIVATE, contact=replace(NUMBER, kind="business")), KEEP),
    "office": (
        REPORT,
        facts(PRIVATE, contact=replace(NUMBER, kind="office")),
        verdict("remove", "private_data", 1),
    ),
    "office in the news": (REPORT, facts(PRIVATE, "news", contact=replace(NUMBER, kind="office")), KEEP),
    "private in the news": (REPORT, facts(PRIVATE, "news", contact=NUMBER), verdict("remove", "private_data", 1)),
    "quoted number": (
        REPORT,
        facts(WARNINGS[0] + PRIVATE, contact=NUMBER, quoted=OTHERS),
        verdict("remove", "private_data", 1),
    ),
    "precedence": (REPORT, facts(BOTH, contact=NUMBER), verdict("remove", "private_data", 1)),
    "what is left of two": (
        REPORT,
        facts(BOTH, contact=replace(NUMBER, kind="business")),
        verdict("remove", "scam", 2),
    ),
    # scam and quotation
    "scam": (REPORT, facts(SCAM), verdict("remove", "scam", 2)),
    "warning of a scam": (REPORT, facts(WARNINGS[1] + SCAM, quoted=OTHERS), KEEP),
    "warning without a quote": (REPORT, facts(WARNINGS[1] + SCAM), verdict("remove", "scam", 2)),
    "warning of oneself": (
        REPORT,
        facts(WARNINGS[2] + SCAM, quoted=replace(POST, post="P2")),
        verdict("remove", "scam", 2),
    ),
    "quote without a warning": (REPORT, facts(SCAM, quoted=OTHERS), verdict("remove", "scam", 2)),
    # impersonation and satire
    "speaks for others": (REPORT, facts(SPEAKS, account=account()), verdict("remove", "impersonation", 1)),
    "speaks for oneself": (REPORT, facts(SPEAKS, account=account(verified_as="Harbour Bank")), KEEP),
    "verified as another": (
        REPORT,
        facts(SPEAKS, account=account(verified_as="Northern Rail")),
        verdict("remove", "impersonation", 1),
    ),
    "satire": (REPORT, facts(SPEAKS, "satire", account=account(parody=True)), KEEP),
    "parody elsewhere": (
        REPORT,
        facts(SPEAKS, account=account(parody=True)),
        verdict("remove", "impersonation", 1),
    ),
    "no parody": (REPORT, facts(SPEAKS, "satire", account=account()), verdict("remove", "impersonation", 1)),
    # brigading and news value
    "raid": (REPORT, facts(RAID), verdict("limit", "brigading", 1)),
    "raid on oneself": (REPORT, facts(RAID, community="c/photos"), KEEP),
    "raid in the news": (REPORT, facts(RAID, "news", link="daily-herald.example"), KEEP),
    "news without a source": (REPORT, facts(RAID, "news"), verdict("limit", "brigading", 1)),
    "source without news": (REPORT, facts(RAID, link="daily-herald.example"), verdict("limit", "brigading", 1)),
    # spam
    "two posts": (REPORT, facts(AD, link="lamp-outlet.example", history=ads("2031-04-10")), KEEP),
    "the third eight days before": (
        REPORT,
        facts(AD, link="lamp-outlet.example", history=ads("2031-04-10", "2031-04-08")),
        KEEP,
    ),
    "three posts in seven days": (REPORT, facts(AD, **SPAM), verdict("limit", "spam", 1)),
    "three in a market": (REPORT, facts(AD, "market", **SPAM), KEEP),
    "six in a market": (
        REPORT,
        facts(AD, "market", link="lamp-outlet.example", history=ads(*["2031-04-12"] * 5)),
        verdict("limit", "spam", 1),
    ),
    # strikes
    "second time": (REPORT, facts(RAID, strikes=ONE), verdict("remove", "brigading", 2)),
    "day 90": (REPORT, facts(RAID, strikes=strikes("spam:2031-01-18")), verdict("remove", "brigading", 2)),
    "day 91": (REPORT, facts(RAID, strikes=strikes("spam:2031-01-17")), verdict("limit", "brigading", 1)),
    "scam on day 180": (REPORT, facts(RAID, strikes=strikes("scam:2030-10-20")), verdict("remove", "brigading", 3,
                                                                                          escalate=True)),
    "scam on day 181": (REPORT, facts(RAID, strikes=strikes("scam:2030-10-19")), verdict("limit", "brigading", 1)),
    "overturned strike": (REPORT, facts(RAID, strikes=strikes("spam:2031-04-01x")), verdict("limit", "brigading", 1)),
    "three strikes": (REPORT, facts(SCAM, strikes=ONE), verdict("remove", "scam", 3, escalate=True)),
    "three strikes and no harm": (
        REPORT,
        facts(POST.text, strikes=strikes("scam:2031-04-01", "spam:2031-04-01")),
        verdict("keep", "none", 3),
    ),
    "authority": (REPORT, facts(POST.text, channels=("reader", "authority")), replace(KEEP, escalate=True)),
    # appeals
    "own decision": (
        APPEAL,
        facts(POST.text, decisions=(replace(LAST, moderator="M1"),), strikes=OWN),
        verdict("remove", "spam", 1, "deferred", True),
    ),
    "30 days": (
        APPEAL,
        facts(POST.text, decisions=(replace(LAST, appealed_on="2031-05-01"),), strikes=OWN),
        verdict("keep", "none", 0, "overturned"),
    ),
    "31 days": (
        APPEAL,
        facts(POST.text, decisions=(replace(LAST, appealed_on="2031-05-02"),), strikes=OWN),
        verdict("remove", "spam", 1, "dismissed"),
    ),
    "again": (
        APPEAL,
        facts(POST.text, decisions=(replace(LAST, appeal="upheld"), LAST), strikes=OWN),
        verdict("remove", "spam", 1, "dismissed"),
    ),
    "earlier decision without appeal": (
        APPEAL,
        facts(POST.text, decisions=(replace(LAST, appealed_on=None), LAST), strikes=OWN),
        verdict("keep", "none", 0, "overturned"),
    ),
    "overturned keeps other strikes": (
        APPEAL,
        facts(POST.text, decisions=(LAST,), strikes=OWN + ONE),
        verdict("keep", "none", 1, "overturned"),
    ),
    "reduced": (
        APPEAL,
        facts(RAID, decisions=(LAST,), strikes=OWN),
        verdict("limit", "brigading", 1, "reduced"),
    ),
    "upheld for another rule": (
        APPEAL,
        facts(RAID, decisions=(LAST,), strikes=OWN + ONE),
        verdict("remove", "brigading", 2, "upheld"),
    ),
    "never worse": (
        APPEAL,
        facts(SCAM, decisions=(replace(LAST, decision="limit"),), strikes=OWN),
        verdict("limit", "scam", 1, "upheld"),
    ),
}  # fmt: skip


def case_of(task: Task) -> Case:
    return make_case(0, task.data["key"])


def played(task: Task, script: Script) -> Episode:
    return asyncio.run(play(QUEUE, task, script, seed=0))


def value_of(episode: Episode) -> float:
    assert not isinstance(episode.outcome, Failed)
    return episode.outcome.value


def rewarded(task: Task, text: str) -> float:
    return value_of(played(task, numbered([say(text)])))


def block(fields: Mapping[str, Any]) -> str:
    return f"<final_output>{json.dumps(fields)}</final_output>"


@pytest.mark.parametrize("name", CASES)
def test_rules_decide_as_worked_out_by_hand(name: str) -> None:
    item, known, expected = CASES[name]
    assert judge(item, known) == expected


def test_strikes_add_up() -> None:
    some = strikes("scam:2031-01-10", "spam:2031-01-10", "spam:2031-04-17", "scam:2031-04-01x")
    assert count_strikes(some, DAY) == 2 + 0 + 1


@given(st.randoms(use_true_random=False), st.sampled_from(list(TEXTS)), st.booleans())
def test_what_is_written_is_read_back(random: Random, topic: str, warns: bool) -> None:
    blanks = {"contact": "555-0100", "organisation": "the City Library", "target": "c/chess"}
    reading = read(write(random, topic, warns=warns, link="lamp-outlet.example", blanks=blanks))
    assert reading.rules == (() if topic == "none" else tuple(topic.split(" and ")))
    assert reading.warns == warns
    assert reading.contact == ("555-0100" if "private_data" in reading.rules else "")
    assert reading.organisation.casefold() == ("the city library" if "impersonation" in reading.rules else "")
    assert reading.target == ("c/chess" if "brigading" in reading.rules else "")


def test_texts_are_read_back() -> None:
    assert read(BOTH) == Reading(rules=("private_data", "scam"), contact="555-0142")
    assert read(WARNINGS[0] + SPEAKS) == Reading(rules=("impersonation",), warns=True, organisation="Harbour Bank")
    assert read(RAID).target == "c/photos"
    with pytest.raises(ValueError, match="no text of this moderation queue"):
        read("Hello.")


def test_the_oracle_solves_every_item_for_reward_and_scorer() -> None:
    scorer = FinalOutputScorer(collect_vocabulary(ALL))
    turns = Counter[int]()
    for task in ALL:
        episode = played(task, QUEUE.scripted("oracle")(task, 0))
        assert value_of(episode) == 1.0
        assert scorer.score(episode).success
        assert not any(tool.error for turn in episode.turns for tool in turn.tools)
        turns[len(episode.turns)] += 1
    assert max(turns) <= QUEUE.turn_limit
    assert sum(count for needed, count in turns.items() if needed <= QUEUE.typical_turns) >= 0.85 * len(ALL)


def best_guess(known: Callable[[Task], Hashable], field: str) -> float:
    """Return the share of tasks that naming the most frequent value for what is known gets right."""
    seen: dict[Hashable, Counter[Any]] = defaultdict(Counter)
    for task in ALL:
        seen[known(task)][task.data["gold"][field]] += 1
    return sum(values.most_common(1)[0][1] for values in seen.values()) / len(ALL)


@pytest.mark.parametrize("field", ["decision", "rule", "strikes", "appeal", "escalate"])
def test_neither_the_text_nor_another_single_fact_gives_the_answer(field: str) -> None:
    def reading(task: Task) -> Hashable:
        touched = read(facts_of(case_of(task).item, case_of(task).world).post.text)
        return touched.rules, touched.warns

    def known(task: Task) -> Facts:
        return facts_of(case_of(task).item, case_of(task).world)

    columns: Mapping[str, Callable[[Task], Hashable]] = {
        "kind of item": lambda task: case_of(task).item.kind,
        "text": reading,
        "community": lambda task: known(task).community.kind,
        "channels": lambda task: frozenset(known(task).channels),
        "number of strikes": lambda task: len(known(task).strikes),
        "last decision": lambda task: [*((one.decision, one.rule) for one in known(task).decisions), ("", "")][-1],
    }
    for name, column in columns.items():
        assert best_guess(column, field) < 0.85, name


def test_no_answer_is_frequent_and_every_label_occurs() -> None:
    golds = [task.data["gold"] for task in ALL]
    assert Counter(map(str, golds)).most_common(1)[0][1] < 0.15 * len(ALL)
    labels = {str(gold[name]) for gold in golds for name in ("decision", "rule", "appeal")}
    assert labels == {
        "keep", "limit", "remove", "none", "private_data", "scam", "impersonation", "brigading", "spam",
        "deferred", "dismissed", "overturned", "reduced", "upheld",
    }  # fmt: skip
    assert all(label in POLICY for label in labels)
    assert all(f"- {spec.name}(" in POLICY for spec in QUEUE.tool_specs())
    assert 600 <= len(POLICY.split()) <= 900


Change = Callable[[Facts], Facts]
TRAPS: Mapping[str, Change] = {
    "who is quoted": lambda known: replace(known, quoted=known.quoted and replace(known.quoted, account="U0")),
    "whose number": lambda known: replace(known, contact=known.contact and replace(known.contact, kind="business")),
    "own number": lambda known: replace(known, contact=known.contact and replace(known.contact, account=None)),
    "community": lambda known: replace(known, community=replace(known.community, kind="general")),
    "parody": lambda known: replace(known, account=known.account and replace(known.account, parody=True)),
    "verified": lambda known: replace(known, account=known.account and replace(known.account, verified_as=None)),
    "link": lambda known: replace(known, history=(*known.history, *known.history)),
    "age of strikes": lambda known: replace(
        known, strikes=tuple(replace(one, given_on="2033-01-01") for one in known.strikes)
    ),
    "overturned": lambda known: replace(known, strikes=tuple(replace(one, overturned=False) for one in known.strikes)),
    "weight of scam": lambda known: replace(
        known, strikes=tuple(replace(one, rule="spam") if one.rule == "scam" else one for one in known.strikes)
    ),
    "whose decision": lambda known: replace(
        known, decisions=tuple(replace(one, moderator="M0") for one in known.decisions)
    ),
    "late appeal": lambda known: replace(
        known, decisions=tuple(replace(one, appealed_on=one.decided_on) for one in known.decisions)
    ),
    "second appeal": lambda known: replace(known, decisions=known.decisions[-1:]),
    "authority": lambda known: replace(known, channels=("reader",)),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_changes_the_verdict_on_some_item(trap: str) -> None:
    items = [(case_of(task), facts_of(case_of(task).item, case_of(task).world)) for task in ALL]
    assert sum(judge(case.item, TRAPS[trap](known)) != case.verdict for case, known in items) >= 1


def test_records_are_in_order_of_time() -> None:
    for task in ALL:
        case = case_of(task)
        known = facts_of(case.item, case.world)
        days = [day for one in known.decisions for day in (one.decided_on, one.appealed_on) if day]
        assert [known.post.posted_on, *days, case.item.day] == sorted([known.post.posted_on, *days, case.item.day])
        assert case.item.kind == ("appeal" if known.decisions else "report")


def test_the_reward_is_dense_and_strict() -> None:
    gold = dict(ALL[0].data["gold"])
    expected = {
        block(gold): 1.0,
        f"<think>{block(gold | {'strikes': 9})}</think>{block(gold)}": 1.0,
        block(gold | {"strikes": 9}): 4 / 5,
        block(gold | {"escalate": str(gold["escalate"])}): 4 / 5,
        block(gold | {"remark": "fine"}): 5 / 6,
        block({}): 0.0,
        f"<think>{block(gold)}</think>": -0.1,
        block(gold) * 2: -0.1,
        "": -0.1,
        POLICY: 0.0,
    }
    for text, reward in expected.items():
        assert rewarded(ALL[0], text) == pytest.approx(reward), text


def test_tools_say_what_they_do_not_know() -> None:
    task = ALL[0]
    script = [
        call("get_post", post="P0"),
        call("get_community", community="chess"),
        call("look_up_contact", contact="110"),
        call("get_strikes", account=case_of(task).item.post),
        say(""),
    ]
    episode = played(task, numbered(script))
    assert [turn.responses[0].content for turn in episode.turns[:-1]] == [
        '{"error": "there is no post P0"}',
        '{"error": "there is no community chess"}',
        '{"error": "there is no entry for the number 110"}',
        f'{{"error": "there is no account {case_of(task).item.post}"}}',
    ]


def test_the_tired_moderator_is_right_now_and_then() -> None:
    def rewards(seed: int, tasks: list[Task] = ALL[:10]) -> list[float]:
        return [value_of(played(task, QUEUE.scripted("tired_moderator")(task, seed))) for task in tasks]

    first = rewards(1, ALL[:50])
    assert 0.3 < sum(reward == 1.0 for reward in first) / len(first) < 0.65
    assert QUEUE.demonstrators() == ("tired_moderator",)
    assert rewards(1) == first[:10] != rewards(2)


def test_worlds_depend_on_the_seed_alone_and_are_not_shared() -> None:
    assert len({task.id for task in ALL}) == len({task.cluster for task in ALL}) == len(ALL) == 110
    assert all(Item.read(task.prompt) == case_of(task).item for task in ALL)
    world: World = case_of(ALL[0]).world
    make_case.cache_clear()
    again = ContentModeration(train_tasks=20, validation_tasks=0, test_tasks=0)
    assert list(again.tasks("train")) == ALL[:20]
    assert case_of(ALL[0]).world == world
    assert asdict(case_of(ALL[0]).verdict) == ALL[0].data["gold"]
    elsewhere = ContentModeration(train_tasks=20, seed=1)
    assert not {task.cluster for task in elsewhere.tasks("train")} & {task.cluster for task in ALL}


def test_the_built_in_name_takes_options_and_refuses_others() -> None:
    assert len(list(load_environment("content_moderation", {"train_tasks": 3}).tasks("train"))) == 3
    with pytest.raises(ConfigError, match="content_moderation: test_tasks = -1: expected 0 or more"):
        ContentModeration(test_tasks=-1)
