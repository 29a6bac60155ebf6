"""OpenEnv's own clients against the exported environment, over a real socket.

They have many dependencies, and so an environment of their own: TURNWRIGHT_OPENENV_PYTHON names its interpreter.
"""

import asyncio
import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from launch.export.driving import TASKS, action_of, in_process, read_message, serving, written
from turnwright.core.outcome import Failed

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif("TURNWRIGHT_OPENENV_PYTHON" not in os.environ, reason="TURNWRIGHT_OPENENV_PYTHON is not set"),
    pytest.mark.skipif(importlib.util.find_spec("websockets") is None, reason="websockets is not installed"),
]
PROGRAM = Path(__file__).parent / "programs" / "generic_openenv.py"


async def run_program(url: str, **told: Any) -> Any:
    process = await asyncio.create_subprocess_exec(
        os.environ["TURNWRIGHT_OPENENV_PYTHON"],
        PROGRAM,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    )
    out, _ = await asyncio.wait_for(process.communicate(json.dumps({"url": url, **told}).encode()), 100)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


def test_eight_sessions_at_once_equal_those_of_this_process(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"

    async def run() -> None:
        expected = [await in_process(TASKS[number], number) for number in range(8)]
        episodes = [
            {
                "task_id": episode.task.id,
                "seed": number,
                "replies": [action_of(turn.reply) for turn in episode.turns],
            }
            for number, episode in enumerate(expected)
        ]
        async with serving("openenv", path) as (url, sessions):
            played = await run_program(url, do="play", episodes=episodes)
            while sessions.by_id:
                await asyncio.sleep(0.01)
        for episode, one in zip(expected, played, strict=True):
            assert not isinstance(episode.outcome, Failed)
            seen = [tuple(map(read_message, news)) for news in one["seen"]]
            assert seen == [episode.opening, *(turn.responses for turn in episode.turns)]
            assert one["tools"] == [spec.name for spec in episode.tools]
            assert (one["reward"], one["done"]) == (episode.outcome.value, True)
            assert one["state"]["step_count"] == len(episode.turns)

    asyncio.run(run())
    assert len(written(path)) == 8


def test_tool_client_shares_a_session() -> None:
    async def run() -> dict[str, Any]:
        order = {"task_id": TASKS[0].id, "order": TASKS[0].prompt.removeprefix("order: ")}
        async with serving("openenv") as (url, _):
            return await run_program(url, do="call tools", order=order)

    told = asyncio.run(run())
    assert told["first"] == ["get_order", "get_customer", "get_item"]
    assert told["tools"] == [*told["first"], "reply"]
    assert json.loads(told["called"]).keys() & {"customer", "error"}
    assert json.loads(told["stepped"]).keys() & {"customer", "error"}
    assert told["steps"] == 2


def test_full_service_says_so() -> None:
    async def run() -> str:
        async with serving("openenv", capacity=1) as (url, _):
            return await run_program(url, do="be refused")

    assert asyncio.run(run()).endswith("(code: CAPACITY_REACHED)")


def test_client_that_vanishes_leaves_no_session(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving("openenv", tmp_path / "e.jsonl") as (url, sessions):
            await run_program(url, do="vanish")
            while sessions.by_id:
                await asyncio.sleep(0.01)

    asyncio.run(run())
    (episode,) = written(tmp_path / "e.jsonl")
    assert episode.outcome == Failed(cause="abandoned", detail="the socket was closed")
