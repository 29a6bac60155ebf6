"""JSON Schemas of the bodies that the OpenAPI document names; what the readers in dialects/ accept and refuse.

A field that is accepted but has no effect is not listed: every object admits fields beyond the listed ones, and nothing
is promised about them.
"""

from collections.abc import Mapping
from typing import Any

from turnwright.gateway.states import MAX_REWARD

Schema = Mapping[str, Any]

_MOST_TOKENS = 2**31 - 1


def _object(properties: Mapping[str, Schema], required: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties), **more}
    return {**schema, "required": list(required)} if required else schema


def _maybe(schema: Schema) -> Schema:
    """Clients send null for what is not set."""
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = _maybe({"type": "boolean"})
TOKENS: Schema = {"type": "integer", "minimum": 1, "maximum": _MOST_TOKENS}
TEMPERATURE: Schema = _maybe({"type": "number", "minimum": 0, "maximum": 2})
TOP_P: Schema = _maybe({"type": "number", "exclusiveMinimum": 0, "maximum": 1})
IDENTIFIER: Schema = {"type": "string", "minLength": 1, "maxLength": 256}
STOP: Schema = {"type": "string", "minLength": 1, "maxLength": 256}
REWARD: Schema = {"type": "number", "minimum": -MAX_REWARD, "maximum": MAX_REWARD}
IDS: Schema = _list(COUNT)

_PARTS: Schema = {"anyOf": [TEXT, _list(_object({"type": {"const": "text"}, "text": TEXT}, ("type", "text")))]}

_CHAT_CALL = _object(
    {
        "id": NAME,
        "type": _maybe({"const": "function"}),
        "function": _object({"name": NAME, "arguments": _maybe(TEXT)}, ("name",)),
    },
    ("id", "function"),
)

_CHAT_MESSAGE: Schema = {
    "oneOf": [
        _object({"role": {"enum": ["system", "developer", "user"]}, "content": _PARTS}, ("role", "content")),
        _object({"role": {"const": "assistant"}, "tool_calls": _maybe(_list(_CHAT_CALL))}, ("role",)),
        _object({"role": {"const": "tool"}, "tool_call_id": NAME, "content": _maybe(_PARTS)}, ("role", "tool_call_id")),
    ]
}

_FUNCTION = {"name": NAME, "description": _maybe(TEXT), "parameters": _maybe({"type": "object"})}

_OPENAI_SAMPLING: Mapping[str, Schema] = {
    "model": _maybe(TEXT),
    "temperature": TEMPERATURE,
    "top_p": TOP_P,
    "seed": _maybe({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}),
    "stop": {"anyOf": [STOP, _list(STOP, maxItems=4), {"type": "null"}]},
    "stream": FLAG,
    "tool_choice": {"enum": ["auto", "none", None]},
}

_CHAT_REQUEST = _object(
    {
        **_OPENAI_SAMPLING,
        "messages": _list(_CHAT_MESSAGE, minItems=1),
        # Its older name max_tokens is read as well; the two must not differ, which no schema can say.
        "max_completion_tokens": _maybe(TOKENS),
        "tools": _maybe(
            _list(
                _object(
                    {"type": {"const": "function"}, "function": _object(_FUNCTION, ("name",))}, ("type", "function")
                )
            )
        ),
        "stream_options": _maybe(_object({"include_usage": FLAG})),
        "logprobs": FLAG,
        "n": {"enum": [1, None]},
    },
    ("messages",),
)

