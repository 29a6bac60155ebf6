"""Any interleaving of turns, retries, forks, disconnects, failures and repeated reports trains each token once."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.at_work import OPENING, TOOLS, ListLog, make_gateway, open_session, user
from turnwright.core.errors import EngineStoppedError
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Rewarded
from turnwright.core.trajectory import hash_ids
from turnwright.gateway.calls import Answer, Call, CallMark
from turnwright.gateway.exchange import LiveExchange
from turnwright.gateway.limits import GatewayLimits
from turnwright.gateway.refusals import Refusal
from turnwright.gateway.session import Session
from turnwright.inference.base import Generation, GenerationRequest, TokenListener
from turnwright.inference.scripted import ScriptedEngine
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.tokens import count_tokens, cut_rows
from turnwright.rundir.gateway_records import TurnRecorded
from turnwright.rundir.recovery import rebuild

pytestmark = pytest.mark.slow

REPLIES = (
    "reply {turn}",
    "same",
    '<tool_call>{{"name": "get_order", "arguments": {{"order": "O3"}}}}</tool_call>',
    '<tool_call>{{"name":"get_order", "arguments":{{"order":"O{turn}"}}}}</tool_call>',
    "<think>hm {turn}</think>reply {turn}",
)
"""Unique and repeated texts, calls as the template spells them and otherwise, reasoning."""

ASKS = ("opening", "extend", "sub_agent", "drop_thinking", "other_tools", "edit", "compact")
STEPS = (
    *ASKS,
    *["extend", "retry", "release"] * 3,
    *["retry_with_key", "disconnect", "fail", "pause", "resume"],
)

scripts = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), min_size=4, max_size=30)


class SteppedEngine(ScriptedEngine):
    """Each request waits until the test lets it go on, or lets it fail."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__(renderer.tokenizer, lambda request: REPLIES[request.turn % 5].format(turn=request.turn))
        self.waiting: list[asyncio.Future[None]] = []

    async def generate(self, request: GenerationRequest, on_tokens: TokenListener | None = None) -> Generation:
        let: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(let)
        await let
        return await super().generate(request, on_tokens)

    def release(self, which: int, error: Exception | None = None) -> None:
        if not self.waiting:
            return
        let = self.waiting.pop(which % len(self.waiting))
        if error is None:
            let.set_result(None)
        else:
            let.set_exception(error)


@dataclass
class Sent:
    """A request that the agent sent."""

    call: Call
    exchange: LiveExchange | None = None
    listener: "asyncio.Task[None] | None" = None


@dataclass
class Agent:
    """Does what the script says and remembers what it saw."""

    session: Session
    engine: SteppedEngine
    log: ListLog
    sent: list[Sent] = field(default_factory=list[Sent])
    got: list[tuple[tuple[Message, ...], Answer]] = field(default_factory=list[Any])
    """Conversations through a reply that arrived."""
    tasks: "list[asyncio.Task[None]]" = field(default_factory=list[Any])
    """Everything it has begun; a check that fails in there must fail the test."""

    def ask(self, kind: str, which: int) -> None:
        conversation = self.got[which % len(self.got)][0] if self.got else OPENING
        messages, tools = (*conversation, user(f"and {which}?")), TOOLS
        if kind == "opening" or not self.got:
            messages = OPENING
        elif kind == "sub_agent":
            messages = (OPENING[0], user(f"sub-task {which % 2}"))
        elif kind == "drop_thinking":
            messages = tuple(replace(message, reasoning="") for message in messages)
        elif kind == "other_tools":
            tools = ()
        elif kind == "edit":
            messages = (*messages[:2], Message(role="assistant", content="edited"), *messages[3:])
        elif kind == "compact":
            messages = (*OPENING, user("summary"), *messages[-1:])
        self.send(Call(messages=messages, tools=tools, stream=which % 2 == 0))

    def retry(self, which: int, *, with_key: bool) -> None:
        if not self.sent:
            return
        original = self.sent[which % len(self.sent)]
        if with_key and original.call.mark.key is None:
            self.send(replace(original.call, mark=CallMark(key=f"key {len(self.sent)}", idempotency=True)))
            original = self.sent[-1]
        mark = original.call.mark if with_key else CallMark(is_retry=True)
        self.send(replace(original.call, mark=mark))

    def send(self, call: Call) -> None:
        sent = Sent(call=call)
        self.sent.append(sent)
        self.tasks.append(asyncio.create_task(self._send(sent)))

    async def _send(self, sent: Sent) -> None:
        alive = any(
            other.exchange is not None and other.exchange.refusal is None and other.exchange.repeats(sent.call)
            for other in self.sent
        )
        try:
            sent.exchange = await self.session.ask(sent.call)
        except Refusal:
            return
        assert sent.exchange.num_joined or not (alive and sent.call.mark.is_retry), "a retry must join what it repeats"
        sent.listener = asyncio.create_task(self._listen(sent, sent.exchange))
        self.tasks.append(sent.listener)

    async def _listen(self, sent: Sent, exchange: LiveExchange) -> None:
        try:
            heard = {"content": "", "reasoning": ""}
            if sent.call.stream:
                async for delta in exchange.deltas():
                    heard[delta.kind] += delta.text
            answer = await exchange.answer()
        except Refusal:
            return
        if sent.call.stream:
            assert heard == {"content": answer.message.content, "reasoning": answer.message.reasoning}
        assert [record.index for record in self.log.turns].count(answer.turn) == 1, "logged once, before the answer"
        exchange.delivered()
        self.got.append(((*sent.call.messages, answer.message), answer))

    def disconnect(self, which: int) -> None:
        listening = [sent.listener for sent in self.sent if sent.listener and not sent.listener.done()]
        if listening:
            listening[which % len(listening)].cancel()

    async def settle(self) -> None:
        """Let everything happen that needs no step of the script."""
        for _ in range(60):
            await asyncio.sleep(0)


