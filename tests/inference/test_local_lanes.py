"""Several requests of one episode at once: each gets what it would get alone, and none pays for what another holds."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from inference.playing import STOP, Played, worst_gap
from models.tiny import VOCABULARY, stock_twin, tiny_policy
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import EngineStoppedError
from turnwright.core.seeding import derive_key
from turnwright.inference.base import Generation, GenerationRequest
from turnwright.inference.local import LocalEngine
from turnwright.models.load import Policy

pytestmark = pytest.mark.slow

KEY = EpisodeKey(task_id="t", attempt=0)
OTHER = EpisodeKey(task_id="other", attempt=0)
OPENING = tuple(range(8, 48))
ASIDES = ((50, 51, 52, 53), (54, 55), (56, 57, 58))
"""What the calls made at once go on with."""


def ask(turn: int, prompt: tuple[int, ...], *, key: EpisodeKey = KEY, max_tokens: int = 9) -> GenerationRequest:
    return GenerationRequest(
        key=key,
        turn=turn,
        prompt_token_ids=prompt,
        max_tokens=max_tokens,
        stop_token_ids=frozenset({STOP}),
        sampling_key=derive_key(2, key.task_id, key.attempt, turn),
    )


def endless(turn: int, *, key: EpisodeKey = KEY, max_tokens: int = 150) -> GenerationRequest:
    return replace(ask(turn, OPENING, key=key, max_tokens=max_tokens), stop_token_ids=frozenset())


def alone(policy: Policy, requests: Sequence[GenerationRequest]) -> list[Generation]:
    """Ask one thing after the other, each of a fresh engine."""

    async def one(request: GenerationRequest) -> Generation:
        engine = LocalEngine(policy, max_slots=1)
        engine.open_episode(request.key)
        try:
            return await engine.generate(request)
        finally:
            await engine.close()

    return [asyncio.run(one(request)) for request in requests]


def run(coroutine) -> object:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


async def sampling(engine: LocalEngine, more: int = 1) -> None:
    """Wait until the engine has sampled ``more`` ids from now on."""
    goal = engine.counters.sampled_tokens + more
    while engine.counters.sampled_tokens < goal:
        await asyncio.sleep(0)


def all_free(engine: LocalEngine) -> bool:
    return sorted(engine._slots.free) == list(range(engine.num_slots))


@pytest.mark.parametrize("max_slots", [1, 2, 99])
@pytest.mark.parametrize("count", [2, 3])
def test_requests_at_once_give_what_they_give_one_after_the_other(count: int, max_slots: int):
    policy = tiny_policy()

    async def scenario() -> list[Played]:
        engine = LocalEngine(policy, max_slots=max_slots)
        engine.open_episode(KEY)
        first = ask(0, OPENING)
        held = OPENING + (await engine.generate(first)).token_ids
        calls = [ask(1 + i, held + aside) for i, aside in enumerate(ASIDES[:count])]
        replies = await asyncio.gather(*(engine.generate(call) for call in calls))
        more = [
            ask(9 + i, (*call.prompt_token_ids, *reply.token_ids, 59))
            for i, (call, reply) in enumerate(zip(calls, replies, strict=True))
        ]
        replies += await asyncio.gather(*(engine.generate(call) for call in more[::-1]))
        assert len(engine._slots.lanes) == min(count, max_slots)
        engine.close_episode(KEY)
        assert all_free(engine)
        await engine.close()
        return [
            Played(request=request, generation=generation)
            for request, generation in zip([*calls, *more[::-1]], replies, strict=True)
        ]

    played = run(scenario())
    expected = alone(policy, [one.request for one in played])
    assert [one.generation.token_ids for one in played] == [generation.token_ids for generation in expected]
    assert worst_gap(policy, [played]) < 1e-4


def test_calls_that_branch_copy_the_history_they_share():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy())
        counters = engine.counters
        engine.open_episode(KEY)
        held = OPENING + (await engine.generate(ask(0, OPENING))).token_ids
        fed = counters.prefill_tokens
        calls = [ask(1 + i, held + aside) for i, aside in enumerate(ASIDES)]
        replies = await asyncio.gather(*(engine.generate(call) for call in calls))
        # The last sampled id of the first turn is in no slot yet, the last id of a prompt is decoded and not fed.
        assert counters.shared_tokens == 2 * (len(held) - 1)
        assert counters.prefill_tokens - fed == sum(len(aside) for aside in ASIDES)
        fed = counters.prefill_tokens
        for i in (2, 0, 1):
            await engine.generate(ask(9 + i, (*calls[i].prompt_token_ids, *replies[i].token_ids, 59)))
        assert counters.prefill_tokens - fed == len(ASIDES), "each went on in the lane that held its history"
        await engine.close()

    run(scenario())


def test_the_same_prompt_asked_at_once_is_fed_once():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy())
        engine.open_episode(KEY)
        await asyncio.gather(*(engine.generate(ask(turn, OPENING)) for turn in range(3)))
        assert engine.counters.prefill_tokens == len(OPENING) - 1
        assert engine.counters.shared_tokens == 2 * (len(OPENING) - 1)
        await engine.close()

    run(scenario())


def test_a_call_copies_from_one_that_is_being_answered():
    policy = tiny_policy()
    late = ask(1, (*OPENING, 50, 51))

    async def scenario() -> Generation:
        engine = LocalEngine(policy)
        engine.open_episode(KEY)
        task = asyncio.create_task(engine.generate(endless(0)))
        await sampling(engine)
        reply = await engine.generate(late)
        assert engine.counters.shared_tokens == len(OPENING)
        assert engine.counters.prefill_tokens == len(OPENING) - 1 + 1
        assert len((await task).token_ids) == 150
        await engine.close()
        return reply

    assert run(scenario()).token_ids == alone(policy, [late])[0].token_ids


def test_a_cancelled_call_leaves_the_other_alone():
    policy = tiny_policy()

    async def scenario() -> Generation:
        engine = LocalEngine(policy, max_slots=2)
        engine.open_episode(KEY)
        kept, lost = (asyncio.create_task(engine.generate(endless(turn))) for turn in (0, 1))
        waiting = asyncio.create_task(engine.generate(endless(2)))
        await sampling(engine, 20)
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)
        assert lost.cancelled()
        assert not kept.done()
        generation = await kept
        assert len((await waiting).token_ids) == 150, "its slot went to the one that waited"
        engine.close_episode(KEY)
        assert all_free(engine)
        await engine.close()
        return generation

    assert run(scenario()).token_ids == alone(policy, [endless(0)])[0].token_ids


def test_a_call_cancelled_while_it_waits_for_a_slot_is_forgotten():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy(), max_slots=1, max_queue=1)
        engine.open_episode(KEY)
        first = asyncio.create_task(engine.generate(endless(0)))
        await sampling(engine)
        for turn in (1, 2):  # The queue holds one: the second would be refused if the first were still there.
            waiting = asyncio.create_task(engine.generate(endless(turn)))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert waiting.cancelled()
        assert len((await first).token_ids) == 150
        await engine.close()

    run(scenario())


def test_closing_an_episode_ends_all_its_calls_and_frees_all_its_slots():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy(), max_slots=2)
        engine.open_episode(KEY)
        engine.open_episode(OTHER)
        tasks = [asyncio.create_task(engine.generate(endless(turn))) for turn in range(3)]
        await sampling(engine, 20)
        other = asyncio.create_task(engine.generate(endless(0, key=OTHER)))
        engine.close_episode(KEY)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, EngineStoppedError)
            assert "t#0 was closed" in str(result)
        assert len((await other).token_ids) == 150
        engine.close_episode(OTHER)
        assert all_free(engine)
        await engine.close()

    run(scenario())


def test_publishing_during_two_calls_gives_each_the_new_weights_from_there_on():
    policy, old, new = tiny_policy(), tiny_policy(), tiny_policy()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in new.model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))

    async def scenario() -> list[Generation]:
        engine = LocalEngine(policy)
        engine.open_episode(KEY)
        tasks = [asyncio.create_task(engine.generate(endless(turn))) for turn in (0, 1)]
        await sampling(engine, 20)
        async with engine.paused():
            policy.model.load_state_dict(new.model.state_dict())
        await engine.publish(1)
        replies = await asyncio.gather(*tasks)
        await engine.close()
        return replies

    for reply in run(scenario()):
        assert set(reply.policy_versions) == {0, 1}
        assert list(reply.policy_versions) == sorted(reply.policy_versions)
        ids = torch.tensor([[*OPENING, *reply.token_ids]])
        exact = [
            stock_twin(weights)(input_ids=ids).logits[0, len(OPENING) - 1 : -1].log_softmax(-1)
            for weights in (old, new)
        ]
        for position, version in enumerate(reply.policy_versions):
            expected = exact[version][position, reply.token_ids[position]].item()
            assert reply.logprobs[position] == pytest.approx(expected, abs=1e-4)


def test_no_history_is_evicted_right_before_it_is_asked_for():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy(), max_slots=1)
        engine.open_episode(KEY)
        engine.open_episode(OTHER)
        held = OPENING + (await engine.generate(ask(0, OPENING))).token_ids
        # The other asks first, but what this episode goes on from is in the only slot.
        await asyncio.gather(engine.generate(ask(0, OPENING, key=OTHER)), engine.generate(ask(1, (*held, 50))))
        assert (engine.counters.evictions, engine.counters.reprefilled_tokens) == (1, 0)
        await engine.close()

    run(scenario())


def test_an_idle_lane_is_evicted_and_fed_again_when_it_is_asked_for():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy(), max_slots=2)
        engine.open_episode(KEY)
        engine.open_episode(OTHER)
        prompts = [(*OPENING, 50), (*OPENING, 51)]
        replies = await asyncio.gather(*(engine.generate(ask(i, prompt)) for i, prompt in enumerate(prompts)))
        await engine.generate(ask(0, OPENING, key=OTHER))
        assert engine.counters.evictions == 1
        more = [ask(2 + i, (*prompts[i], *replies[i].token_ids, 52)) for i in range(2)]
        await asyncio.gather(*map(engine.generate, more))
        assert engine.counters.evictions == 2
        assert engine.counters.reprefilled_tokens in {len(prompts[i]) + len(replies[i].token_ids) - 1 for i in range(2)}
        await engine.close()

    run(scenario())


def test_a_deterministic_round_starts_when_every_open_episode_asks_at_least_one_thing():
    async def scenario() -> None:
        engine = LocalEngine(tiny_policy(), deterministic=True)
        engine.open_episode(KEY)
        engine.open_episode(OTHER)
        two = [asyncio.create_task(engine.generate(ask(turn, OPENING, max_tokens=4 + turn))) for turn in range(2)]
        await asyncio.sleep(0.05)
        assert engine.counters.sampled_tokens == 0
        other = asyncio.create_task(engine.generate(endless(0, key=OTHER)))
        await asyncio.gather(*two)
        sampled = engine.counters.sampled_tokens
        await asyncio.sleep(0.05)
        assert engine.counters.sampled_tokens == sampled
        engine.close_episode(KEY)
        assert len((await other).token_ids) == 150
        await engine.close()

    run(scenario())


def test_in_deterministic_rounds_calls_of_an_episode_take_lanes_in_order_of_their_turns():
    policy = tiny_policy()

    async def scenario(order: Sequence[int]) -> dict[int, Generation]:
        engine = LocalEngine(policy, max_slots=2, deterministic=True)
        engine.open_episode(KEY)
        replies = await asyncio.gather(*(engine.generate(ask(turn, (*OPENING, 50 + turn))) for turn in order))
        await engine.close()
        return dict(zip(order, replies, strict=True))

    assert run(scenario((0, 1, 2))) == run(scenario((2, 0, 1)))


@pytest.mark.parametrize("seed", range(4))
def test_trees_of_calls_give_up_and_go_on_without_disturbing_each_other(seed: int):
    """Each episode's calls branch into more calls, some of which are cancelled at some moment and made again."""
    policy = tiny_policy()
    generator = random.Random(seed)

    async def grow(engine: LocalEngine, request: GenerationRequest, depth: int) -> list[Played]:
        for _ in range(generator.randrange(3)):
            task = asyncio.create_task(engine.generate(request))
            for _ in range(generator.randrange(20)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        generation = await engine.generate(request)
        held = request.prompt_token_ids + generation.token_ids
        children = [
            ask(
                request.turn * 3 + i + 1,
                (*held, *(generator.randrange(8, VOCABULARY) for _ in range(generator.randrange(1, 6)))),
                key=request.key,
            )
            for i in range(generator.randrange(1, 4) if depth else 0)
        ]
        grown = await asyncio.gather(*(grow(engine, child, depth - 1) for child in children))
        return [Played(request=request, generation=generation), *(played for branch in grown for played in branch)]

    async def scenario() -> list[list[Played]]:
        engine = LocalEngine(policy, max_slots=(1, 2, 5, 99)[seed])
        keys = [EpisodeKey(task_id=f"task {i % 2}", attempt=i) for i in range(4)]
        for key in keys:
            engine.open_episode(key)
        trees = await asyncio.gather(*(grow(engine, ask(0, OPENING, key=key), 2) for key in keys))
        for key in keys:
            engine.close_episode(key)
        assert all_free(engine)
        await engine.close()
        return trees

    trees = run(scenario())
    assert worst_gap(policy, trees) < 1e-4
    played = [one for tree in trees for one in tree][:: max(1, sum(map(len, trees)) // 12)]
    assert [one.generation.token_ids for one in played] == [
        generation.token_ids for generation in alone(policy, [one.request for one in played])
    ]
