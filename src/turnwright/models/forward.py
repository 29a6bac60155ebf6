"""Log-probabilities of many rows that share a prefix, the prefix computed once under autograd.

Exact: the prefix's keys and values enter every row's attention as they are, and gradients of all rows add up in them.
Logits are computed only at positions that predict a wanted token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from turnwright.core.errors import AlignmentError
from turnwright.models.attention import AfterPrefixView, PrefixView
from turnwright.models.load import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScores:
    """Scores of the wanted tokens, flattened row by row. All tensors are [N]."""

    logprobs: Tensor
    """log softmax(logits / temperature) of each wanted token, fp32, differentiable."""
    entropy: Tensor
    """Entropy of the same distribution in nats; detached unless its gradient was asked for."""


def common_prefix_length(rows: Sequence[Sequence[int]], limit: int) -> int:
    """Return how many leading ids all rows share, at most ``limit``.

    >>> common_prefix_length([(1, 2, 3), (1, 2, 4)], limit=9)
    2
    """
    first = rows[0]
    length = min(limit, *(len(row) for row in rows))
    for row in rows[1:]:
        while length and row[:length] != first[:length]:
            # Look at the second half alone where that is enough: rows of one environment share a long system text.
            half = length // 2
            start = half if row[:half] == first[:half] else 0
            length = next(i for i in range(start, length) if row[i] != first[i])
    return length


def score_tokens(
    policy: Policy,
    rows: Sequence[Sequence[int]],
    wanted: Sequence[Sequence[bool]],
    temperatures: Sequence[Sequence[float]],
    *,
    entropy_gradient: bool = False,
) -> TokenScores:
    """Score the wanted tokens of B rows in one pass.

    Args:
        policy: The model.
        rows: Token ids of each row.
        wanted: Per row and position: score this token? Position 0 has no prediction and must be False.
        temperatures: Per row and position: temperature of the distribution the token is scored under.
        entropy_gradient: Let the entropy carry a gradient.
    """
    device = policy.device
    first_wanted = min(list(flags).index(True) for flags in wanted)
    if first_wanted == 0:
        raise AlignmentError("position 0 of a row cannot be scored: nothing stands before it; a prompt has >= 1 id")
    prefix_length = common_prefix_length(rows, limit=first_wanted) if len(rows) > 1 else 0
    suffixes = [row[prefix_length:] for row in rows]
    num_tokens = max(len(suffix) for suffix in suffixes)
    padded = torch.zeros(len(rows), num_tokens, dtype=torch.long)
    chosen = torch.zeros(len(rows), num_tokens, dtype=torch.bool)
    scale = torch.ones(len(rows), num_tokens)
    for i, suffix in enumerate(suffixes):
        padded[i, : len(suffix)] = torch.tensor(suffix)
        chosen[i, : len(suffix)] = torch.tensor(wanted[i][prefix_length:])
        scale[i, : len(suffix)] = torch.tensor(temperatures[i][prefix_length:])
    padded, chosen, scale = padded.to(device), chosen.to(device), scale.to(device)
    positions = torch.arange(prefix_length + num_tokens, device=device)[None]
    if prefix_length:
        prefix = PrefixView()
        ids = torch.tensor([rows[0][:prefix_length]], device=device)
        last = policy.hidden_states(ids, positions[:, :prefix_length], prefix)[:, -1:]
        view = AfterPrefixView(prefix, num_tokens)
        states = policy.hidden_states(padded, positions[:, prefix_length:], view)
        # The state before the first suffix token is the prefix's last one, shared by all rows.
        states = torch.cat([last.expand(len(rows), -1, -1), states[:, :-1]], dim=1)
    else:
        states = policy.hidden_states(padded, positions, PrefixView())[:, :-1]
        padded, chosen, scale = padded[:, 1:], chosen[:, 1:], scale[:, 1:]
    logits = policy.logits(states[chosen]) / scale[chosen][:, None]
    logprobs = logits.log_softmax(-1)
    with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
        entropy = -(logprobs.exp() * logprobs).sum(-1)
    return TokenScores(logprobs=logprobs.gather(1, padded[chosen][:, None])[:, 0], entropy=entropy)
