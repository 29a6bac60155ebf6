"""Context policies of the built-in agent: what of a conversation the policy still sees, so that prompts stay short.

    tool results -------cap_tool_output--> head and tail of each, before the policy sees them
    the next prompt is above context_tokens
                        drop_oldest------> a line in place of the oldest results
                        summarise--------> the policy is asked for notes, which take the place of the older turns;
                                           it writes none -> as drop_oldest

Cutting a result changes nothing that was said before. The other two do: the next prompt begins a row of its own, and
all of it behind the change is computed again. So they make room for many turns at once, and act seldom.

System text, task and, but for notes, the policy's own messages stay; each result stays behind the call it answers.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from turnwright.agents.shortening import shorten
from turnwright.config.reaching import ContextPolicy
from turnwright.core.episode import ContextChange
from turnwright.core.errors import ContextOverflowError
from turnwright.core.message import Message, ToolSpec
from turnwright.core.protocols import ChatPolicy, PromptMeter

ROOM = 0.5
"""Share of what the opening leaves of context_tokens that results are dropped down to. A conversation that fills the
rest again costs one more prompt of this size: with less room it would come at every turn, with more the policy would
forget what it just read."""

WORTH = 0.25
"""Share of the same that a change must remove to be worth a new row; with less, one waits until the next reply would
not fit. Notes may have as much, so that they are always shorter than what they replace."""

DROPPED = "[dropped to save room]"

NOTES_WANTED = (
    "Before you go on: this conversation is getting long, and its older part will be removed. Write notes of all you "
    "need to finish the task: what you found out, what you did, what is left to do. Be brief, answer with the notes "
    "alone and call no tool."
)
NOTES_TAKEN = "Your notes on the earlier part of this conversation, which was removed:\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextLimits:
    """How conversations are kept short; names as in [agent]."""

    policy: ContextPolicy = "none"
    tool_output_tokens: int = 0
    context_tokens: int = 0
    keep_results: int = 0
    max_prompt_tokens: int | None = None
    """Longest prompt that leaves room for a whole reply; None = any does."""

    def worth_tokens(self, num_opening_tokens: int) -> int:
        """Return how many tokens a change must remove, and notes may have, behind an opening of this length."""
        return int(WORTH * (self.context_tokens - num_opening_tokens))


def cut_result(message: Message, limits: ContextLimits, count: Callable[[str], int]) -> Message:
    """Return a tool's result as the policy is to see it: shortened under cap_tool_output, otherwise as it is.

    Args:
        message: Of any role; only results are cut.
        limits: The policy's.
        count: Tokens of a text.
    """
    most = limits.tool_output_tokens
    if limits.policy != "cap_tool_output" or message.role != "tool" or count(message.content) <= most:
        return message
    return replace(message, content=shorten(message.content, most, count))


class History:
    """The conversation of one episode as the policy sees it.

    Example::

        history = History(opening, tools, ContextLimits(policy="drop_oldest", context_tokens=2000), meter)
        change = await history.make_room(policy)
        reply = await policy.chat(history.messages, tools)
        history.add(reply.message)
        responses, change = history.hear(results)
    """

    def __init__(
        self,
        opening: Sequence[Message],
        tools: Sequence[ToolSpec],
        limits: ContextLimits,
        meter: PromptMeter | None,
        *,
        max_sequence_length: int | None = None,
    ) -> None:
        """Begin with the opening messages.

        Args:
            opening: They always stay.
            tools: Of all calls.
            limits: How the conversation is kept short.
            meter: Counts tokens; None where ``limits`` has no policy.
            max_sequence_length: Prompt and reply together; None where the policy has no such limit.
        """
        self.messages = list(opening)
        self._num_opening = len(opening)
        self._opening_tokens: int | None = None
        self._tools = tools
        self._limits = limits
        self._counts = meter
        self._max_sequence_length = max_sequence_length
        self._rests_until = 0
        """Tokens of a prompt up to which nothing is done again: who writes no notes is not asked at every turn."""

    def add(self, reply: Message) -> None:
        """Take a reply of the policy."""
        self.messages.append(reply)

    def hear(self, responses: Sequence[Message]) -> tuple[tuple[Message, ...], ContextChange | None]:
        """Take what followed a reply; return what the policy will see of it, and what was cut."""
        heard, change = tuple(responses), None
        if self._limits.policy != "none":
            change = ContextChange()
        if self._limits.policy == "cap_tool_output":
            heard = tuple(cut_result(message, self._limits, self._meter.num_tokens) for message in responses)
            cut = [(full, short) for full, short in zip(responses, heard, strict=True) if full is not short]
            removed = sum(self._length(full) - self._length(short) for full, short in cut)
            change = ContextChange(full_results=tuple(full for full, _ in cut), removed_tokens=removed)
        self.messages.extend(heard)
        return heard, change

    async def make_room(self, policy: ChatPolicy) -> ContextChange | None:
        """Shorten the conversation where the next prompt asks for it; return what was done, None = nothing.

        Raises what the policy raises but ContextOverflowError: without room to ask for notes, results are dropped.
        """
        if self._limits.policy not in ("drop_oldest", "summarise"):
            return None
        before, longest = self._num_prompt_tokens(self.messages), self._limits.max_prompt_tokens
        if self._opening_tokens is None:
            self._opening_tokens = before
        worth = self._limits.worth_tokens(self._opening_tokens)
        must = longest is not None and before > longest
        if before <= max(self._limits.context_tokens, self._rests_until) and not must:
            return None
        least = 0 if must else worth
        if self._limits.policy == "drop_oldest":
            change = self._drop(before, least)
        else:
            change = await self._summarise(policy, before, least, budget=worth)
        if change is not None:
            self._rests_until = before - change.removed_tokens + worth
        return change

    def _drop(self, before: int, least: int) -> ContextChange | None:
        """Let the oldest results go, as many as it takes, or all that may; none where that removes less than least."""
        positions = self._results()
        positions = positions[: len(positions) - self._limits.keep_results]
        positions = [i for i in positions if len(self.messages[i].content) > len(DROPPED)]
        if not positions:
            return None
        opening = self._opening_tokens or 0
        goal = opening + ROOM * (self._limits.context_tokens - opening)
        number = 1 + bisect_left(
            range(1, len(positions)),
            True,
            key=lambda count: self._num_prompt_tokens(self._without(positions[:count])) <= goal,
        )
        shorter = self._without(positions[:number])
        removed = before - self._num_prompt_tokens(shorter)
        if removed < max(1, least):
            return None
        self.messages = shorter
        return ContextChange(dropped_results=number, removed_tokens=removed)

    async def _summarise(self, policy: ChatPolicy, before: int, least: int, *, budget: int) -> ContextChange | None:
        """Ask for notes and put them, or as many tokens of them as they may have, in place of the older turns."""
        start = self._newest()
        opening, newest = self.messages[: self._num_opening], self.messages[start:]
        if before - self._num_prompt_tokens([*opening, *newest]) <= budget:
            return self._drop(before, least) if least == 0 else None
        request = Message(role="user", content=NOTES_WANTED)
        try:
            reply = await policy.chat([*self.messages, request], self._tools)
        except ContextOverflowError:
            return self._drop(before, least)
        length = reply.num_prompt_tokens + reply.num_sampled_tokens
        # What the end of the sequence cut after a few words is worth less than what it would replace.
        cut_short = reply.finish_reason == "length" and length >= (self._max_sequence_length or length + 1)
        text = reply.message.content.strip()
        if cut_short or reply.message.tool_calls or not text:
            return replace(self._drop(before, least) or ContextChange(), notes=reply.message)
        notes = NOTES_TAKEN + shorten(text, budget, self._meter.num_tokens)
        self.messages = [*opening, Message(role="user", content=notes), *newest]
        removed = before - self._num_prompt_tokens(self.messages)
        return ContextChange(notes=reply.message, notes_taken=True, removed_tokens=removed)

    def _results(self) -> list[int]:
        """Return the positions of all tool results behind the opening."""
        return [i for i in range(self._num_opening, len(self.messages)) if self.messages[i].role == "tool"]

    def _newest(self) -> int:
        """Return where the messages begin that notes leave alone.

        They are the newest results from the reply that called for them, and the last reply where it was answered by
        anything but a result.
        """
        results = self._results()
        kept = results[len(results) - min(len(results), self._limits.keep_results) :]
        start = kept[0] if kept else len(self.messages)
        if self.messages[-1].role != "tool":
            start = min(start, len(self.messages) - 1)
        if start < len(self.messages):
            while start > self._num_opening and self.messages[start].role != "assistant":
                start -= 1
        return start

    def _without(self, positions: Sequence[int]) -> list[Message]:
        """Return the conversation with a line in place of the results at these positions."""
        gone = set(positions)
        return [replace(message, content=DROPPED) if i in gone else message for i, message in enumerate(self.messages)]

    def _length(self, message: Message) -> int:
        return self._meter.num_tokens(message.content)

    def _num_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return self._meter.num_prompt_tokens(messages, self._tools)

    @property
    def _meter(self) -> PromptMeter:
        if self._counts is None:
            raise ValueError(f"context policy {self._limits.policy!r} needs a PromptMeter: got None; give the recorder")
        return self._counts
