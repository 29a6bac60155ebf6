"""Passes: rows in; the log-probabilities of their trained tokens, or the gradient of a loss over them, out.

    rows --pack--> micro-batches --score_tokens--> loss of each --backward--> gradients add up in the parameters

Everything that asks the policy about sampled tokens - update, proximal policy, reference - goes through here, so that
all of them share prefixes alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from turnwright.core.trajectory import Row
from turnwright.learner.packing import pack, shared_length
from turnwright.models.forward import TokenScores, score_tokens
from turnwright.models.load import Policy

PassLoss = Callable[[Sequence[int], TokenScores], Tensor]
"""Given the numbers of the rows of a pass and the scores of their trained tokens, row after row in that order, returns
the part of the update's loss that they are; parts of an update are added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """Names and meaning as in the [learner] section."""

    tokens_per_microbatch: int = 8192
    layout: Literal["auto", "tree", "dense"] = "auto"
    logits_memory_mb: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PassReport:
    """What the passes over some rows computed."""

    num_passes: int
    num_tokens: int
    """Tokens computed: one that several rows share behind the same prefix counts once, padding does not."""
    num_row_tokens: int
    """Tokens of the rows, each row on its own."""
    num_declined: int = 0
    """Passes over rows that share tokens and ran dense, because that costs less."""
    num_fallbacks: int = 0
    """1 when trees were found to differ from dense passes, so that all passes are dense from now on."""


class Passes:
    """Runs rows through a policy."""

    def __init__(self, policy: Policy, settings: PassSettings) -> None:
        """Take the policy that is asked and how its passes are laid out."""
        self.policy = policy
        self.settings = settings

    @torch.no_grad()
    def score(self, rows: Sequence[Row], groups: Sequence[str]) -> tuple[Tensor, ...]:
        """Return the log-probabilities of each row's trained tokens under the policy as it is now, [t_i] each.

        Args:
            rows: Each with at least one trained token.
            groups: Name of the group of each row; rows of one group share the most.
        """
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        for members in self._pack(rows, groups):
            scores = self._score_pass([rows[index] for index in members])
            parts = scores.logprobs.split([rows[index].num_trained_tokens for index in members])
            for index, part in zip(members, parts, strict=True):
                found[index] = part
        return tuple(found)

    def accumulate(
        self, rows: Sequence[Row], groups: Sequence[str], loss: PassLoss, *, entropy_gradient: bool = False
    ) -> PassReport:
        """Add the gradient of a loss over the rows to the parameters' gradients.

        Args:
            rows: Each with at least one trained token.
            groups: Name of the group of each row.
            loss: Called once per pass; together its calls see each row once.
            entropy_gradient: Let ``TokenScores.entropy`` carry a gradient, for a loss that has the entropy in it.
        """
        packed = self._pack(rows, groups)
        num_tokens = 0
        for members in packed:
            chosen = [rows[index] for index in members]
            loss(members, self._score_pass(chosen, entropy_gradient)).backward()
            first = min(row.trained.index(True) for row in chosen)
            shared = shared_length([row.token_ids for row in chosen], [first])
            num_tokens += shared + sum(len(row.token_ids) - shared for row in chosen)
        num_row_tokens = sum(len(row.token_ids) for row in rows)
        return PassReport(num_passes=len(packed), num_tokens=num_tokens, num_row_tokens=num_row_tokens)

    def _pack(self, rows: Sequence[Row], groups: Sequence[str]) -> list[list[int]]:
        first = [row.trained.index(True) for row in rows]
        ids = [row.token_ids for row in rows]
        return pack(ids, first, groups, budget=self.settings.tokens_per_microbatch)

    def _score_pass(self, rows: Sequence[Row], entropy_gradient: bool = False) -> TokenScores:
        return score_tokens(
            self.policy,
            [row.token_ids for row in rows],
            [row.trained for row in rows],
            [row.temperature for row in rows],
            entropy_gradient=entropy_gradient,
        )
