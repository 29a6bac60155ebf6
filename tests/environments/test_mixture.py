"""A mixture is its members: every episode plays in one of them, which never learns that it is mixed."""

import asyncio
from collections.abc import Iterable

import pytest

from turnwright.agents.builtin import LoopLimits
from turnwright.config import resolve_values
from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.errors import DatasetError, EnvironmentLoadError, ToolError
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Rewarded, Truncated
from turnwright.core.task import Split, Task, enter_domain, leave_domain
from turnwright.environments.base import Done, Environment
from turnwright.environments.mixture import Mixture, load_choice, turn_limits
from turnwright.environments.scripts import Script, call, numbered, say
from turnwright.environments.tools import tool
from turnwright.rollout.demonstrations import ScriptedPolicy, run_script
from turnwright.rollout.runner import EpisodeLimits, run_episode

BASE_ONLY = {"for_episode", "turn_limit", "instructions", "typical_turns", "max_turns", "waits"}
"""What a mixture takes over from Environment, or sets in its ``__init__``."""


class Counter(Environment):
    """Counts to its task's number and logs what it is told."""

    max_turns = 7

    def __init__(self, name: str, size: int = 2, clusters: bool = False) -> None:
        self.log: list[tuple[str, object]] = []
        self.instructions = f"You are {name}."
        self._size, self._clusters = size, clusters

    def tasks(self, split: Split) -> Iterable[Task]:
        if split == "test":
            raise DatasetError("no test rows here")
        cluster = "world" if self._clusters else None
        for index in range(self._size):
            yield Task(id=f"{split}-{index}", prompt=str(index), data={"n": index}, split=split, cluster=cluster)

    def open(self, task: Task, seed: int) -> None:
        super().open(task, seed)
        self.log.append(("open", task))
        self.count = 0

    def close(self) -> None:
        self.log.append(("close", self.task.id))

    @tool
    def add(self) -> int:
        """Add one."""
        self.count += 1
        if self.count > self.task.data["n"]:
            raise ToolError("too far")
        return self.count

    def respond(self, reply: Message) -> list[Message] | Done:
        return Done() if reply.content else [Message(role="user", content="say something")]

    def reward(self, episode: Episode) -> float:
        self.log.append(("reward", (episode.key, episode.task)))
        return float(self.count == episode.task.data["n"])

    def oracle(self, task: Task) -> Script:
        for _ in range(task.data["n"]):
            yield call("add")
        yield say(task.id)

    def idle(self, task: Task, seed: int) -> Script:
        yield say(f"{task.id} {seed}")


class Silent(Counter):
    """Has no tools of its own and another turn limit."""

    max_turns = 2

    def tools(self) -> dict:
        return {}

    def silent(self, task: Task, seed: int) -> Script:
        yield say("")


def make() -> Mixture:
    return Mixture({"b": Counter("b", 3, clusters=True), "a": Silent("a", 1)})


def task_of(mixture: Mixture, task_id: str) -> Task:
    return next(task for task in mixture.tasks("train") if task.id == task_id)


def test_every_part_of_an_environment_is_delegated() -> None:
    parts = {name for name in vars(Environment) if not name.startswith("_")}
    assert parts - BASE_ONLY == parts & set(vars(Mixture))


def test_tasks_alternate_and_carry_their_domain() -> None:
    tasks = list(make().tasks("train"))
    assert [task.id for task in tasks] == ["a/train-0", "b/train-0", "b/train-1", "b/train-2"]
    assert [(task.domain, task.cluster) for task in tasks[:2]] == [("a", None), ("b", "b/world")]
    assert [leave_domain(task) for task in tasks if task.domain == "b"] == list(
        Counter("b", 3, clusters=True).tasks("train")
    )


def test_a_split_that_a_member_lacks_is_named_with_its_domain() -> None:
    with pytest.raises(DatasetError, match="domain 'a': no test rows here"):
        list(make().tasks("test"))


def test_an_episode_plays_in_its_own_environment_under_its_own_ids() -> None:
    mixture = make()
    task = task_of(mixture, "b/train-2")
    episode = asyncio.run(run_script(mixture, task, "oracle", seed=5, attempt=3))
    assert episode.outcome == Rewarded(value=1.0)
    assert (episode.task, episode.key) == (task, EpisodeKey(task_id="b/train-2", attempt=3))
    assert episode.opening[0].content == "You are b."
    assert [spec.name for spec in episode.tools] == ["add"]
    assert episode.answer == "train-2"
    own = leave_domain(task)
    assert mixture.members["b"].log == [
        ("open", own),
        ("reward", (EpisodeKey(task_id="train-2", attempt=3), own)),
        ("close", "train-2"),
    ]
    assert mixture.members["a"].log == []


