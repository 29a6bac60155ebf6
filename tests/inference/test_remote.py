"""An engine in a process of its own keeps the contract of the one in this process; here, everything but the process.

The scenarios of the local engine's own tests are played again on engines that are asked over a socket.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from inference import test_local, test_local_lanes, test_local_lifetime, test_local_streams
from inference.hosting import HostedEngine
from inference.playing import mixed_plans
from models.tiny import tiny_policy
from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ContextOverflowError, EngineStoppedError, PublicationError
from turnwright.inference.base import Generation, GenerationRequest
from turnwright.inference.local import LocalEngine
from turnwright.models.publication import Publication, Publisher

pytestmark = pytest.mark.slow

KEY = EpisodeKey(task_id="t", attempt=0)
OTHER = EpisodeKey(task_id="other", attempt=0)
OPENING = tuple(range(8, 48))
MODULES = (test_local, test_local_lanes, test_local_lifetime, test_local_streams)
SCENARIOS = (
    test_local.test_an_edited_history_is_fed_again_from_where_it_differs,
    test_local.test_a_stop_id_ends_the_reply_and_is_part_of_it,
    test_local.test_a_stop_rule_is_asked_after_each_id_with_all_ids_so_far,
    test_local.test_counters_tell_fed_shared_and_sampled_tokens,
    test_local.test_a_stop_sampled_first_is_a_reply_of_one_token,
    test_local_lanes.test_the_same_prompt_asked_at_once_is_fed_once,
    test_local_lanes.test_in_deterministic_rounds_calls_of_an_episode_take_lanes_in_order_of_their_turns,
    test_local_lifetime.test_an_episode_is_opened_once_and_before_it_asks,
    test_local_lifetime.test_closing_the_engine_ends_every_request_present_and_future,
    test_local_lifetime.test_closing_an_episode_ends_its_request_and_frees_its_slot,
    test_local_lifetime.test_nothing_is_sampled_while_paused_and_pauses_may_overlap,
    test_local_streams.test_after_a_failed_rule_its_episode_goes_on,
)
SLOW_SCENARIOS = (
    test_local.test_an_evicted_episode_is_fed_again_and_counted,
    test_local_lanes.test_a_call_cancelled_while_it_waits_for_a_slot_is_forgotten,
    test_local_lanes.test_a_deterministic_round_starts_when_every_open_episode_asks_at_least_one_thing,
    test_local_lanes.test_publishing_during_two_calls_gives_each_the_new_weights_from_there_on,
    test_local_lifetime.test_a_cancelled_request_leaves_its_episode_usable,
    test_local_lifetime.test_after_publish_tokens_come_from_the_new_weights_given_the_whole_prefix,
    test_local_streams.test_a_cancelled_request_is_heard_no_more,
    test_local_streams.test_a_long_reply_comes_in_many_pieces,
)


@pytest.mark.parametrize(
    "scenario",
    [*SCENARIOS, *(pytest.param(scenario, marks=pytest.mark.slow) for scenario in SLOW_SCENARIOS)],
    ids=lambda scenario: scenario.__name__.removeprefix("test_"),
)
def test_a_scenario_of_the_local_engine(scenario: Callable[[], None], monkeypatch: pytest.MonkeyPatch):
    for module in MODULES:
        monkeypatch.setattr(module, "LocalEngine", HostedEngine)
    scenario()


def run(coroutine) -> object:
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def ask(max_tokens: int = 30, *, key: EpisodeKey = KEY, turn: int = 0) -> GenerationRequest:
    return GenerationRequest(key=key, turn=turn, prompt_token_ids=OPENING, max_tokens=max_tokens, sampling_key=5)


@pytest.mark.parametrize("deterministic", [True, False])
def test_with_stop_rules_it_samples_what_the_local_engine_samples(deterministic: bool):
    policy = tiny_policy()

    async def scenario(engine: LocalEngine | HostedEngine) -> list[Generation]:
        keys = [EpisodeKey(task_id="t", attempt=i) for i in range(4)]
        for key in keys:
            engine.open_episode(key)

        async def one(number: int, key: EpisodeKey) -> list[Generation]:
            prompt, replies = OPENING, []
            for turn in range(3):
                request = replace(ask(40, key=key, turn=turn), prompt_token_ids=prompt, sampling_key=9 * number + turn)
                if number % 2:
                    request = replace(request, stop_when=lambda ids: sum(ids) % 11 == number)
                replies.append(await engine.generate(request))
                prompt = (*prompt, *replies[-1].token_ids, 9)
            engine.close_episode(key)
            return replies

        try:
            return await asyncio.gather(*(one(number, key) for number, key in enumerate(keys)))
        finally:
            await engine.close()

    expected = run(scenario(LocalEngine(policy, deterministic=deterministic)))
    found = run(scenario(HostedEngine(policy, deterministic=deterministic)))
    if deterministic:
        assert found == expected, "to the bit"
    for here, there in zip(expected, found, strict=True):
        assert [reply.token_ids for reply in here] == [reply.token_ids for reply in there]
        assert [reply.finish_reason for reply in here] == [reply.finish_reason for reply in there]
        lengths = {len(reply.logprobs) == len(reply.policy_versions) == len(reply.token_ids) for reply in there}
        assert lengths == {True}
    assert any(reply.finish_reason == "stop" for replies in expected for reply in replies)


def test_in_deterministic_rounds_it_gives_the_bits_of_the_local_engine():
    policy, plans = tiny_policy(), mixed_plans(8)
    expected = test_local.play_opened_first(LocalEngine(policy, deterministic=True, max_slots=3), plans, 1)
    assert test_local.play_opened_first(HostedEngine(policy, deterministic=True, max_slots=3), plans, 2) == expected


@pytest.mark.parametrize("deterministic", [True, False])
def test_each_id_is_heard_once_in_order_and_none_behind_the_end(deterministic: bool):
    async def scenario() -> None:
        engine = HostedEngine(tiny_policy(), deterministic=deterministic)
        engine.open_episode(KEY)
        pieces: list[tuple[int, ...]] = []
        free = await engine.generate(ask(60), pieces.append)
        assert tuple(token for piece in pieces for token in piece) == free.token_ids
        assert len(pieces) > 10
        pieces.clear()
        cut = await engine.generate(replace(ask(60), stop_when=lambda ids: len(ids) == 17), pieces.append)
        assert cut.token_ids == free.token_ids[:17]
        assert tuple(token for piece in pieces for token in piece) == cut.token_ids
        assert (cut.finish_reason, len(cut.logprobs), len(cut.policy_versions)) == ("stop", 17, 17)
        await engine.close()

    run(scenario())


class BrokenError(Exception):
    """What a caller's own code raises."""


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("error", [BrokenError("mine"), StopIteration()])
def test_a_stop_rule_or_listener_that_fails_ends_its_own_request_only(error: Exception, deterministic: bool):
    def fail(token_ids: Sequence[int]) -> bool:
        raise error

    async def scenario() -> None:
        engine = HostedEngine(tiny_policy(), deterministic=deterministic)
        engine.open_episode(KEY)
        company = asyncio.create_task(engine.generate(ask(60)))
        for request, listener in ((replace(ask(60, turn=1), stop_when=fail), None), (ask(60, turn=2), fail)):
            # A coroutine cannot raise StopIteration.
            with pytest.raises(BrokenError if isinstance(error, BrokenError) else RuntimeError):
                await engine.generate(request, listener)
        assert len((await company).token_ids) == 60
        await engine.close()

    run(scenario())


