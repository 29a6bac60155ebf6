"""The returns desk with its records in PostgreSQL: the same tasks, and tools that ask a database."""

import os
from collections.abc import Mapping
from typing import Any

from turnwright import Task, ToolError
from turnwright.environments.gallery.returns_desk.environment import ReturnsDesk
from turnwright.environments.gallery.returns_desk.generator import BUSY_MESSAGE, COLUMNS
from turnwright.environments.resources.database import Database
from turnwright.environments.resources.postgres import PostgresDatabase, PostgresSchema
from turnwright.environments.stateful import StatefulEnvironment

SCHEMA = """
CREATE TABLE records ("order" text, customer text, item text, "window" text, tier text, kind text);
CREATE TABLE busy (tool text PRIMARY KEY);
"""


class PostgresDesk(StatefulEnvironment, ReturnsDesk):
    """Tasks, instructions, reward and oracle are those of the returns desk."""

    db: PostgresDatabase

    def __init__(self, **sizes: int) -> None:
        super().__init__(**sizes)
        self.resources = {"db": PostgresSchema(os.environ["DESK_DSN"], schema=SCHEMA, fill=self._fill)}

    def look_up(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one lookup; a busy tool is busy once."""
        if self.db.change("DELETE FROM busy WHERE tool = %s", [name]):
            raise ToolError(BUSY_MESSAGE)
        argument, columns = COLUMNS[name]
        if argument not in arguments:
            raise ToolError(f"Missing required argument: {argument}")
        value = arguments[argument]
        shown = ", ".join(f'"{column}"' for column in columns)
        found = self.db.rows(f'SELECT {shown} FROM records WHERE "{argument}" = %s', [str(value)])
        if not found or not isinstance(value, str):
            raise ToolError(f"no {argument} {value}")
        return found[0]

    def _fill(self, database: Database, task: Task, seed: int) -> None:
        rows = self.folder.rows[task.split]
        asked = rows[task.data["row"]]
        columns = ("order", "customer", "item", "window", "tier", "kind")
        world = [row for row in rows if row["world"] == asked["world"]]
        database.insert("records", [{column: row[column] for column in columns} for row in world])
        if asked["busy"]:
            database.insert("busy", [{"tool": asked["busy"]}])
