"""Task: what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to do, as the agent reads it and as the environment grades it.

    Example::

        Task(id="train-17", prompt="order: O3", data={"gold": {"action": "refund"}}, split="train")
    """

    id: str
    prompt: str
    """Text of the first user message, verbatim."""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Ground truth and whatever the tools need; never shown to the agent."""
    split: Split = "train"
    cluster: str | None = None
    """Tasks of one cluster share a world; splits must not share a cluster."""
