"""Mixture: several environments as one, so that a run can learn in all of them.

    tasks:    one from each member in turn, so that the first N of them are spread evenly; ids begin with the domain
    episode:  open(task) finds the task's member, and the member's own copy does the rest under its own task

A member never learns that it is mixed: tasks, scripts, seeds of its worlds and rewards see its own ids.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import replace

from turnwright.config.mixing import EnvironmentChoice
from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.core.task import Split, Task, enter_domain, leave_domain
from turnwright.environments.base import Done, Environment, ToolAnswer, TurnRewards
from turnwright.environments.load import load_environment
from turnwright.environments.scripts import Script
from turnwright.environments.tools import Tool


class Mixture(Environment):
    """Environments by domain; an episode's task says which one it plays in."""

    _member: Environment | None = None
    """The open episode's own environment."""

    def __init__(self, members: Mapping[str, Environment]) -> None:
        """Take the members' prototypes by domain; the order in which they are given means nothing."""
        self.members = {domain: members[domain] for domain in sorted(members)}
        self.typical_turns = max(member.typical_turns for member in members.values())
        self.max_turns = max(self.turn_limits.values())
        self.waits = any(member.for_episode().waits for member in members.values())

    @property
    def turn_limits(self) -> dict[str, int]:
        """Turns after which an episode is cut, by domain."""
        return {domain: member.turn_limit for domain, member in self.members.items()}

    def tasks(self, split: Split) -> Iterator[Task]:
        """Yield one task of each member in turn until all are through."""
        lines = {domain: _tasks(domain, member, split) for domain, member in self.members.items()}
        while lines:
            for domain, line in list(lines.items()):
                task = next(line, None)
                if task is None:
                    del lines[domain]
                else:
                    yield enter_domain(task, domain)

    def open(self, task: Task, seed: int) -> None:
        """Begin an episode in the task's own environment."""
        super().open(task, seed)
        # Before it opens: what a member took until it failed is its own to let go of.
        self._member = self._member_of(task).for_episode()
        self._member.open(leave_domain(task), seed)

    def close(self) -> None:
        """End the episode there."""
        if self._member is not None:
            self._member.close()

    def sweep_leftovers(self) -> tuple[str, ...]:
        """Remove what killed processes left of the members' episodes; return the names."""
        return tuple(sorted({name for member in self.members.values() for name in member.sweep_leftovers()}))

    def opening(self) -> tuple[Message, ...]:
        """Return the messages before the first turn, with the member's own instructions."""
        return self._opened.opening()

    def tools(self) -> Mapping[str, Tool]:
        """Return the tools of the open episode; a mixture that plays nothing has none."""
        return {} if self._member is None else self._member.tools()

    def tool_specs(self) -> tuple[ToolSpec, ...]:
        """Return what the policy is told about the open episode's tools."""
        return () if self._member is None else self._member.tool_specs()

    async def call_tool(
        self, call: ToolCall, timeout_seconds: float | None = None, *, executor: Executor | None = None
    ) -> ToolAnswer:
        """Run one call in the open episode's environment."""
        return await self._opened.call_tool(call, timeout_seconds, executor=executor)

    def respond(self, reply: Message) -> list[Message] | Done:
        """Say what the open episode's world answers to a reply without tool calls."""
        return self._opened.respond(reply)

    def reward(self, episode: Episode) -> float | dict[str, float] | TurnRewards:
        """Grade a finished episode as its own environment does."""
        task = leave_domain(episode.task)
        return self._opened.reward(replace(episode, task=task, key=replace(episode.key, task_id=task.id)))

    def oracle(self, task: Task) -> Iterable[Message]:
        """Return the script of the task's own environment that solves it."""
        return self._member_of(task).oracle(leave_domain(task))

    def scripted(self, name: str) -> Callable[[Task, int], Script]:
        """Return the scripted policy called ``name``: for each task that of its own environment.

        Raises EnvironmentLoadError when no member has it; the policy does, for the tasks of a member without it.
        """
        policies: dict[str, Callable[[Task, int], Script]] = {}
        problems: dict[str, str] = {}
        for domain, member in self.members.items():
            try:
                policies[domain] = member.scripted(name)
            except EnvironmentLoadError as error:
                problems[domain] = f"domain {domain!r}: {error}"
        if not policies:
            raise EnvironmentLoadError("\n".join(problems.values()))

        def play(task: Task, seed: int) -> Script:
            self._member_of(task)
            if (problem := problems.get(task.domain or "")) is not None:
                raise EnvironmentLoadError(problem)
            return policies[task.domain or ""](leave_domain(task), seed)

        return play

    def demonstrators(self) -> tuple[str, ...]:
        """Return the names of the scripted policies that any member has."""
        names = (name for member in self.members.values() for name in member.demonstrators())
        return tuple(dict.fromkeys(names))

    @property
    def _opened(self) -> Environment:
        if self._member is None:
            raise EnvironmentLoadError("no episode of the mixture is open: call open(task, seed) first")
        return self._member

    def _member_of(self, task: Task) -> Environment:
        member = self.members.get(task.domain or "")
        if member is None:
            raise EnvironmentLoadError(
                f"task {task.id!r} has the domain {task.domain!r}: expected one of {', '.join(self.members)}; take "
                "tasks from the mixture's tasks(split)"
            )
        return member


def load_choice(choice: EnvironmentChoice) -> Environment:
    """Return the prototype that an [environment] section describes.

    Raises EnvironmentLoadError, which says what exists and for which domain, when a name or option does not resolve.
    """
    if choice.name is not None:
        return load_environment(choice.name, choice.options)
    members: dict[str, Environment] = {}
    for domain, member in choice.mixture.items():
        try:
            members[domain] = load_environment(member.name, member.options)
        except EnvironmentLoadError as error:
            raise EnvironmentLoadError(f"environment.mixture.{domain}: {error}") from error
    return Mixture(members)


def turn_limits(prototype: Environment) -> Mapping[str, int]:
    """Return the turn limits of a mixture's members by domain; none outside a mixture."""
    return prototype.turn_limits if isinstance(prototype, Mixture) else {}


def _tasks(domain: str, member: Environment, split: Split) -> Iterator[Task]:
    try:
        yield from member.tasks(split)
    except DatasetError as error:
        raise DatasetError(f"domain {domain!r}: {error}") from error
