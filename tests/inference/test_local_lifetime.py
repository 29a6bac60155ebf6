"""Requests come, go, are cancelled and fail; weights change: nobody waits for ever and nobody's tokens suffer."""

import asyncio
import random

import pytest
import torch

from inference.playing import Pauses, Plan, make_request, mixed_plans, play, play_opened, tokens_of, worst_gap
from models.tiny import stock_twin, tiny_policy
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import EngineStoppedError
from turnwright.inference.base import Generation, GenerationRequest
from turnwright.inference.local import LocalEngine
from turnwright.models.load import Policy

pytestmark = pytest.mark.slow

KEY = EpisodeKey(task_id="t", attempt=0)
SECONDS = 30
"""Nothing here takes one second: a test that waits longer found a request that hangs."""


def endless(key: EpisodeKey = KEY, max_tokens: int = 200) -> GenerationRequest:
    """Return a request that nothing but its length ends."""
    return GenerationRequest(key=key, turn=0, prompt_token_ids=(9, 10, 11), max_tokens=max_tokens, sampling_key=5)


def keys(count: int) -> list[EpisodeKey]:
    return [EpisodeKey(task_id="t", attempt=i) for i in range(count)]


async def sampling(engine: LocalEngine) -> None:
    """Wait until the engine has sampled something."""
    while not engine.counters.sampled_tokens:
        await asyncio.sleep(0)


def run(coroutine) -> object:
    return asyncio.run(asyncio.wait_for(coroutine, SECONDS))


def test_an_episode_is_opened_once_and_before_it_asks():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy())
        with pytest.raises(EngineStoppedError, match="t#0 is not open"):
            await engine.generate(endless())
        engine.open_episode(KEY)
        with pytest.raises(ValueError, match="t#0 is already open"):
            engine.open_episode(KEY)
        engine.close_episode(EpisodeKey(task_id="never opened", attempt=0))
        assert len((await engine.generate(endless())).token_ids) == 200
        await engine.close()

    run(scenario())


def test_the_queue_is_bounded():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy(), max_queue=2)
        for key in keys(3):
            engine.open_episode(key)
        tasks = [asyncio.create_task(engine.generate(endless(key, 5))) for key in keys(2)]
        await asyncio.sleep(0)
        with pytest.raises(EngineStoppedError, match=r"full \(2 requests\): raise inference\.max_queue"):
            await engine.generate(endless(keys(3)[2], 5))
        assert [len(generation.token_ids) for generation in await asyncio.gather(*tasks)] == [5, 5]
        await engine.close()

    run(scenario())


def test_closing_the_engine_ends_every_request_present_and_future():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy(), max_slots=1)
        for key in keys(3):
            engine.open_episode(key)
        tasks = [asyncio.create_task(engine.generate(endless(key))) for key in keys(2)]
        await sampling(engine)
        await engine.close()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, EngineStoppedError)
            assert "closed" in str(result)
        with pytest.raises(EngineStoppedError, match="closed"):
            await engine.generate(endless(keys(3)[2]))
        await engine.close()

    run(scenario())


def test_a_failure_of_the_model_reaches_every_caller_and_blocks_nobody():
    policy = tiny_policy()
    passes = 0

    def fail(*_: object) -> None:
        nonlocal passes
        passes += 1
        if passes > 5:
            raise RuntimeError("out of memory")

    policy.decoder.register_forward_pre_hook(fail)

    async def scenario() -> None:
        engine = LocalEngine(policy, max_slots=2)
        for key in keys(4):
            engine.open_episode(key)
        tasks = [asyncio.create_task(engine.generate(endless(key))) for key in keys(3)]
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, EngineStoppedError)
            assert "out of memory" in str(result)
            assert isinstance(result.__cause__, RuntimeError)
        with pytest.raises(EngineStoppedError, match="out of memory"):
            await engine.generate(endless(keys(4)[3]))
        await engine.publish(1)
        await engine.close()

    run(scenario())


def test_closing_an_episode_ends_its_request_and_frees_its_slot():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy(), max_slots=1)
        one, other = keys(2)
        engine.open_episode(one)
        engine.open_episode(other)
        task = asyncio.create_task(engine.generate(endless(one)))
        await sampling(engine)
        waiting = asyncio.create_task(engine.generate(endless(other, 4)))
        engine.close_episode(one)
        with pytest.raises(EngineStoppedError, match="t#0 was closed"):
            await task
        assert len((await waiting).token_ids) == 4
        await engine.close()

    run(scenario())


