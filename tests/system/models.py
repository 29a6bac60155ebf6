"""Model folders of random weights in two families, each with a tokenizer and chat template of its own."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    set_seed,
)

from turnwright.policies.tokenizer import build_tokenizer

TEMPLATES = Path(__file__).parents[1] / "rendering" / "templates"
CORPUS = (
    "Say the word. yes no order: O3 a e i o u",
    '<tool_call>{"name": "look", "arguments": {}}</tool_call>',
) * 20
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    # Wide enough that two replies of random weights are not alike.
    "initializer_range": 0.3,
}


def save_qwen(folder: Path) -> Path:
    """Save a policy like the shipped one in miniature."""
    tokenizer = build_tokenizer(CORPUS, vocab_size=400)
    set_seed(0)
    config = Qwen3Config(vocab_size=len(tokenizer), head_dim=8, eos_token_id=tokenizer.eos_token_id, **SHAPE)
    return save(Qwen3ForCausalLM(config), tokenizer, folder)


def save_llama(folder: Path) -> Path:
    """Save a policy as somebody else would bring it: another architecture, tokenizer and template."""
    specials = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
        chat_template=(TEMPLATES / "llama_like.jinja").read_text(),
    )
    set_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **SHAPE)
    return save(LlamaForCausalLM(config), tokenizer, folder)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
