"""Functions of users as agents: plain, async, by name, broken and cancelled."""

import asyncio
import contextvars
import functools
import json
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turnwright.agents import in_process
from turnwright.agents.base import AgentError, AgentReport
from turnwright.agents.function import FunctionAgent
from turnwright.core.errors import EnvironmentLoadError

current: contextvars.ContextVar[str] = contextvars.ContextVar("current", default="nobody")


def launch(function: Callable[..., Any] | str, request) -> AgentReport:
    async def go() -> AgentReport:
        agent = FunctionAgent(function)
        try:
            return await agent.launch(request)
        finally:
            await agent.close()

    return asyncio.run(go())


def test_a_plain_function_gets_the_payload_off_the_event_loop(rollout) -> None:
    seen: list[Any] = []

    def agent(payload: dict) -> float:
        seen.extend([payload, threading.current_thread() is threading.main_thread()])
        return 0.5

    request = rollout()
    assert launch(agent, request) == AgentReport(rewards=(0.5,))
    assert seen == [json.loads(json.dumps(request.payload())), False]


def test_an_async_function_runs_on_the_event_loop(rollout) -> None:
    async def agent(payload: dict) -> dict:
        await asyncio.sleep(0)
        return {"reward": float(threading.current_thread() is threading.main_thread())}

    assert launch(agent, rollout()).rewards == (1.0,)


class Desk:
    async def __call__(self, payload: dict) -> list[float]:
        return [1.0, 2.0]

    async def rollout(self, bonus: float, payload: dict) -> float:
        return bonus


@pytest.mark.parametrize(
    ("agent", "rewards"),
    [
        (Desk(), (1.0, 2.0)),
        (functools.partial(Desk().rollout, 0.5), (0.5,)),
        (lambda payload: Desk()(payload), (1.0, 2.0)),
    ],
    ids=["object", "partial", "function that returns a coroutine"],
)
def test_whatever_can_be_awaited_is_awaited(agent: Callable[..., Any], rewards: tuple[float, ...], rollout) -> None:
    assert launch(agent, rollout()).rewards == rewards


def test_each_call_has_its_own_payload_and_context_variables(rollout) -> None:
    task = rollout(instance={"items": [1]})
    seen: list[tuple[str, list[int]]] = []

    def work(payload: dict) -> None:
        seen.append((current.get(), payload["instance"]["items"]))
        current.set("the agent")
        payload["instance"]["items"].append(2)

    async def work_async(payload: dict) -> None:
        work(payload)

    async def go() -> str:
        current.set("the run")
        for agent in (FunctionAgent(work), FunctionAgent(work_async)):
            await agent.launch(task)
            seen[-1][1].clear()
            await agent.launch(task)
        return current.get()

    assert asyncio.run(go()) == "the run"
    assert [name for name, _ in seen] == ["the run"] * 4
    assert task.instance == {"items": [1]}


def crash(payload: dict) -> float:
    raise KeyError("order")


async def crash_async(payload: dict) -> float:
    sys.exit(3)


def stop(payload: dict) -> float:
    raise StopIteration


@pytest.mark.parametrize(
    ("agent", "last"), [(crash, "KeyError: 'order'"), (crash_async, "SystemExit: 3"), (stop, "StopIteration")]
)
def test_an_exception_is_an_agent_error_with_the_end_of_its_traceback(agent, last: str, rollout) -> None:
    with pytest.raises(AgentError) as caught:
        launch(agent, rollout())
    assert caught.value.cause == "agent_error"
    lines = caught.value.detail.splitlines()
    assert (lines[0], lines[-1]) == (f"agent {agent.__qualname__} raised:", last)
    assert any(__file__ in line for line in lines)


def test_a_function_that_cancels_itself_does_not_cancel_the_run(rollout) -> None:
    async def agent(payload: dict) -> None:
        raise asyncio.CancelledError

    with pytest.raises(AgentError, match="cancelled its own task"):
        launch(agent, rollout())


def test_cancelling_a_launch_cancels_the_coroutine_and_waits_for_its_clean_up(rollout) -> None:
    log: list[str] = []

    async def agent(payload: dict) -> None:
        try:
            log.append("started")
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            log.append("cleaned up")

    async def go() -> None:
        launching = asyncio.create_task(FunctionAgent(agent).launch(rollout()))
        while not log:
            await asyncio.sleep(0)
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launching
        assert log == ["started", "cleaned up"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(go())


def test_a_coroutine_that_refuses_to_be_cancelled_does_not_hold_the_launch(rollout, monkeypatch) -> None:
    monkeypatch.setattr(in_process, "FAREWELL_SECONDS", 0.05)
    released = asyncio.Event()

    async def agent(payload: dict) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    async def go() -> None:
        function = FunctionAgent(agent)
        launching = asyncio.create_task(function.launch(rollout()))
        await asyncio.sleep(0.01)
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(launching, 5)
        released.set()
        await function.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(go())


def test_a_thread_that_goes_on_after_cancellation_is_named_and_ends_in_silence(rollout, monkeypatch, caplog) -> None:
    monkeypatch.setattr(in_process, "FAREWELL_SECONDS", 0.05)
    entered, released = threading.Event(), threading.Event()

    def agent(payload: dict) -> None:
        entered.set()
        released.wait(30)
        raise RuntimeError("too late to matter")

    async def go() -> None:
        function = FunctionAgent(agent)
        launching = asyncio.create_task(function.launch(rollout()))
        while not entered.is_set():
            await asyncio.sleep(0.001)
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launching
        with caplog.at_level(logging.WARNING):
            await function.close()
        assert "1 calls go on in threads" in caplog.text
        caplog.clear()
        released.set()
        await function.close()

    asyncio.run(go())
    assert caplog.text == ""


def test_threads_of_many_launches_run_side_by_side(rollout) -> None:
    meeting = threading.Barrier(40, timeout=20)

    async def go() -> list[AgentReport]:
        function = FunctionAgent(lambda payload: float(meeting.wait() >= 0))
        return await asyncio.gather(*(function.launch(rollout()) for _ in range(40)))

    assert asyncio.run(go()) == [AgentReport(rewards=(1.0,))] * 40


def test_a_function_is_found_by_file_and_by_module(tmp_path: Path, monkeypatch, rollout) -> None:
    (tmp_path / "desk_agent_of_this_test.py").write_text("def rollout(payload):\n    return len(payload['prompt'])\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in (f"{tmp_path}/desk_agent_of_this_test.py:rollout", "desk_agent_of_this_test:rollout"):
        assert launch(name, rollout(prompt="four")).rewards == (4.0,)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("desk", "unknown agent 'desk': expected 'package.module:function'"),
        ("no_such_desk:rollout", "agent 'no_such_desk:rollout': importing no_such_desk failed"),
        ("FILE:run", "has no function 'run'; it has: rollout, wide"),
        ("FILE:limit", "has no function 'limit'; it has: rollout, wide"),
        ("FILE:wide", r"must accept \(payload\): it is declared as \(event, context\)"),
    ],
)
def test_a_name_that_does_not_resolve_says_what_exists(name: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "desk.py"
    file.write_text("limit = 3\ndef rollout(payload): ...\ndef wide(event, context): ...\ndef _hidden(payload): ...\n")
    with pytest.raises(EnvironmentLoadError, match=complaint):
        FunctionAgent(name.replace("FILE", str(file)))


def test_a_callable_that_takes_no_payload_is_refused() -> None:
    with pytest.raises(EnvironmentLoadError, match=r"must accept \(payload\)"):
        FunctionAgent(lambda: 1.0)
