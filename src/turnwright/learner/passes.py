"""Passes: rows in; the log-probabilities of their trained tokens, or the gradient of a loss over them, out.

    rows --pack--> micro-batches --walk--> scores --loss, backward--> gradients add up in the parameters

Everything that asks the policy about sampled tokens - update, proximal policy, reference, warm start - goes through
here, so that all of them share prefixes alike. The first tree is also run dense: where the two differ, no tree is run
any more.

When a pass needs more memory than there is, all that was added up is taken back and the rows run again in smaller ones
(memory_limit.py): a backward pass that was cut off has written some of its gradient, and nobody knows which.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from turnwright.core.progress import working
from turnwright.core.protocols import UNWATCHED, Progress
from turnwright.learner.memory_limit import MemoryLimit, free_unused, is_out_of_memory
from turnwright.learner.packing import Layout, MicroBatch, PassCost, pack
from turnwright.learner.verification import compare_layouts
from turnwright.learner.walk import Visit, WalkReport, walk_rows, walk_tree
from turnwright.models.forward import LOGITS_MEMORY_MB, AskedRow, ScoreSettings, TokenScores
from turnwright.models.load import Policy
from turnwright.models.tree import order_rows

log = logging.getLogger(__name__)

PassLoss = Callable[[Sequence[int], TokenScores], Tensor]
"""Given the numbers of the rows of a pass and the scores of their trained tokens, row after row in that order, returns
the part of the update's loss that they are; parts of an update are added up."""


def _forget_nothing() -> None:
    """Be the start of passes whose loss notes nothing."""


