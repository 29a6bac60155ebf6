"""A minimal driver: plays a script through an environment, without tokens and without the runner."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.task import Task
from turnwright.environments import Environment

Play = Callable[..., Episode]


async def play_script(prototype: Environment, task: Task, policy: str = "oracle", seed: int = 0) -> Episode:
    environment = prototype.for_episode()
    environment.open(task, seed)
    script, turns = environment.scripted(policy)(task, seed), list[Turn]()
    try:
        reply = next(script)
        while True:
            answers = [await environment.call_tool(one) for one in reply.tool_calls]
            responses = tuple(answer.message for answer in answers)
            turns.append(Turn(reply=reply, responses=responses, tools=tuple(answer.outcome for answer in answers)))
            reply = script.send(responses)
    except StopIteration:
        key = EpisodeKey(task_id=task.id, attempt=seed)
        return Episode(key=key, task=task, opening=environment.opening(), turns=tuple(turns))
    finally:
        environment.close()


@pytest.fixture
def play() -> Iterator[Play]:
    """Return a function that plays one scripted episode; all of a test share an event loop."""
    with asyncio.Runner() as runner:
        yield lambda *arguments, **options: runner.run(play_script(*arguments, **options))
