"""One renderer with our own template, and one whose template drops reasoning before a user message."""

from pathlib import Path

import pytest

from gateway.at_work import CORPUS
from turnwright.policies.tokenizer import build_tokenizer
from turnwright.rendering.renderer import Renderer

QWEN_LIKE = Path(__file__).parents[1] / "rendering" / "templates" / "qwen_like.jinja"


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    return Renderer(build_tokenizer(CORPUS, vocab_size=400))


@pytest.fixture(scope="session")
def forgetful_renderer() -> Renderer:
    tokenizer = build_tokenizer(CORPUS, vocab_size=400)
    tokenizer.chat_template = QWEN_LIKE.read_text()
    return Renderer(tokenizer)
