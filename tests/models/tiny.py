"""Random models of two families, small enough for a test, and the stock forward pass to hold ours against.

Weights start wide (0.3), so that attention is far from uniform and a wrong mask shows.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from turnwright.models.attention import ATTENTION_NAME
from turnwright.models.load import Policy

FAMILIES = ("qwen3", "llama")
VOCABULARY = 61
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}


def tiny_model(
    family: str = "qwen3", *, vocab_size: int = VOCABULARY, seed: int = 0, dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """Return a random model: Qwen3 with grouped heads and tied embeddings, or Llama with neither."""
    torch.manual_seed(seed)
    if family == "qwen3":
        config = Qwen3Config(**SHAPE, vocab_size=vocab_size, num_key_value_heads=2, head_dim=16)
        config.tie_word_embeddings = True
        model: PreTrainedModel = Qwen3ForCausalLM(config)
    else:
        config = LlamaConfig(**SHAPE, vocab_size=vocab_size, num_key_value_heads=4)
        config.tie_word_embeddings = False
        model = LlamaForCausalLM(config)
    return model.to(dtype).eval()


def tiny_policy(
    family: str = "qwen3", *, vocab_size: int = VOCABULARY, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Policy:
    """Return a random model behind our attention."""
    model = tiny_model(family, vocab_size=vocab_size, seed=seed, dtype=dtype)
    model.set_attn_implementation(ATTENTION_NAME)
    return Policy(model=model, path=f"random {family}")


def stock_twin(policy: Policy, attention: str = "eager") -> PreTrainedModel:
    """Return the same weights in an untouched Hugging Face model with one of its own attention functions."""
    config = copy.deepcopy(policy.model.config)
    config._attn_implementation = attention
    twin = type(policy.model)(config).to(policy.model.dtype).eval()
    twin.load_state_dict(policy.model.state_dict())
    assert twin.config._attn_implementation == attention
    return twin


def stock_logprobs(
    model: PreTrainedModel, row: Sequence[int], wanted: Sequence[bool], temperatures: Sequence[float]
) -> Tensor:
    """Return the log-probabilities of the wanted tokens of one row by a plain forward pass over the whole row."""
    token_ids = torch.tensor([list(row)])
    logits = model(input_ids=token_ids, use_cache=False).logits[0].float()
    positions = [position for position, flag in enumerate(wanted) if flag]
    scaled = logits[[position - 1 for position in positions]] / torch.tensor(
        [[temperatures[position]] for position in positions]
    )
    return scaled.log_softmax(-1).gather(1, token_ids[0, positions, None])[:, 0]