async def play(renderer: Renderer, script: list[tuple[str, int]], ending: int) -> tuple[Agent, Session]:
    engine, log = SteppedEngine(renderer), ListLog()
    gateway = make_gateway(renderer, engine, log, limits=GatewayLimits(max_turns=12, calls_per_second=1e6))
    session = await open_session(gateway)
    agent = Agent(session=session, engine=engine, log=log)
    pauses: list[Any] = []
    for step, which in script:
        if step in ASKS:
            agent.ask(step, which)
        elif step.startswith("retry"):
            agent.retry(which, with_key=step == "retry_with_key")
        elif step == "disconnect":
            agent.disconnect(which)
        elif step == "pause":
            pauses.append(gateway.paused())
            await pauses[-1].__aenter__()
        elif step == "resume" and pauses:
            await pauses.pop().__aexit__(None, None, None)
        elif step in ("release", "fail"):
            engine.release(which, EngineStoppedError("the engine is closed") if step == "fail" else None)
        # Some steps follow each other before anything has happened.
        if which != 0:
            await agent.settle()
    while pauses:
        await pauses.pop().__aexit__(None, None, None)
    await agent.settle()
    await finish(agent, ending)
    return agent, session


async def finish(agent: Agent, ending: int) -> None:
    """Report, some of it several times and too early, while calls may still be in work."""
    session, engine = agent.session, agent.engine
    reports: list[asyncio.Task[None]] = []
    if ending % 2:
        reports += [asyncio.create_task(session.reward([1.0], "r")) for _ in range(2)]
    reports += [asyncio.create_task(session.complete("ready", "c")) for _ in range(1 + ending % 3)]
    await asyncio.sleep(0)
    agent.send(Call(messages=OPENING))
    await agent.settle()
    while engine.waiting or session.num_working:
        engine.release(ending)
        await agent.settle()
    await asyncio.gather(*reports)
    await session.reward([1.0], "r")
    await session.complete("ready", "c")
    await agent.settle()
    await asyncio.wait(agent.tasks)
    for task in agent.tasks:
        if not task.cancelled():
            task.result()


@settings(max_examples=150)
@given(script=scripts, ending=st.integers(0, 5))
def test_every_token_is_trained_once_whatever_happens(renderer: Renderer, script: list[tuple[str, int]], ending: int):
    agent, session = asyncio.run(play(renderer, script, ending))
    trajectory = session.trajectory()
    turns = {turn.index: turn for turn in trajectory.turns}
    rows = cut_rows(trajectory)

    assert count_tokens([trajectory], rows).delivered_fraction == 1.0
    trained = Counter(row.turn_index[t] for row in rows for t, is_trained in enumerate(row.trained) if is_trained)
    assert trained == {i: len(turn.sampled_token_ids) for i, turn in turns.items() if not turn.abandoned}
    assert all(hash_ids(turn.prompt_token_ids) == turn.prefix_hash for turn in turns.values())

    got = {answer.turn for _, answer in agent.got}
    extended = {turn.parent for turn in turns.values()}
    abandoned = {index for index, turn in turns.items() if turn.abandoned}
    assert not abandoned & (got | extended)
    unique = {i for i in turns if REPLIES[i % 5] == "reply {turn}"}
    assert (turns.keys() - got - extended) & unique <= abandoned

    logged = [record.index for record in agent.log.records if isinstance(record, TurnRecorded)]
    assert sorted(logged) == sorted(turns)
    recovered = rebuild(agent.log.records)
    assert recovered.trajectory == trajectory
    assert recovered.outcome == session.outcome()
    attempt = recovered.attempt()
    assert attempt is not None
    assert attempt.episode == session.episode()

    for answer in (answer for _, answer in agent.got):
        assert answer.token_ids == turns[answer.turn].sampled_token_ids
    assert_stated_outcome(session, agent)


def assert_stated_outcome(session: Session, agent: Agent) -> None:
    outcome = session.outcome()
    if isinstance(outcome, Failed):
        assert outcome.cause in ("engine_error", "no_sample")
        if outcome.cause == "no_sample":
            assert not agent.got
    else:
        assert outcome is not None
        assert outcome.value == 1.0
        assert isinstance(outcome, Rewarded) or outcome.cause == "max_turns"
