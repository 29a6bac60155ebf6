"""Served policy: the desk of a checkpoint that only answers. Nothing is recorded and no call knows of another.

    Caller --key--> ServedLine --ask--> an episode of its own at the engine, closed when the reply is done

It shares calls, dialects and endpoint with the rollout gateway, so a policy is deployed behind the very server that it
was trained through. A client that hangs up stops its own sampling: there is no trajectory to finish.
"""

import asyncio
import hmac
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import UnsupportedModelError
from turnwright.core.message import Message, ToolSpec
from turnwright.core.protocols import ReplyDelta
from turnwright.core.seeding import derive_key
from turnwright.gateway.calls import Answer, Call, Caller, UsedSampling
from turnwright.gateway.exchange import LiveExchange
from turnwright.gateway.ledger import CallLedger, CallTerms
from turnwright.gateway.limits import Admission, GatewayLimits
from turnwright.gateway.recorder import Recorder
from turnwright.gateway.refusals import Refusal
from turnwright.gateway.sampling import SamplingLimits
from turnwright.gateway.trajectory_log import TrajectoryLog
from turnwright.inference.base import Engine
from turnwright.rendering.renderer import Renderer
from turnwright.rundir.record_log import NoLog

TASK = "served"
"""One name for all calls: the engine shares what they have in common within a task."""


class ServedPolicy:
    """Implements calls.Desk."""

    def __init__(
        self,
        *,
        renderer: Renderer,
        engine: Engine,
        model_name: str,
        sampling: SamplingLimits,
        limits: GatewayLimits,
        api_key: str | None = None,
    ) -> None:
        """Serve an engine.

        Args:
            renderer: Spells conversations in ids.
            engine: Samples the replies; its owner closes it.
            model_name: Listed beside the alias "default".
            sampling: What a request that does not say gets, and the most tokens of a reply.
            limits: Of these, ``max_waiting`` counts.
            api_key: What callers must send; None = whoever can connect may ask.
        """
        self._renderer = renderer
        self._engine = engine
        self._model_name = model_name
        self._terms = CallTerms(sampling=sampling, rule="request", limits=limits, trained=False)
        self._admission = Admission(limits.max_waiting)
        self._api_key = api_key
        self._numbers = count()
        self._tokens = Counter[str]()

    @property
    def model_names(self) -> tuple[str, ...]:
        """The alias "default", then the checkpoint's name."""
        return ("default", self._model_name)

    def line(self, caller: Caller) -> "ServedLine":
        """Return a line for one call; raises Refusal when the key is wrong."""
        if self._api_key is not None and not _carries(caller, self._api_key):
            raise Refusal(
                "access_denied",
                "the API key is missing or wrong: send the server's key as 'Authorization: Bearer ...' or 'x-api-key'",
                reason="api_key",
            )
        key = EpisodeKey(task_id=TASK, attempt=next(self._numbers))
        return ServedLine(key, self._renderer, self._engine, self._terms, self._admission, self._count)

    def _count(self, exchange: LiveExchange) -> None:
        if exchange.held is not None:
            self._tokens.update(prompt=exchange.held.num_prompt_tokens, sampled=len(exchange.held.sampled_ids))

    def gauges(self) -> dict[str, float]:
        """Return calls in work, and tokens since the start."""
        return {
            "calls_in_work": float(self._admission.num_calls),
            "prompt_tokens_total": float(self._tokens["prompt"]),
            "sampled_tokens_total": float(self._tokens["sampled"]),
        }

    def count_prompt_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
        """Return the number of prompt tokens; raises Refusal when the conversation cannot be rendered."""
        try:
            return len(self._renderer.prompt_ids(messages, tools))
        except UnsupportedModelError as error:
            raise Refusal("validation", str(error), field="messages", reason="template") from error


class ServedLine:
    """Implements calls.Line for one call."""

    def __init__(
        self,
        key: EpisodeKey,
        renderer: Renderer,
        engine: Engine,
        terms: CallTerms,
        admission: Admission,
        on_done: Callable[[LiveExchange], None],
    ) -> None:
        """Make a line; ``ServedPolicy.line`` does."""
        self._on_done = on_done
        self.name = f"s-{secrets.token_hex(8)}"
        self._key = key
        self._engine = engine
        recorder = ServedRecorder(key, renderer, engine, sampling=terms.sampling, run_seed=0)
        self._ledger = CallLedger(self.name, recorder, renderer, terms, admission, TrajectoryLog(NoLog()))

    async def ask(self, call: Call) -> "ServedExchange":
        """Start the call; raises Refusal."""
        self._engine.open_episode(self._key)
        try:
            exchange = self._ledger.ask(call)
            exchange.when_done(lambda: self._close(exchange))
            await exchange.started()
        except BaseException:
            self._ledger.cancel()
            self._engine.close_episode(self._key)
            raise
        return ServedExchange(exchange, self._ledger)

    def _close(self, exchange: LiveExchange) -> None:
        self._engine.close_episode(self._key)
        self._on_done(exchange)

    def conversation(self, turn: int) -> tuple[Message, ...]:
        """Refuse: a served policy remembers no conversation."""
        raise Refusal(
            "validation",
            "previous_response_id has no effect here, because a served policy keeps no conversations: send the whole "
            "conversation in 'input'",
            field="previous_response_id",
        )


class ServedRecorder(Recorder):
    """Samples a served call: with the same seed the same reply, without one another each time."""

    def sampling_key(self, turn: int, seed: int | None) -> int:
        """Return the key of a call's random stream."""
        return secrets.randbits(63) if seed is None else derive_key("served", seed)


class ServedExchange:
    """Implements calls.Exchange: a LiveExchange whose work ends when its only listener leaves."""

    def __init__(self, exchange: LiveExchange, ledger: CallLedger) -> None:
        """Wrap the exchange of a ledger's only call."""
        self._exchange = exchange
        self._ledger = ledger

    @property
    def created(self) -> float:
        """Seconds since the epoch when the call was made."""
        return self._exchange.created

    @property
    def turn(self) -> int:
        """Always 0."""
        return self._exchange.turn

    @property
    def used(self) -> UsedSampling:
        """What the reply is sampled with."""
        return self._exchange.used

    async def deltas(self) -> AsyncIterator[ReplyDelta]:
        """Yield the reply's text as it is sampled."""
        try:
            async for delta in self._exchange.deltas():
                yield delta
        except (asyncio.CancelledError, GeneratorExit):
            self._ledger.cancel()
            raise

    async def answer(self, *, token_texts: bool = False) -> Answer:
        """Wait for the whole reply; raises Refusal."""
        try:
            return await self._exchange.answer(token_texts=token_texts)
        except asyncio.CancelledError:
            self._ledger.cancel()
            raise

    def delivered(self) -> None:
        """Take note."""
        self._exchange.delivered()


def _carries(caller: Caller, api_key: str) -> bool:
    given = caller.headers.get("x-api-key") or caller.headers.get("authorization", "").removeprefix("Bearer ")
    return hmac.compare_digest(given.encode(), api_key.encode())
