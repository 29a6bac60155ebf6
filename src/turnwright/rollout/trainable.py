"""What the learner gets of a step: groups of attempts in, rows with their rewards out, and where the tokens went."""

from collections.abc import Mapping, Sequence

from turnwright.core.errors import AlignmentError
from turnwright.core.group import Attempt, Group, TrainableAttempt, TrainableGroup
from turnwright.core.outcome import Failed, Truncated
from turnwright.core.trajectory import Row
from turnwright.rollout.metrics import reward_of
from turnwright.rollout.tokens import count_tokens, cut_rows


def trainable_groups(groups: Sequence[Group]) -> tuple[list[TrainableGroup], list[Row]]:
    """Return each group's survivors with their rows, and all rows in one list."""
    trainable: list[TrainableGroup] = []
    every: list[Row] = []
    for group in groups:
        attempts: list[TrainableAttempt] = []
        for attempt in group.survivors:
            reward = reward_of(attempt)
            if reward is None:
                continue
            rows = cut_rows(attempt.trajectory)
            every += rows
            truncated = isinstance(attempt.episode.outcome, Truncated)
            attempts.append(
                TrainableAttempt(
                    key=attempt.episode.key,
                    reward=reward,
                    rows=rows,
                    truncated=truncated,
                    turn_rewards=turn_rewards(attempt),
                )
            )
        task = group.task
        trainable.append(TrainableGroup(task_id=task.id, attempts=tuple(attempts), domain=task.domain))
    return trainable, every


def turn_rewards(attempt: Attempt) -> Mapping[int, float]:
    """Return the rewards of an attempt by the turn they are for; empty when it has one reward as a whole.

    Raises AlignmentError when there is not one per turn whose reply arrived.
    """
    outcome = attempt.episode.outcome
    if isinstance(outcome, Failed) or not outcome.turn_values:
        return {}
    turns = [turn.index for turn in attempt.trajectory.turns if not turn.abandoned]
    if len(turns) != len(outcome.turn_values):
        raise AlignmentError(
            f"rewards per turn must align with the turns whose reply arrived: got {len(outcome.turn_values)}, expected "
            f"{len(turns)} (episode {str(attempt.episode.key)!r})"
        )
    return dict(zip(turns, outcome.turn_values, strict=True))


def token_metrics(attempts: Sequence[Attempt], rows: Sequence[Row]) -> dict[str, float]:
    """Return how the survivors' tokens became rows, and what they cost.

    Args:
        attempts: All attempts of a step.
        rows: What became of the survivors among them.
    """
    survivors = [attempt.trajectory for attempt in attempts if not isinstance(attempt.episode.outcome, Failed)]
    counts = count_tokens(survivors, rows)
    prefill = sum(len(turn.prompt_token_ids) for trajectory in survivors for turn in trajectory.turns[-1:])
    return {
        "training/num_datums": float(counts.datums),
        "training/datums_per_trajectory": counts.datums_per_trajectory,
        "training/delivered_fraction": counts.delivered_fraction,
        "training/turns_clean": float(counts.clean),
        "training/turns_realign": float(counts.realign),
        "training/turns_fork": float(counts.fork),
        **{f"training/fork/{cause}": float(count) for cause, count in counts.fork_causes.items()},
        "rollout/abandoned_tokens": float(counts.abandoned),
        "cost/sampled_tokens": float(counts.sampled),
        "cost/prefill_tokens": float(prefill),
        "cost/trained_tokens": float(counts.trained),
    }
