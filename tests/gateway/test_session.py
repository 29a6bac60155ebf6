import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.at_work import (
    CORPUS,
    JOB,
    OPENING,
    RETRY,
    TASK,
    TOOLS,
    HeldBackEngine,
    ListLog,
    call,
    make_gateway,
    open_session,
    user,
    with_session,
)
from turnwright.core.errors import EngineStoppedError
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Outcome, Rewarded, Truncated
from turnwright.core.protocols import ReplyDelta
from turnwright.gateway.calls import Answer, AskedSampling, Call, CallMark
from turnwright.gateway.exchange import LiveExchange
from turnwright.gateway.gateway import Gateway
from turnwright.gateway.limits import GatewayLimits
from turnwright.gateway.refusals import Refusal
from turnwright.gateway.session import Session
from turnwright.inference.base import GenerationRequest
from turnwright.inference.scripted import ScriptedEngine
from turnwright.policies.tokenizer import build_tokenizer
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.tokens import count_tokens, cut_rows
from turnwright.rundir.gateway_records import RewardGiven, Sealed
from turnwright.rundir.recovery import rebuild

CALL = '<tool_call>{"name": "get_order", "arguments": {"order": "O3"}}</tool_call>'
SEALED = "Cannot transition trajectory"

Play = Callable[[Session, ListLog], Coroutine[Any, Any, None]]


def number(request: GenerationRequest) -> str:
    return f"reply {request.turn}"


async def refusal(work: Coroutine[Any, Any, Any]) -> Refusal:
    with pytest.raises(Refusal) as raised:
        await work
    return raised.value


def held_back(
    renderer: Renderer,
    play: Callable[[Session, HeldBackEngine, ListLog], Coroutine[Any, Any, None]],
    *,
    limits: GatewayLimits | None = None,
) -> Session:
    """Like with_session, on an engine that finishes replies only when it is let."""

    async def run() -> Session:
        log, engine = ListLog(), HeldBackEngine(renderer, number)
        session = await open_session(make_gateway(renderer, engine, log, limits=limits))
        async with asyncio.timeout(20):
            await play(session, engine, log)
        return session

    return asyncio.run(run())


async def joined(exchange: LiveExchange) -> dict[str, str]:
    texts = {"content": "", "reasoning": ""}
    async for delta in exchange.deltas():
        texts[delta.kind] += delta.text
    return texts


# -- a whole episode


def test_an_episode_is_recorded_graded_and_logged(renderer: Renderer):
    async def play(session: Session, log: ListLog) -> None:
        first = await call(session)
        result = Message(
            role="tool", content='{"item": "K1"}', tool_call_id=first.message.tool_calls[0].id, name="get_order"
        )
        await call(session, *OPENING, first.message, result)
        assert session.state == "open"
        await session.complete("ready", "c1")
        assert (session.state, session.outcome()) == ("ready", None)
        await session.reward([0.5], "r1", {"fields": 0.25})
        assert session.ended.is_set()
        recovered = rebuild(log.records)
        attempt = recovered.attempt()
        assert attempt is not None
        assert attempt.trajectory == session.trajectory()
        assert attempt.episode == session.episode()

    session = with_session(renderer, [CALL, "late"], play)
    assert session.state == "rewarded"
    assert session.outcome() == Rewarded(value=0.5, components={"fields": 0.25})
    episode = session.episode()
    assert (episode.key, episode.task, episode.opening, episode.tools) == (session.key, TASK, OPENING, TOOLS)
    assert [turn.reply.content for turn in episode.turns] == ["", "late"]
    assert [message.content for message in episode.turns[0].responses] == ['{"item": "K1"}']
    (row,) = cut_rows(session.trajectory())
    assert row.num_trained_tokens == session.num_sampled_tokens


def test_a_turn_is_logged_before_its_answer_is_given(renderer: Renderer):
    async def play(session: Session, log: ListLog) -> None:
        log.hold = asyncio.Event()
        exchange = await session.ask(Call(messages=OPENING))
        answering = asyncio.create_task(exchange.answer())
        assert await joined(exchange) == {"content": "reply 0", "reasoning": ""}
        await asyncio.sleep(0.02)
        assert not answering.done()
        log.hold.set()
        answer = await answering
        assert log.kinds == ["opened", "turn"]
        assert log.turns[0].sampled_token_ids == answer.token_ids

    with_session(renderer, number, play)


