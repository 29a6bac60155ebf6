"""An environment runs calls, keeps episodes apart, and never turns a broken tool into an answer."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from turnwright.core.episode import Episode
from turnwright.core.errors import EnvironmentLoadError, ToolError
from turnwright.core.message import Message, ToolCall
from turnwright.core.task import Split, Task
from turnwright.environments import (
    Done,
    Environment,
    Script,
    ToolAnswer,
    ToolCrash,
    TurnRewards,
    call,
    read_reward,
    say,
    tool,
)

TASK = Task(id="t1", prompt="count")


class Counter(Environment):
    """Counts, and breaks in every way a tool can."""

    typical_turns = 3
    shared: tuple[str, ...] = ()

    def tasks(self, split: Split) -> list[Task]:
        return [TASK]

    def open(self, task: Task, seed: int) -> None:
        super().open(task, seed)
        self.counted: list[int] = []

    @tool
    def count(self, number: int) -> dict[str, list[int]]:
        """Add a number."""
        self.counted.append(number)
        return {"counted": self.counted}

    @tool
    async def count_later(self, seconds: float) -> str:
        """Wait, then say so."""
        await asyncio.sleep(seconds)
        return "later"

    @tool
    def block(self, seconds: float) -> str:
        """Block the thread it runs in."""
        time.sleep(seconds)
        return threading.current_thread().name

    @tool
    def refuse(self) -> str:
        """Answer with an error."""
        raise ToolError("closed today")

    @tool
    def break_down(self, how: str) -> object:
        """Break."""
        if how == "exit":
            sys.exit(3)
        if how == "time out":
            raise TimeoutError("the tool's own")
        if how == "set":
            return {1, 2}
        raise KeyError(how)

    def reward(self, episode: Episode) -> float:
        return 1.0

    def oracle(self, task: Task) -> Iterable[Message]:
        return [call("count", number=1), say("done")]

    def eager(self, task: Task, seed: int) -> Script:
        (result,) = yield call("count", number=seed)
        yield say(result.content)


def opened() -> Counter:
    environment = Counter().for_episode()
    environment.open(TASK, 0)
    return environment


def run_call(name: str, arguments: str = "{}", *, timeout_seconds: float | None = None, threads: int = 0) -> ToolAnswer:
    request = ToolCall(id="call_0_0", name=name, arguments=arguments)
    if not threads:
        return asyncio.run(opened().call_tool(request, timeout_seconds))
    with ThreadPoolExecutor(threads, thread_name_prefix="tools") as executor:
        return asyncio.run(opened().call_tool(request, timeout_seconds, executor=executor))


def test_answer_carries_result_call_id_and_record() -> None:
    answer = run_call("count", '{"number": 3}')
    assert answer.message == Message(role="tool", content='{"counted": [3]}', tool_call_id="call_0_0", name="count")
    assert (answer.outcome.name, answer.outcome.error, answer.outcome.malformed) == ("count", False, False)
    assert answer.outcome.latency_ms > 0


@pytest.mark.parametrize(
    ("name", "arguments", "content"),
    [
        ("cuont", "{}", '{"error": "unknown tool cuont, there is: count, count_later, block, refuse, break_down"}'),
        ("count", '{"number": "3"}', '{"error": "Argument number must be integer"}'),
        ("count", '{"numbr": 3}', '{"error": "Missing required argument: number; Unknown argument: numbr"}'),
        ("reward", "{}", '{"error": "unknown tool reward, there is: count, count_later, block, refuse, break_down"}'),
    ],
)
def test_call_that_cannot_run_is_answered_and_marked(name: str, arguments: str, content: str) -> None:
    answer = run_call(name, arguments)
    assert answer.message.content == content
    assert answer.outcome.error
    assert answer.outcome.malformed


def test_broken_json_is_answered_and_marked() -> None:
    answer = run_call("count", '{"number": ')
    assert "not valid JSON" in answer.message.content
    assert answer.outcome.malformed


def test_tool_error_is_an_answer_but_not_malformed() -> None:
    answer = run_call("refuse")
    assert answer.message.content == '{"error": "closed today"}'
    assert answer.outcome.error
    assert not answer.outcome.malformed


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize(
    ("how", "told"), [("key", "KeyError"), ("exit", "SystemExit"), ("set", "TypeError"), ("time out", "TimeoutError")]
)
def test_broken_tool_is_a_crash_that_names_it(how: str, told: str, threads: int) -> None:
    with pytest.raises(ToolCrash, match=f"'break_down' raised {told}") as caught:
        run_call("break_down", f'{{"how": "{how}"}}', timeout_seconds=5, threads=threads)
    assert caught.value.cause == "tool_error"


@pytest.mark.parametrize(("name", "threads"), [("count_later", 0), ("block", 1)])
def test_slow_tool_is_a_timeout(name: str, threads: int) -> None:
    with pytest.raises(ToolCrash, match=r"did not answer within 0\.01 s") as caught:
        run_call(name, '{"seconds": 0.2}', timeout_seconds=0.01, threads=threads)
    assert caught.value.cause == "tool_timeout"


def test_plain_tools_run_inline_unless_an_executor_is_given() -> None:
    assert run_call("block", '{"seconds": 0}').message.content == threading.current_thread().name
    assert run_call("block", '{"seconds": 0}', threads=1).message.content.startswith("tools")


def test_blocking_tool_in_an_executor_lets_the_event_loop_go_on() -> None:
    async def both() -> list[str]:
        order: list[str] = []

        async def run(name: str, seconds: float) -> None:
            request = ToolCall(id="", name=name, arguments=f'{{"seconds": {seconds}}}')
            await opened().call_tool(request, executor=executor)
            order.append(name)

        with ThreadPoolExecutor(1) as executor:
            await asyncio.gather(run("block", 0.3), run("count_later", 0.0))
        return order

    assert asyncio.run(both()) == ["count_later", "block"]


def test_cancellation_passes_through() -> None:
    async def cancel() -> None:
        request = ToolCall(id="", name="count_later", arguments='{"seconds": 5}')
        running = asyncio.create_task(opened().call_tool(request, 60))
        await asyncio.sleep(0)
        running.cancel()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())


def test_episodes_of_one_prototype_do_not_share_what_open_creates() -> None:
    prototype = Counter()
    first, second = prototype.for_episode(), prototype.for_episode()
    first.open(TASK, 0)
    second.open(TASK, 1)
    first.count(1)
    assert (first.counted, second.counted) == ([1], [])
    assert not hasattr(prototype, "task")


def test_opening_is_instructions_then_prompt() -> None:
    environment = opened()
    assert environment.opening() == (Message(role="user", content="count"),)
    environment.instructions = "Count."
    assert [message.role for message in environment.opening()] == ["system", "user"]


def test_turn_limit_follows_typical_turns_unless_set() -> None:
    environment = Counter()
    assert environment.turn_limit == 5
    environment.max_turns = 3
    assert environment.turn_limit == 3


def test_world_is_silent_by_default() -> None:
    assert opened().respond(say("done")) == Done()


def test_scripts_number_their_calls_and_are_sent_what_followed() -> None:
    script = Counter().scripted("eager")(TASK, 7)
    request = next(script)
    assert request.tool_calls == (ToolCall(id="call_0_0", name="count", arguments='{"number": 7}'),)
    assert script.send((Message(role="tool", content="seven"),)).content == "seven"
    with pytest.raises(StopIteration):
        script.send(())


def test_oracle_may_be_a_plain_list() -> None:
    script = Counter().scripted("oracle")(TASK, 0)
    assert next(script).tool_calls[0].id == "call_0_0"
    assert script.send(()).content == "done"


def test_unknown_script_names_those_that_exist() -> None:
    assert Counter().demonstrators() == ("eager",)
    with pytest.raises(EnvironmentLoadError, match="'eagre': it has oracle, eager"):
        Counter().scripted("eagre")


def test_environment_without_an_oracle_says_so() -> None:
    class Plain(Counter):
        oracle = Environment.oracle

    with pytest.raises(NotImplementedError, match="Plain has no oracle"):
        next(Plain().scripted("oracle")(TASK, 0))


def test_number_is_a_grade() -> None:
    grade = read_reward(0.5, num_turns=2)
    assert (grade.value, grade.turn_values, grade.components) == (0.5, (), {})


def test_components_add_up_unless_a_total_is_given() -> None:
    assert read_reward({"right": 0.5, "format": -0.1}, num_turns=1).value == 0.4
    grade = read_reward({"right": 0.5, "format": 1.0, "total": 0.5}, num_turns=1)
    assert grade.value == 0.5
    assert grade.components == {"right": 0.5, "format": 1.0}


def test_turn_rewards_add_up_and_must_cover_every_turn() -> None:
    rewards = TurnRewards(values=(0.25, 0.5), components={"right": 1.0})
    grade = read_reward(rewards, num_turns=2)
    assert (grade.value, grade.turn_values, grade.components) == (0.75, (0.25, 0.5), {"right": 1.0})
    with pytest.raises(ValueError, match="got 2, expected 3"):
        read_reward(rewards, num_turns=3)


@pytest.mark.parametrize(
    "bad", [float("nan"), {"right": float("inf"), "total": 1.0}, TurnRewards(values=(float("inf"),))]
)
def test_reward_that_is_not_finite_is_refused(bad: float | dict[str, float] | TurnRewards) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        read_reward(bad, num_turns=1)
