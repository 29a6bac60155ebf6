"""``turnwright merge``: the whole model that comes out, and what is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from cli.conftest import Command
from models.adapted import RANK_4, scatter
from turnwright.models.load import Policy, load_policy
from turnwright.models.paths import resolve_model_path
from turnwright.rendering.renderer import Renderer


@pytest.fixture(scope="module")
def policy() -> Policy:
    return scatter(load_policy("tiny", device="cpu", adapters=RANK_4), std=0.02)


def test_a_whole_model_comes_out_that_computes_what_the_adapted_one_does(
    turnwright: Command, policy: Policy, tmp_path: Path
) -> None:
    policy.save(tmp_path / "adapter")
    done = turnwright("merge", tmp_path / "adapter", tmp_path / "whole")
    assert (done.code, done.out) == (0, f"policy: {tmp_path}/whole\nnext: turnwright serve {tmp_path}/whole\n")
    # The adapter came without a tokenizer: its base's goes along.
    assert Renderer.load(tmp_path / "whole").stop_token_ids == Renderer.load(resolve_model_path("tiny")).stop_token_ids
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole", attn_implementation="eager").eval()
    token_ids = torch.arange(5, 30)[None]
    policy.model.set_attn_implementation("eager")
    with torch.no_grad():
        expected = policy.model(input_ids=token_ids).logits
        assert torch.allclose(whole(input_ids=token_ids).logits, expected, atol=1e-5, rtol=1e-5)


def test_bfloat16_rounds_the_sum_once(turnwright: Command, policy: Policy, tmp_path: Path) -> None:
    policy.save(tmp_path / "adapter")
    for name, options in (("whole", ()), ("half", ("--dtype", "bfloat16"))):
        assert turnwright("merge", tmp_path / "adapter", tmp_path / name, *options).code == 0
    whole, half = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "half"))
    assert whole.keys() == half.keys()
    assert all(torch.equal(half[name], tensor.bfloat16()) for name, tensor in whole.items())


def test_what_cannot_be_merged_is_refused(turnwright: Command, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    for arguments, words in (
        (("tiny", tmp_path / "out"), "'tiny' holds no adapter"),
        ((tmp_path / "adapter", tmp_path / "full"), "is not empty: choose another folder"),
        ((tmp_path / "adapter", tmp_path / "out", "--dtype", "int8"), "expected float32 or bfloat16"),
        ((tmp_path / "adapter", tmp_path / "out"), "names no base model"),
    ):
        ended = turnwright("merge", *arguments)
        assert ended.code == 2
        assert words in " ".join(ended.err.replace("│", " ").split())