def test_the_answer_says_what_was_sampled(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        exchange = await session.ask(Call(messages=OPENING, tools=TOOLS))
        answer = await exchange.answer(token_texts=True)
        (turn,) = session.trajectory().turns
        assert (answer.turn, exchange.turn, answer.created) == (0, 0, exchange.created)
        assert (answer.token_ids, answer.logprobs) == (turn.sampled_token_ids, turn.logprobs)
        assert answer.num_prompt_tokens == len(turn.prompt_token_ids)
        assert "".join(answer.token_texts) == "reply 0<|im_end|>"
        assert (answer.used.temperature, answer.used.top_p, answer.used.max_tokens) == (0.7, 1.0, 64)

    with_session(renderer, number, play)


@pytest.mark.parametrize("stream", [True, False])
def test_deltas_are_the_message_for_every_listener_at_any_time(renderer: Renderer, stream: bool):
    async def play(session: Session, engine: HeldBackEngine, _: ListLog) -> None:
        exchange = await session.ask(Call(messages=OPENING, stream=stream))
        early = asyncio.create_task(joined(exchange))
        await asyncio.sleep(0.01)
        middle = asyncio.create_task(joined(exchange))
        await asyncio.sleep(0.01)
        engine.let.set()
        answer = await exchange.answer()
        late = await joined(exchange)
        expected = {"content": answer.message.content, "reasoning": answer.message.reasoning}
        assert [await early, await middle, late] == [expected] * 3

    held_back(renderer, play)


def test_deltas_come_while_the_engine_still_works(renderer: Renderer):
    async def play(session: Session, engine: HeldBackEngine, _: ListLog) -> None:
        exchange = await session.ask(Call(messages=OPENING))
        first = await anext(aiter(exchange.deltas()))
        assert isinstance(first, ReplyDelta)
        assert "reply 0".startswith(first.text)
        assert not engine.let.is_set()
        engine.let.set()
        await exchange.answer()

    held_back(renderer, play)


# -- sampling


def test_what_a_request_asks_for_is_weighed_against_the_run(renderer: Renderer):
    asked = AskedSampling(temperature=0.2, top_p=0.5, max_tokens=3, seed=7, stop=("zzz",))

    async def play(session: Session, log: ListLog) -> None:
        answer = await call(session, asked=asked)
        assert (answer.used.temperature, answer.used.top_p) == ((0.7, 1.0) if rule == "run" else (0.2, 0.5))
        assert (answer.used.max_tokens, answer.used.seed, answer.used.stop) == (3, 7, ("zzz",))
        assert (answer.num_sampled_tokens, answer.finish_reason) == (3, "length")
        (record,) = log.turns
        assert (record.temperature, record.max_tokens, record.seed) == (answer.used.temperature, 3, 7)

    for rule in ("run", "request"):
        with_session(renderer, number, play, sampling_rule=rule)


def test_a_greedy_request_is_refused_where_it_would_be_trained(renderer: Renderer):
    greedy = AskedSampling(temperature=0.0)

    async def refuse(session: Session, _: ListLog) -> None:
        refused = await refusal(call(session, asked=greedy))
        assert (refused.code, refused.field, refused.reason) == ("validation", "temperature", "greedy")

    async def accept(session: Session, _: ListLog) -> None:
        assert (await call(session, asked=greedy)).used.temperature == expected

    with_session(renderer, number, refuse, sampling_rule="request")
    expected = 0.7
    with_session(renderer, number, accept, sampling_rule="run")
    expected = 0.0
    with_session(renderer, number, accept, sampling_rule="request", task=replace(TASK, split="validation"))


def test_a_reply_is_cut_before_a_stop_text(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        exchange = await session.ask(Call(messages=OPENING, asked=AskedSampling(stop=("ly",))))
        assert (await joined(exchange))["content"] == "rep"
        answer = await exchange.answer()
        assert (answer.message.content, answer.finish_reason) == ("rep", "stop")

    with_session(renderer, number, play)


# -- retries


def test_a_retry_in_flight_and_one_after_the_end_join_the_call(renderer: Renderer):
    async def play(session: Session, engine: HeldBackEngine, log: ListLog) -> None:
        first = await session.ask(Call(messages=OPENING, tools=TOOLS))
        again = await session.ask(Call(messages=OPENING, tools=TOOLS, mark=RETRY))
        engine.let.set()
        answers = [await first.answer(), await again.answer(), await call(session, mark=RETRY)]
        assert answers[0] == answers[1] == answers[2]
        assert len(log.turns) == len(engine.requests) == 1
        assert (session.num_calls, session.num_retries) == (1, 2)

    held_back(renderer, play)


def test_a_retry_in_the_clients_own_spelling_joins(renderer: Renderer):
    async def play(session: Session, log: ListLog) -> None:
        first = await call(session, *OPENING, deliver=False)
        spelled = (OPENING[0], replace(OPENING[1], content=" order: O3\n"))
        assert await call(session, *spelled, mark=RETRY) == first
        assert not session.abandoned

    with_session(renderer, number, play)


@pytest.mark.parametrize(
    ("first", "second", "joins"),
    [
        (CallMark(), CallMark(), False),
        (CallMark(), RETRY, True),
        (CallMark(key="k"), CallMark(key="k", is_retry=True), True),
        (CallMark(key="k"), CallMark(key="k"), False),
        (CallMark(key="k"), CallMark(key="other", is_retry=True), False),
        (CallMark(key="k", idempotency=True), CallMark(key="k", idempotency=True), True),
        (CallMark(key="k", idempotency=True), CallMark(key="other", idempotency=True), False),
    ],
)
def test_a_call_is_a_retry_only_if_it_says_so(renderer: Renderer, first: CallMark, second: CallMark, joins: bool):
    async def play(session: Session, log: ListLog) -> None:
        await call(session, mark=first)
        await call(session, mark=second)
        assert [(turn.turn_kind, turn.cause) for turn in log.turns[1:]] == ([] if joins else [("fork", "branched")])

    with_session(renderer, number, play)


@pytest.mark.parametrize(
    "changed",
    [
        {"messages": (OPENING[0], user("order: O4"))},
        {"messages": OPENING[:1]},
        {"tools": ()},
        {"asked": AskedSampling(seed=1)},
    ],
)
def test_a_retry_of_something_else_is_a_call_of_its_own(renderer: Renderer, changed: dict[str, Any]):
    async def play(session: Session, log: ListLog) -> None:
        mark = CallMark(key="k", idempotency=True)
        original = Call(messages=OPENING, tools=TOOLS, mark=mark)
        for asked in (original, replace(original, **changed)):
            await (await session.ask(asked)).answer()
        assert len(log.turns) == 2

    with_session(renderer, number, play)


def test_parallel_calls_of_one_content_are_retried_one_by_one(renderer: Renderer):
    async def play(session: Session, engine: HeldBackEngine, log: ListLog) -> None:
        first, second = [await session.ask(Call(messages=OPENING)) for _ in range(2)]
        again = [await session.ask(Call(messages=OPENING, mark=RETRY)) for _ in range(2)]
        assert set(map(id, again)) == {id(first), id(second)}
        engine.let.set()
        for exchange in again:
            await exchange.answer()
            exchange.delivered()
        assert not session.abandoned

    held_back(renderer, play)


# -- delivery


def test_a_reply_that_nobody_got_is_abandoned(renderer: Renderer):
    async def play(session: Session, log: ListLog) -> None:
        first = await call(session)
        conversation = [*OPENING, first.message, user("and?")]
        exchange = await session.ask(Call(messages=tuple(conversation), tools=TOOLS))
        listening = asyncio.create_task(exchange.answer())
        await asyncio.sleep(0)
        listening.cancel()
        await call(session, *conversation)
        await session.complete("ready", None)
        await session.reward([1.0, 2.0], None)
        sealed = next(record for record in log.records if isinstance(record, Sealed))
        assert sealed.abandoned == (1,)

    session = with_session(renderer, number, play)
    trajectory = session.trajectory()
    assert [turn.abandoned for turn in trajectory.turns] == [False, True, False]
    # One reward per turn that reached the agent.
    assert session.outcome() == Rewarded(value=3.0, turn_values=(1.0, 2.0))
    assert [turn.reply.content for turn in session.episode().turns] == ["reply 0", "reply 2"]
    counts = count_tokens([trajectory], cut_rows(trajectory))
    assert counts.delivered_fraction == 1.0
    assert counts.abandoned == len(trajectory.turns[1].sampled_token_ids)


def test_a_later_call_proves_that_a_reply_arrived(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        first = await call(session, deliver=False)
        assert session.abandoned == {0}
        await call(session, *OPENING, first.message, user("and?"))
        assert session.abandoned == frozenset()

    with_session(renderer, number, play)


def test_a_fork_proves_it_too(renderer: Renderer):
    async def play(session: Session, log: ListLog) -> None:
        first = await call(session, deliver=False)
        bare = replace(first.message, reasoning="")
        await call(session, *OPENING, bare, user("and?"))
        assert log.turns[1].cause == "thinking_dropped"
        assert session.abandoned == frozenset()
        assert [turn.responses for turn in session.episode().turns] == [(user("and?"),), ()]

    with_session(renderer, ["<think>hm</think>early", "late"], play)


def test_the_seal_waits_for_a_delivery_that_is_about_to_be_confirmed(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        exchange = await session.ask(Call(messages=OPENING))
        await exchange.answer()
        sealing = asyncio.create_task(session.complete("ready", None))
        await asyncio.sleep(0.02)
        exchange.delivered()
        await sealing
        assert session.abandoned == frozenset()

    with_session(renderer, number, play)


def test_a_delivery_confirmed_after_the_seal_changes_nothing(renderer: Renderer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("turnwright.gateway.session.DELIVERY_GRACE_SECONDS", 0.01)

    async def play(session: Session, log: ListLog) -> None:
        exchange = await session.ask(Call(messages=OPENING))
        await exchange.answer()
        await session.complete("ready", None)
        exchange.delivered()
        assert session.abandoned == {0}
        attempt = rebuild(log.records).attempt()
        assert attempt is not None
        assert (attempt.episode, attempt.trajectory) == (session.episode(), session.trajectory())

    outcome = with_session(renderer, number, play).outcome()
    assert isinstance(outcome, Failed)
    assert outcome.cause == "no_sample"


# -- seal, reward, abort


def test_a_call_in_work_ends_and_is_answered_before_the_seal_is_written(renderer: Renderer):
    async def play(session: Session, engine: HeldBackEngine, log: ListLog) -> None:
        exchange = await session.ask(Call(messages=OPENING))
        sealing = asyncio.create_task(session.complete("ready", "c"))
        await asyncio.sleep(0.01)
        assert SEALED in str(await refusal(session.ask(Call(messages=OPENING))))
        assert SEALED in str(await refusal(session.ask(Call(messages=OPENING, mark=RETRY))))
        rewarding = asyncio.create_task(session.reward([1.0], None))
        engine.let.set()
        answer = await exchange.answer()
        exchange.delivered()
        await sealing
        await rewarding
        assert answer.message.content == "reply 0"
        assert log.kinds == ["opened", "turn", "sealed", "reward", "ended"]

    assert held_back(renderer, play).outcome() == Rewarded(value=1.0)


def test_repeated_reports_change_nothing(renderer: Renderer):
    async def play(session: Session, log: ListLog) -> None:
        await call(session)
        await asyncio.gather(*(session.complete("ready", "c") for _ in range(3)))
        await asyncio.gather(*(session.reward([1.0], "r") for _ in range(3)))
        await session.complete("failed", "c")
        await session.reward([0.0], "r")
        assert log.kinds == ["opened", "turn", "sealed", "reward", "ended"]
        for late in (
            session.complete("ready", None),
            session.complete("ready", "other"),
            session.reward([1.0], None),
            session.reward([0.5], "other"),
            session.ask(Call(messages=OPENING)),
        ):
            refused = await refusal(late)
            assert (refused.code, refused.status) == ("conflict", 409)
            assert str(refused).startswith(SEALED)

    assert with_session(renderer, number, play).outcome() == Rewarded(value=1.0)


def test_a_reward_may_come_before_the_seal(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        await call(session)
        await session.reward([0.25], None)
        assert (session.state, session.outcome()) == ("open", None)
        await session.complete("ready", None)

    assert with_session(renderer, number, play).outcome() == Rewarded(value=0.25)


def test_one_reward_per_turn_before_more_turns_is_no_reward(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        await call(session)
        await call(session)
        await session.reward([0.25, 0.5], None)
        await call(session)
        await session.complete("ready", None)

    outcome = with_session(renderer, number, play).outcome()
    assert isinstance(outcome, Failed)
    assert outcome.cause == "bad_reward"


@pytest.mark.parametrize("values", [[], [1.0] * 3, [math.nan], [math.inf], [1e308], [-1e7], [1.0, math.nan]])
def test_what_is_no_reward_is_refused_and_can_be_mended(renderer: Renderer, values: Sequence[float]):
    async def play(session: Session, log: ListLog) -> None:
        await call(session)
        await call(session)
        await session.complete("ready", None)
        refused = await refusal(session.reward(values, "r"))
        assert (refused.code, (refused.field or "").startswith("Rewards")) == ("validation", True)
        with pytest.raises(Refusal, match=r"Components\.part"):
            await session.reward([1.0], "r", {"part": math.nan})
        await session.reward([1.0, 2.0], "r")
        assert sum(isinstance(record, RewardGiven) for record in log.records) == 1

    assert with_session(renderer, number, play).outcome() == Rewarded(value=3.0, turn_values=(1.0, 2.0))


def test_a_reward_after_failure_is_recorded_and_never_counts(renderer: Renderer):
    async def play(session: Session, log: ListLog) -> None:
        await call(session)
        await session.complete("failed", None, "tool broke")
        assert session.ended.is_set()
        await session.reward([0.0], None)
        assert log.kinds[-2:] == ["ended", "reward"]
        assert rebuild(log.records).outcome == session.outcome()

    session = with_session(renderer, number, play)
    assert (session.state, session.outcome()) == ("failed", Failed(cause="agent_error", detail="tool broke"))


def test_an_attempt_without_a_reply_is_no_attempt(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        await session.complete("ready", None)
        await session.reward([1.0], None)

    outcome = with_session(renderer, number, play).outcome()
    assert isinstance(outcome, Failed)
    assert outcome.cause == "no_sample"


@pytest.mark.parametrize(("sealed", "cause"), [(False, "timeout"), (True, "no_reward")])
def test_the_run_may_end_it(renderer: Renderer, sealed: bool, cause: str):
    async def play(session: Session, log: ListLog) -> None:
        await call(session)
        if sealed:
            await session.complete("ready", None)
        await session.abort(cause, "too late")
        await session.abort("interrupted", "again")
        assert log.kinds == ["opened", "turn", "sealed", "ended"]
        for late in (
            session.ask(Call(messages=OPENING)),
            session.complete("ready", None),
            session.reward([1.0], None),
        ):
            assert str(await refusal(late)).startswith(SEALED)

    assert with_session(renderer, number, play).outcome() == Failed(cause=cause, detail="too late")


def test_an_abort_cancels_calls_in_work_even_while_a_seal_waits_for_them(renderer: Renderer):
    async def play(session: Session, engine: HeldBackEngine, log: ListLog) -> None:
        exchange = await session.ask(Call(messages=OPENING))
        sealing = asyncio.create_task(session.complete("ready", None))
        await asyncio.sleep(0.01)
        await session.abort("timeout", "too late")
        await sealing
        assert str(await refusal(exchange.answer())).startswith(SEALED)
        assert str(await refusal(joined(exchange))).startswith(SEALED)
        assert (engine.num_cancelled, log.kinds) == (1, ["opened", "sealed", "ended"])

    assert held_back(renderer, play).outcome() == Failed(cause="timeout", detail="too late")


def test_an_abort_after_the_end_changes_nothing(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        await call(session)
        await session.complete("ready", None)
        await session.reward([1.0], None)
        await session.abort("interrupted", "the run stopped")

    assert with_session(renderer, number, play).outcome() == Rewarded(value=1.0)


# -- limits


async def finish(session: Session) -> Outcome | None:
    await session.complete("ready", None)
    await session.reward([1.0], None)
    return session.outcome()


def test_a_context_overflow_is_refused_and_truncates(renderer: Renderer):
    async def play(session: Session, log: ListLog) -> None:
        first = await call(session)
        refused = await refusal(call(session, *OPENING, first.message, user("word " * 200)))
        assert (refused.code, refused.reason) == ("validation", "context_length_exceeded")
        assert "max_sequence_length" in str(refused)
        assert session.truncation == "sequence"
        assert await finish(session) == Truncated(value=1.0, cause="sequence")
        assert len(log.turns) == 1

    with_session(renderer, number, play, max_sequence_length=300)


def test_an_agent_that_shortens_its_context_was_not_truncated(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        first = await call(session)
        await refusal(call(session, *OPENING, first.message, user("word " * 200)))
        await call(session, *OPENING, first.message, user("word"))
        assert await finish(session) == Rewarded(value=1.0)

    with_session(renderer, number, play, max_sequence_length=300)


def test_the_turn_limit_truncates_only_who_wants_more(renderer: Renderer):
    async def within(session: Session, _: ListLog) -> None:
        await call(session)
        await call(session)
        assert await finish(session) == Rewarded(value=1.0)

    async def beyond(session: Session, _: ListLog) -> None:
        await call(session)
        await call(session)
        refused = await refusal(call(session))
        assert (refused.code, refused.reason) == ("quota", "max_turns")
        await call(session, mark=RETRY)
        assert await finish(session) == Truncated(value=1.0, cause="max_turns")

    for play in (within, beyond):
        with_session(renderer, number, play, limits=GatewayLimits(max_turns=2))


def test_the_token_limit_shortens_the_last_reply_and_then_refuses(renderer: Renderer):
    length = len(renderer.encode("reply 0<|im_end|>"))

    async def play(session: Session, _: ListLog) -> None:
        await call(session)
        answer = await call(session)
        assert (answer.num_sampled_tokens, answer.used.max_tokens) == (2, 2)
        refused = await refusal(call(session))
        assert (refused.code, refused.reason) == ("quota", "max_sampled_tokens")
        assert await finish(session) == Truncated(value=1.0, cause="token_cap")

    with_session(renderer, number, play, limits=GatewayLimits(max_tokens=length + 2))


@pytest.mark.parametrize(
    ("asked", "limit", "cause"),
    [(None, 4096, "token_cap"), (2, 4096, None), (9, 4096, "token_cap"), (None, 3, "sequence")],
)
def test_a_cut_last_reply_truncates_unless_the_agent_asked_for_it(
    renderer: Renderer, asked: int | None, limit: int, cause: str | None
):
    async def play(session: Session, _: ListLog) -> None:
        answer = await call(session, asked=AskedSampling(max_tokens=asked))
        assert answer.finish_reason == "length"
        assert session.truncation == cause

    sequence = limit if limit > 100 else len(renderer.prompt_ids(OPENING, TOOLS)) + limit
    with_session(renderer, ["Look the order up: O3"], play, max_tokens=4, max_sequence_length=sequence)


def test_a_cut_reply_in_the_middle_is_no_truncation(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        first = await call(session)
        await call(session, *OPENING, first.message, user("go on"))
        assert session.truncation is None

    with_session(renderer, ["Look the order up: O3", "O3"], play, max_tokens=5)


def test_too_many_calls_at_once_are_told_to_wait(renderer: Renderer):
    async def play(session: Session, engine: HeldBackEngine, _: ListLog) -> None:
        first = await session.ask(Call(messages=OPENING))
        refused = await refusal(session.ask(Call(messages=OPENING)))
        assert (refused.code, refused.reason, refused.retry_after) == ("throttled", "concurrency", 1.0)
        engine.let.set()
        await first.answer()
        await asyncio.sleep(0)
        await call(session)

    held_back(renderer, play, limits=GatewayLimits(max_concurrent_calls=1))


def test_too_many_calls_per_second_are_told_to_wait(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        await call(session)
        await call(session)
        refused = await refusal(call(session))
        assert (refused.code, refused.reason) == ("throttled", "rate")
        assert 0 < (refused.retry_after or 0) <= 0.5
        await asyncio.sleep(refused.retry_after or 0)
        await call(session)

    with_session(renderer, number, play, limits=GatewayLimits(calls_per_second=2.0))


# -- what breaks


def test_a_conversation_that_the_template_refuses_is_the_callers_error():
    tokenizer = build_tokenizer(CORPUS, vocab_size=400)
    strict = (
        "{% if messages|length > 1 and messages[1].role == 'system' %}{{ raise_exception('two systems') }}{% endif %}"
    )
    tokenizer.chat_template = strict + str(tokenizer.chat_template)

    async def play(session: Session, _: ListLog) -> None:
        refused = await refusal(call(session, *[Message(role="system", content="a")] * 2))
        assert (refused.code, refused.reason, refused.field) == ("validation", "template", "messages")
        assert "two systems" in str(refused)
        await call(session)

    with_session(Renderer(tokenizer), number, play)


def test_a_call_lost_to_the_engine_fails_the_attempt(renderer: Renderer):
    async def play(session: Session, log: ListLog) -> None:
        refused = await refusal(call(session))
        assert (refused.code, refused.reason) == ("internal", "engine_error")
        await call(session, *OPENING, user("something else"))
        assert await finish(session) == Failed(cause="engine_error", detail="the engine is closed")

    with_session(renderer, failing_once(), play)


def test_a_lost_call_that_was_made_again_counts_no_more(renderer: Renderer):
    async def play(session: Session, log: ListLog) -> None:
        await refusal(call(session))
        answer = await call(session, mark=RETRY)
        assert answer.turn == 0
        assert await finish(session) == Rewarded(value=1.0)

    with_session(renderer, failing_once(), play)


def failing_once() -> Callable[[GenerationRequest], str]:
    failures = [EngineStoppedError("the engine is closed")]

    def script(request: GenerationRequest) -> str:
        if failures:
            raise failures.pop()
        return "early"

    return script


def test_our_own_bugs_are_attributed_and_do_not_escape(renderer: Renderer):
    def script(request: GenerationRequest) -> str:
        raise ZeroDivisionError("oops")

    async def play(session: Session, log: ListLog) -> None:
        refused = await refusal(call(session))
        assert refused.code == "internal"
        await session.complete("failed", None)

    outcome = with_session(renderer, script, play).outcome()
    assert outcome == Failed(cause="gateway_error", detail="ZeroDivisionError: oops")


def test_a_turn_that_cannot_be_logged_is_not_answered(renderer: Renderer):
    async def play(session: Session, log: ListLog) -> None:
        log.broken = True
        refused = await refusal(call(session))
        assert (refused.code, refused.reason) == ("internal", "record")
        await refusal(session.complete("ready", None))
        assert session.ended.is_set()

    outcome = with_session(renderer, number, play).outcome()
    assert outcome == Failed(cause="record_error", detail="disk full")


def test_a_previous_reply_is_found_by_its_number(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        answer: Answer = await call(session)
        assert session.conversation(0) == (*OPENING, answer.message)
        with pytest.raises(Refusal, match="no recorded reply number 7"):
            session.conversation(7)

    with_session(renderer, number, play)


def test_fields_without_effect_are_counted_and_bounded(renderer: Renderer):
    async def play(session: Session, _: ListLog) -> None:
        for i in range(150):
            await (await session.ask(Call(messages=OPENING, ignored=("user", f"made-up-{i}" * 50)))).answer()
        assert session.ignored["user"] == 150
        assert len(session.ignored) == 100
        assert max(map(len, session.ignored)) <= 80

    with_session(renderer, ["x"] * 200, play, limits=GatewayLimits(calls_per_second=1000.0))


def test_what_was_dropped_frees_its_turns_and_keeps_its_answers(renderer: Renderer):
    async def run() -> None:
        gateway: Gateway = make_gateway(renderer, ScriptedEngine(renderer.tokenizer, number))
        session = await open_session(gateway)
        await call(session)
        await session.complete("ready", "c")
        await session.reward([1.0], "r")
        gateway.drop(session)
        await session.complete("ready", "c")
        await session.reward([1.0], "r")
        assert gateway.session(session.trajectory_id) is session
        assert gateway.job_arn == JOB
        for read in (session.trajectory, session.episode):
            with pytest.raises(Refusal, match="no longer in memory"):
                read()

    asyncio.run(run())
