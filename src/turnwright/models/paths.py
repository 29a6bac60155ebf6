"""From a policy's name to the folder that holds it. Loads no torch."""

from importlib.resources import files
from pathlib import Path

from turnwright.core.errors import ConfigError

SHIPPED_POLICY = "tiny"


def resolve_model_path(name: str) -> str:
    """Return the folder of the shipped policy for "tiny"; any other name is a folder or a hub id as it stands."""
    if name == SHIPPED_POLICY:
        return str(files("turnwright") / "policies" / SHIPPED_POLICY)
    path = Path(name).expanduser()
    if path.exists() and not (path / "config.json").exists():
        raise ConfigError(
            f"model.path {name!r} holds no config.json: expected a folder in Hugging Face format "
            "(config.json, model.safetensors, tokenizer.json), a hub id, or 'tiny'"
        )
    return str(path) if path.exists() else name
