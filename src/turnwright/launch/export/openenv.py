"""An environment as a service in OpenEnv's wire format: what both its HTTP routes and its socket do.

trainer:  reset, step, state, close   (needs the token, where there is one)
agent:    POST /mcp with a session's id   (needs that id alone, and can neither reset nor read a reward)
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, cast

from turnwright.core.task import Task
from turnwright.launch.export.choice import Choice, read_choice
from turnwright.launch.export.errors import ServiceError
from turnwright.launch.export.sessions import Session, Sessions
from turnwright.launch.export.wire import observation_of, read_action, tool_of


async def reset(session: Session, data: Mapping[str, Any], default: Choice) -> dict[str, Any]:
    """Begin an episode of a session; raises ServiceError."""
    return observation_of(session, await session.reset(read_choice(data, default)))


async def step(session: Session, data: Any) -> dict[str, Any]:
    """Take an action; raises ServiceError."""
    if isinstance(data, dict) and data.get("type") == "list_tools":
        specs = session.hosted.specs if session.hosted else session.tools()
        observation = {"tools": [tool_of(spec) for spec in specs], "metadata": {}}
        return {"observation": observation, "reward": None, "done": False}
    action = read_action(data)
    async with session.calls:
        turn = session.hosted.num_turns if session.hosted else 0
        news = await session.reply(action.as_message(turn), action.finish_reason)
    answered = observation_of(session, news)
    if isinstance(data, dict) and data.get("type") == "call_tool":
        # What OpenEnv's own tool client looks for.
        result = "\n\n".join(message.content for message in news.messages)
        called = {"tool_name": action.tool_calls[0].name, "result": result, "error": None}
        answered["observation"] = {**cast("dict[str, Any]", answered["observation"]), **called}
    return answered


def metadata(name: str, sessions: Sessions) -> dict[str, Any]:
    """Return what the service is."""
    counts = ", ".join(f"{len(tasks)} {split}" for split, tasks in sessions.tasks.items() if tasks)
    kind = type(sessions.prototype)
    words = " ".join((kind.__doc__ or "").split("\n\n", 1)[0].split())
    return {
        "name": name,
        "description": f"{words or kind.__name__} Tasks: {counts or 'none'}.",
        "version": version("turnwright"),
        "author": None,
        "readme_content": None,
        "documentation_url": None,
    }


class TaskList:
    """The tasks of a service as its clients may see them: without the ground truth."""

    def __init__(self, name: str, sessions: Sessions) -> None:
        """Take the name of the environment, which is part of the routes."""
        self._name = name
        self._sessions = sessions

    def splits(self, name: str) -> list[dict[str, str]]:
        """Return the splits that have tasks; raises ServiceError for another environment."""
        self._check(name)
        return [{"name": split, "type": split} for split, tasks in self._sessions.tasks.items() if tasks]

    def tasks(self, name: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return tasks of a split, from ``start`` up to ``stop``; raises ServiceError."""
        self._check(name)
        bounds = [body.get(bound) for bound in ("start", "stop")]
        if any(bound is not None and (not isinstance(bound, int) or bound < 0) for bound in bounds):
            raise ServiceError("VALIDATION_ERROR", f"start and stop must be whole numbers of at least 0: got {bounds}")
        choice = read_choice({"split": body.get("split")}, Choice(split=self._sessions.split))
        assert choice.split is not None
        return [_shown(task) for task in self._sessions.tasks[choice.split][slice(*bounds)]]

    def task(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the task at ``index`` of a split; raises ServiceError."""
        self._check(name)
        choice = read_choice({"split": body.get("split"), "index": body.get("index", 0)}, Choice())
        _, task, _ = self._sessions.choose(choice)
        return _shown(task)

    def _check(self, name: str) -> None:
        if name != self._name:
            raise ServiceError("SESSION_ERROR", f"there is no environment {name!r} here: there is {self._name!r}")


def _shown(task: Task) -> dict[str, Any]:
    return {"task_id": task.id, "split": task.split, "prompt": task.prompt}
