import asyncio
import json
from itertools import islice

import pytest

from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.errors import ConfigError
from turnwright.core.message import Message, ToolCall
from turnwright.core.outcome import Rewarded
from turnwright.core.task import Task
from turnwright.environments.gallery.procedures.environment import GeneratedProcedures, demonstration_texts
from turnwright.rollout.demonstrations import run_script

SPLITS = ("train", "validation", "test")


def opened(environment: GeneratedProcedures, task: Task) -> GeneratedProcedures:
    episode = environment.for_episode()
    episode.open(task, 0)
    return episode


def ask(environment: GeneratedProcedures, tool: str, **arguments: str) -> dict[str, str]:
    call = ToolCall(id="c", name=tool, arguments=json.dumps(arguments))
    return json.loads(asyncio.run(environment.call_tool(call)).message.content)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3)])
def test_the_oracle_solves_every_task(size: tuple[int, int]):
    environment = GeneratedProcedures(seed=5, size=200, max_lookups=size[0], max_fields=size[1])

    async def play() -> list:
        return [await run_script(environment, task, "oracle", seed=0) for task in environment.tasks("train")]

    episodes = asyncio.run(play())
    assert len(episodes) == 200
    assert all(isinstance(episode.outcome, Rewarded) for episode in episodes)
    assert {episode.outcome.value for episode in episodes} == {1.0}
    # One tool of the procedure at most is busy, and once.
    assert max(len(episode.turns) for episode in episodes) <= size[0] + 2
    busy = [sum(tool.error for turn in episode.turns for tool in turn.tools) for episode in episodes]
    assert set(busy) == {0, 1}


def test_ids_and_clusters_are_disjoint_between_splits_and_seeds():
    seen: set[str] = set()
    for seed in (0, 1):
        for split in SPLITS:
            tasks = list(GeneratedProcedures(seed=seed, size=60).tasks(split))
            assert {task.split for task in tasks} == {split}
            for names in ({task.id for task in tasks}, {f"cluster {task.cluster}" for task in tasks}):
                assert len(names) == 60
                assert not names & seen
                seen |= names


def test_no_procedure_text_comes_back_in_another_split():
    environment = GeneratedProcedures(seed=2, size=150)
    texts = [opened(environment, task).instructions for split in SPLITS for task in environment.tasks(split)]
    assert len(set(texts)) == len(texts)


def test_tasks_are_the_same_each_time_and_depend_on_the_seed():
    def tasks(seed: int) -> list[Task]:
        return list(GeneratedProcedures(seed=seed, size=20).tasks("test"))

    assert tasks(3) == tasks(3)
    assert [task.prompt for task in tasks(3)] != [task.prompt for task in tasks(4)]


def test_the_agent_sees_procedure_and_subject_and_never_the_answer():
    environment = GeneratedProcedures(seed=1, size=40)
    for task in environment.tasks("train"):
        episode = opened(environment, task)
        system, user = episode.opening()
        assert user.content == task.prompt
        assert not {"gold", "key"} & set(task.prompt.split())
        for spec in episode.tool_specs():
            assert spec.name in system.content
        for field in task.data["gold"]:
            assert field.capitalize() in system.content


def test_ids_are_a_letter_and_a_digit_and_each_tool_knows_two():
    environment = GeneratedProcedures(seed=1, size=40)
    for task in environment.tasks("train"):
        procedure = environment._procedure(task.data["key"])
        ids = [set(procedure.records[lookup.tool]) for lookup in procedure.lookups]
        assert all(len(some) == 2 for some in ids)
        assert all(len(one) == 2 and one[0].isupper() and one[1].isdigit() for some in ids for one in some)
        letters = [next(iter(some))[0] for some in ids]
        assert len(set(letters)) == len(letters)
        assert procedure.subject in ids[0]


def find(environment: GeneratedProcedures, *, busy: bool) -> tuple[GeneratedProcedures, object]:
    for task in environment.tasks("train"):
        procedure = environment._procedure(task.data["key"])
        if bool(procedure.busy_tool) == busy and (not busy or procedure.busy_tool == procedure.lookups[0].tool):
            return opened(environment, task), procedure
    raise AssertionError


def test_a_busy_tool_answers_the_second_time_in_every_episode():
    environment = GeneratedProcedures(seed=1, size=200)
    episode, procedure = find(environment, busy=True)
    first = procedure.lookups[0]
    for _ in range(2):
        assert ask(episode, first.tool, **{first.entity: procedure.subject}) == {"error": procedure.busy_message}
        assert first.fact in ask(episode, first.tool, **{first.entity: procedure.subject})
        episode.open(episode.task, 0)


def test_an_unknown_id_and_a_wrong_argument_are_errors_to_react_to():
    episode, procedure = find(GeneratedProcedures(seed=1, size=200), busy=False)
    first = procedure.lookups[0]
    assert ask(episode, first.tool, **{first.entity: "Z77"}) == {"error": "no Z77"}
    assert "Unknown argument: nothing" in ask(episode, first.tool, nothing="Z7")["error"]


def test_the_reward_is_the_share_of_right_fields():
    environment = GeneratedProcedures(seed=1, size=200)
    task = next(task for task in environment.tasks("train") if len(task.data["gold"]) == 2)
    episode = opened(environment, task)
    one, other = task.data["gold"]

    def graded(answer: str) -> dict[str, float]:
        turn = Turn(reply=Message(role="assistant", content=answer))
        return episode.reward(Episode(key=EpisodeKey(task_id=task.id, attempt=0), task=task, opening=(), turns=(turn,)))

    gold = dict(task.data["gold"])
    assert graded(f"<final_output>{json.dumps(gold)}</final_output>") == {"fields": 1.0}
    assert graded(f"<final_output>{json.dumps(gold | {other: 'no'})}</final_output>") == {"fields": 0.5}
    assert graded(f"<final_output>{json.dumps({one: 'no'})}</final_output>") == {"fields": 0.0}
    for unreadable in ("", "refund", "<final_output>[1]</final_output>", "<final_output>{</final_output>"):
        assert graded(unreadable) == {"fields": 0.0}


def test_no_answer_is_right_most_of_the_time():
    """Rules are written per task: the example of the answer form is not the answer, and a copied one earns little."""
    environment = GeneratedProcedures(seed=1, size=200)
    right = total = 0
    for task in environment.tasks("train"):
        procedure = environment._procedure(task.data["key"])
        for field in procedure.fields:
            example = field.rules[0].value if field.rules else "..."
            right += procedure.gold[field.name] == example
            total += 1
    assert right / total < 0.45


@pytest.mark.parametrize(("name", "value"), [("max_lookups", 4), ("max_lookups", 0), ("max_fields", 9)])
def test_a_size_out_of_range_is_refused(name: str, value: int):
    with pytest.raises(ConfigError, match=rf"procedures: {name} = {value} is out of range: expected 1 to 3"):
        GeneratedProcedures(**{name: value})


def test_before_an_episode_is_open_there_are_no_tools():
    assert GeneratedProcedures(size=1).tools() == {}


def test_texts_for_a_tokenizer_hold_procedures_records_calls_and_answers():
    environment = GeneratedProcedures(seed=9, size=9)
    texts = list(demonstration_texts(environment, 4))
    assert len(texts) == 4
    for text, task in zip(texts, islice(environment.tasks("train"), 4), strict=True):
        assert task.prompt in text
        assert json.dumps(task.data["gold"]) in text
        assert '"arguments"' in text
