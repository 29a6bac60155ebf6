"""How episodes end: what the policy did is graded, what broke is a failure with a name, and never a reward of 0."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from rollout.desk import DONE, KEY, LOOK, TASK, Desk, Told
from turnwright.agents.builtin import LoopLimits
from turnwright.core.episode import Episode
from turnwright.core.errors import AlignmentError, ContextOverflowError, EngineStoppedError
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Rewarded, Truncated
from turnwright.core.task import Task
from turnwright.environments.base import TurnRewards
from turnwright.environments.scripts import call, say
from turnwright.rollout.runner import EpisodeLimits, run_episode

LIMITS = EpisodeLimits(loop=LoopLimits(max_turns=4))


def run(environment: Desk, policy: Told, limits: EpisodeLimits = LIMITS, seed: int = 1) -> Episode:
    return asyncio.run(run_episode(environment, TASK, KEY, policy, limits, seed=seed))


def test_an_episode_is_opened_played_graded_and_closed():
    environment = Desk()
    episode = run(environment, Told(LOOK, DONE))
    assert episode.outcome == Rewarded(value=1.0)
    assert (episode.key, episode.task, len(episode.turns)) == (KEY, TASK, 2)
    assert [message.role for message in episode.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert [spec.name for spec in episode.tools] == ["look"]
    assert environment.log == ["open", "O3", "reward", "close"]


def test_a_wrong_answer_is_a_reward_of_0_and_no_failure():
    assert run(Desk(), Told(say("no idea"))).outcome == Rewarded(value=0.0)


def test_attempts_of_one_task_meet_the_same_world():
    seeds: list[int] = []

    class Seeded(Desk):
        def open(self, task: Task, seed: int) -> None:
            super().open(task, seed)
            seeds.append(seed)

    for key, seed in ((KEY, 1), (replace(KEY, attempt=9), 1), (KEY, 2)):
        asyncio.run(run_episode(Seeded(), TASK, key, Told(DONE), LIMITS, seed=seed))
    assert seeds[0] == seeds[1] != seeds[2]


def test_a_tool_that_crashes_fails_the_attempt_ungraded():
    environment = Desk()
    episode = run(environment, Told(LOOK, call("look", order="crash")))
    assert episode.outcome == Failed(cause="tool_error", detail="tool 'look' raised RuntimeError: disk full")
    assert len(episode.turns) == 2
    assert environment.log == ["open", "O3", "crash", "close"]


def test_a_tool_error_is_an_answer():
    assert run(Desk(), Told(call("look", order="busy"), DONE)).outcome == Rewarded(value=1.0)


def test_an_endless_talker_is_truncated_and_graded_as_it_stands():
    policy = Told(DONE)
    policy.finish_reason = "length"
    assert run(Desk(), policy).outcome == Truncated(value=1.0, cause="token_cap")


def test_too_many_turns_and_too_long_a_history_are_truncations():
    assert run(Desk(), Told(*[LOOK] * 4)).outcome == Truncated(value=0.0, cause="max_turns")
    assert run(Desk(), Told(LOOK, ContextOverflowError("full"))).outcome == Truncated(value=0.0, cause="sequence")


async def forever() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def test_an_episode_without_end_is_a_failure_of_time():
    environment = Desk()
    episode = run(environment, Told(LOOK, forever), replace(LIMITS, timeout_seconds=0.02))
    assert episode.outcome == Failed(cause="timeout", detail="no end within 0.02 s")
    assert len(episode.turns) == 1
    assert environment.log[-1] == "close"


def test_a_timeout_of_somebody_else_is_not_ours():
    episode = run(Desk(), Told(TimeoutError("upstream")), replace(LIMITS, timeout_seconds=60))
    assert episode.outcome == Failed(cause="environment_error", detail="TimeoutError: upstream")


def test_an_engine_that_stops_is_no_fault_of_the_policy():
    assert run(Desk(), Told(EngineStoppedError("closed"))).outcome == Failed(cause="engine_error", detail="closed")


def raising(error: Exception) -> Callable:
    def method(*_: object) -> None:
        raise error

    return method


@pytest.mark.parametrize(
    ("reward", "told"),
    [
        (raising(KeyError("gold")), "KeyError: 'gold'"),
        (lambda self, episode: float("nan"), "ValueError: a reward must be finite"),
        (lambda self, episode: TurnRewards(values=(1.0,)), "ValueError: TurnRewards must have one value per turn"),
    ],
)
def test_a_grader_that_breaks_is_a_failure(reward: Callable, told: str):
    environment = type("Broken", (Desk,), {"reward": reward})()
    outcome = run(environment, Told(LOOK, DONE)).outcome
    assert isinstance(outcome, Failed)
    assert outcome.cause == "grader_error"
    assert told in outcome.detail
    assert environment.log[-1] == "close"


@pytest.mark.parametrize("method", ["open", "opening", "respond"])
def test_an_environment_that_breaks_is_a_failure_and_is_closed(method: str):
    environment = type("Broken", (Desk,), {method: raising(OSError("no disk"))})()
    assert run(environment, Told(DONE)).outcome == Failed(cause="environment_error", detail="OSError: no disk")
    assert environment.log[-1] == "close"


def test_a_close_that_breaks_changes_nothing_and_is_logged(caplog: pytest.LogCaptureFixture):
    environment = type("Leaky", (Desk,), {"close": raising(OSError("still open"))})()
    assert run(environment, Told(DONE)).outcome == Rewarded(value=1.0)
    assert "order-4#2: environment.close() raised" in caplog.text


def test_our_own_misalignment_is_never_data():
    environment = Desk()
    with pytest.raises(AlignmentError):
        run(environment, Told(AlignmentError("off by one")))
    assert environment.log[-1] == "close"


def test_cancellation_closes_the_environment_and_goes_on():
    environment = Desk()

    async def cancelled() -> bool:
        task = asyncio.create_task(run_episode(environment, TASK, KEY, Told(forever), LIMITS, seed=1))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert asyncio.run(cancelled())
    assert environment.log == ["open", "close"]
