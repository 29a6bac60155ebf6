"""What the engine samples: the same as a plain forward pass would, whatever is scheduled beside it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from inference.playing import (
    STOP,
    Pauses,
    Plan,
    make_request,
    mixed_plans,
    play,
    play_all,
    play_opened,
    tokens_of,
    worst_gap,
)
from models.tiny import FAMILIES, SHAPE, stock_twin, tiny_policy
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ConfigError, ContextOverflowError
from turnwright.inference.base import Generation, GenerationRequest
from turnwright.inference.local import LocalEngine
from turnwright.inference.local_cache import bytes_per_token

KEY = EpisodeKey(task_id="t", attempt=0)


def answer(engine: LocalEngine, request: GenerationRequest) -> Generation:
    """Ask once and close the engine."""

    async def run() -> Generation:
        engine.open_episode(request.key)
        try:
            return await engine.generate(request)
        finally:
            await engine.close()

    return asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("max_slots", [2, 5, 99])
def test_logprobs_equal_a_plain_forward(family: str, max_slots: int):
    policy = tiny_policy(family)
    engine = LocalEngine(policy, max_slots=max_slots)
    episodes = play_all(engine, mixed_plans(3), seed=11)
    assert worst_gap(policy, episodes) < 1e-4
    assert (engine.counters.evictions > 0) == (max_slots < 12)
    assert engine.counters.shared_tokens > 0
    assert engine.counters.sampled_tokens == sum(len(ids) for episode in tokens_of(episodes) for ids in episode)


@pytest.mark.slow
def test_what_is_sampled_depends_on_the_key_and_not_on_the_company():
    policy = tiny_policy()
    plans = mixed_plans(5)
    alone = [play_all(LocalEngine(policy, max_slots=1), [plan])[0] for plan in plans]
    together = play_all(LocalEngine(policy), plans, seed=1)
    crowded = play_all(LocalEngine(policy, max_slots=3), plans[::-1], seed=2)[::-1]
    assert tokens_of(alone) == tokens_of(together) == tokens_of(crowded)


def test_a_long_prompt_is_fed_in_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("turnwright.inference.local_passes.EXTENSION_TOKENS", 8)
    policy = tiny_policy()
    episodes = play_all(LocalEngine(policy), mixed_plans(4), seed=3)
    assert worst_gap(policy, episodes) < 1e-4


def test_an_edited_history_is_fed_again_from_where_it_differs():
    policy = tiny_policy()
    engine = LocalEngine(policy)
    first = tuple(range(8, 40))
    edited = (*first[:20], 50, *first[21:], 51, 52)

    async def run() -> Generation:
        engine.open_episode(KEY)
        plan = Plan(key=KEY, opening=first, forced=())
        await engine.generate(make_request(plan, 0, first))
        before = engine.counters.prefill_tokens
        generation = await engine.generate(make_request(plan, 1, edited))
        assert engine.counters.prefill_tokens - before == len(edited) - 20 - 1
        await engine.close()
        return generation

    generation = asyncio.run(run())
    alone = answer(LocalEngine(policy), make_request(Plan(key=KEY, opening=edited, forced=()), 1, edited))
    assert generation.token_ids == alone.token_ids
    assert generation.logprobs == pytest.approx(alone.logprobs, abs=1e-5)


def test_a_prompt_may_be_asked_again():
    engine = LocalEngine(tiny_policy())
    plan = Plan(key=KEY, opening=tuple(range(8, 30)), forced=())

    async def run() -> list[Generation]:
        engine.open_episode(KEY)
        replies = [await engine.generate(make_request(plan, 0, plan.opening)) for _ in range(2)]
        await engine.close()
        return replies

    one, again = asyncio.run(asyncio.wait_for(run(), 30))
    assert one.token_ids == again.token_ids
    assert one.logprobs == pytest.approx(again.logprobs, abs=1e-5)


def test_a_prompt_is_copied_only_from_one_that_begins_with_it():
    policy = tiny_policy()
    opening = tuple(range(8, 40))
    plans = [
        Plan(key=EpisodeKey(task_id="t", attempt=at), opening=(*opening[:at], 55, *opening[at + 1 :]), forced=())
        for at in (0, 15, 29, 32, 30, 31)
    ]
    engine = LocalEngine(policy)
    assert worst_gap(policy, play_all(engine, plans)) < 1e-4
    # The last one is what the fourth begins with, but for its very last id, which is decoded and not fed.
    assert engine.counters.shared_tokens == 31


def test_top_p_keeps_the_smallest_set_of_that_mass_and_says_its_mass():
    policy = tiny_policy()
    plan = Plan(key=KEY, opening=(9, 10, 11), forced=(), top_p=0.6, temperature=1.4, max_tokens=40)
    request = make_request(plan, 0, plan.opening)
    generation = answer(LocalEngine(policy), request)
    ids = torch.tensor([[*plan.opening, *generation.token_ids]])
    exact = (stock_twin(policy)(input_ids=ids).logits[0, len(plan.opening) - 1 : -1] / 1.4).softmax(-1)
    for probabilities, token, logprob, logmass in zip(
        exact, generation.token_ids, generation.logprobs, generation.kept_logmass, strict=True
    ):
        ordered = probabilities.sort(descending=True).values
        size = int((ordered.cumsum(0) < 0.6).sum()) + 1
        assert probabilities[token] >= ordered[size - 1]
        assert logmass == pytest.approx(ordered[:size].sum().log().item(), abs=1e-4)
        assert logprob == pytest.approx(probabilities[token].log().item() - logmass, abs=1e-4)


def test_without_top_p_there_is_no_kept_mass():
    plan = Plan(key=KEY, opening=(9, 10), forced=())
    assert answer(LocalEngine(tiny_policy()), make_request(plan, 0, plan.opening)).kept_logmass == ()


def test_greedy_takes_the_most_likely_token_and_reports_it_at_temperature_1():
    policy = tiny_policy()
    plan = Plan(key=KEY, opening=(9, 10, 11), forced=(), temperature=0.0, max_tokens=12)
    generation = answer(LocalEngine(policy), make_request(plan, 0, plan.opening))
    ids = torch.tensor([[*plan.opening, *generation.token_ids]])
    exact = stock_twin(policy)(input_ids=ids).logits[0, len(plan.opening) - 1 : -1].log_softmax(-1)
    best = exact.max(-1)
    assert generation.token_ids == tuple(best.indices.tolist())
    assert generation.logprobs == pytest.approx(best.values.tolist(), abs=1e-4)


def long_reply(policy_seed: int = 0) -> tuple[LocalEngine, GenerationRequest, Generation]:
    """Return a request without stops, its reply, and an engine to ask again."""
    policy = tiny_policy(seed=policy_seed)
    request = GenerationRequest(key=KEY, turn=0, prompt_token_ids=(9, 10, 11), max_tokens=30, sampling_key=5)
    return LocalEngine(policy), request, answer(LocalEngine(policy), request)


def test_a_stop_id_ends_the_reply_and_is_part_of_it():
    engine, request, free = long_reply()
    assert (len(free.token_ids), free.finish_reason) == (30, "length")
    stop = free.token_ids[10]
    cut = answer(engine, replace(request, stop_token_ids=frozenset({stop})))
    assert cut.token_ids == free.token_ids[: free.token_ids.index(stop) + 1]
    assert cut.finish_reason == "stop"


def test_a_stop_rule_is_asked_after_each_id_with_all_ids_so_far():
    engine, request, free = long_reply()
    asked: list[tuple[int, ...]] = []

    def enough(token_ids: Sequence[int]) -> bool:
        asked.append(tuple(token_ids))
        return len(token_ids) == 13

    cut = answer(engine, replace(request, stop_when=enough))
    assert (cut.token_ids, cut.finish_reason) == (free.token_ids[:13], "stop")
    assert asked == [free.token_ids[:length] for length in range(1, 14)]


def test_the_sequence_limit_cuts_a_reply_and_refuses_a_prompt_without_room():
    _, request, free = long_reply()
    policy = tiny_policy()
    cut = answer(LocalEngine(policy, max_sequence_length=8), request)
    assert (cut.token_ids, cut.finish_reason) == (free.token_ids[:5], "length")
    for prompt in ((9,) * 8, ()):
        with pytest.raises(ContextOverflowError, match=r"expected 1 to 7 \(episode t#0\)"):
            answer(LocalEngine(policy, max_sequence_length=8), replace(request, prompt_token_ids=prompt))
    assert LocalEngine(policy, max_sequence_length=9999).max_sequence_length == SHAPE["max_position_embeddings"]


def test_slots_follow_from_the_memory():
    policy = tiny_policy()
    per_token = 2 * 2 * 2 * 16 * 4  # keys and values, layers, key-value heads, width, bytes
    assert bytes_per_token(policy) == per_token
    engine = LocalEngine(policy, kv_memory_mb=1, max_sequence_length=255)
    assert engine.num_slots == 2**20 // (per_token * 256)
    with pytest.raises(ConfigError, match=r"inference\.kv_memory_mb = 0 .* expected at least 1"):
        LocalEngine(policy, kv_memory_mb=0)


def test_counters_tell_fed_shared_and_sampled_tokens():
    engine = LocalEngine(tiny_policy())
    opening = tuple(range(8, 48))
    plans = [
        Plan(key=EpisodeKey(task_id="t", attempt=i), opening=opening, forced=(), shared=20, max_tokens=3)
        for i in range(3)
    ]
    episodes = play_all(engine, plans)
    counters = engine.counters
    assert counters.prefill_tokens == 20 + 19  # the prefix, then all but the last id of one opening
    assert counters.shared_tokens == 2 * 19
    assert counters.sampled_tokens == sum(len(ids) for (ids,) in tokens_of(episodes))
    assert counters.extend_passes == 1
    assert (counters.evictions, counters.reprefilled_tokens) == (0, 0)
    assert counters.busy_seconds > 0


def test_an_evicted_episode_is_fed_again_and_counted():
    policy = tiny_policy()
    engine = LocalEngine(policy, max_slots=1)
    one, other = (
        Plan(key=EpisodeKey(task_id=name, attempt=0), opening=(9, 10, 11, 12), forced=((13, 14),)) for name in "ab"
    )

    async def run() -> list[Generation]:
        engine.open_episode(one.key)
        engine.open_episode(other.key)
        first = await engine.generate(make_request(one, 0, one.opening))
        await engine.generate(make_request(other, 0, other.opening))
        assert engine.counters.evictions == 1
        again = await engine.generate(make_request(one, 1, (*one.opening, *first.token_ids, 13, 14)))
        assert engine.counters.evictions == 2
        assert engine.counters.reprefilled_tokens == len(one.opening) + len(first.token_ids) - 1
        await engine.close()
        return [first, again]

    kept = tokens_of([asyncio.run(play(LocalEngine(policy), one))])[0]
    assert [generation.token_ids for generation in asyncio.run(run())] == kept


@pytest.mark.slow
@pytest.mark.parametrize("max_slots", [3, 99])
def test_deterministic_rounds_give_the_same_bits_whatever_the_clock(max_slots: int):
    policy = tiny_policy()
    plans = mixed_plans(8)
    runs = []
    for seed in (1, 2, 3):
        engine = LocalEngine(policy, deterministic=True, max_slots=max_slots)
        runs.append((play_opened_first(engine, plans, seed), replace(engine.counters, busy_seconds=0.0)))
    assert runs[0] == runs[1] == runs[2]
    assert worst_gap(policy, runs[0][0]) < 1e-4


def play_opened_first(engine: LocalEngine, plans: list[Plan], seed: int) -> list:
    """Play all plans, every episode open before the first request, as the collector does."""

    async def run() -> list:
        gate = asyncio.Event()

        async def one(plan: Plan, pauses: Pauses) -> list:
            await gate.wait()
            try:
                return await play_opened(engine, plan, pauses)
            finally:
                engine.close_episode(plan.key)

        for plan in plans:
            engine.open_episode(plan.key)
        tasks = [asyncio.create_task(one(plan, Pauses(seed=seed + i, seconds=0.0005))) for i, plan in enumerate(plans)]
        gate.set()
        try:
            return await asyncio.gather(*tasks)
        finally:
            await engine.close()

    return asyncio.run(run())


def test_a_stop_sampled_first_is_a_reply_of_one_token():
    policy = tiny_policy()
    plan = Plan(key=KEY, opening=(9, 10), forced=())
    everything = frozenset(range(61))
    generation = answer(
        LocalEngine(policy), replace(make_request(plan, 0, plan.opening), stop_token_ids=everything | {STOP})
    )
    assert (len(generation.token_ids), generation.finish_reason) == (1, "stop")
