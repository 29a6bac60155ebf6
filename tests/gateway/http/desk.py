"""A desk whose replies are given beforehand: a real Desk, Line and Exchange without tokens, engine or disk."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from turnwright.core.episode import FinishReason
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.core.protocols import ReplyDelta
from turnwright.gateway.calls import Answer, Call, Caller, UsedSampling
from turnwright.gateway.refusals import Refusal

CREATED = 1_750_000_000.5


def answer_of(message: Message, *, turn: int = 0, finish_reason: FinishReason = "stop") -> Answer:
    """The answer that says ``message`` in three tokens under the numbers every test uses."""
    return Answer(
        message=message,
        finish_reason=finish_reason,
        turn=turn,
        created=CREATED,
        num_prompt_tokens=11,
        policy_version=4,
        token_ids=(7, 8, 2),
        logprobs=(-0.5, -0.25, -0.125),
        token_texts=("Hel", "lo", "<end>"),
        used=UsedSampling(temperature=1.0, top_p=0.9, max_tokens=64),
    )


def deltas_of(message: Message, size: int = 3) -> list[ReplyDelta]:
    """The reply's text in pieces of ``size`` characters, reasoning first."""
    return [
        ReplyDelta(kind=kind, text=text[i : i + size])
        for kind, text in (("reasoning", message.reasoning), ("content", message.content))
        for i in range(0, len(text), size)
    ]


SAID = Message(role="assistant", content="Your order is late.")
CALLED = Message(
    role="assistant",
    content="Let me look.",
    reasoning="They want O3.",
    tool_calls=(ToolCall(id="call_0_0", name="get_order", arguments='{"order": "O3"}'),),
)


@dataclass
class CannedExchange:
    """Implements Exchange. ``sampled`` ends sampling, ``on_disk`` ends the wait for the log."""

    answer_: Answer
    refusal: Refusal | None = None
    created: float = CREATED
    num_delivered: int = 0
    num_answers: int = 0
    sampled: asyncio.Event = field(default_factory=asyncio.Event)
    on_disk: asyncio.Event = field(default_factory=asyncio.Event)
    refuses_after: int = 0
    """With a refusal: number of deltas before it."""

    @property
    def turn(self) -> int:
        return self.answer_.turn

    @property
    def used(self) -> UsedSampling:
        return self.answer_.used

    async def deltas(self) -> AsyncIterator[ReplyDelta]:
        deltas = deltas_of(self.answer_.message)
        for delta in deltas[: self.refuses_after] if self.refusal else deltas:
            yield delta
            await asyncio.sleep(0)
        await self.sampled.wait()
        if self.refusal:
            raise self.refusal

    async def answer(self, *, token_texts: bool = False) -> Answer:
        await self.sampled.wait()
        await self.on_disk.wait()
        if self.refusal:
            raise self.refusal
        self.num_answers += 1
        return self.answer_

    def delivered(self) -> None:
        self.num_delivered += 1


@dataclass
class CannedDesk:
    """Implements Desk and Line: one trajectory "t-1" whose n-th call gets the n-th reply."""

    replies: Sequence[Message] = (SAID,)
    finish_reason: FinishReason = "stop"
    blocked: bool = False
    """Exchanges wait for their events to be set; otherwise everything is done at once."""
    refusal: Refusal | None = None
    refuses: str = "ask"
    """Where the refusal is raised: "line", "ask" or "exchange"."""
    refuses_after: int = 0
    model_names: tuple[str, ...] = ("default", "tiny")
    name: str = "t-1"
    callers: list[Caller] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    exchanges: list[CannedExchange] = field(default_factory=list)

    def line(self, caller: Caller) -> "CannedDesk":
        self.callers.append(caller)
        if self.refusal and self.refuses == "line":
            raise self.refusal
        return self

    def gauges(self) -> dict[str, float]:
        return {"calls_total": float(len(self.calls))}

    def count_prompt_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
        return len(messages) + len(tools)

    def conversation(self, turn: int) -> tuple[Message, ...]:
        if turn >= len(self.calls):
            raise Refusal("validation", f"there is no turn {turn}", field="previous_response_id")
        return (*self.calls[turn].messages, self.replies[turn])

    async def ask(self, call: Call) -> CannedExchange:
        if self.refusal and self.refuses == "ask":
            raise self.refusal
        turn = len(self.calls)
        self.calls.append(call)
        exchange = CannedExchange(
            answer_of(self.replies[turn], turn=turn, finish_reason=self.finish_reason),
            refusal=self.refusal,
            refuses_after=self.refuses_after,
        )
        if not self.blocked:
            exchange.sampled.set()
            exchange.on_disk.set()
        self.exchanges.append(exchange)
        return exchange