def test_a_listener_may_close_the_episode_it_listens_to():
    async def scenario() -> None:
        engine = HostedEngine(tiny_policy())
        engine.open_episode(KEY)
        both = (engine.generate(ask(200), lambda _: engine.close_episode(KEY)), engine.generate(ask(200, turn=1)))
        for result in await asyncio.gather(*both, return_exceptions=True):
            assert "t#0 was closed" in str(result)
        engine.open_episode(KEY)
        assert len((await engine.generate(ask(4))).token_ids) == 4
        await engine.close()

    run(scenario())


def test_an_episode_that_is_closed_and_opened_again_at_once_forgets_what_was_asked():
    async def scenario() -> None:
        engine = HostedEngine(tiny_policy(), deterministic=True)
        engine.open_episode(KEY)
        old = asyncio.create_task(engine.generate(ask(50)))
        await asyncio.sleep(0)
        engine.close_episode(KEY)
        engine.open_episode(KEY)
        assert len((await engine.generate(ask(4))).token_ids) == 4
        with pytest.raises(EngineStoppedError, match="t#0 was closed"):
            await old
        assert engine.counters.sampled_tokens == 4
        await engine.close()

    run(scenario())


def test_a_request_that_waits_for_a_verdict_can_be_cancelled():
    async def scenario() -> None:
        engine = HostedEngine(tiny_policy(), deterministic=True)
        engine.open_episode(KEY)

        def rule(token_ids: Sequence[int]) -> bool:
            task.cancel()
            return False

        task = asyncio.create_task(engine.generate(replace(ask(50), stop_when=rule)))
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert len((await engine.generate(ask(4))).token_ids) == 4
        await engine.close()

    run(scenario())


