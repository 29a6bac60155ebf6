"""Who listens to a reply hears each id once, in order, before the reply is there, and changes nothing by listening."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from inference.playing import Plan, make_request, mixed_plans, play_all, tokens_of
from models.tiny import tiny_policy
from turnwright.core.episode import EpisodeKey
from turnwright.inference.base import Generation, GenerationRequest, TokenListener
from turnwright.inference.local import LocalEngine
from turnwright.models.load import Policy

pytestmark = pytest.mark.slow

KEY = EpisodeKey(task_id="t", attempt=0)
OTHER = EpisodeKey(task_id="other", attempt=0)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One reply as its listener heard it."""

    pieces: list[tuple[int, ...]]
    """Everything, what comes too late included."""
    in_time: list[tuple[int, ...]]
    """What had come when the reply returned."""
    generation: Generation


class HeardEngine(LocalEngine):
    """Listens to every reply."""

    def __init__(self, policy: Policy, *, max_slots: int = 99, deterministic: bool = False) -> None:
        super().__init__(policy, max_slots=max_slots, deterministic=deterministic)
        self.heard: list[Heard] = []

    async def generate(self, request: GenerationRequest, on_tokens: TokenListener | None = None) -> Generation:
        pieces: list[tuple[int, ...]] = []
        generation = await super().generate(request, pieces.append)
        self.heard.append(Heard(pieces=pieces, in_time=list(pieces), generation=generation))
        return generation


@pytest.mark.parametrize("max_slots", [2, 99])
def test_each_id_is_heard_once_in_order_and_before_the_reply_returns(max_slots: int):
    engine = HeardEngine(tiny_policy(), max_slots=max_slots)
    play_all(engine, mixed_plans(6), seed=4)
    assert len(engine.heard) > 12
    for heard in engine.heard:
        assert heard.in_time == heard.pieces
        assert all(heard.pieces)
        assert tuple(token for piece in heard.pieces for token in piece) == heard.generation.token_ids


@pytest.mark.parametrize("max_slots", [3, 99])
def test_listening_changes_no_reply(max_slots: int):
    policy = tiny_policy()
    silent = play_all(LocalEngine(policy, max_slots=max_slots), mixed_plans(7), seed=4)
    heard = play_all(HeardEngine(policy, max_slots=max_slots), mixed_plans(7), seed=4)
    assert tokens_of(heard) == tokens_of(silent)


def test_in_deterministic_rounds_listening_changes_no_bit():
    policy = tiny_policy()
    silent = play_all(LocalEngine(policy, max_slots=5, deterministic=True), mixed_plans(7))
    assert play_all(HeardEngine(policy, max_slots=5, deterministic=True), mixed_plans(7)) == silent


def test_listening_to_one_episode_gives_the_same_bits():
    policy = tiny_policy()
    plan = Plan(key=KEY, opening=tuple(range(8, 40)), forced=((9, 9), (10,)), shared=20, max_tokens=40, top_p=0.9)
    assert play_all(HeardEngine(policy), [plan]) == play_all(LocalEngine(policy), [plan])


def test_a_long_reply_comes_in_many_pieces():
    request = GenerationRequest(key=KEY, turn=0, prompt_token_ids=(9, 10, 11), max_tokens=100, sampling_key=5)
    pieces: list[tuple[int, ...]] = []
    generation = ask(LocalEngine(tiny_policy()), request, pieces.append)
    assert len(generation.token_ids) == 100
    assert len(pieces) >= 25


def ask(engine: LocalEngine, request: GenerationRequest, on_tokens: TokenListener | None = None) -> Generation:
    """Ask once, with another long request in work, which must end as if nothing had happened."""

    async def run() -> Generation:
        engine.open_episode(request.key)
        engine.open_episode(OTHER)
        company = asyncio.create_task(engine.generate(replace(request, key=OTHER, stop_when=None)))
        try:
            return await engine.generate(request, on_tokens)
        finally:
            assert len((await company).token_ids) == request.max_tokens
            await engine.close()

    return asyncio.run(asyncio.wait_for(run(), 30))


