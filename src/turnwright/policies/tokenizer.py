"""Builds the tokenizer of Turnwright's own small policies: texts in, a Hugging Face tokenizer with chat template out.

Byte-level BPE, so any text is representable and comes back exactly. Text is cut into chunks first and no token
crosses a chunk: a digit stands alone, and so does an upper-case letter before a digit, so that an id like O3 is the
tokens "O", "3" wherever it is written and copying it never changes its spelling. A run of punctuation is one chunk,
so that the joints of JSON (``": "``, ``{"``, ``"}}``) cost one token each.
"""

import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (PAD, TURN_START, TURN_END)
TAGS = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<final_output>",
    "</final_output>",
)
"""One token each, but visible in decoded text: parsers and readers need them."""

CHUNK = "|".join(
    (
        r"[0-9]",
        r" ?(?:[a-z_]|[A-Z](?![0-9]))+",
        r"[A-Z]",
        r"[^A-Za-z0-9_]*[^A-Za-z0-9_ ]",
        r" +(?![A-Za-z_])",
        r" ",
    )
)
"""Digit; word with the space before it; letter of an id; punctuation up to its last non-space; spaces."""


def build_tokenizer(corpus: Iterable[str], vocab_size: int = 1024) -> "PreTrainedTokenizerFast":
    """Return a tokenizer trained on ``corpus``, with special tokens, tags and the chat template.

    Args:
        corpus: texts as the policy will see them; rendered conversations are welcome, tags are cut out before training.
        vocab_size: entries in all, 256 bytes, special tokens and tags included; a small corpus may fill fewer.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    smallest = 256 + len(SPECIAL_TOKENS) + len(TAGS)
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size must hold all bytes, special tokens and tags: got {vocab_size}, expected >= {smallest}"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CHUNK), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(TAGS),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_without_tags(corpus), trainer)
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=PAD,
        extra_special_tokens=[TURN_START],
        clean_up_tokenization_spaces=False,
        chat_template=chat_template(),
    )


def chat_template() -> str:
    """Return the chat template of our own policies."""
    return files("turnwright.policies").joinpath("chat_template.jinja").read_text(encoding="utf-8")


def _without_tags(corpus: Iterable[str]) -> Iterator[str]:
    """Cut tags and special tokens out, so that no merge is spent on their letters."""
    marks = re.compile("|".join(re.escape(mark) for mark in (*SPECIAL_TOKENS, *TAGS)))
    for text in corpus:
        yield from filter(None, marks.split(text))
