"""Context policy of a run: its settings as the built-in agent takes them, refused where they cannot work."""

from math import ceil

from turnwright.agents.context import NOTES_WANTED, WORTH, ContextLimits
from turnwright.agents.shortening import missing
from turnwright.config import RunConfig
from turnwright.core.errors import ConfigError, UnsupportedModelError
from turnwright.core.message import Message, ToolCall
from turnwright.rendering.renderer import Renderer

LONGEST_MISSING = 999_999
"""Characters that the line about missing ones may name, when its length is asked."""


def context_limits(config: RunConfig, renderer: Renderer, *, max_sequence_length: int) -> ContextLimits:
    """Return how a run keeps conversations short.

    Args:
        config: Its [agent] and [sampling] sections count.
        renderer: Counts tokens, and must render a request for notes where the policy asks for them.
        max_sequence_length: Prompt and reply together.

    Raises:
        ConfigError: A limit holds nothing, or a prompt that is not shortened yet may leave no room for a reply.
    """
    agent, cap = config.agent, config.sampling.sampling_max_tokens
    limits = ContextLimits(
        policy=agent.context_policy,
        tool_output_tokens=agent.tool_output_tokens or 0,
        context_tokens=agent.context_tokens or 0,
        keep_results=agent.keep_results,
        max_prompt_tokens=max_sequence_length - cap,
    )
    line = _line_tokens(renderer)
    if agent.tool_output_tokens is not None and agent.tool_output_tokens < 2 * line:
        raise ConfigError(
            f"agent.tool_output_tokens = {agent.tool_output_tokens} leaves too little of a result: the line that says "
            f"what is missing takes {line} tokens of this model's tokenizer; expected at least {2 * line}"
        )
    if agent.context_tokens is None:
        return limits
    request = _request_tokens(renderer) if agent.context_policy == "summarise" else 0
    if agent.context_tokens + request + cap > max_sequence_length:
        asked = f" + {request} (the request for notes)" if request else ""
        raise ConfigError(
            f"agent.context_tokens = {agent.context_tokens}{asked} + sampling.sampling_max_tokens = {cap} is more than "
            f"the sequence limit of {max_sequence_length}: a prompt that is not shortened yet would leave no room for "
            "a reply; lower one of the first, or raise sampling.max_sequence_length"
        )
    return limits


def require_room(limits: ContextLimits, renderer: Renderer, num_opening_tokens: int, task: str) -> None:
    """Raise ConfigError when the prompt of a task leaves too little of ``context_tokens`` for a conversation."""
    if limits.policy not in ("drop_oldest", "summarise"):
        return
    needed = 2 * _line_tokens(renderer)
    if limits.worth_tokens(num_opening_tokens) < needed:
        least = num_opening_tokens + ceil(needed / WORTH)
        raise ConfigError(
            f"agent.context_tokens = {limits.context_tokens} leaves too little behind the prompt of task {task!r}, "
            f"which has {num_opening_tokens} tokens and always stays: expected {least} at least, and several times the "
            "length of a tool's result more"
        )


def _line_tokens(renderer: Renderer) -> int:
    """Return the tokens of the line that says how much of a text is missing."""
    return renderer.num_text_tokens(missing(LONGEST_MISSING))


def _request_tokens(renderer: Renderer) -> int:
    """Return the tokens that a request for notes adds; raises ConfigError where the template refuses one."""
    call = ToolCall(id="call00000", name="f", arguments="{}")
    conversation = [
        Message(role="user", content="task"),
        Message(role="user", content="notes"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="result", tool_call_id=call.id, name=call.name),
    ]
    try:
        asked = renderer.prompt_ids([*conversation, Message(role="user", content=NOTES_WANTED)], ())
        return len(asked) - len(renderer.prompt_ids(conversation, ()))
    except UnsupportedModelError as error:
        raise ConfigError(
            f"agent.context_policy = 'summarise' asks for notes and gives them back in messages of the user: {error}; "
            "choose 'drop_oldest', or another model"
        ) from error
