"""Environment: the world of a task - tools, state and reward. Opened once per episode, always closed.

One *prototype* is loaded per run; each episode works on ``prototype.for_episode()``::

    environment = prototype.for_episode()
    environment.open(task, seed)
    try:      environment.opening() -> policy -> environment.call_tool(...) | environment.respond(...) -> ...
              environment.reward(episode)
    finally:  environment.close()

What breaks inside a tool is never an answer or a reward: ``ToolCrash`` tells the runner to end the episode as failed.
"""

import asyncio
import copy
import inspect
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Self, cast

from turnwright.core.episode import Episode, ToolOutcome
from turnwright.core.errors import EnvironmentLoadError, ToolError, TurnwrightError
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.core.task import Split, Task
from turnwright.environments.scripts import Script, numbered
from turnwright.environments.tools import Tool, answer_text, argument_problems, parse_arguments, tools_of


@dataclass(frozen=True, slots=True)
class Done:
    """The world has nothing to say to a reply without tool calls: the episode is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRewards:
    """One reward per turn, in order; the reward of the episode is their sum.

    Example: of two turns the first is neutral and the second right: ``TurnRewards(values=(0.0, 1.0))``.
    """

    values: tuple[float, ...]
    components: Mapping[str, float] = field(default_factory=dict)
    """Named parts, for metrics only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """A reward, whichever of its three forms the environment returned."""

    value: float
    turn_values: tuple[float, ...] = ()
    components: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What a tool call led to: the message for the policy, and the record of the call."""

    message: Message
    outcome: ToolOutcome


class ToolCrash(TurnwrightError):
    """A tool broke or took too long: the environment's fault, so the episode fails and is not graded."""

    def __init__(self, message: str, cause: Literal["tool_error", "tool_timeout"] = "tool_error") -> None:
        """Keep the message and the cause."""
        super().__init__(message)
        self.cause: Literal["tool_error", "tool_timeout"] = cause
        """Cause of the ``Failed`` outcome this becomes."""


class Environment(ABC):
    """Base of every environment: write ``tasks``, ``reward`` and at least one ``@tool`` method or ``respond``.

    Options of an environment are the keyword arguments of its ``__init__``, which runs once, on the prototype.
    ``for_episode`` copies shallowly: everything that an episode changes must be created in ``open``.
    """

    instructions: str = ""
    """Text of the system message; empty = none."""
    typical_turns: int = 4
    """Turns a competent agent needs."""
    max_turns: int | None = None
    """Turns after which an episode is cut; None = ``ceil(1.5 * typical_turns)``."""
    waits: bool = False
    """Whether open, reward and close wait for files, servers or sandboxes, and so run in threads beside the event
    loop, as plain tools do; inline, they would hold up all other episodes."""

    task: Task
    seed: int

    @abstractmethod
    def tasks(self, split: Split) -> Iterable[Task]:
        """Return the tasks of a split, in a fixed order."""

    @abstractmethod
    def reward(self, episode: Episode) -> float | dict[str, float] | TurnRewards:
        """Grade a finished episode.

        A dict names the components; its value is the entry "total" if there is one, otherwise the sum of all
        entries. ``TurnRewards`` gives one reward per turn.
        """

    def open(self, task: Task, seed: int) -> None:
        """Begin an episode: create everything that belongs to it. Randomness may only come from ``seed``."""
        self.task = task
        self.seed = seed

    def close(self) -> None:  # noqa: B027 - most environments hold nothing
        """End the episode and let go of what ``open`` took; also called after a crash or cancellation."""

    def sweep_leftovers(self) -> tuple[str, ...]:
        """Remove what killed processes left of episodes of this kind, and nothing in use; return the names.

        Called once before a run plays its first episode.
        """
        return ()

    def respond(self, reply: Message) -> list[Message] | Done:
        """Say what the world answers to a reply without tool calls; by default the episode is done."""
        return Done()

    def oracle(self, task: Task) -> Iterable[Message]:
        """Return a script that solves ``task`` (see ``scripts.py``), reading the world only through its tools."""
        raise NotImplementedError(f"{type(self).__name__} has no oracle: write 'def oracle(self, task)' to have one")

    @property
    def turn_limit(self) -> int:
        """Turns after which an episode is cut."""
        return self.max_turns if self.max_turns is not None else math.ceil(1.5 * self.typical_turns)

    def for_episode(self) -> Self:
        """Return the environment of one episode: a shallow copy that shares what ``__init__`` built."""
        return copy.copy(self)

    def opening(self) -> tuple[Message, ...]:
        """Return the messages before the first turn: instructions, then the task's prompt."""
        prompt = Message(role="user", content=self.task.prompt)
        return (Message(role="system", content=self.instructions), prompt) if self.instructions else (prompt,)

    def tools(self) -> Mapping[str, Tool]:
        """Return the tools by name: the ``@tool`` methods, unless a subclass makes them from something else."""
        return tools_of(type(self))

    def tool_specs(self) -> tuple[ToolSpec, ...]:
        """Return what the policy is told about the tools."""
        return tuple(tool.spec for tool in self.tools().values())

    def scripted(self, name: str) -> Callable[[Task, int], Script]:
        """Return the scripted policy called ``name``, as a function of task and seed.

        "oracle" is the oracle; any other is a method ``(self, task, seed)`` that returns a script.
        Raises EnvironmentLoadError naming those that exist.
        """
        if name == "oracle":
            return lambda task, seed: numbered(self.oracle(task))
        names = self.demonstrators()
        if name not in names:
            raise EnvironmentLoadError(
                f"{type(self).__name__} has no scripted policy {name!r}: it has {', '.join(('oracle', *names))}; "
                f"a new one is a method '{name}(self, task, seed)' that yields assistant messages"
            )
        method = cast("Callable[[Task, int], Iterable[Message]]", getattr(self, name))
        return lambda task, seed: numbered(method(task, seed))

    def demonstrators(self) -> tuple[str, ...]:
        """Return the names of the methods that have the form ``(self, task, seed)``, besides ``open``."""
        return tuple(
            name
            for name, member in inspect.getmembers(type(self), inspect.isfunction)
            if not name.startswith("_")
            and name not in vars(Environment)
            and list(inspect.signature(member).parameters)[1:] == ["task", "seed"]
        )

    async def call_tool(
        self, call: ToolCall, timeout_seconds: float | None = None, *, executor: Executor | None = None
    ) -> ToolAnswer:
        """Run one call of the policy.

        A call that cannot be run as written (not JSON, unknown tool, arguments off the schema) and a ``ToolError``
        raised by the tool are answered with ``{"error": ...}``, for the policy to react to.

        Args:
            call: The call as the policy wrote it.
            timeout_seconds: Longest time a tool may take; has no effect on a plain function run inline.
            executor: Where plain functions run; None = inline, in the event loop, which only suits tools that
                compute and never wait. Coroutine functions are always awaited in the event loop.

        Raises:
            ToolCrash: The tool raised anything else, returned what is not JSON, or took too long.
        """
        started = time.perf_counter()
        tool = self.tools().get(call.name)
        if tool is None:
            problem = f"unknown tool {call.name}, there is: {', '.join(self.tools()) or 'none'}"
            return _answer(call, _error(problem), started, error=True, malformed=True)
        try:
            arguments = parse_arguments(call.arguments)
        except ValueError as unreadable:
            return _answer(call, _error(str(unreadable)), started, error=True, malformed=True)
        problems = argument_problems(tool, arguments)
        if problems:
            return _answer(call, _error("; ".join(problems)), started, error=True, malformed=True)
        try:
            result = await _run(partial(tool.function, self, **arguments), tool, timeout_seconds, executor)
            return _answer(call, answer_text(result), started)
        except ToolError as refusal:
            return _answer(call, _error(str(refusal)), started, error=True)
        except ToolCrash:
            raise
        except (Exception, SystemExit) as crash:  # the boundary that attributes what breaks inside a tool
            raise ToolCrash(f"tool {call.name!r} raised {type(crash).__name__}: {crash}") from crash


