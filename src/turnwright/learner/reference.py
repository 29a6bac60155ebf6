"""Reference: the policy that a run began with, which the divergence is measured from.

    new adapters trained   the same model with them left out: no second copy
    otherwise              a second copy, frozen, loaded from model.path, also when the run is resumed; adapters that
                           the run began with are merged into it

The copy costs the memory of the weights once more (4 bytes per parameter in float32, 2 in bfloat16), and neither
gradients nor optimizer state.
"""

from collections.abc import Sequence
from contextlib import nullcontext

from torch import Tensor

from turnwright.core.trajectory import Row
from turnwright.learner.passes import Passes


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

    def score(self, rows: Sequence[Row], groups: Sequence[str]) -> tuple[Tensor, ...]:
        """Return log ref of each row's trained tokens, as ``Passes.score`` does.

        Whoever else computes with a policy that has adapters must be paused meanwhile: it would be without them.
        """
        policy = self._passes.policy
        with policy.without_adapters() if policy.adapted else nullcontext():
            return self._passes.score(rows, groups)
