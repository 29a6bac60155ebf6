"""A ledger in a database with notes in a folder, and many episodes of it side by side, some of which are killed."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from turnwright.agents.builtin import LoopLimits
from turnwright.audit.play import YieldingPolicy
from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.message import Message
from turnwright.core.seeding import generator
from turnwright.core.task import Split, Task
from turnwright.environments import call, say, tool
from turnwright.environments.resources.base import Resource
from turnwright.environments.resources.database import Database
from turnwright.environments.resources.folder import TemporaryFolder
from turnwright.environments.scripts import numbered
from turnwright.environments.stateful import StatefulEnvironment
from turnwright.rollout.demonstrations import ScriptedPolicy
from turnwright.rollout.runner import EpisodeLimits, run_episode

SCHEMA = "CREATE TABLE entries (id INTEGER PRIMARY KEY, amount INTEGER, made TEXT)"
NUM_EPISODES, NUM_KILLED, NUM_TURNS = 64, 13, 5
TASKS = tuple(Task(id=f"t{number}", prompt="book", data={"first": 100 + number}) for number in range(NUM_EPISODES))

Kill = Literal["crash", "hang", "stall"]


def fill(database: Database, task: Task, seed: int) -> None:
    database.insert("entries", [{"id": 1, "amount": task.data["first"], "made": "before"}])


class Ledger(StatefulEnvironment):
    """Books amounts; its episodes share the list of those that stall."""

    db: Database
    notes: Path

    def __init__(self, database: Resource[Any], *, now: str, forever: str) -> None:
        self.resources = {"db": database, "notes": TemporaryFolder()}
        self.stalled: list[str] = []
        self._now = now
        self._forever = forever

    def tasks(self, split: Split) -> Iterable[Task]:
        return TASKS

    @tool
    def book(self, amount: int) -> int:
        """Book an amount, note it, and return the sum."""
        (row,) = self.db.rows("SELECT max(id) + 1 AS following FROM entries")
        drawn = self.db.rows(f"SELECT CAST(random() AS text) AS drawn, CAST({self._now} AS text) AS made")[0]
        made = f"{drawn['made']} {drawn['drawn']}"
        with self.db.transaction():
            self.db.insert("entries", [{"id": row["following"], "amount": amount, "made": made}])
        (self.notes / f"{row['following']}.txt").write_text(str(amount))
        return self.db.rows("SELECT sum(amount) AS total FROM entries")[0]["total"]

    @tool
    def inspect(self) -> list[str]:
        """Return digests of everything there is."""
        return [self.state_hash("db"), self.state_hash("notes")]

    @tool
    def crash(self) -> str:
        """Break within a transaction."""
        with self.db.transaction():
            self.db.insert("entries", [{"id": 99, "amount": 0, "made": "lost"}])
            raise OSError("disk full")

    @tool
    def hang(self) -> str:
        """Run a statement that does not end."""
        return str(self.db.rows(self._forever))

    @tool
    def stall(self) -> str:
        """Say so, then hang in a transaction."""
        self.stalled.append(self.task.id)
        with self.db.transaction():
            self.db.insert("entries", [{"id": 99, "amount": 0, "made": "lost"}])
            return self.hang()

    def reward(self, episode: Episode) -> float:
        return float(len(self.state_of("db")["entries"]))


def draw_kills() -> dict[str, tuple[Kill, int]]:
    """Return how and at which turn a fifth of the tasks are killed."""
    random = generator("kills")
    kinds: Sequence[Kill] = ("crash", "hang", "stall")
    return {
        task.id: (kinds[number % 3], random.randrange(NUM_TURNS))
        for number, task in enumerate(random.sample(TASKS, NUM_KILLED))
    }


def play_ledgers(
    prototype: Ledger, tasks: Sequence[Task], kills: Mapping[str, tuple[Kill, int]]
) -> list[Episode | BaseException]:
    """Play tasks side by side, and cancel those that stall as soon as all of these do."""

    async def play() -> list[Episode | BaseException]:
        playing = {task.id: asyncio.create_task(_play(prototype, task, kills.get(task.id), executor)) for task in tasks}
        stalling = {task.id for task in tasks if kills.get(task.id, ("", 0))[0] == "stall"}
        while stalling - set(prototype.stalled):
            await asyncio.sleep(0.005)
        for name in stalling:
            playing[name].cancel()
        return await asyncio.gather(*playing.values(), return_exceptions=True)

    # Leaving waits for the threads: a statement that went on would be waited for forever.
    with ThreadPoolExecutor(max_workers=len(tasks), thread_name_prefix="ledger") as executor:
        return asyncio.run(play())


async def _play(prototype: Ledger, task: Task, kill: tuple[Kill, int] | None, executor: ThreadPoolExecutor) -> Episode:
    amount = generator("amounts", task.id)
    replies = [call("book", amount=amount.randrange(1000)) for _ in range(NUM_TURNS)] + [call("inspect"), say("done")]
    timeout = 120.0
    if kill:
        replies[kill[1]] = call(kill[0])
        timeout = 0.3 if kill[0] == "hang" else timeout
    limits = EpisodeLimits(loop=LoopLimits(max_turns=NUM_TURNS + 2, tool_timeout=timeout))
    policy = YieldingPolicy(ScriptedPolicy(numbered(replies)))
    key = EpisodeKey(task_id=task.id, attempt=0)
    return await run_episode(prototype, task, key, policy, limits, seed=3, executor=executor)


def responses(episode: Episode) -> list[Message]:
    """Return what the tools answered."""
    return [message for turn in episode.turns for message in turn.responses]


def without_latency(episode: Episode) -> Episode:
    """Return an episode without what the clock put into it."""
    turns = tuple(
        replace(turn, tools=tuple(replace(outcome, latency_ms=0.0) for outcome in turn.tools)) for turn in episode.turns
    )
    return replace(episode, turns=turns)
