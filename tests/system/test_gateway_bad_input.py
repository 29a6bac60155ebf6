"""Bad input in every dialect: a 400 in the caller's own shape that says what is wrong and what to do."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from system.gateway_at_work import Visit, at_work, shipped_renderer
from turnwright.rendering.renderer import Renderer

pytestmark = pytest.mark.slow

CHAT, RESPONSES, ANTHROPIC = "/v1/chat/completions", "/v1/responses", "/v1/messages"
ALTERNATING = (
    "{%- for message in messages -%}{%- if not loop.first and message['role'] == loop.previtem['role'] -%}"
    "{{- raise_exception('roles must alternate') -}}{%- endif -%}{%- endfor -%}"
)
"""What templates of several families begin with."""
USER = {"role": "user", "content": "order: O3"}
PNG = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"name": "verdict", "schema": {"type": "object"}}
LONG = "order: O3 " * 400


def body(path: str, **changes: Any) -> dict[str, Any]:
    """A good body of a dialect with some fields replaced."""
    messages = {"input": [USER]} if path == RESPONSES else {"messages": [USER]}
    limit = {"max_tokens": 8} if path == ANTHROPIC else {}
    return {"model": "default", **messages, **limit, **changes}


def spoken(path: str, *messages: Mapping[str, Any]) -> dict[str, Any]:
    return body(path, **{"input" if path == RESPONSES else "messages": list(messages)})


CASES: dict[str, tuple[str, dict[str, Any], str, tuple[str, ...]]] = {
    # name: path, body, field at fault, parts of the message
    "chat: unrenderable": (CHAT, spoken(CHAT, USER, USER), "messages", ("roles must alternate",)),
    "responses: unrenderable": (RESPONSES, spoken(RESPONSES, USER, USER), "messages", ("roles must alternate",)),
    "anthropic: unrenderable": (ANTHROPIC, spoken(ANTHROPIC, USER, USER), "messages", ("roles must alternate",)),
    "count: unrenderable": (
        f"{ANTHROPIC}/count_tokens",
        spoken(ANTHROPIC, USER, USER),
        "messages",
        ("roles must alternate",),
    ),
    "chat: context": (
        CHAT,
        spoken(CHAT, {"role": "user", "content": LONG}),
        "messages",
        ("no room for a reply", "max_sequence_length = 512", "lower max_turns or tool output"),
    ),
    "responses: context": (RESPONSES, body(RESPONSES, input=LONG), "messages", ("no room", "raise it")),
    "anthropic: context": (
        ANTHROPIC,
        spoken(ANTHROPIC, {"role": "user", "content": LONG}),
        "messages",
        ("no room", "raise it"),
    ),
    "chat: image": (
        CHAT,
        spoken(CHAT, {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}),
        "messages[0].content[0].type",
        ("must be 'text'", "got 'image_url'", "the policy reads text only: put what matters into text"),
    ),
    "responses: image": (
        RESPONSES,
        spoken(RESPONSES, {"role": "user", "content": [{"type": "input_image", "image_url": PNG}]}),
        "input[0].content[0].type",
        ("'input_text'", "got 'input_image'", "put what matters into text"),
    ),
    "anthropic: image": (
        ANTHROPIC,
        spoken(ANTHROPIC, {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": PNG}}]}),
        "messages[0].content[0].type",
        ("'text' or 'tool_result'", "got 'image'", "the policy reads text"),
    ),
    "chat: hosted tool": (
        CHAT,
        body(CHAT, tools=[{"type": "web_search"}]),
        "tools[0].type",
        ("must be 'function'", "got 'web_search'", "tools run in the agent"),
    ),
    "responses: hosted tool": (
        RESPONSES,
        body(RESPONSES, tools=[{"type": "web_search"}]),
        "tools[0].type",
        ("must be 'function'", "got 'web_search'", "tools run in the agent"),
    ),
    "anthropic: hosted tool": (
        ANTHROPIC,
        body(ANTHROPIC, tools=[{"type": "bash_20250124", "name": "bash"}]),
        "tools[0].type",
        ("must be 'custom'", "got 'bash_20250124'", "define it in the agent"),
    ),
    "chat: unknown call in history": (
        CHAT,
        spoken(CHAT, USER, {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {}}]}),
        "messages[1].tool_calls[0].type",
        ("must be 'function'", "got 'custom'", "no other calls are made here"),
    ),
    "responses: unknown call in history": (
        RESPONSES,
        spoken(RESPONSES, USER, {"type": "web_search_call", "id": "ws", "status": "completed"}),
        "input[1].type",
        ("'function_call'", "got 'web_search_call'", "tools run in the agent"),
    ),
    "anthropic: unknown call in history": (
        ANTHROPIC,
        spoken(
            ANTHROPIC,
            USER,
            {"role": "assistant", "content": [{"type": "server_tool_use", "id": "s", "name": "web_search"}]},
            USER,
        ),
        "messages[1].content[0].type",
        ("'tool_use'", "got 'server_tool_use'", "the agent's own tools"),
    ),
    "chat: forced call": (
        CHAT,
        body(CHAT, tool_choice="required"),
        "tool_choice",
        ("must be 'auto' or 'none'", "got 'required'", "a forced call changes what the policy samples"),
    ),
    "responses: forced call": (
        RESPONSES,
        body(RESPONSES, tool_choice={"type": "function", "name": "get_order"}),
        "tool_choice",
        ("must be 'auto' or 'none'", "a forced call changes what the policy samples"),
    ),
    "anthropic: forced call": (
        ANTHROPIC,
        body(ANTHROPIC, tool_choice={"type": "any"}),
        "tool_choice.type",
        ("must be 'auto' or 'none'", "got 'any'", "a forced call changes what the policy samples"),
    ),
    "chat: two replies": (CHAT, body(CHAT, n=2), "n", ("must be 1", "got 2", "make one call for each reply")),
    "chat: json": (
        CHAT,
        body(CHAT, response_format={"type": "json_schema", "json_schema": SCHEMA}),
        "response_format.type",
        ("must be 'text'", "got 'json_schema'", "ask in the prompt"),
    ),
    "responses: json": (
        RESPONSES,
        body(RESPONSES, text={"format": {"type": "json_schema", **SCHEMA}}),
        "text.format.type",
        ("must be 'text'", "got 'json_schema'", "ask in the prompt"),
    ),
    "anthropic: json": (
        ANTHROPIC,
        body(ANTHROPIC, output_config={"format": {"type": "json_schema", "schema": {}}}),
        "output_config.format",
        ("must be absent", "constrained decoding", "check the reply"),
    ),
    "chat: biased": (
        CHAT,
        body(CHAT, logit_bias={"5": 10}),
        "logit_bias",
        ("leave it out", "the distribution it samples from"),
    ),
    "anthropic: top_k": (ANTHROPIC, body(ANTHROPIC, top_k=5), "top_k", ("must be absent", "use top_p")),
    "anthropic: no limit": (ANTHROPIC, body(ANTHROPIC, max_tokens=None), "max_tokens", ("a whole number from 1",)),
    "anthropic: prefill": (
        ANTHROPIC,
        spoken(ANTHROPIC, USER, {"role": "assistant", "content": "The"}),
        "messages[1].role",
        ("'user' in the last message", "cannot go on from a prefilled one"),
    ),
    "chat: no messages": (CHAT, spoken(CHAT), "messages", ("a list of at least one message", "got a list of 0")),
    "responses: another's reply": (
        RESPONSES,
        body(RESPONSES, previous_response_id="resp_t-other_0"),
        "previous_response_id",
        ("must name a reply of this trajectory", "got 'resp_t-other_0'"),
    ),
}


def alternating() -> Renderer:
    """The shipped tokenizer under a template that refuses two messages of one role in a row."""
    tokenizer = Renderer.load(Path(shipped_renderer().tokenizer.name_or_path)).tokenizer
    tokenizer.chat_template = ALTERNATING + str(tokenizer.chat_template)
    return Renderer(tokenizer)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, dict[str, Any]]]:
    """What one agent is told about each case, and that its trajectory is none the worse for it."""

    async def main() -> dict[str, tuple[int, dict[str, Any]]]:
        told: dict[str, tuple[int, dict[str, Any]]] = {}
        folder = tmp_path_factory.mktemp("records")
        async with at_work(folder, renderer=alternating()) as work:
            for stream in (False, True):
                session, request = await work.open()
                visit = Visit(request.payload(), [])
                for name, (path, sent, _, _) in CASES.items():
                    answer = await visit.post(path, {**sent, "stream": stream})
                    told[f"{name}, {'streamed' if stream else 'whole'}"] = (answer.status_code, answer.json())
                assert (session.state, session.trajectory().turns) == ("open", ())
                assert (await visit.say()).status_code == 200
        return told

    return asyncio.run(main())


@pytest.mark.parametrize("stream", ["whole", "streamed"])
@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_a_400_that_says_what_and_how_to_fix_it(
    name: str, stream: str, answers: dict[str, tuple[int, dict[str, Any]]]
) -> None:
    path, _, field, parts = CASES[name]
    status, told = answers[f"{name}, {stream}"]
    assert status == 400, told
    if path.startswith(ANTHROPIC):
        assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")
    else:
        assert (told["error"]["type"], told["error"]["param"]) == ("invalid_request_error", field)
        assert told["__type"] == "ValidationException"
    message = told["error"]["message"]
    for part in (*parts, "" if field == "messages" else field):
        assert part in message


def test_an_overflow_of_the_context_has_the_code_that_openai_s_clients_know(
    answers: dict[str, tuple[int, dict[str, Any]]],
) -> None:
    for name in ("chat: context, whole", "responses: context, whole"):
        assert answers[name][1]["error"]["code"] == "context_length_exceeded"
