"""LiveExchange: one model call, between the session that works on it and whoever listens.

    session:    begin --> feed, feed, ... --> sampled --> recorded          (or fail, at any point)
    listeners:  started --> deltas .......................--> answer --> delivered

The first request and its retries listen to the same exchange, each at its own pace and from the beginning. Nobody
needs to listen: the work belongs to the session and goes on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from turnwright.core.message import Message
from turnwright.core.protocols import ReplyDelta
from turnwright.gateway.calls import Answer, AskedSampling, Call, CallMark, UsedSampling
from turnwright.gateway.held import Held
from turnwright.gateway.history import starts_with
from turnwright.gateway.recorder import BegunCall
from turnwright.gateway.refusals import Refusal
from turnwright.rendering.renderer import Renderer
from turnwright.rendering.streaming import ReplyStream


class LiveExchange:
    """Implements calls.Exchange."""

    __slots__ = (
        "_confirmed",
        "_done",
        "_messages",
        "_num_listeners",
        "_renderer",
        "_started",
        "_text",
        "_tools",
        "_turn",
        "_used",
        "asked",
        "created",
        "held",
        "is_delivered",
        "mark",
        "num_joined",
        "refusal",
    )

    def __init__(self, call: Call, renderer: Renderer) -> None:
        """Open an exchange for an accepted call.

        Args:
            call: What was asked.
            renderer: Spells ids as text.
        """
        loop = asyncio.get_running_loop()
        self.created = time.time()
        """Seconds since the epoch when the call was made."""
        self.mark: CallMark = call.mark
        self.held: Held | None = None
        """The turn, once it is sampled."""
        self.refusal: Refusal | None = None
        """Why there is no answer."""
        self.is_delivered = False
        """Some listener has got the whole reply."""
        self.num_joined = 0
        """Retries that have joined."""
        self.asked: AskedSampling = call.asked
        self._messages, self._tools = call.messages, call.tools
        self._renderer = renderer
        self._turn: int | None = None
        self._used: UsedSampling | None = None
        self._confirmed: asyncio.Future[None] | None = None
        self._num_listeners = 1
        # Let go of when the call is done: the exchange stays in memory until its trajectory is over.
        self._started: asyncio.Future[None] | None = loop.create_future()
        self._done: asyncio.Future[None] | None = loop.create_future()
        self._text: _LiveText | None = _LiveText(renderer, call.asked.stop)

    @property
    def turn(self) -> int:
        """Number of the call within the trajectory; settled once ``started`` has returned."""
        if self._turn is None:
            raise RuntimeError("a call has no number before it has begun: await started() first")
        return self._turn

    @property
    def used(self) -> UsedSampling:
        """What the reply is sampled with; settled once ``started`` has returned."""
        if self._used is None:
            raise RuntimeError("a call's sampling is not settled before it has begun: await started() first")
        return self._used

    def repeats(self, call: Call) -> bool:
        """Tell whether ``call`` asks for the same: messages, however they are spelled, tools and sampling."""
        mine = self._messages
        same = call.tools == self._tools and call.asked == self.asked and len(call.messages) == len(mine)
        return same and starts_with(call.messages, mine)

    def join(self) -> None:
        """Count a retry, which listens from now on."""
        self.num_joined += 1
        self._num_listeners += 1

    async def started(self) -> None:
        """Wait until the call has its number; raises Refusal when it fails before."""
        if self._started is not None:
            await asyncio.shield(self._started)
        if self._turn is None and self.refusal is not None:
            raise self.refusal

    async def deltas(self) -> AsyncIterator[ReplyDelta]:
        """Yield the reply's text from its beginning; raises Refusal when the call fails on its way."""
        try:
            if self._text is not None:
                async for delta in self._text.deltas():
                    yield delta
            elif self.held is not None:
                for delta in _whole(self.held.reply):
                    yield delta
            if self.held is None and self.refusal is not None:
                raise self.refusal
        except BaseException:
            self._num_listeners -= 1
            raise

    async def answer(self, *, token_texts: bool = False) -> Answer:
        """Wait until the turn is recorded and return the reply; raises Refusal when the call fails."""
        try:
            if self._done is not None:
                await asyncio.shield(self._done)
            if self.refusal is not None:
                raise self.refusal
            return self._answer(token_texts)
        except BaseException:
            self._num_listeners -= 1
            raise

    def delivered(self) -> None:
        """Say that one listener has got the whole reply."""
        self.is_delivered = True
        if self._confirmed is not None and not self._confirmed.done():
            self._confirmed.set_result(None)

    async def confirmation(self, timeout_seconds: float) -> None:
        """Give listeners that have not gone away a moment to say ``delivered``."""
        if self.is_delivered or self._num_listeners < 1:
            return
        self._confirmed = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._confirmed], timeout=timeout_seconds)

    def when_done(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once the call has its answer or has failed."""
        if self._done is None:
            callback()
        else:
            self._done.add_done_callback(lambda done: callback())

    def begin(self, begun: BegunCall) -> None:
        """Take the call's number and sampling, and messages and tools as the recorder holds them."""
        self._turn = begun.index
        self._used = begun.used
        self._messages, self._tools = begun.messages, begun.tools
        self._start()

    def feed(self, token_ids: tuple[int, ...]) -> None:
        """Take newly sampled ids."""
        if self._text is not None:
            self._text.feed(token_ids)

    def sampled(self, held: Held) -> None:
        """Take the whole turn: the text is complete, the answer waits for the record."""
        self.held = held
        self._close_text(held.reply)

    def recorded(self) -> None:
        """Say that the turn is on disk."""
        self._finish()

    def fail(self, refusal: Refusal) -> None:
        """End the call without an answer."""
        if self._done is not None:
            self.refusal = refusal
            self._close_text(None)
            self._start()
            self._finish()

    def _start(self) -> None:
        started, self._started = self._started, None
        if started is not None:
            started.set_result(None)

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done.set_result(None)

    def _close_text(self, reply: Message | None) -> None:
        text, self._text = self._text, None
        if text is not None:
            text.close(reply)

    def _answer(self, token_texts: bool) -> Answer:
        held = self.held
        if held is None:
            raise RuntimeError(f"turn {self._turn} was recorded before it was sampled")
        token_ids = tuple(held.sampled_ids)
        return Answer(
            message=held.reply,
            finish_reason=held.finish_reason,
            turn=held.index,
            created=self.created,
            num_prompt_tokens=held.num_prompt_tokens,
            policy_version=held.policy_versions[-1] if token_ids else 0,
            token_ids=token_ids,
            logprobs=tuple(held.logprobs),
            token_texts=self._renderer.token_texts(token_ids) if token_texts else (),
            used=held.used,
        )


class _LiveText:
    """The text of a reply while it is sampled. Without a listener no id is turned into text."""

    def __init__(self, renderer: Renderer, stop: tuple[str, ...]) -> None:
        self._renderer = renderer
        self._stop = stop
        self._fed: list[int] = []
        self._stream: ReplyStream | None = None
        self._deltas: list[ReplyDelta] = []
        self._news: asyncio.Future[None] | None = None
        self._is_closed = False

    async def deltas(self) -> AsyncIterator[ReplyDelta]:
        """Yield the text from its beginning until it is closed."""
        if self._stream is None:
            self._stream = ReplyStream(self._renderer, stop=self._stop)
            self._deltas.extend(self._stream.feed(self._fed))
        position = 0
        while not self._is_closed or position < len(self._deltas):
            if position == len(self._deltas):
                await self._wait_for_news()
                continue
            yield self._deltas[position]
            position += 1

    def feed(self, token_ids: tuple[int, ...]) -> None:
        if self._stream is None:
            self._fed.extend(token_ids)
        else:
            self._deltas.extend(self._stream.feed(token_ids))
            self._tell_news()

    def close(self, reply: Message | None) -> None:
        """Add what is left of the parsed reply; None = there will be none."""
        if self._stream is not None and reply is not None:
            self._deltas.extend(self._stream.finish(reply))
        self._is_closed = True
        self._tell_news()

    async def _wait_for_news(self) -> None:
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._news)

    def _tell_news(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.set_result(None)


def _whole(reply: Message) -> list[ReplyDelta]:
    """Return the deltas of a reply that is already complete."""
    reasoning, content = (
        ReplyDelta(kind="reasoning", text=reply.reasoning),
        ReplyDelta(kind="content", text=reply.content),
    )
    return [delta for delta in (reasoning, content) if delta.text]
