"""Guards: what a step collected in, a run that had better stop out."""

from collections.abc import Callable, Collection, Sequence

from turnwright.core.errors import TrainingError
from turnwright.rollout.repetition import Repetition, describe_worst


def require_few_repetitions(
    step: int,
    repetitions: Collection[Repetition],
    *,
    num_attempts: int,
    limit: float,
    decode: Callable[[Sequence[int]], str],
) -> None:
    """Raise TrainingError when more than ``limit`` of a step's attempts repeat themselves."""
    share = len(repetitions) / num_attempts
    if share <= limit:
        return
    raise TrainingError(
        f"step {step}: {share:.0%} of the attempts repeat themselves, more than algorithm.max_filter_rate = {limit:g}: "
        f"the policy has collapsed into repetition; the worst is {describe_worst(repetitions, decode)}. Train on from "
        "an earlier checkpoint (model.path) with a lower optimizer.learning_rate or an algorithm.kl_coefficient; if "
        "such replies are right, raise algorithm.max_repeated_tokens"
    )
