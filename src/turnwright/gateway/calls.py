"""Calls: what a dialect hands to a trajectory and gets back, free of HTTP and of any vendor's spelling.

bytes --dialect.read--> Call --Line.ask--> Exchange --answer, deltas--> dialect.write, dialect.events --> bytes
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from turnwright.core.episode import FinishReason
from turnwright.core.message import Message, ToolSpec
from turnwright.core.protocols import ReplyDelta


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedSampling:
    """What a request asks for; None = not mentioned."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedSampling:
    """What a reply was sampled with."""

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMark:
    """How a client marks a call, so that its repetition can be told from a new call.

    Without ``key`` a call that says it is a retry repeats the latest call with the same content.
    """

    key: str | None = None
    """The same on every attempt at one call: ``amz-sdk-invocation-id``, or ``Idempotency-Key``."""
    is_retry: bool = False
    """The client says so: ``x-stainless-retry-count`` > 0, or ``amz-sdk-request: attempt=`` > 1."""
    idempotency: bool = False
    """``key`` is an Idempotency-Key: seen before means a retry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One model call of an agent."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    asked: AskedSampling = field(default_factory=AskedSampling)
    mark: CallMark = field(default_factory=CallMark)
    ignored: tuple[str, ...] = ()
    """Fields of the request that have no effect on sampling; counted, and named once in the log."""
    stream: bool = True
    """Somebody may want the text while it is sampled; False lets the engine hand it over in one piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply, after its turn is on disk."""

    message: Message
    finish_reason: FinishReason
    turn: int
    """Number of the call within the trajectory."""
    created: float
    """Seconds since the epoch when the call was made."""
    num_prompt_tokens: int
    policy_version: int
    token_ids: tuple[int, ...]
    """Sampled ids."""
    logprobs: tuple[float, ...]
    token_texts: tuple[str, ...] = ()
    """Text of each sampled id; filled by ``Exchange.answer`` only when asked for."""
    used: UsedSampling

    @property
    def num_sampled_tokens(self) -> int:
        """Sampled tokens of the reply, stop token included."""
        return len(self.token_ids)


class Exchange(Protocol):
    """One model call in work or done. Whoever asked for it - the first request and its retries - listens here."""

    @property
    def created(self) -> float:
        """Seconds since the epoch when the call was made."""
        ...

    @property
    def turn(self) -> int:
        """Number of the call within the trajectory."""
        ...

    @property
    def used(self) -> UsedSampling:
        """What the reply is sampled with."""
        ...

    def deltas(self) -> AsyncIterator[ReplyDelta]:
        """Yield the reply's text from its beginning as it is sampled; ends when sampling has ended.

        All deltas of one kind joined are the message's ``content`` or ``reasoning`` exactly. Raises what ``answer``
        raises when the call fails on its way.
        """
        ...

    async def answer(self, *, token_texts: bool = False) -> Answer:
        """Wait until the turn is on disk and return the reply.

        Raises Refusal; what it says is for the caller.
        """
        ...

    def delivered(self) -> None:
        """Say that a listener has got the whole reply; a turn that none got is abandoned when its trajectory ends."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What HTTP says about who is calling; identity may come from header, path or token, and must agree."""

    method: str
    path: str
    """Path with its query string, as it was sent (signatures cover it)."""
    headers: Mapping[str, str]
    """Names in lower case."""
    path_trajectory_id: str | None = None
    """The ``{trajectory_id}`` of ``/t/{trajectory_id}/...``."""
    body: bytes = b""
    is_loopback: bool = False
    """The peer's address is on this machine."""


class Line(Protocol):
    """A place to ask the policy: one open trajectory, or a served checkpoint."""

    async def ask(self, call: Call) -> Exchange:
        """Start a call, or join the one that this repeats; raises Refusal."""
        ...

    def conversation(self, turn: int) -> tuple[Message, ...]:
        """Return the messages through the reply of a turn, for ``previous_response_id``; raises Refusal."""
        ...

    @property
    def name(self) -> str:
        """Id of the trajectory; part of the ids of replies."""
        ...


class Desk(Protocol):
    """Where dialects bring their calls: the rollout gateway, or ``turnwright serve``."""

    @property
    def model_names(self) -> tuple[str, ...]:
        """The alias "default", then the base model."""
        ...

    def line(self, caller: Caller) -> Line:
        """Check who is calling and return the place that answers; raises Refusal."""
        ...

    def gauges(self) -> dict[str, float]:
        """Return numbers for /metrics; names that end in ``_total`` only grow."""
        ...

    def count_prompt_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
        """Return the number of prompt tokens under the run's tokenizer; raises Refusal when it cannot be rendered."""
        ...
