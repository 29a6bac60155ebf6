"""Lending books through the tools of an MCP server, one server for each episode."""

import random
import sys
from collections.abc import Iterable
from pathlib import Path

from turnwright import Episode, Script, Task, call, say
from turnwright.core.task import Split
from turnwright.environments.imported.mcp import McpEnvironment, McpServer

SIZES: dict[Split, int] = {"train": 24, "validation": 8, "test": 16}
BOOKS = 8


class Library(McpEnvironment):
    instructions = "Lend the book you are asked for. Then write the receipt you were given, and nothing else."
    typical_turns = 3
    resources = {  # noqa: RUF012 - nobody changes it
        "library": McpServer(
            [sys.executable, "server.py"],
            folder=Path(__file__).parent,
            variables=lambda task, seed: {"LIBRARY_SEED": str(task.data["world"])},
            deny=["library/burn"],
        )
    }

    def tasks(self, split: Split) -> Iterable[Task]:
        first = 100 * list(SIZES).index(split)
        for number in range(SIZES[split]):
            world, book = first + number // BOOKS, f"B{number % BOOKS}"
            yield Task(
                id=f"{split}-{number}",
                prompt=f"book: {book}",
                data={"world": world, "book": book},
                split=split,
                cluster=str(world),
            )

    def reward(self, episode: Episode) -> float:
        book, world = episode.task.data["book"], episode.task.data["world"]
        return float(episode.answer == f"receipt 1: {book} from the {shelves(world)[book]} shelf")

    def oracle(self, task: Task) -> Script:
        book = task.data["book"]
        (found,) = yield call("library_find", book=book)
        (receipt,) = yield call("library_lend", book=book, shelf=found.content)
        yield say(receipt.content)


def shelves(world: int) -> dict[str, str]:
    """Return the truth, which the server draws in the same way."""
    chance = random.Random(world)
    return {f"B{number}": chance.choice(("north", "south", "east", "west")) for number in range(BOOKS)}
