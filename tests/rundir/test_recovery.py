from dataclasses import replace

import pytest

from rundir import gateway_trajectory as sample
from turnwright.core.episode import ToolOutcome, Turn
from turnwright.core.errors import AlignmentError
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Rewarded, Truncated
from turnwright.core.trajectory import hash_ids
from turnwright.rundir.gateway_records import Ended, GatewayRecord
from turnwright.rundir.recovery import RecoveredTrajectory, rebuild

TURNS = (sample.OPENED, sample.FIRST, sample.SECOND)


def rebuilt(*records: GatewayRecord) -> RecoveredTrajectory:
    return rebuild((*TURNS, *records))


def test_prompts_are_whole_again() -> None:
    first, second = rebuilt().trajectory.turns
    assert first.prompt_token_ids == (5, 9)
    assert second.prompt_token_ids == (5, 9, 7, 2, 4)
    assert second.sampled_token_ids == (8,)
    assert (second.parent, second.kind, second.policy_versions) == (0, "clean", (4,))
    assert first.kept_logmass == (-0.01, -0.02)


def test_the_order_of_lines_does_not_matter_to_the_turns() -> None:
    assert rebuild((sample.OPENED, sample.SECOND, sample.FIRST)) == rebuild(TURNS)


def test_an_open_trajectory_is_interrupted() -> None:
    found = rebuilt(sample.reward(1.0))
    assert (found.state, found.outcome, found.attempt()) == ("interrupted", None, None)


def test_a_sealed_one_without_reward_is_ready() -> None:
    found = rebuilt(sample.sealed())
    assert (found.state, found.attempt()) == ("ready", None)


def test_a_rewarded_one_is_the_whole_attempt() -> None:
    attempt = rebuilt(sample.sealed(), sample.reward(0.25, 0.5)).attempt()
    assert attempt is not None
    assert attempt.trajectory == rebuilt().trajectory
    episode = attempt.episode
    assert (episode.key, episode.task) == (sample.KEY, sample.TASK)
    assert episode.opening == (sample.SYSTEM, sample.QUESTION)
    assert episode.tools == (sample.TOOL,)
    assert episode.outcome == Rewarded(value=0.75, turn_values=(0.25, 0.5), components={"exact": 1.0})
    first, second = episode.turns
    assert first == Turn(
        reply=sample.LOOKS_UP,
        responses=(sample.RESULT,),
        tools=(ToolOutcome(name="get_order"),),
        num_prompt_tokens=2,
        num_sampled_tokens=2,
        mean_logprob=first.mean_logprob,
        policy_version=4,
        latency_ms=3.5,
    )
    assert first.mean_logprob == pytest.approx(-0.4)
    assert second == Turn(
        reply=sample.ANSWERS,
        finish_reason="length",
        num_prompt_tokens=5,
        num_sampled_tokens=1,
        mean_logprob=-0.25,
        policy_version=4,
    )


def test_a_reply_that_never_arrived_is_no_turn_of_the_episode_but_one_of_the_trajectory() -> None:
    again = replace(sample.FIRST, index=1, turn_kind="fork", cause="branched")
    answer = replace(sample.SECOND, index=2, parent=1)
    records = (sample.OPENED, sample.FIRST, again, answer, sample.sealed(abandoned=(0,)), sample.reward(0.0, 1.0))
    attempt = rebuild(records).attempt()
    assert attempt is not None
    assert [turn.abandoned for turn in attempt.trajectory.turns] == [True, False, False]
    assert attempt.episode.opening == (sample.SYSTEM, sample.QUESTION)
    assert attempt.episode.messages == (
        sample.SYSTEM,
        sample.QUESTION,
        sample.LOOKS_UP,
        sample.RESULT,
        sample.ANSWERS,
    )
    assert attempt.episode.outcome == Rewarded(value=1.0, turn_values=(0.0, 1.0), components={"exact": 1.0})


def test_an_episode_whose_first_reply_was_lost_opens_with_the_whole_next_request() -> None:
    attempt = rebuilt(sample.sealed(abandoned=(0,)), sample.reward(1.0)).attempt()
    assert attempt is not None
    assert attempt.episode.opening == (sample.SYSTEM, sample.QUESTION, sample.LOOKS_UP, sample.RESULT)
    assert attempt.episode.tools == (sample.TOOL,)
    assert [turn.reply for turn in attempt.episode.turns] == [sample.ANSWERS]


