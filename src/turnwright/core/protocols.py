"""What one layer hands to another without importing it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from turnwright.core.episode import FinishReason
from turnwright.core.message import Message, ToolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The policy's answer to one call, with what an episode keeps of its tokens."""

    message: Message
    finish_reason: FinishReason
    num_prompt_tokens: int
    num_sampled_tokens: int
    mean_logprob: float
    policy_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyDelta:
    """A piece of a reply's text, in order, as it is sampled. Tool calls come with the whole reply."""

    kind: Literal["content", "reasoning"]
    text: str


class ChatPolicy(Protocol):
    """What an agent talks to: the recorder of one trajectory, or a script in tests."""

    async def chat(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Sample one reply to the conversation so far.

        Raises ContextOverflowError when the conversation leaves no room for a reply.
        """
        ...


class PromptMeter(Protocol):
    """Counts in the run's tokens, for an agent that keeps its prompts short: the recorder, or a tokenizer alone."""

    def num_prompt_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> int:
        """Return how long the prompt would be if the policy were asked this next."""
        ...

    def num_tokens(self, text: str) -> int:
        """Return the tokens of a text by itself."""
        ...


class Sink(Protocol):
    """A view of a run: receives what was already written to the run directory and never decides anything."""

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Take the metrics of one step."""
        ...

    def close(self) -> None:
        """Write what is pending and let go of files and threads."""
        ...


class Progress(Protocol):
    """Told what a part of the run is at, so that somebody can say what hangs. Cheap, and from any thread.

    Parts are named ``<kind> <which>``, such as "engine" or "tool lookup of order-4#2".
    """

    def begin(self, part: str, on: str) -> None:
        """Take note that a part begins something; what it was at has ended."""
        ...

    def end(self, part: str) -> None:
        """Take note that a part is idle, or gone."""
        ...

    def watch(self, part: str, look: Callable[[], str | None]) -> None:
        """Look at a part, from another thread, until its end.

        Args:
            part: Its name.
            look: Returns what it is at, other words whenever it has moved; None = it waits for somebody else.
        """
        ...


class Unwatched:
    """Implements Progress where nobody watches."""

    def begin(self, part: str, on: str) -> None:
        """Do nothing."""

    def end(self, part: str) -> None:
        """Do nothing."""

    def watch(self, part: str, look: Callable[[], str | None]) -> None:
        """Do nothing."""


UNWATCHED = Unwatched()
