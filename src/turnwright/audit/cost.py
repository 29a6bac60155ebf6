"""Cost: what the world itself takes of an episode's time, without any model."""

from collections.abc import Sequence

from turnwright.core.episode import Episode
from turnwright.core.finding import Finding

SLOW_SECONDS = 0.25
"""Tools of one episode together: blocking tools of 64 episodes then keep a round waiting for 16 s."""


def check_cost(episodes: Sequence[Episode]) -> tuple[Finding, ...]:
    """Report tools that take long, the slowest by name.

    Three episodes of four must take that long: what else the machine does slows some of them down.
    """
    seconds: dict[str, float] = {}
    totals: list[float] = []
    for episode in episodes:
        tools = [tool for turn in episode.turns for tool in turn.tools]
        totals.append(sum(tool.latency_ms for tool in tools) / 1000)
        for tool in tools:
            seconds[tool.name] = seconds.get(tool.name, 0.0) + tool.latency_ms / 1000
    total = sorted(totals)[len(totals) // 4] if totals else 0.0
    if total < SLOW_SECONDS:
        return ()
    slowest = max(seconds, key=lambda name: seconds[name])
    return (
        Finding(
            code="cost.slow",
            severity="warning",
            where=f"tool {slowest!r}",
            evidence=f"the tools of an episode take {total:.2f} s, of which this one "
            f"{seconds[slowest] / len(episodes):.2f} s",
            cure="write the tool as a coroutine that awaits what it waits for, or build in open() what it builds anew",
        ),
    )
