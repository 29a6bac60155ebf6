from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from turnwright.policies.tokenizer import build_tokenizer

CALL = '<tool_call>{"name": "get_order", "arguments": {"order": "O3"}}</tool_call>'
CORPUS = (CALL, '{"item": "K1", "status": "late"}', "Look the order O3 up, then decide. order: O3") * 20
TOOL = {
    "type": "function",
    "function": {
        "name": "get_order",
        "description": "Look up.",
        "parameters": {
            "type": "object",
            "properties": {"order": {"type": "string"}, "how": {"enum": ["fast", "slow"]}},
            "required": ["order"],
        },
    },
}


TOKENIZER = build_tokenizer(CORPUS, vocab_size=400)


def pieces(text: str) -> list[str]:
    return [TOKENIZER.decode([token]) for token in TOKENIZER.encode(text)]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_exactly(text: str):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.text(st.sampled_from(' \n:{}",[]abZK_39'), max_size=20))
def test_an_id_is_a_letter_and_a_digit_whatever_surrounds_it(context: str):
    around = TOKENIZER.encode(f"{context}O3")
    assert TOKENIZER.decode(around[-2:-1]) == "O"
    assert TOKENIZER.decode(around[-1:]) == "3"
    assert TOKENIZER.encode(f"O3{context}")[:2] == around[-2:]


def test_the_joints_of_a_call_cost_one_token_each():
    assert pieces(CALL) == [
        *("<tool_call>", '{"', "name", '": "', "get_order", '", "', "arguments", '": {"', "order", '": "', "O", "3"),
        *('"}}', "</tool_call>"),
    ]


def test_tags_stay_visible_and_turn_marks_do_not():
    ids = TOKENIZER.encode("<|im_start|>assistant\n<think>x</think><|im_end|>")
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == "assistant\n<think>x</think>"
    assert (TOKENIZER.eos_token, TOKENIZER.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_the_vocabulary_has_the_size_asked_for_when_the_corpus_fills_it():
    words = [f"{a}{b}{c}" for a in "abcdefgh" for b in "ijklmnop" for c in "qrstuvwx"]
    assert len(build_tokenizer(words, vocab_size=400)) == 400


def test_a_vocabulary_below_the_bytes_is_refused():
    with pytest.raises(ValueError, match="got 200, expected >= 267"):
        build_tokenizer(CORPUS, vocab_size=200)


def test_saving_and_loading_changes_nothing(tmp_path: Path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    conversation = [{"role": "user", "content": f"{CALL} O3"}]
    assert loaded.apply_chat_template(conversation) == TOKENIZER.apply_chat_template(conversation)
    assert loaded.decode(loaded.encode(CALL)) == CALL


def test_the_template_in_full():
    function = {"name": "get_order", "arguments": {"order": "O3"}}
    spelled = {"name": "get_order", "arguments": '{"order": "O3"}'}
    conversation = [
        {"role": "system", "content": "You are an agent."},
        {"role": "user", "content": [{"type": "text", "text": "order: O3"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}, spelled]},
        {"role": "tool", "content": "{}"},
        {"role": "assistant", "content": "done", "reasoning_content": "so"},
    ]
    text = TOKENIZER.apply_chat_template(conversation, tools=[TOOL], tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nYou are an agent.\n"
        'To call a tool write <tool_call>{"name": ..., "arguments": {...}}</tool_call>. Tools:\n'
        "get_order(order: string, how?: fast|slow): Look up.<|im_end|>\n"
        "<|im_start|>user\norder: O3<|im_end|>\n"
        f"<|im_start|>assistant\n{CALL}{CALL}<|im_end|>\n"
        "<|im_start|>tool\n{}<|im_end|>\n"
        "<|im_start|>assistant\n<think>so</think>done<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
