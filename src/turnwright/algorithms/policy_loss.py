"""What every policy loss returns. Shapes: _T is the trained tokens of one pass, flattened.

Losses take the *old* log-probabilities that the ratio w = p / old is formed with: the sampler's q, or those of a
proximal policy (``corrections.py``). The weights c of tokens come from the whole update (``reduce.py``), so that the
losses of micro-batches add up to that of one large batch; a correction multiplies them.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLoss:
    """Loss of one pass and what is worth reporting about its tokens."""

    loss: Tensor
    """Scalar; carries the gradient."""
    ratio_T: Tensor
    """w, detached; for sequence ratios that of the token's sequence."""
    clipped_T: Tensor
    """True where a clip changed the token's gradient."""
