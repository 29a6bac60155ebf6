"""Task: what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    domain: str | None = None
    """Member of a mixture that the task belongs to; id and cluster then start with it. None = there is no mixture."""


def enter_domain(task: Task, domain: str) -> Task:
    """Return a member's task as the mixture knows it.

    >>> enter_domain(Task(id="train-1", prompt="order: O3"), "returns").id
    'returns/train-1'
    """
    cluster = None if task.cluster is None else f"{domain}/{task.cluster}"
    return replace(task, id=f"{domain}/{task.id}", cluster=cluster, domain=domain)


def leave_domain(task: Task) -> Task:
    """Return a task as its own environment and scorer know it; one outside a mixture stays as it is."""
    if task.domain is None:
        return task
    prefix = f"{task.domain}/"
    cluster = None if task.cluster is None else task.cluster.removeprefix(prefix)
    return replace(task, id=task.id.removeprefix(prefix), cluster=cluster, domain=None)
