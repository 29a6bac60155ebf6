import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from models.tiny import tiny_policy
from rollout.desk import Desk
from turnwright.agents.builtin import LoopLimits
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt, TrainableAttempt, TrainableGroup
from turnwright.core.outcome import Failed, Rewarded, Truncated
from turnwright.core.task import Task
from turnwright.gateway.recorder import SamplingLimits
from turnwright.inference.base import Engine, GenerationRequest
from turnwright.inference.local import LocalEngine
from turnwright.inference.scripted import ScriptedEngine
from turnwright.learner.batch import BatchSettings
from turnwright.learner.optimizer import Optimizer, OptimizerSettings
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.step import StepSettings, take_step
from turnwright.policies.tokenizer import build_tokenizer
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.collector import CollectorSettings, Wanted, collect_attempts
from turnwright.rollout.inprocess import InProcessRunner
from turnwright.rollout.runner import EpisodeLimits
from turnwright.rollout.tokens import count_tokens, cut_rows

TOKENIZER = build_tokenizer(['<tool_call>{"name": "look", "arguments": {"order": "O3"}}</tool_call> done'] * 9, 300)
RENDERER = Renderer(TOKENIZER)
SETTINGS = CollectorSettings(
    seed=1,
    sampling=SamplingLimits(max_tokens=60),
    limits=EpisodeLimits(loop=LoopLimits(max_turns=4, tool_timeout=5.0)),
    max_concurrency=3,
    max_retries=2,
)


def look(order: str) -> str:
    return f'<tool_call>{{"name": "look", "arguments": {{"order": "{order}"}}}}</tool_call>'


def wanted(tasks: int, attempts: int = 2) -> list[Wanted]:
    return [
        Wanted(task=Task(id=f"t{t}", prompt=f"order: O{t}"), attempt=a) for t in range(tasks) for a in range(attempts)
    ]


def scripted(script: Callable[[GenerationRequest], str]) -> ScriptedEngine:
    return ScriptedEngine(TOKENIZER, script)


def runner(environment: Desk, engine: Engine) -> InProcessRunner:
    return InProcessRunner(prototype=environment, renderer=RENDERER, engine=engine)