def test_turns_without_calls_and_errors_of_tools_are_the_members() -> None:
    mixture = make()
    limits = EpisodeLimits(loop=LoopLimits(max_turns=3))

    def play(task_id: str, *replies: Message) -> Episode:
        policy = ScriptedPolicy(numbered(replies))
        task = task_of(mixture, task_id)
        return asyncio.run(run_episode(mixture, task, EpisodeKey(task_id=task.id, attempt=0), policy, limits, seed=1))

    spoken = play("a/train-0", say(""), say("x"))
    assert spoken.turns[0].responses == (Message(role="user", content="say something"),)
    refused = play("b/train-0", call("add"), say("x"))
    assert refused.turns[0].responses[0].content == '{"error": "too far"}'
    unknown = play("a/train-0", call("add"), say("x"))
    assert "unknown tool add" in unknown.turns[0].responses[0].content
    assert isinstance(play("a/train-0", say(""), say(""), say("")).outcome, Truncated)


def test_a_task_is_scripted_by_its_own_environment() -> None:
    mixture = make()
    assert mixture.demonstrators() == ("idle", "silent")
    script = mixture.scripted("idle")(task_of(mixture, "b/train-1"), 9)
    assert next(script).content == "train-1 9"
    silent = mixture.scripted("silent")
    assert next(silent(task_of(mixture, "a/train-0"), 9)).content == ""
    with pytest.raises(EnvironmentLoadError, match="domain 'b': Counter has no scripted policy 'silent'"):
        silent(task_of(mixture, "b/train-1"), 9)
    with pytest.raises(EnvironmentLoadError, match="domain 'a': Silent has no scripted policy 'loud'"):
        mixture.scripted("loud")


def test_turn_limits_are_the_members_and_the_mixtures_is_the_longest() -> None:
    mixture = make()
    assert (mixture.turn_limits, mixture.turn_limit) == ({"a": 2, "b": 7}, 7)
    assert turn_limits(mixture) == {"a": 2, "b": 7}
    assert turn_limits(mixture.members["a"]) == {}


def test_one_waiting_member_makes_the_mixture_wait() -> None:
    waiting = Counter("c")
    waiting.waits = True
    assert Mixture({"a": Counter("a"), "c": waiting}).for_episode().waits
    assert not make().for_episode().waits


class Locked(Counter):
    """Cannot be opened, but lets go of what it took."""

    def open(self, task: Task, seed: int) -> None:
        super().open(task, seed)
        raise OSError("no room left")


def test_a_member_that_cannot_open_is_closed() -> None:
    mixture = Mixture({"a": Counter("a"), "locked": Locked("locked", 1)})
    episode = asyncio.run(run_script(mixture, task_of(mixture, "locked/train-0"), "oracle", seed=1))
    assert isinstance(episode.outcome, Failed)
    assert [what for what, _ in mixture.members["locked"].log] == ["open", "close"]


def test_a_task_from_elsewhere_is_refused() -> None:
    with pytest.raises(EnvironmentLoadError, match="task 'train-0' has the domain None: expected one of a, b"):
        make().for_episode().open(Task(id="train-0", prompt="0"), 1)


def test_domains_are_left_as_they_were_entered() -> None:
    task = Task(id="x/1", prompt="?", cluster="c")
    entered = enter_domain(task, "x")
    assert (entered.id, entered.cluster, leave_domain(entered), leave_domain(task)) == ("x/x/1", "x/c", task, task)


def test_members_are_loaded_by_name_and_named_in_errors() -> None:
    def load(**members: dict) -> Environment:
        return load_choice(resolve_values({"environment": {"mixture": members}}, source="test").config.environment)

    loaded = load(p={"name": "procedures", "options": {"size": 2}}, q={"name": "procedures", "options": {"size": 1}})
    assert [task.id for task in loaded.tasks("train")] == [
        "p/procedures-0-train-0",
        "q/procedures-0-train-0",
        "p/procedures-0-train-1",
    ]
    with pytest.raises(EnvironmentLoadError, match=r"environment\.mixture\.p: environment 'procedures' has no option"):
        load(p={"name": "procedures", "options": {"sise": 2}})
    with pytest.raises(EnvironmentLoadError, match=r"environment\.mixture\.p: unknown environment 'nowhere'"):
        load(p={"name": "nowhere"})
