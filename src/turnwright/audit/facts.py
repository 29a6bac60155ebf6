"""Facts of an environment, measured on its solutions: sizes, tools, turns, cost."""

from collections import Counter
from collections.abc import Sequence

from turnwright.audit.report import Facts, ToolFacts
from turnwright.audit.session import calls_by_tool
from turnwright.audit.splits import TasksBySplit
from turnwright.core.episode import Episode
from turnwright.core.message import ToolSpec
from turnwright.environments.base import Environment


def measure(prototype: Environment, tasks: TasksBySplit, episodes: Sequence[Episode], seconds: float) -> Facts:
    """Return the facts.

    Args:
        prototype: The environment.
        tasks: All its tasks by split.
        episodes: Its solutions.
        seconds: Time that playing them took.
    """
    specs = {spec.name: spec for spec in prototype.tool_specs()}
    for episode in episodes:
        specs.update({spec.name: spec for spec in episode.tools})
    turns = Counter(len(episode.turns) for episode in episodes)
    opened = [sum(len(message.content) for message in episode.opening) for episode in episodes]
    return Facts(
        tasks={split: len(some) for split, some in tasks.items()},
        turns={str(count): turns[count] for count in sorted(turns)},
        turn_limit=prototype.turn_limit,
        seconds_per_episode=round(seconds / len(episodes), 6) if episodes else 0.0,
        longest_opening=max(opened, default=0),
        tools=tuple(_tool(spec, episodes) for spec in specs.values()),
    )


def _tool(spec: ToolSpec, episodes: Sequence[Episode]) -> ToolFacts:
    calls = calls_by_tool(episodes).get(spec.name, ())
    latencies = [tool.latency_ms for e in episodes for turn in e.turns for tool in turn.tools if tool.name == spec.name]
    return ToolFacts(
        name=spec.name,
        description=spec.description,
        parameters=spec.parameters,
        calls=len(calls),
        errors=sum(call.error for call in calls),
        longest_answer=max((len(call.text) for call in calls), default=0),
        mean_ms=round(sum(latencies) / len(latencies), 3) if latencies else 0.0,
    )
