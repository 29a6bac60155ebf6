"""The built-in agent: ask the policy, run the tools it calls, show it the results, until there is nothing to answer.

What the policy is shown of a long conversation is context.py's to say.
"""

from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from turnwright.agents.context import ContextLimits, History
from turnwright.core.episode import ContextChange, ToolOutcome, Turn
from turnwright.core.errors import ContextOverflowError
from turnwright.core.message import Message
from turnwright.core.outcome import TruncationCause
from turnwright.core.progress import working
from turnwright.core.protocols import UNWATCHED, ChatPolicy, Progress, PromptMeter, Reply
from turnwright.environments.base import Done, Environment, ToolAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLimits:
    """What may cut an episode of the tool loop, and how its conversation is kept short."""

    max_turns: int
    """Replies that the environment answers. A request for notes is none, and comes at most once between two of them."""
    max_sequence_length: int | None = None
    """Prompt and reply together; None where the policy has no such limit."""
    tool_timeout: float = 30.0
    """Seconds one tool call may take."""
    context: ContextLimits = field(default_factory=ContextLimits)


@dataclass(slots=True, kw_only=True)
class Conversation:
    """A conversation as it grows; what is here when the loop is cut or fails is what happened."""

    turns: list[Turn]
    truncation: TruncationCause | None = None


async def run_tool_loop(
    environment: Environment,
    policy: ChatPolicy,
    conversation: Conversation,
    limits: LoopLimits,
    executor: Executor | None = None,
    meter: PromptMeter | None = None,
    *,
    name: str = "an episode",
    progress: Progress = UNWATCHED,
) -> None:
    """Run one opened environment to its end, adding turns to ``conversation``.

    Args:
        environment: Opened.
        policy: Who is asked.
        conversation: Grows.
        limits: What may cut it.
        executor: Where blocking tools run.
        meter: Counts tokens; needed with a context policy.
        name: Of the episode, for whoever watches.
        progress: Told of every tool call.

    Raises ToolCrash when a tool breaks, and whatever the policy raises but ContextOverflowError, which is a truncation.
    """
    tools = environment.tool_specs()
    history = History(
        environment.opening(), tools, limits.context, meter, max_sequence_length=limits.max_sequence_length
    )
    for _ in range(limits.max_turns):
        change = await history.make_room(policy)
        if change is not None:
            conversation.turns[-1] = replace(conversation.turns[-1], context=change)
        try:
            reply = await policy.chat(history.messages, tools)
        except ContextOverflowError:
            conversation.truncation = "sequence"
            return
        history.add(reply.message)
        position = len(conversation.turns)
        conversation.turns.append(_turn(reply))
        if reply.finish_reason == "length":
            used = reply.num_prompt_tokens + reply.num_sampled_tokens
            full = limits.max_sequence_length is not None and used >= limits.max_sequence_length
            conversation.truncation = "sequence" if full else "token_cap"
            return
        outcomes: tuple[ToolOutcome, ...] = ()
        if not reply.message.tool_calls:
            response = environment.respond(reply.message)
            if isinstance(response, Done):
                return
            responses = tuple(response)
        else:
            answers: list[ToolAnswer] = []
            for call in reply.message.tool_calls:
                with working(progress, f"tool {call.name} of {name}", f"turn {position}"):
                    answers.append(await environment.call_tool(call, limits.tool_timeout, executor=executor))
            responses = tuple(answer.message for answer in answers)
            outcomes = tuple(answer.outcome for answer in answers)
        heard, cut = history.hear(responses)
        conversation.turns[position] = _turn(reply, heard, outcomes, cut)
    conversation.truncation = "max_turns"


def _turn(
    reply: Reply,
    responses: tuple[Message, ...] = (),
    tools: tuple[ToolOutcome, ...] = (),
    context: ContextChange | None = None,
) -> Turn:
    return Turn(
        reply=reply.message,
        responses=responses,
        finish_reason=reply.finish_reason,
        tools=tools,
        num_prompt_tokens=reply.num_prompt_tokens,
        num_sampled_tokens=reply.num_sampled_tokens,
        mean_logprob=reply.mean_logprob,
        policy_version=reply.policy_version,
        context=context,
    )
