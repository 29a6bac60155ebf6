"""Plays scripts over the wire, and the same ones in this process to compare with."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from turnwright.core.episode import Episode
from turnwright.core.message import Message, ToolCall
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.environments.load import load_environment
from turnwright.gateway.http.server import GatewayServer, bind
from turnwright.launch.export.choice import Choice
from turnwright.launch.export.mcp_http import mcp_app
from turnwright.launch.export.openenv_http import openenv_app
from turnwright.launch.export.sessions import ExportLimits, Sessions, open_sessions
from turnwright.rollout.demonstrations import run_script
from turnwright.rundir.records import decode_episode

DESK = load_environment("returns_desk", {"train_tasks": 120, "validation_tasks": 120, "test_tasks": 120})
TASKS: Sequence[Task] = tuple(DESK.tasks("train"))

Say = Callable[[Message], Awaitable[Sequence[Message] | None]]
"""Sends a reply; gives the messages that follow it, None when the episode is over."""


async def in_process(task: Task, seed: int, script: str = "oracle", prototype: Environment = DESK) -> Episode:
    return await run_script(prototype, task, script, seed=seed)


async def drive(task: Task, seed: int, say: Say, script: str = "oracle", prototype: Environment = DESK) -> None:
    """Play a script by ``say``."""
    playing = prototype.scripted(script)(task, seed)
    message = next(playing)
    try:
        while (news := await say(message)) is not None:
            message = playing.send(tuple(news))
    except StopIteration:
        await say(Message(role="assistant"))


def action_of(message: Message) -> dict[str, Any]:
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in message.tool_calls]
    return {"message": message.content, "tool_calls": calls}


def read_message(told: dict[str, Any]) -> Message:
    calls = tuple(
        ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
        for call in told.get("tool_calls", ())
    )
    return Message(**{**told, "tool_calls": calls})


@asynccontextmanager
async def serving(
    way: str, episodes: Path | None = None, *, token: str | None = None, prototype: Environment = DESK, **limits: Any
) -> AsyncIterator[tuple[str, Sessions]]:
    """Serve an environment; gives the URL and the sessions."""
    async with open_sessions(prototype, limits=ExportLimits(**limits), episodes=episodes) as sessions:
        app: Starlette = (
            mcp_app(sessions, token=token, choice=Choice())
            if way == "mcp"
            else openenv_app("returns_desk", sessions, token=token, choice=Choice())
        )
        async with GatewayServer(app, bind(), grace_seconds=1.0, sockets=True) as server:
            yield server.url, sessions


def written(path: Path) -> list[Episode]:
    return [decode_episode(line.encode()) for line in path.read_text(encoding="utf-8").splitlines()]


def comparable(episode: Episode) -> tuple[object, ...]:
    """What of an episode must be the same however it was played."""
    outcome = episode.outcome
    turns = [(turn.reply, turn.responses, [(tool.name, tool.error) for tool in turn.tools]) for turn in episode.turns]
    return episode.task, episode.opening, episode.tools, turns, json.dumps(outcome, default=str)