def test_a_cancelled_request_leaves_its_episode_usable():
    async def scenario() -> tuple[Generation, Generation]:
        engine = LocalEngine(tiny_policy(), max_slots=1)
        engine.open_episode(KEY)
        task = asyncio.create_task(engine.generate(endless()))
        await sampling(engine)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        again = await engine.generate(endless(max_tokens=9))
        engine.close_episode(KEY)
        engine.open_episode(KEY)
        fresh = await engine.generate(endless(max_tokens=9))
        await engine.close()
        return again, fresh

    again, fresh = run(scenario())
    assert again == fresh


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_cancelled_episodes_never_disturb_the_others(seed: int):
    policy = tiny_policy()
    plans = mixed_plans(seed)
    generator = random.Random(seed)
    expected = tokens_of([asyncio.run(play(LocalEngine(policy), plan)) for plan in plans])

    async def restless(engine: LocalEngine, plan: Plan, pauses: Pauses) -> list:
        """Play a plan, but give up and start over a few times, at any moment, closing the episode or not."""
        for _ in range(generator.randrange(4)):
            engine.open_episode(plan.key)
            task = asyncio.create_task(play_opened(engine, plan, pauses))
            for _ in range(generator.randrange(60)):
                await asyncio.sleep(0)
            task.cancel()
            if generator.random() < 0.5:
                await asyncio.gather(task, return_exceptions=True)
            engine.close_episode(plan.key)
            await asyncio.gather(task, return_exceptions=True)
        return await play(engine, plan, pauses)

    async def scenario() -> list:
        engine = LocalEngine(policy, max_slots=generator.choice([2, 4, 99]))
        try:
            return await asyncio.gather(
                *(restless(engine, plan, Pauses(seed=seed + i)) for i, plan in enumerate(plans))
            )
        finally:
            await engine.close()
            assert sorted(engine._slots.free) == list(range(engine.num_slots))

    episodes = run(scenario())
    assert tokens_of(episodes) == expected
    assert worst_gap(policy, episodes) < 1e-4


def change_weights(policy: Policy) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))


def test_after_publish_tokens_come_from_the_new_weights_given_the_whole_prefix():
    policy, new = tiny_policy(), tiny_policy()
    change_weights(new)
    plan = Plan(key=KEY, opening=tuple(range(8, 40)), forced=((9, 9),), shared=20)

    async def scenario() -> tuple[Generation, list]:
        engine = LocalEngine(policy)
        idle = Plan(key=EpisodeKey(task_id="idle", attempt=0), opening=plan.opening, forced=((9, 9),), shared=20)
        engine.open_episode(idle.key)
        first = await engine.generate(make_request(idle, 0, idle.opening))
        engine.open_episode(KEY)
        request = GenerationRequest(
            key=KEY, turn=0, prompt_token_ids=plan.opening, shared_prefix_length=20, max_tokens=150, sampling_key=5
        )
        task = asyncio.create_task(engine.generate(request))
        before = engine.counters.sampled_tokens
        while engine.counters.sampled_tokens == before:
            await asyncio.sleep(0)
        async with engine.paused():
            change_weights(policy)
        await engine.publish(1)
        assert engine.policy_version == 1
        generation = await task
        following = make_request(idle, 1, (*idle.opening, *first.token_ids, 9, 9))
        more = await engine.generate(following)
        assert engine.counters.reprefilled_tokens > 0
        assert set(more.policy_versions) == {1}
        await engine.close()
        return generation, [(request, generation), (following, more)]

    generation, after = run(scenario())
    assert set(generation.policy_versions) == {0, 1}
    assert list(generation.policy_versions) == sorted(generation.policy_versions)
    for request, reply in after:
        sequence = torch.tensor([[*request.prompt_token_ids, *reply.token_ids]])
        start = len(request.prompt_token_ids)
        by_version = [
            stock_twin(weights)(input_ids=sequence).logits[0, start - 1 : -1].log_softmax(-1)
            for weights in (tiny_policy(), new)
        ]
        for position, version in enumerate(reply.policy_versions):
            exact = by_version[version][position, reply.token_ids[position]].item()
            assert reply.logprobs[position] == pytest.approx(exact, abs=1e-4), f"token {position} of version {version}"


def test_nothing_is_sampled_while_paused_and_pauses_may_overlap():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy())
        engine.open_episode(KEY)
        task = asyncio.create_task(engine.generate(endless()))
        await sampling(engine)
        async with engine.paused():
            async with engine.paused():
                pass
            sampled = engine.counters.sampled_tokens
            await asyncio.sleep(0.05)
            assert engine.counters.sampled_tokens == sampled
        assert len((await task).token_ids) == 200
        await engine.close()

    run(scenario())


def test_it_says_when_it_begins_to_compute_and_when_it_has_nothing_to_do():
    heard: list[bool] = []

    async def scenario() -> None:
        engine = LocalEngine(tiny_policy())
        engine.on_busy = heard.append
        engine.open_episode(KEY)
        await engine.generate(endless(max_tokens=40))
        async with engine.paused():
            assert heard == [True, False]
        task = asyncio.create_task(engine.generate(endless()))
        while len(heard) < 3:
            await asyncio.sleep(0)
        async with engine.paused():
            assert heard == [True, False, True, False]
        await task
        await engine.close()
        assert heard == [True, False] * 3

    run(scenario())
