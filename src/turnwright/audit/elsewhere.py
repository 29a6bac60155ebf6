"""Elsewhere: the same actions in fresh processes, where sets of strings have another order and nothing was played yet.

actions --pickle--> python -m turnwright.audit.elsewhere (another PYTHONHASHSEED) --pickle--> episodes -> differences

Pickles go between this process and its own children only.
"""

import asyncio
import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from turnwright.audit.apart import leave_network
from turnwright.audit.frames import own_code
from turnwright.audit.guard import guard
from turnwright.audit.listing import shorten_list
from turnwright.audit.play import find_difference, play
from turnwright.audit.splits import read_splits
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.core.message import Message
from turnwright.core.task import Split, Task
from turnwright.environments.load import load_environment
from turnwright.environments.scripts import numbered
from turnwright.rollout.runner import run_episode

HASH_SEEDS = (1, 2)
"""PYTHONHASHSEED of each process: two, as the order of a small set may well be the same in one."""
PLAYED_ELSEWHERE = 10
LIMIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a fresh process plays."""

    environment: str
    options: Mapping[str, Any]
    seed: int
    allow_network: bool
    actions: Sequence[tuple[Split, str, tuple[Message, ...]]]
    """Split and id of a task, and the replies."""


async def check_elsewhere(
    environment: str,
    options: Mapping[str, Any] | None,
    episodes: Sequence[Episode],
    *,
    seed: int,
    processes: int,
    allow_network: bool,
) -> tuple[Finding, ...]:
    """Play actions in fresh processes; each episode must go as it went here."""
    some = episodes[:PLAYED_ELSEWHERE]
    actions: list[tuple[Split, str, tuple[Message, ...]]] = [
        (e.task.split, e.key.task_id, tuple(turn.reply for turn in e.turns)) for e in some
    ]
    request = Request(
        environment=environment, options=options or {}, seed=seed, allow_network=allow_network, actions=actions
    )
    try:
        message = pickle.dumps(request)
    except (pickle.PicklingError, TypeError, AttributeError):
        # Options made of objects, such as an opened folder, cannot be handed to another process.
        return ()
    answers = await asyncio.gather(*(_ask(message, hash_seed) for hash_seed in HASH_SEEDS[: processes if some else 0]))
    differences: dict[str, str] = {}
    for there in answers:
        for here in some:
            other = there.get((here.task.split, here.key.task_id))
            difference = find_difference(here, other) if other is not None else ""
            if difference:
                differences.setdefault(here.key.task_id, difference)
    return shorten_list(
        [
            Finding(
                code="replay.diff",
                severity="error",
                where=task_id,
                evidence=f"the same actions, played in a fresh process with another PYTHONHASHSEED, tasks in reverse: "
                f"{difference}",
                cure="sort what comes out of a set, never use hash() or id() of an object, read no clock, and draw "
                "from the seed given to open() only",
            )
            for task_id, difference in differences.items()
        ]
    )


async def _ask(message: bytes, hash_seed: int) -> Mapping[tuple[Split, str], Episode]:
    """Return the episodes that a fresh process plays; none where it does not come to an end."""
    paths = os.pathsep.join(path for path in sys.path if path)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "turnwright.audit.elsewhere",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": paths},
    )
    try:
        answer, _ = await asyncio.wait_for(process.communicate(message), LIMIT_SECONDS)
    except TimeoutError:
        return {}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        return {}
    return {(episode.task.split, episode.key.task_id): episode for episode in pickle.loads(answer)}


async def play_request(request: Request) -> list[Episode]:
    """Play what another process asks for, the last first: what a task leaves for the next one then shows.

    Returned are the episodes without their tasks, which the other process has itself.
    """
    prototype = load_environment(request.environment, request.options)
    tasks = {(task.split, task.id): task for some in read_splits(prototype).tasks.values() for task in some}
    episodes: list[Episode] = []
    own, boundaries = own_code(type(prototype)), (run_episode.__code__,)
    if not request.allow_network:
        leave_network()
    with guard(own, boundaries, allow_network=request.allow_network):
        for split, task_id, replies in reversed(request.actions):
            task = tasks.get((split, task_id))
            if task is None:
                continue
            episode = await play(prototype, task, numbered(replies), seed=request.seed)
            episodes.append(replace(episode, task=Task(id=task.id, prompt="", split=split)))
    return episodes


def main() -> None:
    """Read a request from standard input, and write the episodes to where standard output was."""
    # What an environment prints must not get between the bytes of the answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    episodes = asyncio.run(play_request(pickle.loads(sys.stdin.buffer.read())))
    answers.write(pickle.dumps(episodes))
    answers.close()


if __name__ == "__main__":
    main()
