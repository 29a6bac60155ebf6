"""Checkpoint: saved weights."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One saved policy in Hugging Face format, to deploy; ``resume`` holds what an exact continuation needs."""

    path: Path
    step: int
    resume: Path | None = None
    """Optimizer state and counters; None for a checkpoint that can only be deployed."""
