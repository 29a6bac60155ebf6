"""Malformed calls on the wire: a call that cannot be read still reaches the agent, as a call of a tool nobody has.

The policy wrote a tool call that is no JSON, or names no tool. Shown as plain text it would end the loop of any
framework as if it were the answer. Shown as a call of ``invalid_tool_call`` it makes the framework say that there is no
such tool, and the policy meets its mistake. The arguments are a JSON object, because frameworks parse, store and write
them anew; what comes back is the same malformed call, so the history still agrees with the record.
"""

import json
import re

from turnwright.core.message import ToolCall

INVALID_CALL = "invalid_tool_call"
"""Name of a malformed call on the wire; its arguments are ``{"text": "<what the policy wrote>"}``."""

_RESERVED = re.compile(f"{INVALID_CALL}_*")


def is_reserved(name: str) -> bool:
    """Tell whether a tool may not have this name, because malformed calls go by it."""
    return _RESERVED.fullmatch(name) is not None


def spell_call(call: ToolCall) -> tuple[str, str]:
    """Return a call's name and arguments as an agent sees them.

    A policy that calls the reserved name itself, as it may after having read it in an error, gets one more underscore,
    so that the two stay apart.
    """
    if not call.name:
        return INVALID_CALL, json.dumps({"text": call.arguments}, ensure_ascii=False)
    return (f"{call.name}_" if is_reserved(call.name) else call.name), call.arguments


def read_call(id: str, name: str, arguments: str) -> ToolCall:
    """Return the call that ``spell_call`` spelled; ``arguments`` may have been parsed and written anew since."""
    if not is_reserved(name):
        return ToolCall(id=id, name=name, arguments=arguments)
    if name != INVALID_CALL:
        return ToolCall(id=id, name=name[:-1], arguments=arguments)
    return ToolCall(id=id, name="", arguments=_text_of(arguments))


def _text_of(arguments: str) -> str:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = value.get("text") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments
