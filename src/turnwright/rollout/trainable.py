"""What the learner gets of a step: groups of attempts in, rows with their rewards out, and where the tokens went."""

from collections.abc import Container, Mapping, Sequence

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import AlignmentError
from turnwright.core.group import Attempt, Group, TrainableAttempt, TrainableGroup
from turnwright.core.outcome import Failed, Truncated
from turnwright.core.trajectory import Row
from turnwright.rollout.metrics import reward_of
from turnwright.rollout.prefill import prefilled
from turnwright.rollout.tokens import count_tokens, cut_rows


def trainable_group(group: Group, left_out: Container[EpisodeKey] = ()) -> TrainableGroup:
    """Return a group's survivors with their rows, but for the attempts to leave out."""
    attempts: list[TrainableAttempt] = []
    for attempt in group.survivors:
        reward, key = reward_of(attempt), attempt.episode.key
        if reward is None or key in left_out:
            continue
        attempts.append(
            TrainableAttempt(
                key=key,
                reward=reward,
                rows=cut_rows(attempt.trajectory),
                truncated=isinstance(attempt.episode.outcome, Truncated),
                turn_rewards=turn_rewards(attempt),
            )
        )
    return TrainableGroup(task_id=group.task.id, attempts=tuple(attempts), domain=group.task.domain)


def turn_rewards(attempt: Attempt) -> Mapping[int, float]:
    """Return the rewards of an attempt by the turn they are for; empty when it has one reward as a whole.

    A call for notes has no reward of its own: what it is worth shows in the turns behind it.

    Raises AlignmentError when there is not one per turn whose reply arrived.
    """
    outcome = attempt.episode.outcome
    if isinstance(outcome, Failed) or not outcome.turn_values:
        return {}
    arrived = [turn.index for turn in attempt.trajectory.turns if not turn.abandoned]
    notes = attempt.episode.notes_calls
    turns = [index for position, index in enumerate(arrived) if position not in notes]
    if len(turns) != len(outcome.turn_values):
        raise AlignmentError(
            f"rewards per turn must align with the turns whose reply arrived: got {len(outcome.turn_values)}, expected "
            f"{len(turns)} (episode {str(attempt.episode.key)!r})"
        )
    return dict(zip(turns, outcome.turn_values, strict=True))


def token_metrics(
    attempts: Sequence[Attempt], rows: Sequence[Row], left_out: Container[EpisodeKey] = ()
) -> dict[str, float]:
    """Return how the tokens to train became rows, and what all survivors cost.

    Args:
        attempts: All attempts of a step.
        rows: What became of those that are trained.
        left_out: Survivors that are not trained.
    """
    survivors = [attempt.trajectory for attempt in attempts if not isinstance(attempt.episode.outcome, Failed)]
    counts = count_tokens([trajectory for trajectory in survivors if trajectory.key not in left_out], rows)
    turns = [turn for trajectory in survivors for turn in trajectory.turns]
    prefill = sum(computed for trajectory in survivors for _, computed in prefilled(trajectory))
    return {
        "training/num_datums": float(counts.datums),
        "training/datums_per_trajectory": counts.datums_per_trajectory,
        "training/delivered_fraction": counts.delivered_fraction,
        "training/turns_clean": float(counts.clean),
        "training/turns_realign": float(counts.realign),
        "training/turns_fork": float(counts.fork),
        **{f"training/fork/{cause}": float(count) for cause, count in counts.fork_causes.items()},
        "rollout/abandoned_tokens": float(sum(len(turn.sampled_token_ids) for turn in turns if turn.abandoned)),
        "cost/sampled_tokens": float(sum(len(turn.sampled_token_ids) for turn in turns)),
        "cost/prefill_tokens": float(prefill),
        "cost/trained_tokens": float(counts.trained),
    }
