import asyncio

import pytest

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import ContextOverflowError, EngineStoppedError
from turnwright.inference.base import Engine, GenerationRequest
from turnwright.inference.scripted import ScriptedEngine
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
