"""From attempts to what the learner gets."""

from dataclasses import replace

from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.group import Attempt, Group, TrainableGroup
from turnwright.core.outcome import Failed, Outcome, Rewarded, Truncated
from turnwright.core.task import Task
from turnwright.core.trajectory import Row, SampledTurn, Trajectory, hash_ids
from turnwright.rollout.trainable import token_metrics, trainable_group

TASK = Task(id="t", prompt="order: O3")


def turn(index: int, prompt: tuple[int, ...], sampled: tuple[int, ...], parent: int | None, cause: str) -> SampledTurn:
    return SampledTurn(
        index=index,
        parent=parent,
        kind="fork" if cause else "root" if parent is None else "clean",
        cause=cause,
        prompt_token_ids=prompt,
        sampled_token_ids=sampled,
        logprobs=(-0.5,) * len(sampled),
        policy_versions=(0,) * len(sampled),
        temperature=1.0,
        top_p=1.0,
        prefix_hash=hash_ids(prompt),
    )


FORKED = (
    turn(0, (1, 2), (3,), None, ""),
    turn(1, (1, 2, 3, 4), (5, 6), 0, ""),
    turn(2, (7, 8), (9,), None, "sub_agent"),
)


def attempt(number: int, outcome: Outcome) -> Attempt:
    key = EpisodeKey(task_id="t", attempt=number)
    return Attempt(
        episode=Episode(key=key, task=TASK, opening=(), outcome=outcome), trajectory=Trajectory(key=key, turns=FORKED)
    )


ATTEMPTS = (
    attempt(0, Rewarded(value=1.0)),
    attempt(1, Truncated(value=0.25, cause="max_turns")),
    attempt(2, Failed(cause="agent_error")),
)


def rows_of(group: TrainableGroup) -> list[Row]:
    return [row for one in group.attempts for row in one.rows]


def test_survivors_keep_their_rewards_and_a_failure_has_none() -> None:
    group = trainable_group(Group(task=TASK, attempts=ATTEMPTS))
    assert [(one.key.attempt, one.reward, one.truncated, len(one.rows)) for one in group.attempts] == [
        (0, 1.0, False, 2),
        (1, 0.25, True, 2),
    ]


def test_metrics_say_where_the_survivors_tokens_went_and_why_rows_forked() -> None:
    rows = rows_of(trainable_group(Group(task=TASK, attempts=ATTEMPTS)))
    assert token_metrics(ATTEMPTS, rows) == {
        "training/num_datums": 4.0,
        "training/datums_per_trajectory": 2.0,
        "training/delivered_fraction": 1.0,
        "training/turns_clean": 2.0,
        "training/turns_realign": 0.0,
        "training/turns_fork": 2.0,
        "training/fork/sub_agent": 2.0,
        "rollout/abandoned_tokens": 0.0,
        "cost/sampled_tokens": 8.0,
        "cost/prefill_tokens": 10.0,  # (1, 2), then (4,), then (7, 8), in two attempts
        "cost/trained_tokens": 8.0,
    }


def test_a_token_that_never_arrived_is_not_due() -> None:
    lost = replace(ATTEMPTS[0].trajectory, turns=(*FORKED[:2], replace(FORKED[2], abandoned=True)))
    attempts = (replace(ATTEMPTS[0], trajectory=lost),)
    rows = rows_of(trainable_group(Group(task=TASK, attempts=attempts)))
    metrics = token_metrics(attempts, rows)
    assert (metrics["training/delivered_fraction"], metrics["rollout/abandoned_tokens"]) == (1.0, 1.0)
    assert metrics["cost/trained_tokens"] == 3.0


def test_an_attempt_that_is_left_out_is_not_due_but_was_paid_for() -> None:
    left_out = {ATTEMPTS[0].episode.key}
    group = trainable_group(Group(task=TASK, attempts=ATTEMPTS), left_out)
    assert [one.key.attempt for one in group.attempts] == [1]
    metrics = token_metrics(ATTEMPTS, rows_of(group), left_out)
    assert {name: metrics[name] for name in ("training/delivered_fraction", "training/num_datums")} == {
        "training/delivered_fraction": 1.0,
        "training/num_datums": 2.0,
    }
    assert (metrics["cost/sampled_tokens"], metrics["cost/trained_tokens"]) == (8.0, 4.0)
    # Only what is said to be left out may be missing.
    assert token_metrics(ATTEMPTS, rows_of(group))["training/delivered_fraction"] == 0.5
