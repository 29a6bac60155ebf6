"""Reference: the policy that a run began with, which the divergence is measured from.

    new adapters trained   the same model with them left out: no second copy
    otherwise              a second copy, frozen, loaded from model.path, also when the run is resumed; adapters that
                           the run began with are merged into it

The copy costs the memory of the weights once more (4 bytes per parameter in float32, 2 in bfloat16), and neither
gradients nor optimizer state.
"""

from collections.abc import Sequence

from torch import Tensor

from turnwright.core.trajectory import Row
from turnwright.learner.exclusive import UNDISTURBED, Exclusive
from turnwright.learner.passes import Passes
from turnwright.models.load import Policy


class Reference:
    """Scores rows under the policy that the run began with."""

    def __init__(self, passes: Passes) -> None:
        """Take passes over the policy in training where it has adapters, over a frozen policy otherwise.

        Raises ValueError for a policy that is neither: it would be compared with itself.
        """
        policy = passes.policy
        if not policy.adapted and any(parameter.requires_grad for parameter in policy.model.parameters()):
            raise ValueError(
                f"the reference {policy.path} would be trained: expected a policy with adapters, or a copy of the "
                "first policy with model.requires_grad_(False)"
            )
        self._passes = passes

    @property
    def policy(self) -> Policy:
        """What scores: the policy in training where it has adapters, otherwise a frozen one."""
        return self._passes.policy

    def score(
        self, rows: Sequence[Row], groups: Sequence[str], exclusive: Exclusive = UNDISTURBED
    ) -> tuple[Tensor, ...]:
        """Return log ref of each row's trained tokens, as ``Passes.score`` does.

        Args:
            rows: Each with at least one trained token.
            groups: Name of the group of each row.
            exclusive: Asked to be alone where the policy has adapters: meanwhile everybody is without them.
        """
        policy = self._passes.policy
        if not policy.adapted:
            return self._passes.score(rows, groups)
        with exclusive.alone(), policy.without_adapters():
            return self._passes.score(rows, groups)
