"""Recorded: read-only tools that answer from a file, and the recorder that writes it."""

from turnwright.environments.recorded.environment import RecordedEnvironment

__all__ = ["RecordedEnvironment"]
