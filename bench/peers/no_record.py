"""The peer of bench/gateway.py: the same server without sessions, recorder and log.

What is the same, because it is the product's own code: HTTP server, app, endpoint and delivery, dialects, reading and
checking of bodies, credentials and the agreement of names (a real ``Gateway`` checks each caller), rendering,
tokenisation and parsing (``Renderer``), the deltas of streams (``ReplyStream``), the scripted engine.

What is left out: sessions, their states, and waiting for the disk; exchanges that several listeners and retries share
and that outlive a connection; retries and limits; comparing messages with what was recorded (the next call is taken
to go on from the last one), forks, the template's rules for history, the check that a reply is what the template
would write; prefix hashes, sampling keys; turns, log-probabilities and versions kept in memory; records and the log;
seals and rewards, which are read, checked for their caller and forgotten.

What is kept for each trajectory is what it takes to render its next prompt as cheaply as the recorder does: the ids so
far, and the number of messages they stand for.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse

from turnwright.core.episode import EpisodeKey
from turnwright.core.message import Message, ToolSpec
from turnwright.core.protocols import ReplyDelta
from turnwright.gateway.calls import Answer, Call, Caller, UsedSampling
from turnwright.gateway.dialects.fields import Fields
from turnwright.gateway.gateway import Gateway
from turnwright.gateway.http.body import parse_object, read_body
from turnwright.gateway.http.endpoint import caller_of
from turnwright.gateway.sampling import SamplingLimits
from turnwright.inference.base import Engine, Generation, GenerationRequest, TokenListener
from turnwright.rendering.renderer import Renderer
from turnwright.rendering.streaming import ReplyStream


class BareDesk:
    """Implements calls.Desk over lines that record nothing."""

    def __init__(self, gateway: Gateway, lines: Mapping[str, "BareLine"]) -> None:
        """Serve ``lines``, by the ids of trajectories that are open at ``gateway``."""
        self._gateway = gateway
        self._lines = lines

    @property
    def model_names(self) -> tuple[str, ...]:
        """Those of the gateway."""
        return self._gateway.model_names

    def line(self, caller: Caller) -> "BareLine":
        """Check who is calling and return the line."""
        return self._lines[self._gateway.line(caller).name]

    def gauges(self) -> dict[str, float]:
        """Return those of the gateway."""
        return self._gateway.gauges()

    def count_prompt_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
        """Return the number of prompt tokens."""
        return self._gateway.count_prompt_tokens(messages, tools)

    async def report(self, request: Request) -> JSONResponse:
        """Take a seal or a reward from whoever may send it, and forget it."""
        body = await read_body(request)
        fields = Fields(parse_object(body))
        self._gateway.authorize(caller_of(request, body), "reward", fields.required_text("TrajectoryId"))
        return JSONResponse({})


class BareLine:
    """Implements calls.Line for one trajectory whose calls each go on from the one before."""

    def __init__(
        self, name: str, key: EpisodeKey, *, renderer: Renderer, engine: Engine, sampling: SamplingLimits
    ) -> None:
        """Start with nothing held."""
        self.key = key
        self.renderer = renderer
        self._name = name
        self._engine = engine
        self._sampling = sampling
        self._num_turns = 0
        self._held_ids: tuple[int, ...] = ()
        self._sampled_ids: tuple[int, ...] = ()
        self._num_messages = 0

    @property
    def name(self) -> str:
        """Id of the trajectory."""
        return self._name

    async def ask(self, call: Call) -> "BareExchange":
        """Render the prompt; the engine is asked by whoever listens."""
        used = UsedSampling(
            temperature=self._sampling.temperature,
            top_p=self._sampling.top_p,
            max_tokens=min(call.asked.max_tokens or self._sampling.max_tokens, self._sampling.max_tokens),
            stop=call.asked.stop,
        )
        exchange = BareExchange(self, self._num_turns, self._prompt(call), len(call.messages), used)
        self._num_turns += 1
        return exchange

    def conversation(self, turn: int) -> tuple[Message, ...]:
        """Not kept; no call of the bench refers to an earlier reply."""
        raise NotImplementedError

    async def sample(
        self, turn: int, prompt: tuple[int, ...], used: UsedSampling, on_tokens: TokenListener | None
    ) -> Generation:
        """Ask the engine."""
        return await self._engine.generate(
            GenerationRequest(
                key=self.key,
                turn=turn,
                prompt_token_ids=prompt,
                max_tokens=used.max_tokens,
                temperature=used.temperature,
                top_p=used.top_p,
                stop_token_ids=self.renderer.stop_token_ids,
                sampling_key=turn,
            ),
            on_tokens,
        )

    def hold(self, prompt: tuple[int, ...], sampled: tuple[int, ...], num_messages: int) -> None:
        """Keep what the next prompt begins with."""
        self._held_ids, self._sampled_ids, self._num_messages = prompt + sampled, sampled, num_messages

    def _prompt(self, call: Call) -> tuple[int, ...]:
        if not self._held_ids:
            return self.renderer.prompt_ids(call.messages, call.tools)
        new = call.messages[self._num_messages :]
        return self._held_ids + self.renderer.continuation_ids(self._sampled_ids, new, call.tools)


class BareExchange:
    """Implements calls.Exchange for one listener."""

    def __init__(
        self, line: BareLine, turn: int, prompt: tuple[int, ...], num_messages: int, used: UsedSampling
    ) -> None:
        """Take a rendered prompt; ``num_messages`` is what it stands for."""
        self.created = time.time()
        self.turn = turn
        self._line = line
        self._prompt = prompt
        self._num_messages = num_messages
        self.used = used
        self._answer: Answer | None = None

    async def deltas(self) -> AsyncIterator[ReplyDelta]:
        """Sample, and yield the text as it comes."""
        stream = ReplyStream(self._line.renderer, stop=self.used.stop)
        pieces: asyncio.Queue[tuple[int, ...]] = asyncio.Queue()
        sampling = asyncio.create_task(self._sample(pieces.put_nowait))
        sampling.add_done_callback(lambda _: pieces.put_nowait(()))
        while ids := await pieces.get():
            for delta in stream.feed(ids):
                yield delta
        for delta in stream.finish((await sampling).message):
            yield delta

    async def answer(self, *, token_texts: bool = False) -> Answer:
        """Return the reply, sampled now if nobody streamed it."""
        return self._answer or await self._sample(None)

    def delivered(self) -> None:
        """Nothing depends on it."""

    async def _sample(self, on_tokens: TokenListener | None) -> Answer:
        generation = await self._line.sample(self.turn, self._prompt, self.used, on_tokens)
        sampled = generation.token_ids
        self._line.hold(self._prompt, sampled, self._num_messages + 1)
        self._answer = Answer(
            message=self._line.renderer.parse_reply(sampled, turn=self.turn, stop=self.used.stop),
            finish_reason=generation.finish_reason,
            turn=self.turn,
            created=self.created,
            num_prompt_tokens=len(self._prompt),
            policy_version=generation.policy_versions[-1],
            token_ids=sampled,
            logprobs=generation.logprobs,
            used=self.used,
        )
        return self._answer