class TrainedRow(Protocol):
    """What is asked of a row: all streams have the row's length; a ``Row`` is one."""

    @property
    def token_ids(self) -> Sequence[int]:
        """Ids of the row."""
        ...

    @property
    def trained(self) -> Sequence[bool]:
        """Which of them are scored; at least one, and not the first."""
        ...

    @property
    def temperature(self) -> Sequence[float]:
        """Temperature under which each is scored."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """Names and meaning as in the [learner] section."""

    tokens_per_microbatch: int = 8192
    layout: Layout = "auto"
    logits_memory_mb: int = LOGITS_MEMORY_MB


@dataclass(frozen=True, slots=True, kw_only=True)
class PassReport:
    """What the passes over some rows computed."""

    num_passes: int
    num_tokens: int
    """Tokens computed: one that several rows share behind the same prefix counts once."""
    num_row_tokens: int
    """Tokens of the rows, each row on its own."""
    max_tokens_held: int = 0
    """Most tokens whose activations were held at once."""
    num_declined: int = 0
    """Passes over rows that share tokens and ran dense, because that costs less."""
    num_fallbacks: int = 0
    """1 when trees were found to differ from dense passes, so that all passes are dense from now on."""
    num_splits: int = 0
    """How often memory did not suffice since the last report, so that passes became smaller and began again."""


class Passes:
    """Runs rows through a policy."""

    def __init__(self, policy: Policy, settings: PassSettings) -> None:
        """Take the policy that is asked and how its passes are laid out."""
        self.policy = policy
        self.settings = settings
        self.progress: Progress = UNWATCHED
        """Told of every pass."""
        self._cost = PassCost.of(policy)
        self._limit = MemoryLimit(settings.tokens_per_microbatch)
        self._num_reported = 0
        """Splits that reports have told of."""
        self._verified: set[bool] = set()
        """Whether a tree was verified in scores alone (False), in gradients too (True)."""
        self._fallen_back = False

    @torch.no_grad()
    def score(self, rows: Sequence[TrainedRow], groups: Sequence[str]) -> tuple[Tensor, ...]:
        """Return the log-probabilities of each row's trained tokens under the policy as it is now, [t_i] each.

        Args:
            rows: Each with at least one trained token.
            groups: Name of the group of each row; rows of one group share the most.
        """
        found: list[Tensor] = [torch.empty(0)] * len(rows)

        def keep(members: Sequence[int], scores: TokenScores) -> None:
            parts = scores.logprobs.split([sum(rows[index].trained) for index in members])
            for index, part in zip(members, parts, strict=True):
                found[index] = part

        self._run(rows, groups, keep, _forget_nothing, entropy_gradient=False)
        return tuple(found)

    def accumulate(
        self,
        rows: Sequence[TrainedRow],
        groups: Sequence[str],
        loss: PassLoss,
        restart: Callable[[], None] = _forget_nothing,
        *,
        entropy_gradient: bool = False,
    ) -> PassReport:
        """Add the gradient of a loss over the rows to the parameters' gradients.

        Args:
            rows: Each with at least one trained token.
            groups: Name of the group of each row.
            loss: Called once per pass; together its calls see each row once.
            restart: Called when memory did not suffice and all passes are about to run again: what ``loss`` noted of
                them does not count.
            entropy_gradient: Let ``TokenScores.entropy`` carry a gradient, for a loss that has the entropy in it.

        Raises:
            TrainingError: One row alone needs more memory than there is; the gradients are as they were.
        """

        def descend(members: Sequence[int], scores: TokenScores) -> None:
            loss(members, scores).backward()

        parameters = [parameter for parameter in self.policy.model.parameters() if parameter.requires_grad]
        before = [parameter.grad for parameter in parameters]

        def discard() -> None:
            for parameter in parameters:
                parameter.grad = None
            restart()

        for parameter in parameters:
            parameter.grad = None
        try:
            return self._run(rows, groups, descend, discard, entropy_gradient=entropy_gradient)
        finally:
            for parameter, grad in zip(parameters, before, strict=True):
                if grad is not None:
                    parameter.grad = grad if parameter.grad is None else grad.add_(parameter.grad)

    def _run(
        self,
        rows: Sequence[TrainedRow],
        groups: Sequence[str],
        visit: Visit,
        restart: Callable[[], None],
        *,
        entropy_gradient: bool,
    ) -> PassReport:
        """Run rows in passes that fit into memory."""
        scoring = ScoreSettings(entropy_gradient=entropy_gradient, logits_memory_mb=self.settings.logits_memory_mb)
        asked = [AskedRow.of(row.token_ids, row.trained, row.temperature) for row in rows]
        # Nothing of a failed try is held while the next one runs: the error, its frames and their tensors are gone.
        while isinstance(found := self._try(rows, groups, asked, visit, scoring), MicroBatch):
            restart()
            free_unused(self.policy.device)
            self._make_room(found, [len(rows[index].token_ids) for index in found.rows])
        found = replace(found, num_splits=self._limit.num_splits - self._num_reported)
        if torch.is_grad_enabled():
            self._num_reported = self._limit.num_splits
        return found

    def _try(
        self,
        rows: Sequence[TrainedRow],
        groups: Sequence[str],
        asked: Sequence[AskedRow],
        visit: Visit,
        scoring: ScoreSettings,
    ) -> PassReport | MicroBatch:
        """Run all rows; return the rows whose pass needs more memory than there is, if one does."""
        batches = self._pack(rows, groups)
        first = next((batch for batch in batches if batch.tree), None)
        batch = first
        reports: list[WalkReport] = []
        try:
            if first is not None and torch.is_grad_enabled() not in self._verified:
                self._verify([asked[index] for index in first.rows], first.shared, scoring)
                batches = self._pack(rows, groups)
            for number, batch in enumerate(batches):
                with working(self.progress, "learner", f"micro-batch {number} of {len(batches)}"):
                    reports.append(self._walk(batch, asked, visit, scoring))
        except Exception as error:
            if batch is None or not is_out_of_memory(error):
                raise
            return batch
        return PassReport(
            num_passes=sum(report.num_passes for report in reports),
            num_tokens=sum(report.num_tokens for report in reports),
            num_row_tokens=sum(len(row.token_ids) for row in rows),
            max_tokens_held=max((report.max_tokens_held for report in reports), default=0),
            num_declined=sum(batch.declined for batch in batches),
            num_fallbacks=int(self._fallen_back),
        )

    def _make_room(self, failed: MicroBatch, lengths: Sequence[int]) -> None:
        """Make the next passes smaller than one that failed; trees that are not verified yet give way to dense passes.

        Raises TrainingError when one row alone needs more memory than there is.
        """
        held = sum(lengths) - (sum(failed.shared) if failed.tree else 0)
        longest = max(lengths)
        unverified = failed.tree and torch.is_grad_enabled() not in self._verified
        if unverified and not self._limit.can_lower(held=held, longest=longest):
            # Verifying holds the gradient twice, which no smaller pass changes.
            self._fall_back("cannot be verified in this memory")
        else:
            self._limit.lower(held=held, longest=longest, device=self.policy.device)

    def _pack(self, rows: Sequence[TrainedRow], groups: Sequence[str]) -> list[MicroBatch]:
        ids = [row.token_ids for row in rows]
        return pack(
            order_rows(ids, groups),
            [len(row) for row in ids],
            groups,
            budget=self._limit.tokens,
            layout="dense" if self._fallen_back else self.settings.layout,
            cost=self._cost,
        )

    def _walk(self, batch: MicroBatch, asked: Sequence[AskedRow], visit: Visit, scoring: ScoreSettings) -> WalkReport:
        def visit_numbered(members: Sequence[int], scores: TokenScores) -> None:
            visit([batch.rows[member] for member in members], scores)
            # One group can be many passes.
            self.progress.begin("learner", f"behind a pass over {len(members)} rows")

        rows = [asked[index] for index in batch.rows]
        if not batch.tree:
            return walk_rows(self.policy, rows, visit_numbered, scoring)
        return walk_tree(self.policy, rows, batch.shared, visit_numbered, scoring, budget=self._limit.tokens)

    def _verify(self, rows: Sequence[AskedRow], shared: Sequence[int], scoring: ScoreSettings) -> None:
        """Compare the first tree with dense passes; fall back for good where it differs."""
        gradients = torch.is_grad_enabled()
        budget = self._limit.tokens
        try:
            found = compare_layouts(self.policy, rows, shared, scoring, budget=budget, gradients=gradients)
        except Exception as error:
            # Boundary: kernels and their compilers raise what they like, and dense passes need none of them.
            if is_out_of_memory(error):
                raise
            reason = f"cannot be computed on {self.policy.device} ({error!r})"
        else:
            if found.agrees:
                self._verified |= {False, gradients}
                return
            of_scores, of_gradients = found.limits
            reason = (
                f"differ from dense passes over {len(rows)} rows by {found.logprob_gap:.2g} in log-probability "
                f"(expected at most {of_scores:g}) and {found.gradient_gap:.2g} in gradient (expected at most "
                f"{of_gradients:g}; at {found.worst!r})"
            )
        self._fall_back(reason)

    def _fall_back(self, reason: str) -> None:
        self._fallen_back = True
        log.warning("prefix trees %s: all passes of this run are dense from now on (learner.layout)", reason)
