"""Which context policies of a run are refused before anything is spent."""

from typing import Any

import pytest

from turnwright.agents.context import ContextLimits
from turnwright.config import RunConfig, resolve
from turnwright.core.errors import ConfigError
from turnwright.launch.context import context_limits, require_room
from turnwright.policies.tokenizer import build_tokenizer
from turnwright.rendering.renderer import Renderer

ALTERNATING = """
{%- for message in messages -%}
{%- if loop.index0 and message.role == 'user' == messages[loop.index0 - 1].role -%}
{{ raise_exception('roles must alternate') }}{%- endif -%}
<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}
"""


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(build_tokenizer(["Look the order up: O3"] * 9, 300))


def config(policy: str, **settings: Any) -> RunConfig:
    chosen = [f"agent.{name}={value}" for name, value in settings.items()]
    return resolve(
        None,
        ["environment.name=returns_desk", "sampling.sampling_max_tokens=64", f"agent.context_policy={policy}", *chosen],
    ).config


def test_settings_become_limits_and_the_next_reply_must_fit(renderer: Renderer) -> None:
    limits = context_limits(
        config("drop_oldest", context_tokens=900, keep_results=1), renderer, max_sequence_length=1000
    )
    assert limits == ContextLimits(
        policy="drop_oldest", context_tokens=900, keep_results=1, max_prompt_tokens=1000 - 64
    )
    assert context_limits(config("none"), renderer, max_sequence_length=1000).policy == "none"


@pytest.mark.parametrize(
    ("policy", "settings", "said"),
    [
        ("cap_tool_output", {"tool_output_tokens": 20}, "agent.tool_output_tokens = 20 leaves too little of a result"),
        ("drop_oldest", {"context_tokens": 937}, r"agent.context_tokens = 937 \+ sampling.* = 64 is more than the"),
        ("summarise", {"context_tokens": 900}, r"agent.context_tokens = 900 \+ \d+ \(the request for notes\)"),
    ],
)
def test_limits_that_hold_nothing_are_refused(
    renderer: Renderer, policy: str, settings: dict[str, int], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        context_limits(config(policy, **settings), renderer, max_sequence_length=1000)


def test_a_template_that_allows_no_request_for_notes_is_refused() -> None:
    tokenizer = build_tokenizer(["Look the order up: O3"] * 9, 300)
    tokenizer.chat_template = ALTERNATING
    strict = Renderer(tokenizer)
    with pytest.raises(ConfigError, match=r"'summarise' asks for notes .* must alternate; .*choose 'drop_oldest'"):
        context_limits(config("summarise", context_tokens=500), strict, max_sequence_length=4000)
    assert context_limits(config("drop_oldest", context_tokens=500), strict, max_sequence_length=4000).context_tokens


def test_a_prompt_must_leave_room_for_a_conversation(renderer: Renderer) -> None:
    limits = ContextLimits(policy="drop_oldest", context_tokens=900)
    line = renderer.num_text_tokens("\n[... 999999 characters left out ...]\n")
    least = 900 - 8 * line
    require_room(limits, renderer, least, "t1")
    with pytest.raises(ConfigError, match=f"task 't1', which has {least + 1} tokens .* expected {901} at least"):
        require_room(limits, renderer, least + 1, "t1")
    require_room(ContextLimits(), renderer, 10**6, "t1")
