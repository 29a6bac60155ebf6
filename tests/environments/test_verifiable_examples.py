"""The verifiable examples and the page's are solved as they say, and by nothing that only looks like an answer."""

import asyncio
import re
from pathlib import Path

import pytest

from turnwright.audit.play import play
from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.message import Message
from turnwright.core.outcome import Rewarded
from turnwright.core.task import Split, Task
from turnwright.environments import Environment, call, load_environment, say
from turnwright.environments.scripts import Script, numbered

FOLDER = Path(__file__).parents[2] / "examples" / "verifiable"
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def load(name: str) -> Environment:
    return load_environment(f"{FOLDER / name}")


def value(environment: Environment, task: Task, script: Script) -> float:
    outcome = asyncio.run(play(environment, task, script, seed=0)).outcome
    assert isinstance(outcome, Rewarded)
    return outcome.value


@pytest.mark.parametrize(("name", "step"), [("arithmetic.py:Arithmetic", 8), ("sales.py:Sales", 20)])
def test_the_oracle_solves_what_no_other_split_asks(name: str, step: int):
    environment = load(name)
    tasks = [task for split in SPLITS for task in environment.tasks(split)]
    assert len({task.id for task in tasks}) == len({task.prompt for task in tasks}) == len(tasks)
    for task in tasks[::step]:
        assert value(environment, task, environment.scripted("oracle")(task, 0)) == 1.0


@pytest.mark.slow
def test_functions_are_written_and_run():
    try:
        environment = load("functions.py:Functions")
    except EnvironmentLoadError as missing:
        pytest.skip(str(missing))
    tasks = [task for split in SPLITS for task in environment.tasks(split)]
    assert len({task.id for task in tasks}) == len({task.prompt for task in tasks}) == len(tasks) == 105
    assert value(environment, tasks[0], environment.scripted("oracle")(tasks[0], 0)) == 1.0


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ("\\boxed{203/4}", 1.0),
        ("so \\boxed{50.75} litres", 1.0),
        ("\\boxed{50\\frac{3}{4}}", 1.0),
        ("\\boxed{2 * 25 + 75%}", 1.0),
        ("<think>\\boxed{7}</think> \\boxed{50 3/4}", 1.0),
        ("203/4", 0.0),
        ("\\boxed{203/4} or \\boxed{51}", 0.0),
        ("<think>\\boxed{203/4}</think>", 0.0),
        ("\\boxed{50.7500001}", 0.0),
        ("\\boxed{50.75 litres}", 0.0),
        ("\\boxed{9**9**9}", 0.0),
        ("\\boxed{}", 0.0),
    ],
)
def test_a_number_is_right_in_any_form_and_only_in_one_box(answer: str, reward: float):
    environment = load("arithmetic.py:Arithmetic")
    task = Task(id="t", prompt="", data={"answer": "50.75"})
    assert value(environment, task, numbered([say(answer)])) == reward


def test_the_answer_of_the_shop_it_saw_is_not_enough():
    environment = load("sales.py:Sales")
    task = next(task for task in environment.tasks("test") if task.prompt.startswith("How many paid"))
    query = task.data["gold_query"]
    assert value(environment, task, numbered([say(f"<final_query>{query}</final_query>")])) == 1.0
    episode = environment.for_episode()
    episode.open(task, 0)
    rows = episode.run_sql(query)["rows"]  # type: ignore[attr-defined]
    episode.close()
    constants = " UNION ALL ".join(f"SELECT '{city}', {count}" for city, count in rows)
    assert value(environment, task, numbered([say(f"<final_query>{constants}</final_query>")])) == 0.0


@pytest.mark.parametrize(
    ("name", "answer", "reward"),
    [
        ("Quarters", say("It is \\boxed{0.75}."), 1.0),
        ("Orders", say("<final_query>SELECT sum(paid) FROM orders</final_query>"), 1.0),
        ("Orders", say("<final_query>SELECT 2</final_query>"), 0.0),
        ("Doubling", call("write_file", path="solution.py", content="def double(x):\n    return x + x\n"), 1.0),
        ("Desk", say('<final_output>{"action": "refund", "amount": 20}</final_output>'), 0.0),
    ],
)
def test_what_the_page_shows_works(tmp_path: Path, name: str, answer: Message, reward: float):
    page = (FOLDER.parents[1] / "docs" / "environments.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page.split("\n## Verifiable\n")[1], re.DOTALL)
    (block,) = (block for block in blocks if f"class {name}(" in block)
    (tmp_path / "page.py").write_text(block, encoding="utf-8")
    try:
        environment = load_environment(f"{tmp_path / 'page.py'}:{name}")
    except EnvironmentLoadError as missing:
        pytest.skip(str(missing))
    (task,) = environment.tasks("train")
    assert value(environment, task, numbered([answer, say("done")] if answer.tool_calls else [answer])) == reward