class BrokenError(Exception):
    """What a caller's own code raises."""


@pytest.mark.parametrize("error", [BrokenError("mine"), StopIteration()])
def test_a_stop_rule_or_listener_that_fails_ends_its_own_request_only(error: Exception):
    request = GenerationRequest(key=KEY, turn=0, prompt_token_ids=(9, 10, 11), max_tokens=60, sampling_key=5)

    def fail(token_ids: Sequence[int]) -> bool:
        if len(token_ids) >= 3:
            raise error
        return False

    # A coroutine cannot raise StopIteration.
    expected = BrokenError if isinstance(error, BrokenError) else RuntimeError
    with pytest.raises(expected):
        ask(LocalEngine(tiny_policy()), replace(request, stop_when=fail))
    with pytest.raises(expected):
        ask(LocalEngine(tiny_policy()), request, fail)


def test_after_a_failed_rule_its_episode_goes_on():
    policy = tiny_policy()
    plan = Plan(key=KEY, opening=tuple(range(8, 40)), forced=())

    def fail(token_ids: Sequence[int]) -> bool:
        raise BrokenError(f"after {len(token_ids)}")

    async def run() -> Generation:
        engine = LocalEngine(policy)
        engine.open_episode(KEY)
        with pytest.raises(BrokenError, match="after 1"):
            await engine.generate(replace(make_request(plan, 0, plan.opening), stop_when=fail))
        again = await engine.generate(make_request(plan, 0, plan.opening))
        await engine.close()
        return again

    assert asyncio.run(run()).token_ids == tokens_of(play_all(LocalEngine(policy), [plan]))[0][0]


def test_a_cancelled_request_is_heard_no_more():
    request = GenerationRequest(key=KEY, turn=0, prompt_token_ids=(9, 10, 11), max_tokens=200, sampling_key=5)

    async def run() -> None:
        engine = LocalEngine(tiny_policy())
        engine.open_episode(KEY)
        pieces: list[tuple[int, ...]] = []
        task = asyncio.create_task(engine.generate(request, pieces.append))
        while not pieces:
            await asyncio.sleep(0)
        task.cancel()
        heard = len(pieces)
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.05)
        assert len(pieces) == heard
        await engine.close()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_listener_may_close_the_episode_it_listens_to():
    async def run() -> None:
        engine = LocalEngine(tiny_policy())
        engine.open_episode(KEY)
        request = GenerationRequest(key=KEY, turn=0, prompt_token_ids=(9, 10, 11), max_tokens=200, sampling_key=5)
        both = [
            asyncio.create_task(engine.generate(request, lambda _: engine.close_episode(KEY))),
            asyncio.create_task(engine.generate(request)),
        ]
        for result in await asyncio.gather(*both, return_exceptions=True):
            assert "t#0 was closed" in str(result)
        assert sorted(engine._slots.free) == list(range(engine.num_slots))
        await engine.close()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_request_cancelled_as_its_last_id_arrives_leaves_the_engine_whole():
    policy = tiny_policy()
    room = policy.max_sequence_length - 3
    request = GenerationRequest(key=KEY, turn=0, prompt_token_ids=(9, 10, 11), max_tokens=room, sampling_key=5)

    async def run() -> None:
        engine = LocalEngine(policy)
        engine.open_episode(KEY)
        heard: list[int] = []

        def listen(token_ids: tuple[int, ...]) -> None:
            heard.extend(token_ids)
            if len(heard) == room:
                task.cancel()

        task = asyncio.create_task(engine.generate(request, listen))
        company = asyncio.create_task(engine.generate(request))
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert (await company).token_ids == tuple(heard)
        assert (await engine.generate(request)).token_ids == tuple(heard)
        assert engine.counters.sampled_tokens == 3 * room, "nothing was sampled for nobody"
        await engine.close()

    asyncio.run(asyncio.wait_for(run(), 30))
