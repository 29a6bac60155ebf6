import asyncio
from dataclasses import replace

import pytest

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ContextOverflowError, EngineStoppedError
from turnwright.inference.base import Engine, Generation, GenerationRequest
from turnwright.inference.scripted import MOST_REQUESTS, ScriptedEngine
from turnwright.policies.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer(["look it up"], vocab_size=280)
STOP = frozenset({2})


def request(*, turn: int = 0, max_tokens: int = 99, prompt: int = 3, sampling_key: int = 7) -> GenerationRequest:
    return GenerationRequest(
        key=EpisodeKey(task_id="t", attempt=0),
        turn=turn,
        prompt_token_ids=(5,) * prompt,
        max_tokens=max_tokens,
        stop_token_ids=STOP,
        sampling_key=sampling_key,
    )


def test_it_is_an_engine_that_answers_turn_by_turn():
    engine: Engine = ScriptedEngine(TOKENIZER, ["look", "done"], policy_version=4)
    for turn, text in enumerate(["look", "done"]):
        generation = asyncio.run(engine.generate(request(turn=turn)))
        assert TOKENIZER.decode(generation.token_ids) == f"{text}<|im_end|>"
        assert set(generation.policy_versions) == {4}
        assert generation.finish_reason == "stop"


def test_logprobs_follow_the_sampling_key():
    engine = ScriptedEngine(TOKENIZER, lambda request: f"turn {request.turn}")
    one, same, other = (asyncio.run(engine.generate(request(sampling_key=key))) for key in (7, 7, 8))
    assert one.logprobs == same.logprobs != other.logprobs
    assert all(logprob <= 0 for logprob in one.logprobs)


def test_a_reply_longer_than_allowed_is_cut():
    engine = ScriptedEngine(TOKENIZER, ["look it up"])
    generation = asyncio.run(engine.generate(request(max_tokens=2)))
    assert (len(generation.token_ids), generation.finish_reason) == (2, "length")


def test_the_end_of_the_script_and_of_the_sequence_are_errors():
    engine = ScriptedEngine(TOKENIZER, ["one"], max_sequence_length=3)
    with pytest.raises(ContextOverflowError):
        asyncio.run(engine.generate(request(prompt=3)))
    with pytest.raises(EngineStoppedError, match="the script has 1 replies: turn 1"):
        asyncio.run(engine.generate(request(turn=1, prompt=1)))


@pytest.mark.parametrize("delay_seconds", [0.0, 0.001])
def test_a_listener_hears_one_id_at_a_time_and_others_go_on_between(delay_seconds: float):
    engine = ScriptedEngine(TOKENIZER, ["look it up", "done"], delay_seconds=delay_seconds)
    heard: list[tuple[int, int]] = []

    async def run() -> list[Generation]:
        return await asyncio.gather(
            *(
                engine.generate(request(turn=turn), lambda ids, turn=turn: heard.extend((turn, token) for token in ids))
                for turn in range(2)
            )
        )

    for turn, generation in enumerate(asyncio.run(run())):
        assert tuple(token for of, token in heard if of == turn) == generation.token_ids
        assert generation == asyncio.run(engine.generate(request(turn=turn)))
    shorter = min(sum(of == turn for of, _ in heard) for turn in range(2))
    assert [of for of, _ in heard[: 2 * shorter]] == [0, 1] * shorter


def test_nobody_waits_when_nobody_listens():
    async def run() -> bool:
        reply = ScriptedEngine(TOKENIZER, ["look"]).generate(request())
        other = asyncio.create_task(asyncio.sleep(0))
        await reply
        return other.done()

    assert not asyncio.run(run())


def test_a_delay_is_per_id():
    async def run() -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        generation = await ScriptedEngine(TOKENIZER, ["look it up"], delay_seconds=0.01).generate(request())
        return loop.time() - started, len(generation.token_ids)

    seconds, count = asyncio.run(run())
    assert seconds >= 0.009 * count


def test_a_stop_rule_or_a_stop_id_in_the_script_ends_the_reply():
    engine = ScriptedEngine(TOKENIZER, lambda _: "look<|im_end|>it up")
    whole = asyncio.run(engine.generate(request()))
    assert TOKENIZER.decode(whole.token_ids) == "look<|im_end|>"
    cut = asyncio.run(engine.generate(replace(request(), stop_when=lambda ids: len(ids) == 2)))
    assert (cut.token_ids, cut.finish_reason) == (whole.token_ids[:2], "stop")
    assert cut.logprobs == whole.logprobs[:2]
    with pytest.raises(ZeroDivisionError):
        asyncio.run(engine.generate(replace(request(), stop_when=lambda ids: 1 // 0 > 0)))


def test_ids_carry_the_version_they_were_sampled_under():
    engine = ScriptedEngine(TOKENIZER, ["look it up"])

    def publish(token_ids: tuple[int, ...]) -> None:
        engine.policy_version += len(token_ids)

    generation = asyncio.run(engine.generate(request(), publish))
    assert generation.policy_versions == tuple(range(len(generation.token_ids)))


def test_closing_an_episode_ends_its_requests():
    async def run() -> list[object]:
        engine = ScriptedEngine(TOKENIZER, ["look"] * 2, delay_seconds=0.01)
        engine.open_episode(request().key)
        tasks = [asyncio.create_task(engine.generate(request(turn=turn))) for turn in range(2)]
        await asyncio.sleep(0)
        engine.close_episode(request().key)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [str(result) for result in asyncio.run(run())] == ["episode t#0 was closed"] * 2


def test_only_the_latest_requests_are_kept():
    engine = ScriptedEngine(TOKENIZER, lambda _: "")

    async def run() -> None:
        for turn in range(MOST_REQUESTS + 3):
            await engine.generate(request(turn=turn))

    asyncio.run(run())
    assert [one.turn for one in engine.requests] == list(range(3, MOST_REQUESTS + 3))
