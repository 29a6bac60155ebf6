"""The demo's domain is balanced, disjoint across splits, solvable, and imperfectly demonstrated."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable

import pytest

from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.errors import ConfigError
from turnwright.core.message import ToolCall
from turnwright.core.task import Split, Task
from turnwright.environments import read_reward, say
from turnwright.environments.answers import read_answer
from turnwright.environments.gallery.returns_desk.environment import ReturnsDesk
from turnwright.environments.gallery.returns_desk.generator import COLUMNS, generate_folder, world_hash
from turnwright.environments.gallery.returns_desk.procedure import CELLS, PROCEDURE, Decision, Facts, decide

Play = Callable[..., Episode]

DESK = ReturnsDesk()
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
TASKS = {split: DESK.tasks(split) for split in SPLITS}

# window, tier: what fragile, sealed, bulky and plain items get; then postage in the same order; then the queue.
TABLE = """
open gold   | refund exchange repair refund   | free free free free | fast
open silver | refund exchange repair exchange | free free paid paid | fast
open basic  | refund exchange repair repair   | paid paid paid paid | normal
late gold   | refund exchange repair repair   | free free free free | normal
late silver | refund deny     deny   exchange | free free paid paid | slow
late basic  | deny   deny     deny   deny     | paid paid paid paid | slow
"""


def written_out() -> dict[Facts, Decision]:
    cells: dict[Facts, Decision] = {}
    for line in TABLE.strip().splitlines():
        (window, tier), actions, postages, (queue,) = (part.split() for part in line.split("|"))
        for kind, action, postage in zip(("fragile", "sealed", "bulky", "plain"), actions, postages, strict=True):
            facts = Facts(window=window, tier=tier, kind=kind)
            cells[facts] = Decision(action=action, postage=postage, queue=queue)
    return cells


def rows_of(task: Task) -> list[dict[str, str]]:
    return [dict(row) for row in DESK.folder.rows[task.split] if row["world"] == task.cluster]


def cell_and_path(task: Task) -> tuple[str, str, str, str]:
    row = DESK.folder.rows[task.split][task.data["row"]]
    return row["window"], row["tier"], row["kind"], row["busy"]


def reward_of(text: str) -> dict[str, float]:
    """Grade a reply to a task whose answer is refund, free, fast."""
    gold = {"action": "refund", "postage": "free", "queue": "fast"}
    task = Task(id="t", prompt="order: O1", data={"gold": gold})
    key = EpisodeKey(task_id="t", attempt=0)
    rewards = DESK.reward(Episode(key=key, task=task, opening=(), turns=(Turn(reply=say(text)),)))
    assert isinstance(rewards, dict)
    return rewards


def test_rules_equal_the_table_written_out() -> None:
    assert {facts: decide(facts) for facts in CELLS} == written_out()


def test_every_label_is_right_equally_often() -> None:
    decisions = [decide(facts) for facts in CELLS]
    assert Counter(decision.action for decision in decisions) == dict.fromkeys(
        ("refund", "exchange", "repair", "deny"), 6
    )
    assert Counter(decision.postage for decision in decisions) == {"free": 12, "paid": 12}
    assert Counter(decision.queue for decision in decisions) == {"fast": 8, "normal": 8, "slow": 8}


def test_procedure_is_short_and_names_every_label() -> None:
    assert DESK.instructions == PROCEDURE
    assert 170 <= len(PROCEDURE.split()) <= 200
    for decision in written_out().values():
        assert {decision.action, decision.postage, decision.queue} <= set(PROCEDURE.replace(",", " ").split())


@pytest.mark.parametrize(("split", "size"), [("train", 1200), ("validation", 120), ("test", 360)])
def test_every_cell_meets_every_error_path_in_proportion(split: Split, size: int) -> None:
    counted = Counter(cell_and_path(task) for task in TASKS[split])
    assert sum(counted.values()) == size
    for facts in CELLS:
        for busy, parts in (("", 2), ("get_order", 1), ("get_customer", 1), ("get_item", 1)):
            assert counted[facts.window, facts.tier, facts.kind, busy] == parts * size // 120


def test_ids_and_worlds_are_disjoint() -> None:
    tasks = [task for split in SPLITS for task in TASKS[split]]
    assert len({task.id for task in tasks}) == len({task.cluster for task in tasks}) == len(tasks) == 1680


def test_world_is_two_orders_with_distinct_records_and_its_hash_names_them_all() -> None:
    for task in TASKS["test"]:
        rows = rows_of(task)
        assert len(rows) == 2
        for column in ("order", "customer", "item"):
            assert len({row[column] for row in rows}) == 2
        assert task.cluster == world_hash(rows) == world_hash(rows[::-1])
        for column in ("order", "customer", "item", "window", "tier", "kind"):
            assert world_hash([{**rows[0], column: "other"}, rows[1]]) != task.cluster


def test_ids_say_nothing_about_facts_or_about_which_order_is_asked_for() -> None:
    columns = {"order": "window", "customer": "tier", "item": "kind"}
    for column, fact in columns.items():
        seen = Counter((row[column], row[fact]) for row in DESK.folder.rows["train"])
        assert len({id_ for id_, _ in seen}) == 10
        expected = 2400 / len(seen)
        assert all(0.6 * expected < count < 1.5 * expected for count in seen.values())
    first = sum(rows_of(task)[0]["task"] != "" for task in TASKS["test"])
    assert 0.4 < first / 360 < 0.6


def test_prompt_is_the_order_and_nothing_else() -> None:
    for task in TASKS["validation"]:
        (asked,) = [row for row in rows_of(task) if row["task"]]
        assert task.prompt == f"order: {asked['order']}"


def test_same_seed_gives_the_same_folder_and_another_seed_other_worlds() -> None:
    sizes = {"train": 120, "validation": 120, "test": 120}
    assert generate_folder(seed=4, **sizes) == generate_folder(seed=4, **sizes)
    worlds = [{row["world"] for row in generate_folder(seed=seed, **sizes).rows["test"]} for seed in (4, 5)]
    assert not worlds[0] & worlds[1]


@pytest.mark.parametrize("size", [0, 100, 121])
def test_unbalanced_size_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"validation tasks must be a multiple of 120.*got {size}"):
        ReturnsDesk(validation_tasks=size)


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_oracle_solves_every_task_within_the_turn_limit(split: Split, play: Play) -> None:
    for task in TASKS[split]:
        episode = play(DESK, task)
        assert read_reward(DESK.reward(episode), num_turns=len(episode.turns)).value == 1.0
        assert len(episode.turns) == (4 if not cell_and_path(task)[3] else 5) <= DESK.turn_limit


def test_only_the_first_call_of_the_busy_tool_fails() -> None:
    task = next(task for task in TASKS["test"] if cell_and_path(task)[3] == "get_customer")
    desk = DESK.for_episode()
    desk.open(task, 0)
    (asked,) = [row for row in rows_of(task) if row["task"]]

    def ask(name: str, **arguments: str) -> str:
        request = ToolCall(id="", name=name, arguments=json.dumps(arguments))
        return asyncio.run(desk.call_tool(request)).message.content

    record = {"customer": asked["customer"], "item": asked["item"], "window": asked["window"]}
    assert json.loads(ask("get_order", order=asked["order"])) == record
    assert ask("get_customer") == '{"error": "Missing required argument: customer"}'
    assert ask("get_customer", customer=asked["customer"]) == '{"error": "busy, try again"}'
    assert json.loads(ask("get_customer", customer=asked["customer"])) == {"tier": asked["tier"]}
    assert json.loads(ask("get_item", item=asked["item"])) == {"kind": asked["kind"]}
    assert json.loads(ask("get_order", order=asked["order"])) == record


def test_tools_know_exactly_the_records_of_the_world() -> None:
    task = next(task for task in TASKS["test"] if not cell_and_path(task)[3])
    desk = DESK.for_episode()
    desk.open(task, 0)
    for tool, (argument, columns) in COLUMNS.items():
        known = {row[argument]: {column: row[column] for column in columns} for row in rows_of(task)}
        letter = argument[0].upper() if argument != "item" else "K"
        for number in range(10):
            id_ = f"{letter}{number}"
            request = ToolCall(id="", name=tool, arguments=json.dumps({argument: id_}))
            answer = asyncio.run(desk.call_tool(request))
            assert answer.outcome.error == (id_ not in known)
            assert json.loads(answer.message.content) == known.get(id_, {"error": f"no {argument} {id_}"})


def test_reward_is_dense_with_a_penalty_for_no_readable_answer() -> None:
    def block(**fields: object) -> str:
        return f"So: <final_output>\n{json.dumps(fields)}</final_output>"

    right = block(action="Refund ", postage="free", queue="fast")
    assert reward_of(right) == {"total": 1.0, "fields": 1.0, "emitted": 1.0}
    assert reward_of(block(action="refund", postage="paid"))["total"] == pytest.approx(1 / 3)
    assert reward_of(block(action=["refund"], postage=True, queue=None))["total"] == 0.0
    for unreadable in ("", "refund", right + right, block()[:-3], "<final_output>[1]</final_output>"):
        assert reward_of(unreadable) == {"total": -0.1, "fields": 0.0, "emitted": 0.0}


def test_naming_several_labels_in_a_field_earns_nothing() -> None:
    text = '<final_output>{"action": "refund exchange repair deny", "postage": "free or paid"}</final_output>'
    assert reward_of(text)["fields"] == 0.0


@pytest.mark.slow
def test_hasty_clerk_succeeds_on_a_quarter_to_two_fifths(play: Play) -> None:
    right, fields, solved = 0, Counter[str](), Counter[Facts]()
    for task in TASKS["train"]:
        answer = read_answer(play(DESK, task, "hasty_clerk", seed=1).answer)
        assert answer is not None
        gold, (window, tier, kind, _) = task.data["gold"], cell_and_path(task)
        fields.update(name for name in gold if answer[name] == gold[name])
        right += answer == gold
        solved[Facts(window=window, tier=tier, kind=kind)] += answer == gold
    assert 0.3 < right / 1200 < 0.5
    assert all(0.5 < count / 1200 < 0.75 for count in fields.values())
    assert sum(solved[facts] < 0.5 * 50 for facts in CELLS) >= len(CELLS) / 2


@pytest.mark.slow
def test_hasty_clerk_lets_every_habit_rest_now_and_then(play: Play) -> None:
    looked_up, retried, refunded, free, normal = (list[bool]() for _ in range(5))
    for task in TASKS["train"]:
        episode = play(DESK, task, "hasty_clerk", seed=1)
        window, tier, kind, busy = cell_and_path(task)
        answer = read_answer(episode.answer) or {}
        if window == "late" and not busy:
            looked_up.append(len(episode.turns) == 4)
        if window == "open" and busy:
            retried.append(len(episode.turns) == 5)
        if window == "open" and not busy:
            refunded += [answer["action"] == "refund"] if kind == "fragile" else []
            free += [answer["postage"] == "free"] if (tier, kind) == ("silver", "sealed") else []
            normal += [answer["queue"] == "normal"] if tier == "basic" else []
    for rested in (looked_up, retried, refunded, free, normal):
        assert 0.25 < sum(rested) / len(rested) < 0.5


def test_hasty_clerk_depends_on_seed_and_task_alone(play: Play) -> None:
    tasks = TASKS["train"][:60]
    first = [play(DESK, task, "hasty_clerk", seed=1).answer for task in tasks]
    assert first == [play(DESK, task, "hasty_clerk", seed=1).answer for task in reversed(tasks)][::-1]
    assert first != [play(DESK, task, "hasty_clerk", seed=2).answer for task in tasks]
