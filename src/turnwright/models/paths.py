"""From a policy's name to the folders that hold it. Loads no torch.

A policy's folder is a whole model, or the adapter of one (a PEFT folder), which names the base model that it goes with.
"""

import json
from importlib.resources import files
from pathlib import Path

from turnwright.core.errors import ConfigError

SHIPPED_POLICY = "tiny"
ADAPTER_CONFIG = "adapter_config.json"


def resolve_model_path(name: str) -> str:
    """Return the folder of the shipped policy for "tiny"; any other name is a folder or a hub id as it stands."""
    if name == SHIPPED_POLICY:
        return str(files("turnwright") / "policies" / SHIPPED_POLICY)
    path = follow(Path(name).expanduser())
    if path.exists() and not (path / "config.json").exists() and not is_adapter(str(path)):
        raise ConfigError(
            f"model.path {name!r} holds no config.json: expected a folder in Hugging Face format "
            "(config.json, model.safetensors, tokenizer.json), a PEFT folder (adapter_config.json, "
            "adapter_model.safetensors), a hub id, or 'tiny'"
        )
    return str(path) if path.exists() else name


def follow(path: Path) -> Path:
    """Return the folder that a link such as ``checkpoints/promoted`` names now: it may name another one later."""
    return path.parent / path.readlink() if path.is_symlink() else path


def resolve_tokenizer_path(name: str) -> str:
    """Return where the tokenizer of a policy is: in its own folder, or in that of an adapter's base model."""
    path = resolve_model_path(name)
    if is_adapter(path) and not (Path(path) / "tokenizer_config.json").exists():
        return resolve_model_path(base_of_adapter(path))
    return path


def is_adapter(path: str) -> bool:
    """Tell whether a folder holds an adapter instead of a model."""
    return (Path(path) / ADAPTER_CONFIG).is_file()


def base_of_adapter(folder: str) -> str:
    """Return the name of the model that an adapter belongs to.

    Raises ConfigError when the folder does not say, or when the base is not on this machine.
    """
    file = Path(folder) / ADAPTER_CONFIG
    name = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    cure = "write the folder, hub id or 'tiny' that it was trained on as base_model_name_or_path"
    if not name:
        raise ConfigError(f"'{file}' names no base model: {cure}")
    if Path(name).is_absolute() and not Path(name).exists():
        raise ConfigError(f"the base model {name!r} of '{folder}' is not on this machine: copy it there, or {cure}")
    return name


def lasting_name(name: str) -> str:
    """Return a name of a model that holds in every working folder, and on every machine where the model lets it.

    The shipped policy and hub ids keep their names, because their folders differ from machine to machine.
    """
    path = Path(name).expanduser()
    return str(path.resolve()) if name != SHIPPED_POLICY and path.exists() else name