def test_refusals_of_the_worker_arrive_as_they_are():
    async def scenario() -> None:
        engine = HostedEngine(tiny_policy(), max_sequence_length=8, max_queue=2)
        assert engine.max_sequence_length == 8
        engine.open_episode(KEY)
        for prompt in ((9,) * 8, ()):
            with pytest.raises(ContextOverflowError, match=r"expected 1 to 7 \(episode t#0\)"):
                await engine.generate(replace(ask(), prompt_token_ids=prompt))
        short = replace(ask(4), prompt_token_ids=(9, 10))
        results = await asyncio.gather(*(engine.generate(short) for _ in range(3)), return_exceptions=True)
        refused = [str(result) for result in results if isinstance(result, EngineStoppedError)]
        assert refused == ["the queue is full (2 requests): raise inference.max_queue"]
        await engine.close()

    run(scenario())


def test_a_failure_of_the_model_reaches_every_caller_and_blocks_nobody():
    policy = tiny_policy()

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    policy.decoder.register_forward_pre_hook(fail)

    async def scenario() -> None:
        engine = HostedEngine(policy)
        engine.open_episode(KEY)
        for result in await asyncio.gather(*(engine.generate(ask(turn=i)) for i in (0, 1)), return_exceptions=True):
            assert isinstance(result, EngineStoppedError)
            assert "out of memory" in str(result)
        assert "out of memory" in engine.stop_reason
        for late in (engine.generate(ask()), engine.publish(1)):
            with pytest.raises(EngineStoppedError, match="out of memory"):
                await late
        async with engine.paused():
            pass
        await engine.close()

    run(scenario())


def test_a_worker_that_is_gone_ends_every_call():
    async def scenario() -> None:
        engine = HostedEngine(tiny_policy())
        busy: list[bool] = []
        engine.on_busy = busy.append
        engine.open_episode(KEY)
        begun = asyncio.Event()
        asking = asyncio.create_task(engine.generate(ask(200), lambda _: begun.set()))
        await begun.wait()
        engine.worker.end_there.shutdown(2)
        with pytest.raises(EngineStoppedError, match="the hosted worker ended: what it said is on standard error"):
            await asking
        for late in (engine.generate(ask()), engine.publish(1)):
            with pytest.raises(EngineStoppedError, match="the hosted worker ended"):
                await late
        async with engine.paused():
            pass
        assert busy == [True, False]
        engine.close_episode(KEY)
        await engine.close()

    run(scenario())


class UnluckyPublisher(Publisher):
    """The second version it writes is damaged on its way, the third is lost."""

    def write(self, version: int) -> Publication:
        publication = super().write(version)
        if version == 2:
            publication.file.write_bytes(publication.file.read_bytes()[:-1])
        if version == 3:
            publication.file.unlink()
        return publication


def test_a_version_that_does_not_arrive_is_named_and_leaves_the_old_weights_at_work(tmp_path: Path):
    policy = tiny_policy()

    async def scenario() -> None:
        engine = HostedEngine(policy)
        engine._publisher = UnluckyPublisher(policy, tmp_path)
        await engine.publish(1)
        engine.open_episode(KEY)
        before = await engine.generate(ask())
        test_local_lifetime.change_weights(policy)
        for version, wrong in ((2, "version 2 of the weights is damaged"), (3, "version 3 of the weights is missing")):
            with pytest.raises(PublicationError, match=wrong):
                await engine.publish(version)
            assert (engine.policy_version, engine.published and engine.published.version) == (1, 1)
            again = await engine.generate(ask())
            assert (again.token_ids, set(again.policy_versions)) == (before.token_ids, {1})
        await engine.publish(4)
        assert engine.published is not None
        assert engine.published.base is None, "nobody knew what the engine had"
        after = await engine.generate(ask())
        assert set(after.policy_versions) == {4}
        assert list(tmp_path.iterdir()) == []
        await engine.close()
        fresh = LocalEngine(policy)
        fresh.open_episode(KEY)
        assert (await fresh.generate(ask())).token_ids == after.token_ids
        await fresh.close()

    run(scenario())


def test_an_engine_that_was_never_asked_can_be_closed():
    async def scenario() -> None:
        engine = HostedEngine(tiny_policy())
        await engine.close()
        with pytest.raises(EngineStoppedError, match="the engine was closed"):
            await engine.publish(1)

    run(scenario())
