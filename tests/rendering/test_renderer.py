import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from turnwright.core.errors import UnsupportedModelError
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.rendering.renderer import Renderer

TOOLS = (
    ToolSpec(
        name="get_order",
        description="Look an order up.",
        parameters={"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
    ),
)
SYSTEM = Message(role="system", content="You are an agent.")
CALL = ToolCall(id="call_0_0", name="get_order", arguments='{"order": "O3"}')
CALLING = Message(role="assistant", tool_calls=(CALL,))
RESULT = Message(role="tool", content='{"item": "K1"}', tool_call_id="call_0_0", name="get_order")


def user(text: str) -> Message:
    return Message(role="user", content=text)


def said(text: str) -> Message:
    return Message(role="assistant", content=text)


def writing_call_ids(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return the tokenizer under a template that writes the ids of calls and results."""
    template = (
        "{%- for m in messages -%}<|im_start|>{{ m.role }}\n"
        "{%- if m.role == 'tool' -%}{{ m.tool_call_id }} says {% endif -%}"
        "{{- m.content -}}"
        "{%- for call in m.tool_calls or [] -%}{{ '<tool_call>' ~ call.function.name ~ '</tool_call>' }}{%- endfor -%}"
        "<|im_end|>\n{%- endfor -%}"
        "{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}"
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        eos_token="<|im_end|>",
        extra_special_tokens=["<|im_start|>"],
        chat_template=template,
    )


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(str.strip).filter(bool)
followups = st.lists(words.map(user), min_size=1, max_size=1) | st.lists(
    words.map(lambda text: Message(role="tool", content=text, tool_call_id="call_0_0", name="get_order")),
    min_size=1,
    max_size=3,
)
turns = st.lists(st.tuples(st.just(CALLING) | words.map(said), followups), min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(opening=words, turns=turns, tools=st.sampled_from([(), TOOLS]), system=st.booleans())
def test_held_ids_and_continuations_spell_the_templates_own_rendering(
    renderer: Renderer,
    opening: str,
    turns: list[tuple[Message, list[Message]]],
    tools: tuple[ToolSpec, ...],
    system: bool,
):
    messages = [SYSTEM, user(opening)] if system else [user(opening)]
    held = renderer.prompt_ids(messages, tools)
    for reply, new_messages in turns:
        sampled = renderer.reply_ids(reply)
        held += sampled + renderer.continuation_ids(sampled, new_messages, tools)
        messages += [reply, *new_messages]
        assert renderer.decode(held) == renderer.prompt_text(messages, tools)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(opening=words, turns=turns)
def test_our_own_template_gives_the_same_ids_either_way(
    own: Renderer, opening: str, turns: list[tuple[Message, list[Message]]]
):
    messages = [SYSTEM, user(opening)]
    held = own.prompt_ids(messages, TOOLS)
    for reply, new_messages in turns:
        sampled = own.reply_ids(reply)
        held += sampled + own.continuation_ids(sampled, new_messages, TOOLS)
        messages += [reply, *new_messages]
    assert held == own.prompt_ids(messages, TOOLS)


def test_replies_end_at_the_templates_end_of_turn(renderer: Renderer, llama_like: Renderer):
    reply = renderer.reply_ids(said("done"))
    assert reply[-1] in renderer.stop_token_ids
    assert renderer.decode(reply) in ("done<|im_end|>", "done<|eot_id|>")
    assert [llama_like.decode([i]) for i in sorted(llama_like.stop_token_ids)] == ["<|eot_id|>", "<|end_of_text|>"]


def test_a_cut_reply_gets_the_end_of_turn_it_lacks(renderer: Renderer):
    cut = renderer.encode("order K1 is")
    held = renderer.prompt_ids([user("hi")], ()) + cut + renderer.continuation_ids(cut, [user("go on")], ())
    expected = renderer.prompt_text([user("hi"), said("order K1 is"), user("go on")], ())
    assert renderer.decode(held) == expected


def test_a_reply_that_ended_by_another_stop_keeps_it(llama_like: Renderer):
    end_of_text = llama_like.encode("<|end_of_text|>")
    tail = llama_like.continuation_ids(end_of_text, [user("more")], ())
    assert llama_like.decode(tail).startswith("<|eot_id|>")


def test_sampled_replies_read_back_as_they_were_meant(own: Renderer, qwen_like: Renderer):
    message = Message(role="assistant", content="so", reasoning="look", tool_calls=(CALL,))
    for renderer in (own, qwen_like):
        ids = renderer.reply_ids(message)
        assert renderer.parse_reply(ids, turn=0) == message
        assert renderer.is_canonical(message, ids)


def test_a_malformed_call_is_rendered_as_it_was_written(own: Renderer):
    ids = (*own.encode('<tool_call>{"name": oops</tool_call>'), *own.stop_token_ids)
    message = own.parse_reply(ids, turn=0)
    assert message.tool_calls[0].name == ""
    assert own.is_canonical(message, ids)


def test_other_spacing_is_not_canonical(own: Renderer):
    ids = (*own.encode('<tool_call>{"name":"get_order","arguments":{"order":"O3"}}</tool_call>'), *own.stop_token_ids)
    message = own.parse_reply(ids, turn=0)
    assert message == CALLING
    assert not own.is_canonical(message, ids)


@pytest.mark.parametrize("text", ["order: O3", "\nO3", " O3", "a", "Z"])
def test_the_shared_prefix_is_one_and_holds_nothing_of_the_user(renderer: Renderer, text: str):
    messages = [SYSTEM, user(text)]
    length = renderer.shared_prefix_length(messages, TOOLS)
    prompt = renderer.prompt_ids(messages, TOOLS)
    assert prompt[:length] == renderer.prompt_ids([SYSTEM, user("order: O3")], TOOLS)[:length]
    assert "You are an agent." in renderer.decode(prompt[:length])
    assert "O3" not in renderer.decode(prompt[:length])


def test_the_shared_prefix_depends_on_system_text_and_tools(own: Renderer):
    assert own.shared_prefix_length([user("hi")], ()) == 0
    assert own.shared_prefix_length([user("hi")], TOOLS) > 20
    other = Message(role="system", content="Another text of another length.")
    assert own.shared_prefix_length([other, user("hi")], ()) != own.shared_prefix_length([SYSTEM, user("hi")], ())


def test_what_a_template_does_to_history_is_probed(own: Renderer, qwen_like: Renderer, llama_like: Renderer):
    assert own.template.following("user").keeps_reasoning
    assert own.template.following("tool").keeps_reasoning
    assert qwen_like.template.following("tool").keeps_reasoning
    assert not qwen_like.template.following("user").keeps_reasoning
    for renderer in (own, qwen_like, llama_like):
        assert renderer.template.following("user").keeps_text
        assert renderer.template.following("tool").keeps_text


def test_reasoning_a_template_knows_nothing_of_stays_in_the_text(llama_like: Renderer):
    reply = Message(role="assistant", content="yes", reasoning="hm")
    assert "<think>hm</think>yes<|eot_id|>" in llama_like.prompt_text([user("hi"), reply, user("and")], ())
    assert llama_like.parse_reply(llama_like.reply_ids(reply), turn=0) == reply


def test_call_ids_count_only_where_the_template_writes_them(own: Renderer):
    again = Message(role="tool", content=RESULT.content, tool_call_id="call_7_0", name="get_order")
    assert own.continuation_ids((), [RESULT], TOOLS) == own.continuation_ids((), [again], TOOLS)


def test_no_prompt_depends_on_how_a_client_names_calls(own_tokenizer: PreTrainedTokenizerFast):
    renderer = Renderer(writing_call_ids(own_tokenizer))

    def conversation(*ids: str) -> list[Message]:
        return [
            user("hi"),
            *(
                message
                for turn in (ids[:2], ids[2:])
                for message in (
                    Message(role="assistant", tool_calls=tuple(replace(CALL, id=id) for id in turn)),
                    *(replace(RESULT, tool_call_id=id) for id in turn),
                )
            ),
        ]

    ours, theirs = conversation("call_0_0", "call_0_1", "call_1_0"), conversation("toolu_x", "toolu_y", "fc-17")
    assert renderer.prompt_ids(ours, TOOLS) == renderer.prompt_ids(theirs, TOOLS)
    assert renderer.prompt_text(ours, TOOLS).count("call00001 says") == 1
    swapped = [*ours[:2], ours[3], ours[2]]
    assert "call00001 says" in renderer.prompt_text(swapped, TOOLS).partition("call00000 says")[0]


def test_results_are_numbered_the_same_in_a_continuation(own_tokenizer: PreTrainedTokenizerFast):
    renderer = Renderer(writing_call_ids(own_tokenizer))
    messages: list[Message] = [user("hi")]
    held = renderer.prompt_ids(messages, TOOLS)
    for turn in range(3):
        call = replace(CALL, id=f"call_{turn}_0")
        reply, result = Message(role="assistant", tool_calls=(call,)), replace(RESULT, tool_call_id=call.id)
        sampled = renderer.reply_ids(reply)
        held += sampled + renderer.continuation_ids(sampled, [result], TOOLS)
        messages += [reply, result]
    assert renderer.decode(held) == renderer.prompt_text(messages, TOOLS)


@pytest.mark.parametrize(
    ("held", "full", "expected"),
    [
        ("", "order: O3", "order: O3"),
        ("order", "order: O3", ": O3"),
        ("order: O3", "order: O3", ""),
        ("ord", "order: O3", None),
        ("item", "order: O3", None),
        ("order: O3 and more", "order: O3", None),
        ("a 北", "a 北 b", " b"),
        ("a \ufffd", "a 北 b", None),
        ("a \ufffd", "a \ufffd b", " b"),
        ("<|im_start|>user", "<|im_start|>user\nhi", "\nhi"),
    ],
)
def test_what_follows_held_text_is_found_in_the_ids(tiny: Renderer, held: str, full: str, expected: str | None):
    ids = tiny.encode(full)
    more = tiny.remainder_ids(held, ids)
    assert (None if more is None else tiny.decode(more)) == expected
    assert more is None or ids[len(ids) - len(more) :] == more


def test_what_cannot_be_rendered_is_refused_with_the_templates_reason(llama_like: Renderer, own: Renderer):
    llama_like.require_renderable([user("hi"), CALLING, RESULT], TOOLS)
    two = Message(role="assistant", tool_calls=(CALL, CALL))
    with pytest.raises(UnsupportedModelError, match="one call at a time"):
        llama_like.require_renderable([user("hi"), two], ())
    with pytest.raises(UnsupportedModelError, match=r"conversation of no messages: .*empty conversation"):
        own.require_renderable([], ())
    deep = Message(role="assistant", tool_calls=(replace(CALL, arguments='{"a": ' + "[" * 900 + "]" * 900 + "}"),))
    with pytest.raises(UnsupportedModelError, match="recursion"):
        own.require_renderable([user("hi"), deep], ())


def test_other_tools_are_another_prompt(own: Renderer):
    renamed = (ToolSpec(name="get_item", description="Look an order up.", parameters=TOOLS[0].parameters),)
    assert own.prompt_ids([user("hi")], TOOLS) != own.prompt_ids([user("hi")], renamed)
    assert own.prompt_ids([user("hi")], renamed) != own.prompt_ids([user("hi")], ())


def test_loading_reads_the_stop_ids_of_the_generation_config(own_tokenizer: PreTrainedTokenizerFast, tmp_path: Path):
    own_tokenizer.save_pretrained(tmp_path)
    assert len(Renderer.load(tmp_path).stop_token_ids) == 1
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    renderer = Renderer.load(tmp_path)
    assert renderer.stop_token_ids == {2, 7}
    assert renderer.prompt_ids([user("hi")], TOOLS) == Renderer(own_tokenizer).prompt_ids([user("hi")], TOOLS)


def test_a_tokenizer_without_template_is_refused_by_name(own_tokenizer: PreTrainedTokenizerFast):
    bare = PreTrainedTokenizerFast(tokenizer_object=own_tokenizer.backend_tokenizer)
    with pytest.raises(UnsupportedModelError, match="has no chat template"):
        Renderer(bare)


def test_a_template_that_rewrites_replies_cannot_train_on_them(own_tokenizer: PreTrainedTokenizerFast):
    odd = PreTrainedTokenizerFast(
        tokenizer_object=own_tokenizer.backend_tokenizer,
        eos_token="<|im_end|>",
        chat_template="{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}[reply]{% endif %}",
    )
    with pytest.raises(UnsupportedModelError, match="does not begin where the generation prompt ends"):
        Renderer(odd).reply_ids(said("x"))


def test_what_a_template_refuses_is_never_canonical_but_can_be_gone_on_from(llama_like: Renderer):
    two = Message(role="assistant", tool_calls=(CALL, CALL))
    with pytest.raises(UnsupportedModelError, match="conversation of user, assistant: one call at a time"):
        llama_like.reply_ids(two)
    ids = (*llama_like.encode("two calls, somehow"), *llama_like.encode("<|eot_id|>"))
    assert not llama_like.is_canonical(two, ids)
    tail = llama_like.continuation_ids(ids, [RESULT], TOOLS)
    assert llama_like.decode(tail).startswith("<|start_header_id|>ipython")
