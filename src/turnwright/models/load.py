"""Load and save policies in Hugging Face format, and prove that our forward pass equals the model's own."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as transformers_logging

from turnwright.core.errors import ConfigError, UnsupportedModelError
from turnwright.models.adapters import AdapterSettings, attach_adapters, merge_adapters, read_adapters, save_adapters
from turnwright.models.attention import ATTENTION_NAME, KeyValueView, PrefixView
from turnwright.models.paths import base_of_adapter, is_adapter, lasting_name, resolve_model_path

if TYPE_CHECKING:
    from peft import PeftModel

Precision = Literal["float32", "bfloat16"]
LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A causal language model whose attention runs through views."""

    model: PreTrainedModel
    """Computes with the adapters where there are some."""
    path: str
    adapters: "PeftModel | None" = None
    """What keeps the adapters in ``model``; None where all weights are trained."""

    @property
    def adapted(self) -> bool:
        """Whether adapters are trained in place of the weights."""
        return self.adapters is not None

    @contextmanager
    def without_adapters(self) -> Generator[None]:
        """Let the policy be its base model until the block ends.

        Whoever else computes with the policy meanwhile, an engine for example, gets the base model too: pause it.

        Raises ConfigError when the policy has no adapters: its weights at the start are gone.
        """
        if self.adapters is None:
            raise ConfigError(f"{self.path} has no adapters to leave out: expected model.lora_rank > 0")
        with self.adapters.disable_adapter():
            yield

    @property
    def decoder(self) -> nn.Module:
        """The stack of layers below the output head."""
        return self.model.get_decoder()

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.model.device

    @property
    def max_sequence_length(self) -> int:
        """Positions the model was made for."""
        return int(self.model.config.max_position_embeddings)

    def hidden_states(self, token_ids: Tensor, position_ids: Tensor, view: KeyValueView) -> Tensor:
        """Return the last layer's states [B, S, hidden] of token ids [B, S] at the given positions [B or 1, S]."""
        outputs = self.decoder(input_ids=token_ids, position_ids=position_ids, use_cache=False, kv=view)
        return outputs.last_hidden_state

    def logits(self, hidden_states: Tensor) -> Tensor:
        """Return logits [..., vocabulary] of hidden states [..., hidden], in fp32 at least."""
        head = self.model.get_output_embeddings()
        if head is None:
            raise UnsupportedModelError(
                f"{self.path}: {type(self.model).__name__} has no output head over a vocabulary"
            )
        logits = head(hidden_states)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def save(self, folder: Path) -> None:
        """Write weights and config, or the adapters as a PEFT folder; the tokenizer is copied by the caller."""
        if self.adapters is None:
            self.model.save_pretrained(folder)
        else:
            save_adapters(self.adapters, str(folder))


def load_policy(
    name: str, *, dtype: Precision = "float32", device: str | None = None, adapters: AdapterSettings | None = None
) -> Policy:
    """Load a policy from the shipped name, a local folder, a PEFT folder or a hub id.

    Args:
        name: The policy.
        dtype: Number format of its weights; adapters are float32 in any case.
        device: Where to put it; None = the first GPU, otherwise the processor.
        adapters: Train adapters such as these: new ones, or those of a PEFT folder. None = weights without adapters,
            which are those of the base model with the adapters merged into them where ``name`` is a PEFT folder.

    Raises:
        UnsupportedModelError: The model's own forward pass and ours disagree, or its adapters are of another kind.
        ConfigError: The adapters cannot be put on the model, or are not as asked for.
    """
    # Its progress bars would break into ours.
    transformers_logging.disable_progress_bar()
    path = resolve_model_path(name)
    base = base_of_adapter(path) if is_adapter(path) else name
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        resolve_model_path(base), dtype=getattr(torch, dtype), attn_implementation=ATTENTION_NAME
    )
    if getattr(model, "peft_config", None):
        raise UnsupportedModelError(f"{name!r} on the hub is an adapter: download it and set model.path to its folder")
    nn.Module.to(model, torch.device(where))
    adapted = None
    if is_adapter(path):
        adapted = read_adapters(model, path, adapters)
    elif adapters is not None:
        adapted = attach_adapters(model, adapters, base=lasting_name(base))
    if adapted is not None and adapters is None:
        model, adapted = merge_adapters(adapted), None
    policy = Policy(model=model.eval(), path=path, adapters=adapted)
    require_supported(policy)
    return policy


def require_determinism() -> None:
    """Make torch refuse operations whose result depends on the order in which threads finish."""
    torch.use_deterministic_algorithms(True)


@torch.no_grad()
def require_supported(policy: Policy) -> None:
    """Refuse what a config names, then compare our path with the model's stock forward on a short sequence.

    The comparison catches what a config does not say: scaled logits, masks, attention sinks.
    """
    config = policy.model.config
    unusual = sorted({kind for kind in getattr(config, "layer_types", None) or [] if kind != "full_attention"})
    if unusual:
        raise UnsupportedModelError(f"{policy.path}: layers of type {unusual} are not supported, only full_attention")
    # Neither shows on a short sequence of small logits.
    cap = getattr(config, "final_logit_softcapping", None)
    if cap is not None:
        raise UnsupportedModelError(f"{policy.path}: final_logit_softcapping = {cap} is not supported, only null")
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope in LENGTH_DEPENDENT_ROPE:
        raise UnsupportedModelError(
            f"{policy.path}: rope_type {rope!r} is not supported, because its angles change with the length of a pass"
        )
    token_ids = torch.arange(1, 13, device=policy.device)[None] % config.vocab_size
    positions = torch.arange(token_ids.shape[1], device=policy.device)[None]
    ours = policy.logits(policy.hidden_states(token_ids, positions, PrefixView()))
    policy.model.set_attn_implementation("eager")
    stock = policy.model(input_ids=token_ids, use_cache=False).logits.float()
    policy.model.set_attn_implementation(ATTENTION_NAME)
    gap = (ours.log_softmax(-1) - stock.log_softmax(-1)).abs().max().item()
    limit = (1e-3 if policy.model.dtype == torch.float32 else 0.05) * max(1.0, stock.abs().max().item())
    if not gap <= limit:
        raise UnsupportedModelError(
            f"{policy.path}: log-probabilities of our forward pass differ from the model's own by {gap:.2g} "
            f"(expected at most {limit:g}): "
            f"{type(policy.model).__name__} needs something we do not honour"
        )
