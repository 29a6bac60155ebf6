"""A world whose tool is answered by a server of its own for each episode, for runs of seconds."""

import sys
from collections.abc import Iterator
from pathlib import Path

from small_runs.environment import vowels

from turnwright.core.episode import Episode
from turnwright.core.task import Split, Task
from turnwright.environments.imported.mcp import McpEnvironment, McpServer

HERE = Path(__file__).parent


class ServedDesk(McpEnvironment):
    """Look an order up and answer; the reward is the share of vowels, so that attempts differ."""

    instructions = (
        "You are given one order. Look up the facts, then decide.\n\nSteps:\n1. Call get_order with the order. It "
        "gives the window.\n\nQueue:\n- window open: fast\n- window late: slow\n\nAnswer in exactly this form:\n"
        '<final_output>{"queue": "fast"}</final_output>'
    )
    typical_turns = 2
    resources = {  # noqa: RUF012 - nobody changes it
        "desk": McpServer([sys.executable, "-E", "-s", "-S", str(HERE / "tool_server.py")])
    }

    def tasks(self, split: Split) -> Iterator[Task]:
        """Yield orders that differ in their number."""
        for number in range(400):
            yield Task(id=f"{split}-{number}", prompt=f"order: O{number % 10}", data={"number": number}, split=split)

    def reward(self, episode: Episode) -> float:
        """Return the share of vowels in all replies."""
        return vowels(episode)