def test_a_reward_before_the_seal_takes_effect_with_it() -> None:
    found = rebuilt(sample.reward(1.0), sample.sealed(truncation="max_turns"))
    assert found.state == "rewarded"
    assert found.outcome == Truncated(value=1.0, cause="max_turns", components={"exact": 1.0})


def test_the_last_reward_counts() -> None:
    assert rebuilt(sample.reward(0.0), sample.reward(1.0), sample.sealed()).outcome == Rewarded(
        value=1.0, components={"exact": 1.0}
    )


def test_an_agent_that_gave_up_is_failed_with_its_reason() -> None:
    found = rebuilt(sample.sealed("failed", detail="KeyError"), sample.reward(0.0))
    assert found.state == "failed"
    attempt = found.attempt()
    assert attempt is not None
    assert attempt.episode.outcome == Failed(cause="agent_error", detail="KeyError")


def test_what_the_run_decided_stands_above_seal_and_reward() -> None:
    timeout = Ended(trajectory_id=sample.ID, outcome=Failed(cause="no_reward"), time=9.0)
    found = rebuilt(sample.sealed(), timeout)
    assert (found.state, found.outcome) == ("failed", Failed(cause="no_reward"))


def test_one_that_failed_before_its_first_call_has_an_empty_attempt() -> None:
    failed = Ended(trajectory_id=sample.ID, outcome=Failed(cause="agent_unreachable"), time=2.0)
    attempt = rebuild((sample.OPENED, failed)).attempt()
    assert attempt is not None
    assert (attempt.episode.opening, attempt.episode.turns, attempt.trajectory.turns) == ((), (), ())


def test_a_row_that_begins_anew_still_shows_what_followed_the_turn_before() -> None:
    sent = (sample.SYSTEM, replace(sample.QUESTION, content="short"), replace(sample.LOOKS_UP, reasoning=""))
    fork = replace(
        sample.SECOND,
        parent=None,
        follows=0,
        turn_kind="fork",
        cause="history_edited",
        new_prompt_token_ids=(1, 2, 3),
        prefix_hash=hash_ids((1, 2, 3)),
        new_messages=(*sent, sample.RESULT),
        tools=(sample.TOOL,),
    )
    attempt = rebuild((sample.OPENED, sample.FIRST, fork, sample.sealed(), sample.reward(1.0))).attempt()
    assert attempt is not None
    assert attempt.episode.messages == (
        sample.SYSTEM,
        sample.QUESTION,
        sample.LOOKS_UP,
        sample.RESULT,
        sample.ANSWERS,
    )


def test_of_two_branches_the_first_call_says_what_followed() -> None:
    branch = replace(sample.SECOND, index=2, new_messages=(Message(role="user", content="again"),))
    attempt = rebuilt(branch, sample.sealed(), sample.reward(1.0)).attempt()
    assert attempt is not None
    assert attempt.episode.turns[0].responses == (sample.RESULT,)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ((sample.FIRST,), r"must begin by being opened: got its 'turn' record first"),
        ((*TURNS, sample.SECOND), r"recorded once: got it twice \(trajectory 't-5f2c', turn 1\)"),
        ((*TURNS, sample.OPENED), r"one 'opened' record: got 2"),
        ((*TURNS, sample.sealed(), sample.sealed()), r"one 'sealed' record: got 2"),
        ((sample.OPENED, sample.SECOND), r"got parent 0, expected one of \[\] \(trajectory 't-5f2c', turn 1\)"),
        ((sample.OPENED, replace(sample.FIRST, parent=0)), r"got parent 0, expected one of \[\]"),
        ((sample.OPENED, replace(sample.FIRST, new_prompt_token_ids=(5, 8))), r"got hash .*, expected .*turn 0"),
        ((sample.OPENED, replace(sample.FIRST, sampled_token_ids=(7, 3)), sample.SECOND), r"got hash .*turn 1"),
        ((sample.OPENED, replace(sample.FIRST, logprobs=(-0.1,))), r"logprobs must align .*got 1, expected 2"),
    ],
)
def test_records_that_contradict_each_other_are_refused(records, message) -> None:
    with pytest.raises(AlignmentError, match=message):
        rebuild(records)
