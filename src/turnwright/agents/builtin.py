"""The built-in agent: ask the policy, run the tools it calls, show it the results, until there is nothing to answer."""

from concurrent.futures import Executor
from dataclasses import dataclass

from turnwright.core.episode import Turn
from turnwright.core.errors import ContextOverflowError
from turnwright.core.message import Message
from turnwright.core.outcome import TruncationCause
from turnwright.core.protocols import ChatPolicy, Reply
from turnwright.environments.base import Done, Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLimits:
    """What may cut an episode of the tool loop."""

    max_turns: int
    max_sequence_length: int | None = None
    """Prompt and reply together; None where the policy has no such limit."""
    tool_timeout: float = 30.0
    """Seconds one tool call may take."""


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
) -> None:
    """Run one opened environment to its end, adding turns to ``conversation``.

    Raises ToolCrash when a tool breaks, and whatever the policy raises but ContextOverflowError, which is a truncation.
    """
    messages = list(environment.opening())
    tools = environment.tool_specs()
    for _ in range(limits.max_turns):
        try:
            reply = await policy.chat(messages, tools)
        except ContextOverflowError:
            conversation.truncation = "sequence"
            return
        messages.append(reply.message)
        position = len(conversation.turns)
        conversation.turns.append(_turn(reply))
        if reply.finish_reason == "length":
            used = reply.num_prompt_tokens + reply.num_sampled_tokens
            full = limits.max_sequence_length is not None and used >= limits.max_sequence_length
            conversation.truncation = "sequence" if full else "token_cap"
            return
        if not reply.message.tool_calls:
            response = environment.respond(reply.message)
            if isinstance(response, Done):
                return
            messages.extend(response)
            conversation.turns[position] = _turn(reply, responses=tuple(response))
            continue
        answers = [
            await environment.call_tool(call, limits.tool_timeout, executor=executor)
            for call in reply.message.tool_calls
        ]
        responses = tuple(answer.message for answer in answers)
        messages.extend(responses)
        conversation.turns[position] = _turn(reply, responses, tuple(answer.outcome for answer in answers))
    conversation.truncation = "max_turns"


def _turn(reply: Reply, responses: tuple[Message, ...] = (), tools: tuple = ()) -> Turn:
    return Turn(
        reply=reply.message,
        responses=responses,
        finish_reason=reply.finish_reason,
        tools=tools,
        num_prompt_tokens=reply.num_prompt_tokens,
        num_sampled_tokens=reply.num_sampled_tokens,
        mean_logprob=reply.mean_logprob,
        policy_version=reply.policy_version,
    )
