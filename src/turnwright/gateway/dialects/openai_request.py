"""What both OpenAI dialects, chat completions and responses, read in the same way; and their one error shape.

Bounds and names after OpenAI's API reference. What would change the distribution that the policy is trained on, and is
not recorded, is refused; what has no effect on it is left to the caller, who counts it as ignored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from turnwright.core.message import Role, ToolSpec
from turnwright.gateway.calls import Answer, AskedSampling
from turnwright.gateway.dialects.base import AWS_ERRORS
from turnwright.gateway.dialects.fields import Fields, describe
from turnwright.gateway.dialects.malformed_calls import is_reserved
from turnwright.gateway.refusals import Refusal, RefusalCode

ROLES: dict[object, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""Roles of messages in both dialects."""

_TEXT_ONLY = "the policy reads text only: put what matters into text"

_MOST_TOKENS = 2**31 - 1
_MOST_STOPS = 4
_LONGEST_STOP = 256
_DEEPEST_SCHEMA = 64
_LEAST_LOGPROB = -9999.0

_ERROR_TYPES: dict[RefusalCode, str] = {
    "validation": "invalid_request_error",
    "quota": "insufficient_quota",
    "access_denied": "permission_error",
    "not_found": "not_found_error",
    "conflict": "conflict_error",
    "too_large": "invalid_request_error",
    "throttled": "rate_limit_error",
    "internal": "server_error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Neutral:
    """A field that changes the reply in a way that is not recorded, and the values with which it does not."""

    values: tuple[object, ...] = ()
    cure: str


_ONE_DISTRIBUTION = "the policy is trained on the distribution it samples from: leave it out"
_NO_STATE = "every call carries its whole conversation, or the previous_response_id of its trajectory"
_NEUTRAL: dict[str, _Neutral] = {
    "n": _Neutral(values=(1,), cure="make one call for each reply"),
    "best_of": _Neutral(values=(1,), cure="make one call for each reply"),
    "logit_bias": _Neutral(values=({},), cure=_ONE_DISTRIBUTION),
    "presence_penalty": _Neutral(values=(0,), cure=_ONE_DISTRIBUTION),
    "frequency_penalty": _Neutral(values=(0,), cure=_ONE_DISTRIBUTION),
    "repetition_penalty": _Neutral(values=(1,), cure=_ONE_DISTRIBUTION),
    "min_p": _Neutral(values=(0,), cure=_ONE_DISTRIBUTION),
    "top_k": _Neutral(values=(-1, 0), cure="log-probabilities are recorded over the top_p set: leave it out"),
    "top_logprobs": _Neutral(values=(0,), cure="only the sampled tokens' log-probabilities are recorded"),
    "functions": _Neutral(values=([],), cure="deprecated: send 'tools' of type 'function'"),
    "function_call": _Neutral(values=("auto", "none"), cure="deprecated: send 'tools' and 'tool_choice'"),
    "audio": _Neutral(cure="the policy writes text only"),
    "web_search_options": _Neutral(cure="tools run in the agent: give a function tool of your own"),
    "background": _Neutral(values=(False,), cure="wait for the reply, or stream it"),
    "conversation": _Neutral(cure=_NO_STATE),
    "prompt": _Neutral(cure="prompt templates are the vendor's: send their text as instructions or input"),
    "truncation": _Neutral(values=("disabled",), cure="shorten the conversation in the agent"),
}

HONOURED = frozenset(
    {"model", "temperature", "top_p", "stop", "seed", "stream", "stream_options", "tools", "tool_choice", *_NEUTRAL}
)
"""Fields that have the effect they say in both dialects, or are refused."""


def refuse_unrecorded(body: Fields) -> None:
    """Refuse what changes the reply in a way that is not recorded.

    Raises:
        Refusal: Naming the first such field and what to do instead.
    """
    for name, neutral in _NEUTRAL.items():
        value = body.get(name)
        # To Python True is 1 and False is 0; to JSON they are not.
        if value is None or any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in neutral.values):
            continue
        raise body.refuse(name, _either([*map(describe, neutral.values), "absent"]), neutral.cure)


def refuse_format(owner: Fields | None) -> None:
    """Refuse a format other than plain text (``response_format``, ``text.format``)."""
    if owner is not None and owner.get("type") not in (None, "text"):
        raise owner.refuse("type", "'text'", "constrained decoding changes what the policy samples: ask in the prompt")


def read_sampling(body: Fields, max_tokens: int | None) -> AskedSampling:
    """Read temperature, top_p, stop and seed; ``max_tokens`` has another name in each dialect."""
    return AskedSampling(
        temperature=body.number("temperature", 0, 2),
        top_p=body.number("top_p", 0, 1, above_low=True),
        max_tokens=max_tokens,
        stop=_stops(body),
        seed=body.integer("seed", -(2**63), 2**63 - 1),
    )


