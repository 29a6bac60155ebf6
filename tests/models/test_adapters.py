"""Adapters against peft itself: what is trained, what is saved, and what comes back."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from models.adapted import RANK_4, adapted_policy, save_base, scatter
from models.tiny import FAMILIES, stock_logprobs, tiny_policy
from turnwright.core.errors import ConfigError, UnsupportedModelError
from turnwright.models.adapters import AdapterSettings
from turnwright.models.attention import PrefixView
from turnwright.models.forward import score_tokens
from turnwright.models.load import Policy, load_policy
from turnwright.models.paths import base_of_adapter, resolve_tokenizer_path

LAYERS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
IDS = torch.arange(1, 12)[None]
ROWS = [(5, 9, 2, 7, 7, 1, 30), (5, 9, 2, 7, 11, 4), (5, 9, 2, 60, 3, 8, 8, 12)]
WANTED = [[position >= 4 for position in range(len(row))] for row in ROWS]
TEMPERATURES = [[0.8] * len(row) for row in ROWS]


def logits(policy: Policy) -> Tensor:
    with torch.no_grad():
        return policy.logits(policy.hidden_states(IDS, torch.arange(IDS.shape[1])[None], PrefixView()))


def peft_twin(policy: Policy, base: Path, folder: Path) -> torch.nn.Module:
    """Save the policy and let peft read it over an untouched model with eager attention."""
    from peft import PeftModel

    policy.save(folder)
    stock = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    with pytest.warns(FutureWarning, match="is_gradient_checkpointing"):
        return PeftModel.from_pretrained(stock, folder, is_trainable=True).eval()


def changed(folder: Path, **settings: object) -> str:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return str(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_new_adapters_are_on_every_layer_but_the_head_and_change_nothing(family: str, tmp_path: Path) -> None:
    base = save_base(tmp_path, family)
    policy = load_policy(base, device="cpu", adapters=RANK_4)
    assert policy.adapted
    trained = {name: parameter for name, parameter in policy.model.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[-4] for name in trained} == LAYERS
    assert {name.split(".")[-3] for name in trained} == {"lora_A", "lora_B"}
    assert len(trained) == 2 * 2 * len(LAYERS)
    assert trained["model.layers.0.mlp.up_proj.lora_A.default.weight"].shape == (4, 32)
    assert torch.equal(logits(policy), logits(load_policy(base, device="cpu")))


def test_the_seed_alone_decides_how_adapters_begin_and_nothing_else_is_drawn(tmp_path: Path) -> None:
    base = save_base(tmp_path)

    def drawn(seed: int, elsewhere: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(elsewhere)
        policy = load_policy(base, device="cpu", adapters=replace(RANK_4, seed=seed))
        weight = policy.model.get_parameter("model.layers.1.self_attn.v_proj.lora_A.default.weight")
        return weight.detach(), torch.rand(1)

    one, other, third = drawn(3, elsewhere=5), drawn(3, elsewhere=6), drawn(4, elsewhere=5)
    assert torch.equal(one[0], other[0])
    assert not torch.equal(one[0], third[0])
    assert torch.equal(one[1], third[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_and_gradients_are_those_of_a_stock_peft_model(family: str, tmp_path: Path) -> None:
    policy = adapted_policy(tmp_path / "base", family)
    twin = peft_twin(policy, tmp_path / "base", tmp_path / "adapter")
    ours = score_tokens(policy, ROWS, WANTED, TEMPERATURES).logprobs
    stock = torch.cat([stock_logprobs(twin, *each) for each in zip(ROWS, WANTED, TEMPERATURES, strict=True)])
    assert torch.allclose(ours, stock, atol=1e-5)
    weights = torch.linspace(-1, 2, len(ours))
    (ours * weights).sum().backward()
    (stock * weights).sum().backward()
    gradients = {name: parameter.grad for name, parameter in twin.named_parameters() if parameter.grad is not None}
    mine = {name: parameter.grad for name, parameter in policy.model.named_parameters() if parameter.grad is not None}
    assert len(mine) == len(gradients) == 28
    for name, gradient in mine.items():
        expected = gradients[f"base_model.model.{name}"]
        assert expected.norm() > 0
        assert (gradient - expected).norm() <= 1e-5 * expected.norm(), name


def test_peft_reads_what_is_saved_and_so_do_we(tmp_path: Path) -> None:
    policy = adapted_policy(tmp_path / "base")
    twin = peft_twin(policy, tmp_path / "base", tmp_path / "adapter")
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "generation_config.json"}
    with torch.no_grad():
        assert torch.allclose(twin(input_ids=IDS).logits, logits(policy), atol=1e-5)
    trained = load_policy(str(tmp_path / "adapter"), device="cpu", adapters=RANK_4)
    assert torch.equal(logits(trained), logits(policy))
    wanted = {name for name, parameter in policy.model.named_parameters() if parameter.requires_grad}
    assert {name for name, parameter in trained.model.named_parameters() if parameter.requires_grad} == wanted
    trained.save(tmp_path / "again")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "adapter" / name).read_bytes()


def test_without_settings_an_adapter_is_merged_into_weights_that_can_all_be_trained(tmp_path: Path) -> None:
    policy = adapted_policy(tmp_path / "base")
    policy.save(tmp_path / "adapter")
    merged = load_policy(str(tmp_path / "adapter"), device="cpu")
    assert not merged.adapted
    assert (logits(merged) - logits(policy)).abs().max() <= 1e-5 * logits(policy).abs().max()
    assert all(parameter.requires_grad for parameter in merged.model.parameters())
    merged.save(tmp_path / "whole")
    whole = load_policy(str(tmp_path / "whole"), device="cpu")
    assert torch.equal(logits(whole), logits(merged))


def test_leaving_adapters_out_gives_the_base_and_puts_them_back(tmp_path: Path) -> None:
    policy = adapted_policy(tmp_path)
    base, before = logits(load_policy(str(tmp_path), device="cpu")), logits(policy)
    with policy.without_adapters():
        assert torch.equal(logits(policy), base)
    assert torch.equal(logits(policy), before)
    assert not torch.allclose(before, base, atol=0.1)
    with pytest.raises(RuntimeError, match="inside"), policy.without_adapters():
        raise RuntimeError("inside")
    assert torch.equal(logits(policy), before)
    assert sum(parameter.requires_grad for parameter in policy.model.parameters()) == 28
    with pytest.raises(ConfigError, match=r"has no adapters to leave out: expected model\.lora_rank > 0"):
        tiny_policy().without_adapters().__enter__()


def test_a_target_that_is_no_layer_is_refused_with_those_there_are(tmp_path: Path) -> None:
    base = save_base(tmp_path, "llama")
    for target in ("query", "lm_head", "proj", "embed_tokens"):
        with pytest.raises(ConfigError, match=f"names '{target}'.*down_proj, gate_proj, k_proj, o_proj, q_proj"):
            load_policy(base, device="cpu", adapters=replace(RANK_4, targets=("q_proj", target)))
    policy = load_policy(base, device="cpu", adapters=replace(RANK_4, targets=("q_proj", "mlp.up_proj")))
    names = {name.split(".")[-4] for name, parameter in policy.model.named_parameters() if parameter.requires_grad}
    assert names == {"q_proj", "up_proj"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (replace(RANK_4, rank=8), "has lora_rank = 4, and model.lora_rank = 8: set model.lora_rank = 4"),
        (replace(RANK_4, alpha=4.0), "has lora_alpha = 8, and model.lora_alpha = 4: set model.lora_alpha = 8"),
        (replace(RANK_4, targets=("q_proj",)), r"is on 14 layers .* asks for 2: set model.lora_targets = \[\"down"),
    ],
)
def test_adapters_that_are_not_as_asked_for_are_refused(
    settings: AdapterSettings, message: str, tmp_path: Path
) -> None:
    adapted_policy(tmp_path / "base").save(tmp_path / "adapter")
    with pytest.raises(ConfigError, match=message):
        load_policy(str(tmp_path / "adapter"), device="cpu", adapters=settings)


def test_an_adapter_on_some_layers_goes_on_when_they_are_named(tmp_path: Path) -> None:
    some = replace(RANK_4, targets=("q_proj", "v_proj"))
    policy = adapted_policy(tmp_path / "base", settings=some)
    policy.save(tmp_path / "adapter")
    again = load_policy(str(tmp_path / "adapter"), device="cpu", adapters=some)
    assert torch.equal(logits(again), logits(policy))
    with pytest.raises(ConfigError, match=r"is on 4 layers .* asks for 14"):
        load_policy(str(tmp_path / "adapter"), device="cpu", adapters=RANK_4)


def test_what_trains_more_than_adapters_or_is_no_lora_is_refused(tmp_path: Path) -> None:
    from peft import IA3Config, get_peft_model

    adapted_policy(tmp_path / "base").save(tmp_path / "adapter")
    folder = changed(tmp_path / "adapter", modules_to_save=["lm_head"])
    with pytest.raises(UnsupportedModelError, match=r"has modules_to_save = \['lm_head'\]"):
        load_policy(folder, device="cpu", adapters=RANK_4)
    other = tiny_policy().model
    with pytest.warns(FutureWarning, match="is_gradient_checkpointing"):
        scaled = get_peft_model(other, IA3Config(target_modules=["k_proj"], feedforward_modules=[]))
    scaled.save_pretrained(tmp_path / "ia3", save_embedding_layers=False)
    with pytest.raises(UnsupportedModelError, match=r"holds adapters of another kind \(IA3Config\): only LoRA"):
        load_policy(changed(tmp_path / "ia3", base_model_name_or_path=str(tmp_path / "base")), device="cpu")


def test_dropout_of_a_folder_does_not_act(tmp_path: Path) -> None:
    """Engine and learner must compute the same: what drops at random would differ each time."""
    policy = adapted_policy(tmp_path / "base")
    policy.save(tmp_path / "adapter")
    dropping = load_policy(changed(tmp_path / "adapter", lora_dropout=0.5), device="cpu", adapters=RANK_4)
    assert torch.equal(logits(dropping), logits(policy))


def test_adapters_beside_bfloat16_weights_are_float32(tmp_path: Path) -> None:
    save_base(tmp_path / "base")
    policy = scatter(load_policy(str(tmp_path / "base"), dtype="bfloat16", device="cpu", adapters=RANK_4), std=0.05)
    kinds = {parameter.requires_grad: parameter.dtype for parameter in policy.model.parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    assert policy.model.dtype == torch.bfloat16
    policy.save(tmp_path / "adapter")
    again = load_policy(str(tmp_path / "adapter"), dtype="bfloat16", device="cpu", adapters=RANK_4)
    assert torch.equal(logits(again), logits(policy))
    exact = load_policy(str(tmp_path / "adapter"), device="cpu", adapters=RANK_4)
    assert (logits(again).log_softmax(-1) - logits(exact).log_softmax(-1)).abs().max() < 0.3


def test_the_base_is_named_so_that_it_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_base(tmp_path / "models" / "base")
    monkeypatch.chdir(tmp_path)
    policy = load_policy("models/base", device="cpu", adapters=RANK_4)
    policy.save(tmp_path / "adapter")
    assert base_of_adapter("adapter") == str(tmp_path / "models" / "base")
    shipped = load_policy("tiny", device="cpu", adapters=RANK_4)
    shipped.save(tmp_path / "of_tiny")
    assert base_of_adapter("of_tiny") == "tiny"
    assert load_policy("of_tiny", device="cpu").path == "of_tiny"
    # Without a tokenizer of its own it has that of its base.
    assert resolve_tokenizer_path("of_tiny").endswith("policies/tiny")
    (tmp_path / "of_tiny" / "tokenizer_config.json").write_text("{}")
    assert resolve_tokenizer_path("of_tiny") == "of_tiny"


def test_a_base_that_is_not_there_is_named_with_the_cure(tmp_path: Path) -> None:
    load_policy("tiny", device="cpu", adapters=RANK_4).save(tmp_path)
    gone = str(tmp_path / "gone")
    with pytest.raises(ConfigError, match=f"the base model '{gone}' of .* is not on this machine: copy it there"):
        load_policy(changed(tmp_path, base_model_name_or_path=gone), device="cpu")
    with pytest.raises(ConfigError, match="names no base model: write the folder, hub id or 'tiny'"):
        load_policy(changed(tmp_path, base_model_name_or_path=None), device="cpu")


@pytest.mark.slow
def test_peft_is_loaded_only_for_adapters(child_environment: dict[str, str]) -> None:
    script = (
        "import sys\n"
        "from turnwright.models.load import load_policy\n"
        "load_policy('tiny', device='cpu')\n"
        "print('peft' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    assert (
        subprocess.run(command, env=child_environment, check=True, capture_output=True, text=True).stdout == "False\n"
    )
