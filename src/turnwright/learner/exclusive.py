"""Exclusive: when nobody but the learner may compute with the policy.

    score proximal, passes     the weights stay what they are: an engine over the same tensors samples on
    score reference            adapters are left out for everybody: alone, for as long as that takes
    optimizer                  the weights are written: nobody samples until the new version is published

The learner calls from its own thread and is held up until it may go on. Whoever owns the engine says how it is held;
where nobody shares the weights, nothing has to be.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Exclusive(Protocol):
    """Keeps everybody else from computing with the policy."""

    def alone(self) -> AbstractContextManager[None]:
        """Return a block inside which nobody else computes with the policy."""
        ...

    def until_published(self) -> None:
        """Let nobody sample from here to the publication of the step's version; again before that has no effect."""
        ...


class Undisturbed:
    """For a policy that nobody else computes with, or not during the step."""

    def alone(self) -> AbstractContextManager[None]:
        """Return a block that changes nothing."""
        return nullcontext()

    def until_published(self) -> None:
        """Do nothing."""


UNDISTURBED = Undisturbed()
