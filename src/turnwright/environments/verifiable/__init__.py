"""Verifiable: answers that are executed - numbers, SQL, Python - instead of compared as text."""

from turnwright.environments.verifiable.environment import (
    EditsFiles,
    ListsFiles,
    RunsPython,
    RunsTests,
    VerifiableEnvironment,
)

__all__ = ["EditsFiles", "ListsFiles", "RunsPython", "RunsTests", "VerifiableEnvironment"]
