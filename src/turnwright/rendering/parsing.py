"""Reads a sampled reply: text in; reasoning, content and tool calls out (Hermes and Qwen spelling).

What cannot be read is kept as it was written, so that the policy meets its own mistake as an error it can correct.
"""

import json
import re
from typing import Any

from turnwright.core.message import Message, ToolCall

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
_CALL = re.compile(f"{CALL_OPEN}(.*?)(?:{CALL_CLOSE}|(?={CALL_OPEN})|$)", re.DOTALL)


def parse_reply_text(text: str, *, turn: int, thinking: bool = False) -> Message:
    """Return the assistant message that ``text`` spells.

    Args:
        text: decoded reply without its stop token.
        turn: number of the model call; makes the call ids ``call_{turn}_{i}``.
        thinking: the generation prompt already opened the reasoning tag.
    """
    reasoning, rest = split_reasoning(text, thinking=thinking)
    if CALL_OPEN not in rest:
        return Message(role="assistant", content=rest.strip("\n"), reasoning=reasoning)
    calls: list[ToolCall] = []
    for found in _CALL.finditer(rest):
        closed = found.group(0).endswith(CALL_CLOSE)
        calls.append(_parse_call(found.group(1), id=f"call_{turn}_{len(calls)}", closed=closed))
    return Message(
        role="assistant", content=_CALL.sub("", rest).strip("\n"), reasoning=reasoning, tool_calls=tuple(calls)
    )


def split_reasoning(text: str, *, thinking: bool = False) -> tuple[str, str]:
    """Return (reasoning, rest); reasoning that was never closed takes all of the text."""
    stripped = text.lstrip()
    if stripped.startswith(THINK_OPEN):
        stripped = stripped[len(THINK_OPEN) :]
    elif not thinking:
        return "", text
    reasoning, _, rest = stripped.partition(THINK_CLOSE)
    return reasoning.strip("\n"), rest


def _parse_call(text: str, *, id: str, closed: bool) -> ToolCall:
    malformed = ToolCall(id=id, name="", arguments=text.strip())
    if not closed:
        return malformed
    try:
        call = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return malformed
    if not isinstance(call, dict):
        return malformed
    name, arguments = call.get("name"), call.get("arguments", {})
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return malformed
    written = json.dumps(arguments, ensure_ascii=False)
    # An escaped half of a surrogate pair is valid JSON but no text: no tokenizer can encode it.
    return ToolCall(id=id, name=name, arguments=written) if _is_text(name + written) else malformed


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