def read_reward(returned: float | Mapping[str, float] | TurnRewards, *, num_turns: int) -> Grade:
    """Bring what ``Environment.reward`` returned into one form.

    Raises ValueError when a number is not finite or there is not one reward per turn.
    """
    if isinstance(returned, TurnRewards):
        if len(returned.values) != num_turns:
            raise ValueError(
                f"TurnRewards must have one value per turn: got {len(returned.values)}, expected {num_turns}"
            )
        grade = Grade(value=sum(returned.values), turn_values=returned.values, components=returned.components)
    elif isinstance(returned, Mapping):
        components = {name: float(value) for name, value in returned.items() if name != "total"}
        value = float(returned["total"]) if "total" in returned else sum(components.values())
        grade = Grade(value=value, components=components)
    else:
        grade = Grade(value=float(returned))
    for name, number in (("value", grade.value), *grade.components.items()):
        if not math.isfinite(number):
            raise ValueError(f"a reward must be finite: {name!r} is {number}")
    return grade


async def _run(
    function: Callable[[], Any], tool: Tool, timeout_seconds: float | None, executor: Executor | None
) -> object:
    if not inspect.iscoroutinefunction(tool.function):
        if executor is None:
            return function()
        waiting = cast(Awaitable[object], asyncio.get_running_loop().run_in_executor(executor, function))
    else:
        waiting = cast(Awaitable[object], function())
    limit = asyncio.timeout(timeout_seconds)
    try:
        async with limit:
            return await waiting
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise ToolCrash(
            f"tool {tool.spec.name!r} did not answer within {timeout_seconds} s", cause="tool_timeout"
        ) from error


def _answer(
    call: ToolCall, content: str, started: float, *, error: bool = False, malformed: bool = False
) -> ToolAnswer:
    latency_ms = 1000 * (time.perf_counter() - started)
    return ToolAnswer(
        message=Message(role="tool", content=content, tool_call_id=call.id, name=call.name),
        outcome=ToolOutcome(name=call.name, error=error, malformed=malformed, latency_ms=latency_ms),
    )


def _error(text: str) -> str:
    return json.dumps({"error": text}, ensure_ascii=False)
