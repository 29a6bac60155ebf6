"""Dialect: what every vendor's spelling of a model call has to provide.

JSON body --read--> ReadCall --(the endpoint asks the line)--> Answer --write--> JSON body
                                                               or deltas, Answer --EventWriter--> server-sent events

A dialect holds no state: whatever it needs to spell the reply is in the ReadCall.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from turnwright.core.message import Message
from turnwright.core.protocols import ReplyDelta
from turnwright.gateway.calls import Answer, Call, Line
from turnwright.gateway.refusals import Refusal, RefusalCode

AWS_ERRORS: dict[RefusalCode, str] = {
    "validation": "ValidationException",
    "quota": "ServiceQuotaExceededException",
    "access_denied": "AccessDeniedException",
    "not_found": "ResourceNotFoundException",
    "conflict": "ConflictException",
    "too_large": "ValidationException",
    "throttled": "ThrottlingException",
    "internal": "InternalServiceError",
}
"""Name under which boto3's ``sagemakerjobruntime`` client knows each refusal (``x-amzn-errortype``, ``__type``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierReply:
    """A reply that a request goes on from without repeating the conversation (``previous_response_id``)."""

    field: str
    """Request field that names it."""
    id: str
    """As the caller spelled it."""
    line_name: str
    """Trajectory that the id names; must be the caller's own."""
    turn: int
    num_dropped: int = 0
    """Leading messages of that conversation that do not carry over."""
    inserted_at: int = 0
    """Place of that conversation among the messages of the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCall:
    """A request as its dialect read it."""

    call: Call
    """Without its mark, which travels in headers; with ``earlier_reply``, only the new messages."""
    model: str = "default"
    """Model name as it was asked for; repeated in the reply."""
    stream: bool = False
    wants_usage: bool = False
    """A stream ends with the numbers of tokens; whole replies always have them."""
    wants_logprobs: bool = False
    """Log-probabilities and texts of the sampled tokens are part of the reply."""
    earlier_reply: EarlierReply | None = None
    echo: Mapping[str, object] = field(default_factory=dict[str, object])
    """Fields that the reply repeats as they were asked, by their names on the wire."""

    def messages_on(self, line: Line) -> tuple[Message, ...]:
        """Return the whole conversation: the messages of the request and those that it only refers to.

        Raises:
            Refusal: The earlier reply is of another trajectory, or is not there.
        """
        messages, earlier = self.call.messages, self.earlier_reply
        if earlier is None:
            return messages
        if earlier.line_name != line.name:
            raise Refusal(
                "validation",
                f"{earlier.field} must name a reply of this trajectory ({line.name!r}): got {earlier.id!r}; name one "
                "of its replies, or send the whole conversation",
                field=earlier.field,
            )
        history = line.conversation(earlier.turn)[earlier.num_dropped :]
        return (*messages[: earlier.inserted_at], *history, *messages[earlier.inserted_at :])


class EventWriter(Protocol):
    """Spells one streamed reply. Each method returns whole server-sent events, ready to be sent."""

    def start(self) -> list[bytes]:
        """Return the events before any text."""
        ...

    def delta(self, delta: ReplyDelta) -> list[bytes]:
        """Return the events for a piece of text."""
        ...

    def finish(self, answer: Answer) -> list[bytes]:
        """Return the rest: tool calls, finish reason, usage. Called once the turn is on disk."""
        ...

    def refuse(self, refusal: Refusal) -> list[bytes]:
        """Return the events that end a stream which failed on its way."""
        ...


class Dialect(Protocol):
    """One vendor's spelling."""

    @property
    def name(self) -> str:
        """Short name for metrics, such as "openai-chat"."""
        ...

    def read(self, body: Mapping[str, object], headers: Mapping[str, str]) -> ReadCall:
        """Read a request.

        Args:
            body: Parsed JSON; free of NaN, infinities and unpaired surrogates.
            headers: Names in lower case.

        Raises:
            Refusal: "validation", naming the field at fault.
        """
        ...

    def write(self, read: ReadCall, answer: Answer, line_name: str) -> dict[str, Any]:
        """Return the body of a whole reply; ``line_name`` and the turn make its id."""
        ...

    def stream(self, read: ReadCall, turn: int, created: float, line_name: str) -> EventWriter:
        """Return the writer of a streamed reply.

        Args:
            read: The request.
            turn: Number of the call within the trajectory.
            created: Seconds since the epoch when the call was made.
            line_name: Id of the trajectory.
        """
        ...

    def refuse(self, refusal: Refusal) -> dict[str, Any]:
        """Return the body of an error response."""
        ...
