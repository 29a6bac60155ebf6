"""Three families: our own tokenizer and template, a Qwen-like template on it, and a Llama-like tokenizer.

``tiny`` is the shipped policy's renderer.
"""

from importlib.resources import files
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from turnwright.policies.tokenizer import build_tokenizer
from turnwright.rendering.renderer import Renderer

TEMPLATES = Path(__file__).parent / "templates"
CORPUS = (
    '<tool_call>{"name": "get_order", "arguments": {"order": "O3"}}</tool_call>',
    '{"item": "K1", "status": "late"}',
    "You are an agent at a desk. Look the order up, then decide. order: O3\nassistant\nuser\nsystem\ntool\n",
) * 20


@pytest.fixture(scope="session")
def own_tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(CORPUS, vocab_size=420)


@pytest.fixture(scope="session")
def llama_like_tokenizer() -> PreTrainedTokenizerFast:
    specials = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
        chat_template=(TEMPLATES / "llama_like.jinja").read_text(),
    )


@pytest.fixture(scope="session")
def own(own_tokenizer: PreTrainedTokenizerFast) -> Renderer:
    return Renderer(own_tokenizer)


@pytest.fixture(scope="session")
def qwen_like() -> Renderer:
    tokenizer = build_tokenizer(CORPUS, vocab_size=400)
    tokenizer.chat_template = (TEMPLATES / "qwen_like.jinja").read_text()
    return Renderer(tokenizer)


@pytest.fixture(scope="session")
def llama_like(llama_like_tokenizer: PreTrainedTokenizerFast) -> Renderer:
    return Renderer(llama_like_tokenizer)


@pytest.fixture(scope="session")
def tiny() -> Renderer:
    return Renderer.load(Path(str(files("turnwright.policies"))) / "tiny")


@pytest.fixture(scope="session", params=["own", "qwen_like", "llama_like"])
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return request.getfixturevalue(request.param)
