from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from models.tiny import FAMILIES, SHAPE, VOCABULARY, stock_twin, tiny_model, tiny_policy
from turnwright.core.errors import ConfigError, UnsupportedModelError
from turnwright.models.attention import PrefixView
from turnwright.models.load import load_policy
from turnwright.models.paths import resolve_model_path


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_loads_and_saves_in_hugging_face_format(family: str, tmp_path: Path):
    tiny_model(family).save_pretrained(tmp_path / "one")
    policy = load_policy(str(tmp_path / "one"), device="cpu")
    policy.save(tmp_path / "two")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "two", dtype=torch.float32)
    for name, tensor in policy.model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert policy.max_sequence_length == SHAPE["max_position_embeddings"]


def test_bfloat16_loads_and_scores_in_float32(tmp_path: Path):
    tiny_model("llama").save_pretrained(tmp_path)
    policy = load_policy(str(tmp_path), dtype="bfloat16", device="cpu")
    assert policy.model.dtype == torch.bfloat16
    token_ids = torch.tensor([[1, 2, 3, 4]])
    logits = policy.logits(policy.hidden_states(token_ids, torch.arange(4)[None], PrefixView()))
    assert logits.dtype == torch.float32
    exact = stock_twin(tiny_policy("llama"))(input_ids=token_ids).logits
    assert (logits.log_softmax(-1) - exact.log_softmax(-1)).abs().max() < 0.2


def small(**changes: object) -> dict[str, object]:
    return SHAPE | {"vocab_size": VOCABULARY, "num_key_value_heads": 2, "head_dim": 16} | changes


UNSUPPORTED = {
    "sliding_window=": lambda: MistralForCausalLM(MistralConfig(**small(sliding_window=8))),
    "sliding_attention": lambda: Qwen3ForCausalLM(
        Qwen3Config(**small(use_sliding_window=True, sliding_window=8, max_window_layers=1))
    ),
    "layers of type": lambda: Gemma2ForCausalLM(Gemma2Config(**small(sliding_window=8))),
    "softcap": lambda: Gemma2ForCausalLM(Gemma2Config(**small(layer_types=["full_attention"] * 2))),
    "final_logit_softcapping": lambda: Gemma2ForCausalLM(
        Gemma2Config(**small(layer_types=["full_attention"] * 2, attn_logit_softcapping=None))
    ),
    "rope": lambda: Qwen3ForCausalLM(
        Qwen3Config(**small(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}))
    ),
}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_a_model_that_needs_more_is_refused_by_name(what: str, tmp_path: Path):
    torch.manual_seed(0)
    UNSUPPORTED[what]().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match=what):
        load_policy(str(tmp_path), device="cpu")


def test_a_folder_without_a_model_is_refused_with_the_cure(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        resolve_model_path(str(tmp_path))


def test_the_shipped_policy_is_a_folder_of_the_package():
    assert Path(resolve_model_path("tiny")).parts[-3:] == ("turnwright", "policies", "tiny")