_CHAT_REPLY = _object(
    {
        "id": TEXT,
        "object": {"const": "chat.completion"},
        "created": COUNT,
        "model": TEXT,
        "choices": _list(
            _object(
                {
                    "index": COUNT,
                    "message": _object({"role": {"const": "assistant"}, "content": _maybe(TEXT)}, ("role", "content")),
                    "finish_reason": {"enum": ["stop", "length", "tool_calls"]},
                },
                ("index", "message", "finish_reason"),
            ),
            minItems=1,
            maxItems=1,
        ),
        "usage": _object(
            {"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT},
            ("prompt_tokens", "completion_tokens", "total_tokens"),
        ),
    },
    ("id", "object", "created", "model", "choices", "usage"),
)

_PART = _object({"type": {"enum": ["input_text", "output_text", "text"]}, "text": TEXT}, ("type", "text"))
_PARTS_OR_TEXT: Schema = {"anyOf": [TEXT, _list(_PART)]}
_ROLES = ["system", "developer", "user", "assistant"]

_RESPONSES_ITEM: Schema = {
    "oneOf": [
        _object(
            {"type": {"const": "message"}, "role": {"enum": _ROLES}, "content": _PARTS_OR_TEXT},
            ("type", "role", "content"),
        ),
        _object(
            {"type": {"const": "function_call"}, "call_id": NAME, "name": NAME, "arguments": _maybe(TEXT)},
            ("type", "call_id", "name"),
        ),
        _object(
            {"type": {"const": "function_call_output"}, "call_id": NAME, "output": _PARTS_OR_TEXT},
            ("type", "call_id", "output"),
        ),
    ]
}

_RESPONSES_REQUEST = _object(
    {
        **{name: schema for name, schema in _OPENAI_SAMPLING.items() if name not in ("stop", "seed")},
        "input": {"anyOf": [TEXT, _list(_RESPONSES_ITEM, minItems=1)]},
        "instructions": _maybe(TEXT),
        # previous_response_id is read as well; it must name an earlier reply, which no schema can say.
        "max_output_tokens": _maybe(TOKENS),
        "tools": _maybe(_list(_object({"type": {"const": "function"}, **_FUNCTION}, ("type", "name")))),
    },
    ("input",),
)

_RESPONSES_REPLY = _object(
    {
        "id": TEXT,
        "object": {"const": "response"},
        "created_at": NUMBER,
        "model": TEXT,
        "status": {"enum": ["completed", "incomplete"]},
        "output": _list(_object({"type": TEXT}, ("type",))),
        "usage": _object({"input_tokens": COUNT, "output_tokens": COUNT}, ("input_tokens", "output_tokens")),
    },
    ("id", "object", "created_at", "model", "status", "output", "usage"),
)

_TEXT_BLOCK = _object({"type": {"const": "text"}, "text": TEXT}, ("type", "text"))
_SPOKEN: Schema = {"anyOf": [TEXT, _list(_TEXT_BLOCK)]}
_TOOL_RESULT = _object(
    {"type": {"const": "tool_result"}, "tool_use_id": NAME, "content": _maybe(_SPOKEN), "is_error": FLAG},
    ("type", "tool_use_id"),
)
_TOOL_USE = _object(
    {"type": {"const": "tool_use"}, "id": NAME, "name": NAME, "input": {"type": "object"}},
    ("type", "id", "name", "input"),
)
_THINKING = _object({"type": {"const": "thinking"}, "thinking": _maybe(TEXT)}, ("type",))
_REDACTED = _object({"type": {"const": "redacted_thinking"}}, ("type",))


def _blocks(*kinds: Schema) -> Schema:
    return {"anyOf": [TEXT, _list({"oneOf": list(kinds)})]}


_ANTHROPIC_MESSAGE: Schema = {
    "oneOf": [
        _object({"role": {"const": "user"}, "content": _blocks(_TEXT_BLOCK, _TOOL_RESULT)}, ("role", "content")),
        _object(
            {"role": {"const": "assistant"}, "content": _blocks(_TEXT_BLOCK, _TOOL_USE, _THINKING, _REDACTED)},
            ("role", "content"),
        ),
        _object({"role": {"const": "system"}, "content": _SPOKEN}, ("role", "content")),
    ]
}

_ANTHROPIC_CONVERSATION: Mapping[str, Schema] = {
    "messages": _list(_ANTHROPIC_MESSAGE, minItems=1),
    "system": _maybe(_SPOKEN),
    "tools": _maybe(
        _list(
            _object(
                {
                    "type": {"enum": ["custom", None]},
                    "name": NAME,
                    "description": _maybe(TEXT),
                    "input_schema": {"type": "object"},
                },
                ("name", "input_schema"),
            )
        )
    ),
    "tool_choice": _maybe(_object({"type": {"enum": ["auto", "none"]}}, ("type",))),
}

_ANTHROPIC_REQUEST = _object(
    {
        **_ANTHROPIC_CONVERSATION,
        "model": NAME,
        "max_tokens": TOKENS,
        "temperature": TEMPERATURE,
        "top_p": TOP_P,
        "stop_sequences": _maybe(_list(STOP, maxItems=16)),
        "stream": FLAG,
    },
    ("model", "messages", "max_tokens"),
)

_ANTHROPIC_REPLY = _object(
    {
        "id": TEXT,
        "type": {"const": "message"},
        "role": {"const": "assistant"},
        "model": TEXT,
        "content": _list({"oneOf": [_TEXT_BLOCK, _TOOL_USE, _THINKING]}, minItems=1),
        "stop_reason": {"enum": ["end_turn", "tool_use", "max_tokens", "stop_sequence"]},
        "stop_sequence": _maybe(TEXT),
        "usage": _object({"input_tokens": COUNT, "output_tokens": COUNT}, ("input_tokens", "output_tokens")),
    },
    ("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"),
)

_OUTCOME = _object(
    {
        "kind": {"enum": ["rewarded", "truncated", "failed"]},
        "value": NUMBER,
        "turn_values": _list(NUMBER),
        "components": {"type": "object", "additionalProperties": NUMBER},
        "cause": TEXT,
        "detail": TEXT,
    },
    ("kind",),
)

_TURN = _object(
    {
        "index": COUNT,
        "parent": _maybe(COUNT),
        "kind": {"enum": ["root", "clean", "realign", "fork"]},
        "cause": TEXT,
        "prompt_token_ids": IDS,
        "sampled_token_ids": IDS,
        "logprobs": _list(NUMBER),
        "policy_versions": IDS,
        "temperature": NUMBER,
        "top_p": NUMBER,
        "prefix_hash": TEXT,
        "abandoned": {"type": "boolean"},
        "prompt_text": TEXT,
        "sampled_text": TEXT,
    },
    ("index", "parent", "kind", "prompt_token_ids", "sampled_token_ids", "logprobs", "prompt_text", "sampled_text"),
)

SCHEMAS: Mapping[str, Schema] = {
    "ChatRequest": _CHAT_REQUEST,
    "ChatReply": _CHAT_REPLY,
    "ResponsesRequest": _RESPONSES_REQUEST,
    "ResponsesReply": _RESPONSES_REPLY,
    "MessagesRequest": _ANTHROPIC_REQUEST,
    "MessagesReply": _ANTHROPIC_REPLY,
    "CountTokensRequest": _object(_ANTHROPIC_CONVERSATION, ("messages",)),
    "CountTokensReply": _object({"input_tokens": COUNT}, ("input_tokens",)),
    "OpenAIError": _object(
        {
            "error": _object(
                {"message": TEXT, "type": TEXT, "param": _maybe(TEXT), "code": _maybe(TEXT)}, ("message", "type")
            )
        },
        ("error",),
    ),
    "AnthropicError": _object(
        {
            "type": {"const": "error"},
            "error": _object({"type": TEXT, "message": TEXT}, ("type", "message")),
            "request_id": _maybe(TEXT),
        },
        ("type", "error"),
    ),
    "RuntimeError": _object({"__type": TEXT, "message": TEXT}, ("__type", "message")),
    "Models": _object(
        {
            "object": {"const": "list"},
            "data": _list(_object({"id": TEXT, "object": {"const": "model"}}, ("id", "object")), minItems=1),
            "has_more": {"const": False},
        },
        ("object", "data"),
    ),
    "CompleteRollout": _object(
        {
            "TrajectoryId": IDENTIFIER,
            "Status": {"enum": ["ready", "failed", None]},
            "Detail": _maybe(TEXT),
            "ClientToken": _maybe(IDENTIFIER),
            "JobArn": _maybe(TEXT),
        },
        ("TrajectoryId",),
    ),
    "UpdateReward": _object(
        {
            "TrajectoryId": IDENTIFIER,
            "Rewards": _list(REWARD, minItems=1),
            "Components": _maybe({"type": "object", "additionalProperties": REWARD}),
            "ClientToken": _maybe(IDENTIFIER),
            "JobArn": _maybe(TEXT),
        },
        ("TrajectoryId", "Rewards"),
    ),
    "Done": _object({}),
    "Document": _object({"openapi": TEXT, "paths": {"type": "object"}}, ("openapi", "paths")),
    "Task": _object(
        {
            "prompt": NAME,
            "id": _maybe(NAME),
            "data": _maybe({"type": "object"}),
            "split": {"enum": ["train", "validation", "test", None]},
        },
        ("prompt",),
    ),
    "RolloutRequest": _object(
        {
            "prompt": TEXT,
            "instance": {"type": "object"},
            "metadata": _object(
                {"jobArn": TEXT, "trajectoryId": TEXT, "rolloutId": TEXT, "endpoint": TEXT, "api_key": TEXT},
                ("jobArn", "trajectoryId", "rolloutId", "endpoint", "api_key"),
            ),
            "inferenceParams": _object(
                {"temperature": NUMBER, "topP": NUMBER, "maxTokens": COUNT}, ("temperature", "topP", "maxTokens")
            ),
        },
        ("prompt", "instance", "metadata", "inferenceParams"),
    ),
    "RecordedTrajectory": _object(
        {
            "trajectory_id": TEXT,
            "task_id": TEXT,
            "attempt": COUNT,
            "state": {"enum": ["open", "interrupted", "ready", "failed", "rewarded"]},
            "turns": _list(_TURN),
            "outcome": _maybe(_OUTCOME),
        },
        ("trajectory_id", "task_id", "attempt", "state", "turns", "outcome"),
    ),
    "Lease": _object({"lease": {"const": "renewed"}}, ("lease",)),
    "Health": _object({"status": {"enum": ["healthy", "unhealthy"]}, "detail": TEXT}, ("status",)),
    "Ping": _object({"status": {"const": "Healthy"}}, ("status",)),
}
"""Every named schema of the document."""


def reference(name: str) -> Schema:
    """Return the reference to one of ``SCHEMAS``."""
    if name not in SCHEMAS:
        raise KeyError(name)
    return {"$ref": f"#/components/schemas/{name}"}
