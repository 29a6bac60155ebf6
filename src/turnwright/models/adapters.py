"""Adapters: small trained matrices beside frozen weights (LoRA, arXiv:2106.09685), kept by peft.

    base model --attach--> A and B are trained alone --save--> PEFT folder --read--> the same adapters again
                                      `--merge--> a model without adapters that computes the same

A layer's W x becomes W x + (alpha / rank) B A x, with A [rank, in] drawn at random and B [out, rank] zero, so that new
adapters change nothing. peft is imported only when a policy has adapters: that takes seconds.
"""

import json
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from turnwright.core.checkpoint import AdapterRecord
from turnwright.core.errors import ConfigError, UnsupportedModelError

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

MORE_THAN_ADAPTERS = {
    "bias": "none",
    "modules_to_save": None,
    "trainable_token_indices": None,
}
"""Settings of a PEFT folder by which weights of the base are trained too, with the value at which none are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """Names and meaning as in the [model] section."""

    rank: int
    alpha: float
    """The adapter's output is scaled by alpha / rank."""
    targets: tuple[str, ...] = ()
    """Ends of names of linear layers, such as "q_proj"; empty = all but the output head."""
    seed: int = 0
    """Draws A."""


def attach_adapters(model: PreTrainedModel, settings: AdapterSettings, *, base: str) -> "PeftModel":
    """Freeze a model and put new adapters on its layers; the model itself computes with them from now on.

    Args:
        model: Changed in place.
        settings: Which adapters.
        base: Name of the model that a saved adapter will give as its base.

    Raises:
        ConfigError: A target names no linear layer.
    """
    from peft import LoraConfig, get_peft_model

    _chosen_layers(model, settings.targets)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=cast(int, settings.alpha),
        target_modules=list(settings.targets) or "all-linear",
        bias="none",
        task_type="CAUSAL_LM",
    )
    # On the processor, whatever the device: A is drawn there and moved.
    with _without_warnings(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        adapted = cast("PeftModel", get_peft_model(model, config))
    _settle(adapted, base)
    return adapted


def read_adapters(model: PreTrainedModel, folder: str, settings: AdapterSettings | None = None) -> "PeftModel":
    """Put the adapters of a PEFT folder on the model that they belong to.

    Args:
        model: Changed in place.
        folder: The PEFT folder.
        settings: What the adapters must be like to be trained further; None = as they are.

    Raises:
        UnsupportedModelError: The folder holds something other than LoRA, or trains more than adapters.
        ConfigError: The adapters are not as ``settings`` say.
    """
    from peft import LoraConfig, PeftConfig, PeftModel

    config = PeftConfig.from_pretrained(folder)
    if not isinstance(config, LoraConfig):
        kind = type(config).__name__
        raise UnsupportedModelError(f"'{folder}' holds adapters of another kind ({kind}): only LoRA is supported")
    if settings is not None:
        _require_alike(config, settings, folder)
    base = config.base_model_name_or_path
    expected = _chosen_layers(model, settings.targets) if settings else []
    with _without_warnings():
        adapted = PeftModel.from_pretrained(model, folder, is_trainable=True, torch_device=str(model.device))
    _settle(adapted, base)
    if settings is not None:
        _require_same_layers(model, expected, folder)
    return adapted


def merge_adapters(adapted: "PeftModel") -> PreTrainedModel:
    """Add the adapters to the weights that they stand beside; return the model, which has none any more.

    All its weights require gradients, as those of a model that was just loaded do.
    """
    merged = cast(PreTrainedModel, cast(Any, adapted).merge_and_unload())
    return cast(PreTrainedModel, merged.requires_grad_(True))


def save_adapters(adapted: "PeftModel", folder: str) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``, and how the base model ends its replies."""
    # What "auto" would do about embeddings, which never change here, is to ask the hub for the base model.
    adapted.save_pretrained(folder, save_embedding_layers=False)
    # A model card of blanks.
    (Path(folder) / "README.md").unlink(missing_ok=True)
    generation_config = cast(Any, adapted.get_base_model()).generation_config
    if generation_config is not None:
        generation_config.save_pretrained(folder)


def adapter_record(adapted: "PeftModel") -> AdapterRecord:
    """Return rank, scale and layers of a policy's adapters."""
    config = cast("LoraConfig", adapted.peft_config["default"])
    from peft.tuners.lora import LoraLayer

    layers = [name for name, module in adapted.named_modules() if isinstance(module, LoraLayer)]
    return AdapterRecord(rank=config.r, alpha=config.lora_alpha, targets=_ends(layers))


@contextmanager
def _without_warnings() -> Generator[None]:
    """Keep to ourselves that peft asks transformers for a property by its old name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield


def _settle(adapted: "PeftModel", base: str | None) -> None:
    """Write into the adapters' config what is the same in every process and on every machine."""
    config = cast("LoraConfig", adapted.peft_config["default"])
    config.base_model_name_or_path = base
    if isinstance(config.target_modules, set):
        config.target_modules = sorted(config.target_modules)


def _linear_layers(model: PreTrainedModel) -> list[str]:
    """Return the names of the layers that can have an adapter."""
    head = model.get_output_embeddings()
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    return [name for name, module in layers if module is not head]


def _chosen_layers(model: PreTrainedModel, targets: Sequence[str]) -> list[str]:
    """Return the names of the layers that ``targets`` stand for; each must stand for one at least."""
    layers = _linear_layers(model)
    if not targets:
        return layers
    chosen: list[str] = []
    for target in targets:
        matching = [name for name in layers if f".{name}".endswith(f".{target}")]
        if not matching:
            known = ", ".join(sorted({name.rpartition(".")[2] for name in layers}))
            raise ConfigError(
                f"model.lora_targets names {target!r}, which ends the name of no linear layer of "
                f"{type(model).__name__}; its layers are: {known}"
            )
        chosen += matching
    return chosen


def _ends(layers: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({name.rpartition(".")[2] for name in layers}))


def _require_alike(config: "LoraConfig", settings: AdapterSettings, folder: str) -> None:
    for name, found, asked in (
        ("lora_rank", config.r, settings.rank),
        ("lora_alpha", config.lora_alpha, settings.alpha),
    ):
        if found != asked:
            raise ConfigError(
                f"the adapter in '{folder}' has {name} = {found:g}, and model.{name} = {asked:g}: set model.{name} = "
                f"{found:g} to go on with it, or merge it ('turnwright merge') and start another on the result"
            )
    for name, value in MORE_THAN_ADAPTERS.items():
        if getattr(config, name) not in (value, [], None):
            raise UnsupportedModelError(
                f"'{folder}' has {name} = {getattr(config, name)!r}, so that more than adapters would be trained: "
                "merge it ('turnwright merge') and start on the result"
            )


def _require_same_layers(model: PreTrainedModel, expected: Sequence[str], folder: str) -> None:
    from peft.tuners.lora import LoraLayer

    found = [name for name, module in model.named_modules() if isinstance(module, LoraLayer)]
    if set(found) != set(expected):
        ends = _ends(found)
        raise ConfigError(
            f"the adapter in '{folder}' is on {len(found)} layers (names ending in {', '.join(ends)}), and "
            f"model.lora_targets asks for {len(expected)}: set model.lora_targets = {json.dumps(ends)} to go on with "
            "it, or merge it ('turnwright merge') and start another on the result"
        )