def read_max_tokens(body: Fields, *names: str) -> int | None:
    """Read the most tokens of a reply from whichever of ``names`` is there; two different values are refused."""
    given = {name: value for name in names if (value := body.integer(name, 1, _MOST_TOKENS)) is not None}
    if len(set(given.values())) > 1:
        raise body.refuse(names[0], f"equal to {names[1]!r} ({given[names[1]]})", f"send {names[1]!r} alone")
    return next(iter(given.values()), None)


def read_function(function: Fields) -> ToolSpec:
    """Read a function tool; the schema is shown to the policy as it was sent."""
    name = function.required_text("name")
    if is_reserved(name):
        raise function.refuse("name", "another name", "malformed calls go by it; rename the tool")
    parameters = function.nested("parameters")
    schema = {} if parameters is None else cast("Mapping[str, Any]", parameters.value)
    if _deeper_than(schema, _DEEPEST_SCHEMA):
        raise function.refuse("parameters", f"nested at most {_DEEPEST_SCHEMA} deep")
    return ToolSpec(name=name, description=function.text("description") or "", parameters=schema)


def refuse_tool_type(tool: Fields) -> None:
    """Refuse tools that the vendor would run, and tools without a schema."""
    if tool.get("type") != "function":
        raise tool.refuse("type", "'function'", "tools run in the agent; hosted and custom ones are not known here")


def may_call(body: Fields) -> bool:
    """Read ``tool_choice``: with "none" the policy is shown no tools; forcing a call is refused."""
    choice = body.get("tool_choice")
    if choice not in (None, "auto", "none"):
        raise body.refuse("tool_choice", "'auto' or 'none'", "a forced call changes what the policy samples")
    return choice != "none"


def read_content(owner: Fields, name: str, kinds: Mapping[str, str], *, separator: str) -> str | None:
    """Read a text that may come as a list of parts; None when it is absent.

    Args:
        owner: Message or item.
        name: Its field.
        kinds: Part types that are text, and under which name each keeps it.
        separator: What to put between parts.
    """
    value = owner.get(name)
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise owner.refuse(name, "a string or a list of text parts")
    texts: list[str] = []
    for part in owner.objects(name):
        kind = part.get("type")
        if not isinstance(kind, str) or kind not in kinds:
            raise part.refuse("type", _either(map(repr, kinds)), _TEXT_ONLY)
        text = part.text(kinds[kind])
        if text is None:
            raise part.refuse(kinds[kind], "a string")
        texts.append(text)
    return separator.join(texts)


def token_logprobs(answer: Answer) -> list[dict[str, Any]]:
    """Return every sampled token with its log-probability, those of reasoning, calls and the stop token included."""
    return [
        {
            "token": text,
            "logprob": max(logprob, _LEAST_LOGPROB),
            "bytes": list(text.encode()),
            "top_logprobs": [],
        }
        for text, logprob in zip(answer.token_texts, answer.logprobs, strict=True)
    ]


def error_fields(refusal: Refusal) -> dict[str, Any]:
    """Return the ``error`` object."""
    return {
        "message": str(refusal),
        "type": _ERROR_TYPES[refusal.code],
        "param": refusal.field,
        "code": refusal.reason or refusal.code,
    }


def error_body(refusal: Refusal) -> dict[str, Any]:
    """Return an error's body; boto3 reads the last two fields, OpenAI's clients the first."""
    return {"error": error_fields(refusal), "message": str(refusal), "__type": AWS_ERRORS[refusal.code]}


def _stops(body: Fields) -> tuple[str, ...]:
    value = body.get("stop")
    stops = (value,) if isinstance(value, str) else body.texts("stop")
    if len(stops) > _MOST_STOPS or not all(1 <= len(stop) <= _LONGEST_STOP for stop in stops):
        raise body.refuse("stop", f"up to {_MOST_STOPS} strings of 1 to {_LONGEST_STOP} characters")
    return stops


def _deeper_than(schema: object, most: int) -> bool:
    """Tell whether JSON is nested deeper than ``most``, without recursion: later layers write it with recursion."""
    layer: list[Any] = [schema]
    for _ in range(most):
        inside = (value.values() if isinstance(value, dict) else value for value in layer)
        layer = [value for values in inside for value in values if isinstance(value, dict | list)]
        if not layer:
            return False
    return True


def _either(choices: Iterable[str]) -> str:
    return " or ".join(choices)
