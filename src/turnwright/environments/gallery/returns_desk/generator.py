"""Worlds of the returns desk: seeded, unique across splits, and written in the SOP-Bench folder format.

A world is two orders, the task's and a distractor, each with its customer and item. Ids (O0-O9, C0-C9, K0-K9) are
dealt anew in every world, so that an id says nothing beyond it. The world's hash is the cluster of its task.
Every split is a multiple of 120 tasks = 24 cells x 5 parts of error paths (none twice, each tool's first call once).
"""

import json
from collections.abc import Iterator
from hashlib import blake2b
from random import Random

from turnwright.core.errors import ConfigError
from turnwright.core.message import ToolSpec
from turnwright.core.seeding import generator
from turnwright.core.task import Split
from turnwright.environments.gallery.returns_desk.procedure import CELLS, PROCEDURE, Facts, decide
from turnwright.environments.sop.folder import SopFolder
from turnwright.environments.sop.lookups import Cell, Lookup, Row, Transient

BUSY_PATHS = ("", "", "get_order", "get_customer", "get_item")
"""Which tool's first call answers with an error, in the proportion it occurs."""
BALANCED = len(CELLS) * len(BUSY_PATHS)
BUSY_MESSAGE = "busy, try again"
COLUMNS = {"get_order": ("order", ("customer", "item", "window")),
           "get_customer": ("customer", ("tier",)),
           "get_item": ("item", ("kind",))}  # fmt: skip


def generate_folder(*, seed: int, train: int, validation: int, test: int) -> SopFolder:
    """Return the domain with so many tasks per split; ``write_sop_folder`` puts it on disk.

    Raises ConfigError when a number is not a multiple of 120.
    """
    sizes: dict[Split, int] = {"train": train, "validation": validation, "test": test}
    worlds: set[str] = set()
    return SopFolder(
        name="returns_desk",
        procedure=PROCEDURE,
        tools=tuple(_tool_spec(tool, argument) for tool, (argument, _) in COLUMNS.items()),
        output_columns=("action", "postage", "queue"),
        input_columns=("order",),
        rows={split: tuple(_rows(split, size, seed, worlds)) for split, size in sizes.items()},
        lookups=tuple(
            Lookup(
                tool=tool,
                match={argument: Cell(column=argument)},
                returns={column: Cell(column=column) for column in columns},
                scope="world",
            )
            for tool, (argument, columns) in COLUMNS.items()
        ),
        task_column="task",
        transient=Transient(column="busy", message=BUSY_MESSAGE),
    )


def _rows(split: Split, size: int, seed: int, worlds: set[str]) -> Iterator[Row]:
    if size < BALANCED or size % BALANCED:
        raise ConfigError(
            f"returns_desk: {split} tasks must be a multiple of {BALANCED}, which holds every cell and error path in "
            f"proportion: got {size}"
        )
    random = generator("returns_desk", seed, split)
    combinations = [(cell, busy) for cell in CELLS for busy in BUSY_PATHS] * (size // BALANCED)
    random.shuffle(combinations)
    for index, (cell, busy) in enumerate(combinations):
        records = _deal(random, cell)
        while (world := world_hash(records)) in worlds:
            records = _deal(random, cell)
        worlds.add(world)
        gold = decide(cell)
        asked = {
            "task": f"{split}-{index}",
            "busy": busy,
            "action": gold.action,
            "postage": gold.postage,
            "queue": gold.queue,
        }
        rows = [{"world": world, **records[0], **asked}, {"world": world, **records[1], **dict.fromkeys(asked, "")}]
        random.shuffle(rows)
        yield from rows


def _deal(random: Random, cell: Facts) -> list[dict[str, str]]:
    """Return the records of the task's order and of a distractor."""
    ids = [[f"{letter}{digit}" for digit in random.sample(range(10), 2)] for letter in "OCK"]
    return [
        {
            "order": order,
            "customer": customer,
            "item": item,
            "window": facts.window,
            "tier": facts.tier,
            "kind": facts.kind,
        }
        for order, customer, item, facts in zip(*ids, (cell, random.choice(CELLS)), strict=True)
    ]


def world_hash(records: list[dict[str, str]]) -> str:
    """Return the hash of everything the tools can return in a world, whatever the order of its records."""
    facts = sorted(
        [argument, record[argument], *(record[column] for column in columns)]
        for record in records
        for argument, columns in COLUMNS.values()
    )
    return blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()


def _tool_spec(tool: str, argument: str) -> ToolSpec:
    return ToolSpec(
        name=tool,
        description=f"Look up one {argument}.",
        parameters={"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]},
    )
