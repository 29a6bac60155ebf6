"""Guards: what would make training quietly wrong is an error before a weight changes.

Rewards and advantages are looked at where they are made (``batch.py``, ``credit.py``), gradients and weights in
``optimizer.py``; here are the tokens.
"""

import logging
import math
from collections import Counter
from collections.abc import Sequence

from torch import Tensor

from turnwright.core.errors import SamplerMismatchError, StalenessError, TrainingError
from turnwright.core.group import TrainableGroup
from turnwright.core.trajectory import Row
from turnwright.learner.batch import Batch, WeightedRow
from turnwright.learner.measures import Measures
from turnwright.learner.tokens import PassTokens

log = logging.getLogger(__name__)
MISMATCH_FACTOR = 5.0
"""A gap this many times the warning threshold is an error."""
MOST_LOGPROB = 1e-4
"""Log-probabilities above it are none; what lies between 0 and it is rounding."""
CERTAIN_BUT_UNLIKELY = -1.0
"""The sampler's log-probability of a token is exactly 0 and the learner's below this: it was never recorded."""


def require_trainable(groups: Sequence[TrainableGroup]) -> None:
    """Raise TrainingError when attempts came in and not one has a token to train on.

    A step in which no group has signal is something else: it is counted and changes nothing.
    """
    attempts = [attempt for group in groups for attempt in group.attempts]
    if attempts and not any(attempt.num_sampled_tokens for attempt in attempts):
        raise TrainingError(
            f"none of the {len(attempts)} attempts of the step, such as {str(attempts[0].key)!r}, has a token to train "
            "on: expected tokens that were sampled at a temperature above 0 and reached the agent; see "
            "training/delivered_fraction and rollout/abandoned_tokens"
        )


def require_logprobs(groups: Sequence[TrainableGroup]) -> None:
    """Raise TrainingError unless each trained token has a log-probability that a sampled token can have."""
    for row in (row for group in groups for attempt in group.attempts for row in attempt.rows):
        for position, (value, on) in enumerate(zip(row.logprobs, row.trained, strict=True)):
            if on and not (math.isfinite(value) and value <= MOST_LOGPROB):
                raise TrainingError(
                    f"{_token(row, position)} has log-probability {value}, expected a finite number, at most 0: the "
                    "engine must record softmax(logits / temperature) of what it samples; no weight was changed"
                )


def require_versions(groups: Sequence[TrainableGroup], *, start: int, max_staleness: int) -> None:
    """Raise unless each trained token has a version, and one from which a step may still train.

    Args:
        groups: Of the step.
        start: Version that the step starts from.
        max_staleness: Versions by which a token may be older.

    Raises:
        StalenessError: A token is older: the last line of defence of the bound that the rollouts keep.
        TrainingError: A token has no version, or that of a step still to come.
    """
    oldest = max(0, start - max_staleness)
    for row in (row for group in groups for attempt in group.attempts for row in attempt.rows):
        for position, (version, on) in enumerate(zip(row.policy_versions, row.trained, strict=True)):
            if not on or oldest <= version <= start:
                continue
            if 0 <= version < start:
                raise StalenessError(
                    f"{_token(row, position)} was sampled by version {version}, {start - version} before the version "
                    f"{start} that the step starts from: expected at most {max_staleness} "
                    "(async_config.max_steps_off_policy); no weight was changed"
                )
            raise TrainingError(
                f"{_token(row, position)} has policy version {version}, expected one from 0 to {start}, the version "
                "that the step starts from: the engine must record which weights sample a token, and take_step be "
                "given the number of the step; no weight was changed"
            )


def require_recorded(entries: Sequence[WeightedRow], tokens: PassTokens, logprobs_T: Tensor) -> None:
    """Raise TrainingError for a token that the sampler calls certain and the learner does not: 0.0 stands for nothing.

    Fresh tokens alone: what was certain once may since have become unlikely.

    Args:
        entries: Rows of the pass.
        tokens: Their trained tokens.
        logprobs_T: log p.
    """
    lost_T = (tokens.sampled_T == 0) & (logprobs_T < CERTAIN_BUT_UNLIKELY) & (tokens.staleness_T == 0)
    if not bool(lost_T.any()):
        return
    found = int(lost_T.nonzero()[0, 0])
    for entry in entries:
        if found < len(entry.advantages):
            position = [place for place, on in enumerate(entry.row.trained) if on][found]
            raise TrainingError(
                f"{_token(entry.row, position)} has log-probability 0.0, so that it would have been certain, and the "
                f"learner gives it {math.exp(logprobs_T[lost_T][0].item()):.2g}: log-probabilities are missing; let "
                "the engine record one for each token that it samples"
            )
        found -= len(entry.advantages)


def require_one_row_each(batch: Batch, setting: str) -> None:
    """Raise TrainingError when an attempt has several rows and ``setting`` takes a row for an attempt."""
    keys = Counter(entry.row.key for rows in batch.updates for entry in rows)
    key, count = next(iter(keys.most_common(1)), (None, 1))
    if count > 1:
        raise TrainingError(
            f"{setting} needs one row per attempt, and episode {str(key)!r} was cut into {count}: its history changed "
            "on the way (training/turns_fork counts that); use loss_fn = 'ppo' with aggregation = 'rollout', or keep "
            "the history"
        )


def require_same_policy(measures: Measures, *, gap_warn: float, kl_warn: float) -> None:
    """Compare the learner's log-probabilities of the first update with the sampler's, whatever the loss starts from.

    Fresh tokens alone, for only those were sampled by these weights; without any there is nothing to compare.

    Args:
        measures: Of the first update of a step, before any weight changes.
        gap_warn: Mean |log p - log q| above which a warning is written.
        kl_warn: The same for the mean of k3.

    Raises:
        SamplerMismatchError: either is above five times its threshold, or no number.
    """
    fresh_T = measures.staleness == 0
    if not bool(fresh_T.any()):
        return
    gap, kl = measures.gap[fresh_T].mean().item(), measures.kl[fresh_T].mean().item()
    excess = max(gap / gap_warn, kl / kl_warn)
    if not math.isfinite(gap + kl):
        excess = math.inf
    if excess <= 1:
        return
    message = (
        f"sampler_mismatch: engine and learner differ on tokens of the same weights by {gap:.2g} in the mean and "
        f"{measures.gap[fresh_T].max().item():.2g} at worst (expected at most {gap_warn:g}), KL {kl:.2g}. "
        "Usual causes: another chat template or temperature than recorded, weights not published, reduced precision"
    )
    if excess > MISMATCH_FACTOR:
        raise SamplerMismatchError(message)
    log.warning(message)


def _token(row: Row, position: int) -> str:
    return f"trained token {position} (turn {row.turn_index[position]}) of episode {str(row.key)!r}"
