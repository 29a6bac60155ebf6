"""Public domains, read from the checkout that SOP_BENCH_DIR names: rules, labels, ceilings, attacks and parity."""

import asyncio
import csv
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.message import Message, ToolCall
from turnwright.core.task import Task
from turnwright.environments import ToolCrash, load_environment, read_reward
from turnwright.environments.sop.card import make_card
from turnwright.environments.sop.checkout import SopCheckout
from turnwright.environments.sop.environment import SopEnvironment
from turnwright.environments.sop.original import is_right
from turnwright.environments.sop.parity import compare_tools
from turnwright.environments.sop.sandbox import SandboxedTools
from turnwright.evaluation.scorers import FinalOutputScorer, collect_vocabulary
from turnwright.launch.check import check_environment

Play = Callable[..., Episode]

pytestmark = pytest.mark.skipif("SOP_BENCH_DIR" not in os.environ, reason="SOP_BENCH_DIR names no checkout")
ANSWERED = ("customer_service", "referral_abuse_detection_v1", "traffic_spoofing_detection")


def load(domain: str, **options: Any) -> SopEnvironment:
    environment = load_environment(f"sop:{os.environ['SOP_BENCH_DIR']}/{domain}", options)
    assert isinstance(environment, SopEnvironment)
    return environment


def answered(task: Task, *replies: Message) -> Episode:
    turns = tuple(Turn(reply=reply) for reply in replies)
    return Episode(key=EpisodeKey(task_id=task.id, attempt=0), task=task, opening=(), turns=turns)


@pytest.mark.parametrize("mode", ["repaired", "official"])
@pytest.mark.parametrize(
    ("domain", "solved", "tasks", "turn_limit"),
    [
        ("referral_abuse_detection_v1", 200, 200, 6),
        ("traffic_spoofing_detection", 161, 200, 11),
        ("customer_service", 156, 156, 14),
    ],
)
def test_rules_solve_what_can_be_solved(
    domain: str, solved: int, tasks: int, turn_limit: int, mode: str, play: Play
) -> None:
    environment = load(domain, mode=mode)
    episodes = [play(environment, task) for task in environment.tasks("test")]
    values = [read_reward(environment.reward(episode), num_turns=len(episode.turns)).value for episode in episodes]
    assert (values.count(1.0), len(values)) == (solved, tasks)
    assert environment.turn_limit == (turn_limit if mode == "repaired" else 10)
    assert not any(outcome.error for episode in episodes for turn in episode.turns for outcome in turn.tools)
    # Whoever follows the rules makes the calls that a grounded success needs.
    assert all(len(episode.task.data["needed"]) == len(episode.turns) - 1 for episode in episodes)


