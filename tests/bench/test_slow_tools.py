"""Tools that take their time: how long is a function of the key, however attempts run side by side."""

import asyncio
import math
import sys
from pathlib import Path
from statistics import median
from types import ModuleType

import pytest

from turnwright.core.message import ToolCall
from turnwright.environments.load import load_environment

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def slow_tools(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package, which is no part of the product."""
    monkeypatch.syspath_prepend(str(BENCH))
    for name in ("slow_tools", "slow_tools.latency", "slow_tools.environment"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import slow_tools.environment  # pyright: ignore[reportMissingImports]
    import slow_tools.latency  # pyright: ignore[reportMissingImports]

    return slow_tools


def test_latencies_have_the_median_and_the_tail_that_they_are_said_to_have(slow_tools: ModuleType) -> None:
    drawn = sorted(slow_tools.latency.latency(seed=1, task=f"t{i}", attempt=0, call=0) for i in range(20_000))
    assert median(drawn) == pytest.approx(0.2, rel=0.03)
    assert drawn[19_800] == pytest.approx(5.0, rel=0.1)
    assert sum(drawn) / 20_000 == pytest.approx(0.2 * math.exp(slow_tools.latency.SIGMA**2 / 2), rel=0.1)


def test_every_part_of_the_key_counts_and_nothing_else(slow_tools: ModuleType) -> None:
    key = {"seed": 1, "task": "a", "attempt": 0, "call": 0}
    others = [key, key | {"seed": 2}, key | {"task": "b"}, key | {"attempt": 1}, key | {"call": 1}]
    drawn = [slow_tools.latency.latency(**other) for other in others]
    assert len(set(drawn)) == len(others)
    assert slow_tools.latency.latency(**key) == drawn[0]
    assert slow_tools.latency.latency(**key, scale=0.2) == pytest.approx(0.2 * drawn[0])


def test_an_attempt_waits_as_long_however_many_others_are_open(slow_tools: ModuleType) -> None:
    def prototype():
        return load_environment("slow_tools.environment:SlowProcedures", {"latency_scale": 0.001, "size": 2})

    def drawn(first, second, order):
        one, other = first.for_episode(), second.for_episode()
        tasks = list(first.tasks("train"))
        one.open(tasks[0], 7)
        other.open(tasks[0], 7)
        latencies = {0: [], 1: []}
        for which in order:
            latencies[which].append((one, other)[which].next_latency())
        return latencies

    shared = prototype()
    other = prototype()
    assert drawn(shared, shared, (0, 0, 1, 1)) == drawn(other, other, (1, 0, 1, 0))
    # Of prototypes of their own both are first attempts.
    apart = drawn(prototype(), prototype(), (0, 1))
    assert apart[0] == apart[1]


def test_slow_tools_are_awaited_side_by_side_and_answer_as_the_quick_ones_do(slow_tools: ModuleType) -> None:
    slow = load_environment("slow_tools.environment:SlowReturnsDesk", {"latency_scale": 0.0, "train_tasks": 120})
    quick = load_environment("returns_desk", {"train_tasks": 120})
    task = next(iter(quick.tasks("train")))
    call = ToolCall(id="1", name="get_order", arguments=f'{{"order": "{task.prompt.removeprefix("order: ")}"}}')

    async def both() -> list[str]:
        answers = []
        for environment in (slow.for_episode(), quick.for_episode()):
            environment.open(task, 3)
            answers.append((await environment.call_tool(call)).message.content)
        return answers

    answers = asyncio.run(both())
    assert answers[0] == answers[1]
    assert slow.tool_specs() == quick.tool_specs()

    stuck = {"latency_scale": 1e6, "train_tasks": 120}
    waiting = load_environment("slow_tools.environment:SlowReturnsDesk", stuck).for_episode()

    async def others_go_on() -> str:
        waiting.open(task, 3)
        pending = asyncio.create_task(waiting.call_tool(call))
        await asyncio.sleep(0)
        environment = quick.for_episode()
        environment.open(task, 3)
        answer = await environment.call_tool(call)
        assert not pending.done()
        pending.cancel()
        return answer.message.content

    assert asyncio.run(others_go_on()) == answers[1]
