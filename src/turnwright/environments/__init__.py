"""Environments: the world of a task - its tools, its state and its reward.

Subclass ``Environment``, give ``tasks``, ``@tool`` methods and ``reward``, and name it ``path/file.py:Class``.
"""

from turnwright.environments.base import (
    Done,
    Environment,
    Grade,
    ToolAnswer,
    ToolCrash,
    TurnRewards,
    read_reward,
)
from turnwright.environments.load import load_environment
from turnwright.environments.recorded.environment import RecordedEnvironment
from turnwright.environments.resources.folder import TemporaryFolder
from turnwright.environments.resources.postgres import PostgresSchema
from turnwright.environments.resources.postgres_copy import PostgresCopy
from turnwright.environments.resources.sqlite import SqliteFile
from turnwright.environments.scripts import Script, call, say
from turnwright.environments.stateful import StatefulEnvironment
from turnwright.environments.tools import tool

__all__ = [
    "Done",
    "Environment",
    "Grade",
    "PostgresCopy",
    "PostgresSchema",
    "RecordedEnvironment",
    "Script",
    "SqliteFile",
    "StatefulEnvironment",
    "TemporaryFolder",
    "ToolAnswer",
    "ToolCrash",
    "TurnRewards",
    "call",
    "load_environment",
    "read_reward",
    "say",
    "tool",
]
