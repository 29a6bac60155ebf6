"""Session: one opened environment that the audit calls tool by tool, without an agent.

with session(environment, task, seed) as opened:      # open ... close
    await opened.replay(calls)                        # as far as an episode went
    await opened.answer("get_claim", {"claim": "C1"})
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from turnwright.audit.patience import renew_patience
from turnwright.audit.prompt_fields import flatten
from turnwright.core.episode import Episode
from turnwright.core.message import ToolCall
from turnwright.core.seeding import derive_key
from turnwright.core.task import Task
from turnwright.environments.base import Environment, ToolCrash

TOOL_SECONDS = 30.0
"""A coroutine tool that takes longer counts as broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One call of a tool and what came of it."""

    task_id: str
    tool: str
    arguments: Mapping[str, Any]
    text: str
    """What the tool answered; where it broke, how."""
    error: bool
    malformed: bool = False
    crashed: bool = False
    meant: bool = False
    """The tool said itself that the episode cannot go on."""


class Session:
    """An environment between open and close."""

    def __init__(self, environment: Environment, task: Task) -> None:
        """Take an opened environment."""
        self._environment = environment
        self._task = task

    async def answer(self, name: str, arguments: Mapping[str, Any]) -> Observed:
        """Call a tool; one that breaks is observed as well."""
        renew_patience()
        call = ToolCall(id="audit", name=name, arguments=json.dumps(dict(arguments), ensure_ascii=False))
        try:
            answer = await self._environment.call_tool(call, TOOL_SECONDS)
        except ToolCrash as crash:
            return Observed(
                task_id=self._task.id,
                tool=name,
                arguments=arguments,
                text=str(crash),
                error=True,
                crashed=True,
                meant=crash.__cause__ is None,
            )
        return Observed(
            task_id=self._task.id,
            tool=name,
            arguments=arguments,
            text=answer.message.content,
            error=answer.outcome.error,
            malformed=answer.outcome.malformed,
        )

    async def replay(self, calls: Iterable[Observed]) -> tuple[Observed, ...]:
        """Make calls again, in order."""
        return tuple([await self.answer(call.tool, call.arguments) for call in calls])


@contextmanager
def session(prototype: Environment, task: Task, seed: int) -> Iterator[Session]:
    """Open an episode of ``task`` with the seed that played episodes have, and close it."""
    environment = prototype.for_episode()
    try:
        environment.open(task, derive_key(seed, "environment", task.id))
        yield Session(environment, task)
    finally:
        # As in a played episode, a close that breaks does not undo what was observed.
        with suppress(Exception):
            environment.close()


def calls_of(episode: Episode) -> tuple[Observed, ...]:
    """Return the calls of an episode whose arguments are an object, with their answers."""
    found: list[Observed] = []
    for turn in episode.turns:
        for call, response, outcome in zip(turn.reply.tool_calls, turn.responses, turn.tools, strict=False):
            try:
                arguments = json.loads(call.arguments or "{}")
            except ValueError:
                continue
            if isinstance(arguments, dict):
                found.append(
                    Observed(
                        task_id=episode.key.task_id,
                        tool=call.name,
                        arguments=cast("dict[str, Any]", arguments),
                        text=response.content,
                        error=outcome.error,
                        malformed=outcome.malformed,
                    )
                )
    return tuple(found)


def calls_by_tool(episodes: Sequence[Episode]) -> Mapping[str, Sequence[Observed]]:
    """Return the calls of all episodes by the name of the tool."""
    found: dict[str, list[Observed]] = {}
    for episode in episodes:
        for call in calls_of(episode):
            found.setdefault(call.tool, []).append(call)
    return found


def cells_of(observed: Observed) -> dict[str, str]:
    """Return the scalars of an answer by path; "" is the path of plain text."""
    if observed.error:
        return {}
    try:
        return flatten(json.loads(observed.text))
    except ValueError:
        return {"": observed.text}