def collect(
    environment: Desk,
    engine: Engine,
    entries: list[Wanted],
    settings: CollectorSettings = SETTINGS,
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> list[Attempt]:
    return asyncio.run(collect_attempts(runner(environment, engine), entries, settings, on_attempt))


def uneven(request: GenerationRequest) -> str:
    """Attempts of later tasks look more often, so that they end out of order."""
    return look("O3") if request.turn < int(request.key.task_id[1:]) % 3 else "done"


def test_attempts_come_back_in_the_order_they_were_wanted_and_are_seen_once_each():
    environment, engine, seen = Desk(), scripted(uneven), []
    entries = wanted(5)[::-1]
    attempts = collect(environment, engine, entries, on_attempt=seen.append)
    assert [attempt.episode.key for attempt in attempts] == [entry.key for entry in entries]
    assert sorted(map(id, seen)) == sorted(map(id, attempts))
    assert [attempt.episode.key for attempt in seen] != [entry.key for entry in entries]
    assert all(attempt.episode.outcome == Rewarded(value=1.0) for attempt in attempts)
    assert all(attempt.trajectory.key == attempt.episode.key for attempt in attempts)
    assert environment.log.count("open") == environment.log.count("close") == 10
    assert not engine.open_episodes


def test_nothing_wanted_is_nothing_made():
    assert collect(Desk(), scripted(uneven), []) == []


def test_the_number_of_open_episodes_is_bounded_and_never_falls_before_the_end():
    """An episode is announced before the last one is closed: the set of open ones does not depend on the clock."""
    counts: list[int] = []

    class Watched(ScriptedEngine):
        def open_episode(self, key: EpisodeKey) -> None:
            super().open_episode(key)
            counts.append(len(self.open_episodes))

        def close_episode(self, key: EpisodeKey) -> None:
            if key in self.open_episodes:
                super().close_episode(key)
                counts.append(len(self.open_episodes))

    collect(Desk(), Watched(TOKENIZER, uneven), wanted(4))
    assert counts == [1, 2, 3, *[4, 3] * 5, 2, 1, 0]


def test_domains_of_a_mixture_have_their_own_turn_limits():
    entries = [
        Wanted(task=Task(id=f"{domain}/t", prompt="order: O1", domain=domain), attempt=0) for domain in ("a", "b", "c")
    ]
    settings = replace(SETTINGS, turn_limits={"a": 1, "b": 3})
    attempts = collect(Desk(), scripted(lambda request: look("O3")), entries, settings)
    assert [len(attempt.episode.turns) for attempt in attempts] == [1, 3, 4]
    assert all(attempt.episode.outcome == Truncated(value=0.0, cause="max_turns") for attempt in attempts)


def test_a_failed_attempt_is_made_again_with_what_it_cost_on_record():
    environment = Desk(crashes=2)
    engine = scripted(lambda request: look("crash") if request.turn == 0 else "done")
    (attempt,) = collect(environment, engine, wanted(1, 1))
    assert attempt.episode.outcome == Rewarded(value=1.0)
    assert attempt.episode.metadata == {"retries": "2"}
    assert [turn.index for turn in attempt.trajectory.turns] == [0, 1]
    assert environment.log.count("open") == environment.log.count("close") == 3


def test_after_the_last_retry_it_stays_failed():
    attempts = collect(Desk(), scripted(lambda request: look("crash")), wanted(2, 1))
    assert [attempt.episode.outcome for attempt in attempts] == [
        Failed(cause="tool_error", detail="tool 'look' raised RuntimeError: disk full")
    ] * 2
    assert [len(attempt.trajectory.turns) for attempt in attempts] == [1, 1]


def test_a_truncated_attempt_is_a_result_and_is_not_made_again():
    environment = Desk()
    (attempt,) = collect(environment, scripted(lambda request: "done " * 99), wanted(1, 1))
    assert isinstance(attempt.episode.outcome, Truncated)
    assert environment.log.count("open") == 1


def test_what_on_attempt_raises_ends_the_collection_and_closes_everything():
    environment, engine = Desk(), scripted(uneven)

    def full(attempt: Attempt) -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        collect(environment, engine, wanted(5), on_attempt=full)
    assert not engine.open_episodes
    assert environment.log.count("open") == environment.log.count("close") < 10


def test_cancellation_closes_everything():
    environment = Desk()
    engine = scripted(lambda request: look("hang"))

    async def cancelled() -> bool:
        task = asyncio.create_task(collect_attempts(runner(environment, engine), wanted(3), SETTINGS))
        while environment.log.count("hang") < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    try:
        assert asyncio.run(cancelled())
        assert environment.log.count("open") == environment.log.count("close") == 3
        assert not engine.open_episodes
    finally:
        environment.release.set()


def test_a_tool_that_never_returns_fails_its_attempt_and_holds_up_nobody():
    environment = Desk()
    engine = scripted(lambda request: look("hang") if request.key.task_id == "t0" else "done")
    limits = EpisodeLimits(loop=LoopLimits(max_turns=4, tool_timeout=0.02))
    started = time.perf_counter()
    try:
        attempts = collect(environment, engine, wanted(3, 1), replace(SETTINGS, limits=limits, max_retries=0))
        assert time.perf_counter() - started < 10
    finally:
        environment.release.set()
    causes = [getattr(attempt.episode.outcome, "cause", "") for attempt in attempts]
    assert causes == ["tool_timeout", "", ""]


@pytest.mark.parametrize("top_p", [1.0, 0.7])
def test_collected_attempts_train_on_policy(top_p: float):
    """From a random policy's own noise through recorder, rows and batch to an update at ratio 1."""
    policy = tiny_policy("llama", vocab_size=len(TOKENIZER))
    with torch.no_grad():
        # Wide logits of the stop token end about every second reply before its cap.
        policy.model.lm_head.weight[sorted(RENDERER.stop_token_ids)] *= 5
    settings = replace(SETTINGS, sampling=SamplingLimits(max_tokens=12, top_p=top_p), max_concurrency=99)
    entries = wanted(3, 3)

    async def play() -> list[Attempt]:
        engine = LocalEngine(policy, max_slots=4)
        try:
            return await collect_attempts(runner(Desk(questions=2), engine), entries, settings)
        finally:
            await engine.close()

    attempts = asyncio.run(play())
    assert max(len(attempt.trajectory.turns) for attempt in attempts) > 1
    rows = [cut_rows(attempt.trajectory) for attempt in attempts]
    counts = count_tokens([attempt.trajectory for attempt in attempts], [row for some in rows for row in some])
    assert counts.delivered_fraction == 1.0
    made_up = [0.0, 1.0, 0.5] * 3
    trainable = [
        TrainableAttempt(key=attempt.episode.key, reward=reward, rows=cut)
        for attempt, reward, cut in zip(attempts, made_up, rows, strict=True)
    ]
    groups = [TrainableGroup(task_id=f"t{t}", attempts=tuple(trainable[3 * t : 3 * t + 3])) for t in range(3)]
    optimizer = Optimizer(policy.model, OptimizerSettings(learning_rate=1e-3, num_updates=1))
    step = take_step(Passes(policy, PassSettings()), optimizer, groups, StepSettings(batch=BatchSettings()), step=1)
    assert step.metrics["training/trained_tokens"] == counts.sampled
    assert step.metrics["training/on_policy_ratio_mean"] == pytest.approx(1.0, abs=1e-5)
    assert step.metrics["training/on_policy_kl"] < 1e-8