@pytest.mark.parametrize("domain", ANSWERED)
def test_tasks_hold_the_labels_of_the_table_and_never_show_them(domain: str) -> None:
    environment = load(domain)
    (output,) = environment.folder.output_columns
    with (Path(os.environ["SOP_BENCH_DIR"]) / domain / "test_set_with_outputs.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        rows = list(csv.DictReader(file))
    assert [task.data["gold"][output] for task in environment.tasks("test")] == [row[output] for row in rows]
    assert not any(f"{output}:" in task.prompt for task in environment.tasks("test"))
    codes = [finding.code for finding in environment.findings if finding.severity != "info"]
    assert codes == (["oracle.ceiling"] if domain.startswith("traffic") else [])


def test_ceiling_is_said_by_finding_and_card() -> None:
    environment = load("traffic_spoofing_detection")
    (ceiling,) = [finding for finding in environment.findings if finding.code == "oracle.ceiling"]
    assert "161 of 200 labels" in ceiling.evidence
    assert make_card(environment).by_rules == (161, 200)


@pytest.mark.parametrize(
    ("domain", "rows", "majority", "turns"),
    [
        ("referral_abuse_detection_v1", 200, 0.525, (4, 6)),
        ("traffic_spoofing_detection", 200, 0.46, (7, 11)),
        ("customer_service", 156, 0.359, (9, 14)),
        ("order_fulfillment", 30, 0.467, (5, 8)),
    ],
)
def test_card(domain: str, rows: int, majority: float, turns: tuple[int, int]) -> None:
    card = make_card(load(domain))
    assert (card.rows, round(card.majority_share, 3), (card.typical_turns, card.max_turns)) == (rows, majority, turns)
    assert any(licence.non_commercial for licence in card.licences)


def test_account_is_investigated_with_typed_facts() -> None:
    environment = load("referral_abuse_detection_v1")
    task = environment.tasks("test")[0]
    opened = environment.for_episode()
    opened.open(task, 0)
    found = opened.look_up("investigate_account", {"account_id": task.prompt.removeprefix("account_id: ")})
    assert {key: type(value) for key, value in found.items()} == {
        "account_id": str,
        "address_validity": bool,
        "email_pattern_suspicious": bool,
        "website_verified": bool,
        "business_description": str,
        "account_status": str,
        "connected_accounts": int,
        "login_geographic_consistency": bool,
    }


def test_domain_whose_tools_compute_loads_and_its_calls_fail_as_infrastructure() -> None:
    environment = load("order_fulfillment", tools="recorded")
    assert len(environment.tasks("test")) == 30
    assert not any("expected_output" in task.prompt for task in environment.tasks("test"))
    assert all("expected_output: " in task.prompt for task in load("order_fulfillment", mode="official").tasks("test"))
    codes = Counter(finding.code for finding in environment.findings)
    assert (codes["leak.answer"], codes["tool.unanswered"]) == (1, 4)
    opened = environment.for_episode()
    opened.open(environment.tasks("test")[0], 0)
    request = ToolCall(
        id="", name="check_inventory", arguments=json.dumps({"product_id": "PROD001", "quantity_requested": 1})
    )
    with pytest.raises(ToolCrash, match=r"full checkout, whose tools\.py"):
        asyncio.run(opened.call_tool(request))


def test_checkout_holds_all_domains() -> None:
    environment = load_environment(f"sop:{os.environ['SOP_BENCH_DIR']}")
    assert isinstance(environment, SopCheckout)
    sizes = Counter(task.cluster for task in environment.tasks("test"))
    assert {sizes[domain] for domain in ANSWERED} == {200, 156}
    assert sizes["order_fulfillment"] == 30


def attacks(environment: SopEnvironment) -> dict[str, Callable[[Task], tuple[Message, ...]]]:
    """Return plays that earn nothing by work; those that need the truth take it from the task."""
    (output,) = environment.folder.output_columns
    tasks = environment.tasks("test")
    labels = sorted({task.data["gold"][output] for task in tasks})
    letters = sorted({letter for label in labels for letter in label.casefold() if letter.isalpha()})
    winning = max(letters, key=lambda letter: sum(letter in task.data["gold"][output].casefold() for task in tasks))

    def reply(text: str) -> Message:
        return Message(role="assistant", content=text)

    def block(value: str) -> Message:
        return reply(f"<final_output>{json.dumps({output: value})}</final_output>")

    def truth(task: Task) -> str:
        return block(task.data["gold"][output]).content

    def wrong(task: Task) -> str:
        return next(label for label in labels if label != task.data["gold"][output])

    tools = tuple(
        Message(role="assistant", tool_calls=(ToolCall(id="", name=spec.name, arguments="{}"),))
        for spec in environment.tool_specs()
    )
    return {
        "shortest winning substring": lambda task: (block(winning),),
        "all labels joined": lambda task: (block(", ".join(labels)),),
        "all labels in thinking, wrong answer": lambda task: (
            reply(f"<think>{' '.join(labels)} {truth(task)}</think>{block(wrong(task)).content}"),
        ),
        "truth in thinking alone": lambda task: (reply(f"<think>{truth(task)}</think>"),),
        "negation": lambda task: (block(f"not {task.data['gold'][output]}"),),
        "right answer, wrong tag": lambda task: (
            reply(f"<final_decision>{task.data['gold'][output]}</final_decision>"),
        ),
        "tools and garbage": lambda task: (*tools, reply("done")),
        "constant": lambda task: (block(Counter(t.data["gold"][output] for t in tasks).most_common(1)[0][0]),),
    }


@pytest.mark.parametrize("domain", ANSWERED)
def test_no_attack_beats_the_majority_class(domain: str) -> None:
    environment = load(domain)
    tasks = environment.tasks("test")
    scorer = FinalOutputScorer(collect_vocabulary(tasks))
    majority = make_card(environment).majority_share
    for name, play in attacks(environment).items():
        episodes = [answered(task, *play(task)) for task in tasks]
        strict = sum(scorer.score(episode).success for episode in episodes) / len(tasks)
        rewarded = sum(read_reward(environment.reward(e), num_turns=len(e.turns)).value >= 1.0 for e in episodes) / len(
            tasks
        )
        assert strict <= majority, name
        assert rewarded <= majority, name
        assert name == "constant" or strict == 0.0, name


@pytest.mark.parametrize("domain", ANSWERED)
def test_original_grader_calls_one_letter_right_everywhere(domain: str) -> None:
    environment = load(domain, mode="official")
    play = attacks(environment)["shortest winning substring"]
    verdicts = [is_right(answered(task, *play(task)), task.data["gold"]) for task in environment.tasks("test")]
    assert sum(verdicts) == len(verdicts)


@pytest.mark.slow
def test_recorded_tools_equal_the_checkouts_own_on_every_row() -> None:
    checkout = SopCheckout(os.environ["SOP_BENCH_DIR"], tools="recorded")
    domains = {n: d for n, d in checkout.domains.items() if d.folder.tools_file is not None and d.lookups}
    if not domains:
        pytest.skip(f"none of the {len(checkout.domains)} domains has both a tools.py and lookups")
    for name, domain in domains.items():
        parity = compare_tools(domain, SandboxedTools(domain.folder))
        assert parity.mismatches == (), name
        assert parity.calls == len(domain.folder.rows["test"]) * len(domain.lookups)


def found(domain: str, **options: Any) -> set[tuple[str, str, str]]:
    report = check_environment(f"sop:{os.environ['SOP_BENCH_DIR']}/{domain}", options=options)
    return {(finding.code, finding.severity, finding.where) for finding in report.findings}


@pytest.mark.slow
@pytest.mark.parametrize("domain", ANSWERED)
def test_audit_finds_the_holes_of_the_original_grader_in_official_mode_only(domain: str) -> None:
    holes = {("grader.substring", "error", "reward"), ("grader.multi_label", "error", "reward")}
    assert holes <= found(domain, mode="official")
    assert not any(code.startswith("grader.") for code, *_ in found(domain))


@pytest.mark.slow
def test_audit_finds_the_label_leak_of_a_public_domain() -> None:
    official = found("order_fulfillment", mode="official", tools="recorded")
    assert ("leak.answer", "error", "prompt field 'expected_output'") in official
    repaired = found("order_fulfillment", tools="recorded")
    assert [severity for code, severity, _ in repaired if code == "leak.answer"] == ["warning"]


@pytest.mark.slow
def test_audit_counts_a_ceiling_and_no_failure_of_the_oracle() -> None:
    codes = {code for code, *_ in found("traffic_spoofing_detection")}
    assert {"oracle.ceiling", "leak.proxy"} <= codes
    assert "oracle.fails" not in codes
