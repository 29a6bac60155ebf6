"""Merges the adapter of a checkpoint into its base model: a policy that needs neither peft nor its base."""

from pathlib import Path

from turnwright.core.errors import ConfigError, RunDirectoryError
from turnwright.learner.checkpointing import save_policy
from turnwright.models.load import Precision, load_policy
from turnwright.models.paths import is_adapter, resolve_model_path, resolve_tokenizer_path
from turnwright.rendering.renderer import Renderer


def merge_checkpoint(checkpoint: str, out: Path, *, dtype: Precision = "float32") -> None:
    """Save the policy of a PEFT folder as a whole model in ``out``, with its tokenizer.

    The weights are added up in float32, whatever they are saved as.

    Raises:
        ConfigError: ``checkpoint`` is no PEFT folder.
        RunDirectoryError: ``out`` has content.
    """
    if not is_adapter(resolve_model_path(checkpoint)):
        raise ConfigError(f"{checkpoint!r} holds no adapter (adapter_config.json): there is nothing to merge")
    if out.exists() and any(out.iterdir()):
        raise RunDirectoryError(f"'{out}' is not empty: choose another folder for the merged policy")
    policy = load_policy(checkpoint)
    if dtype == "bfloat16":
        policy.model.bfloat16()
    save_policy(policy, Renderer.load(resolve_tokenizer_path(checkpoint)).tokenizer, out)
