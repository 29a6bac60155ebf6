"""The example that stands on an MCP server of its own."""

import asyncio
from pathlib import Path

import pytest

from turnwright.core.outcome import Rewarded
from turnwright.environments import load_environment
from turnwright.rollout.demonstrations import run_script

pytest.importorskip("mcp", reason="the extra turnwright[mcp] is not installed")
pytestmark = pytest.mark.slow

ENVIRONMENT = Path(__file__).parents[2] / "examples" / "mcp_tools" / "environment.py"


def test_oracle_lends_the_book_of_each_world() -> None:
    library = load_environment(f"{ENVIRONMENT}:Library")
    assert [spec.name for spec in library.tool_specs()] == ["library_find", "library_lend"]
    tasks = [task for task in library.tasks("train") if task.id in ("train-1", "train-9")]
    assert {task.cluster for task in tasks} == {"0", "1"}

    async def play() -> list[object]:
        episodes = await asyncio.gather(*(run_script(library, task, "oracle", seed=1) for task in tasks))
        return [episode.outcome for episode in episodes]

    assert asyncio.run(play()) == [Rewarded(value=1.0)] * 2
