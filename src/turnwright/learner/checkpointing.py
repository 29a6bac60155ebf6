"""Checkpoints: a folder in Hugging Face format to deploy, and ``resume/`` beside it to continue from exactly.

    weights                 the deployable part itself: they are not saved twice
    resume/optimizer.pt     AdamW's moments, its float32 copies where the weights are coarser, the updates done, from
                            which the learning rate follows
    resume/random.pt        states of torch's global generators
    resume/counters.json    the step, and what the caller counts

Nothing that Turnwright draws depends on a generator's state: every stream is a function of its name and its position
(core/seeding.py), and dropout does not act. But a loss of one's own may draw from torch's global generators. Python's
and numpy's are left alone: who draws from them does so in the order in which episodes end, which is another each time.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from turnwright.core.checkpoint import ModelRecord
from turnwright.core.errors import RunDirectoryError
from turnwright.learner.optimizer import Optimizer
from turnwright.models.adapters import adapter_record
from turnwright.models.load import Policy

STATE_FILE = "optimizer.pt"
RANDOM_FILE = "random.pt"
COUNTERS_FILE = "counters.json"
SAMPLED_NUMBERS = 64
"""Numbers of each parameter that tell one model's weights from another's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeState:
    """What a continuation starts from, besides weights and optimizer."""

    step: int
    """The one that the checkpoint was saved after."""
    counters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """As they were given to ``save_resume_state``."""


def save_policy(policy: Policy, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write weights or adapters, config, tokenizer and chat template: any ``from_pretrained`` reads the folder."""
    policy.save(folder)
    tokenizer.save_pretrained(folder)


def save_resume_state(
    optimizer: Optimizer, folder: Path, *, step: int, counters: Mapping[str, Any] | None = None
) -> None:
    """Write what a continuation at step + 1 needs besides the weights.

    Args:
        optimizer: Of the weights that are saved beside it.
        folder: ``resume/`` of the checkpoint.
        step: The one that made these weights.
        counters: What the caller counts, in JSON values: it gets them back.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(optimizer.state(), folder / STATE_FILE)
    torch.save(_random_state(), folder / RANDOM_FILE)
    document = {"step": step, "counters": dict(counters or {})}
    (folder / COUNTERS_FILE).write_text(json.dumps(document) + "\n", encoding="utf-8")


def load_resume_state(optimizer: Optimizer, folder: Path) -> ResumeState:
    """Restore the optimizer and torch's generators, and return where to continue.

    Raises RunDirectoryError when the folder does not hold a complete state, or that of other parameters.
    """
    try:
        document: dict[str, Any] = json.loads((folder / COUNTERS_FILE).read_text(encoding="utf-8"))
        state = torch.load(folder / STATE_FILE, weights_only=True)
        random: dict[str, Any] = torch.load(folder / RANDOM_FILE, weights_only=True)
    except FileNotFoundError as error:
        raise RunDirectoryError(
            f"checkpoint '{folder.parent}' cannot be resumed: {error.filename} is missing; "
            "start a new run with model.path set to it"
        ) from error
    try:
        optimizer.restore(state)
    except (KeyError, ValueError) as error:
        raise RunDirectoryError(
            f"checkpoint '{folder.parent}' cannot be resumed: its optimizer state is that of other parameters "
            f"({error}); start a new run with model.path set to it"
        ) from error
    _restore_random_state(random)
    return ResumeState(step=int(document["step"]), counters=document["counters"])


def describe_model(policy: Policy) -> ModelRecord:
    """Return what a policy is: its architecture, shapes, number format and adapters, and which weights those are."""
    # An adapted layer keeps its own weights one level deeper.
    parameters = {
        name.replace(".base_layer.", "."): parameter
        for name, parameter in policy.model.named_parameters()
        if ".lora_" not in name
    }
    shapes = json.dumps(sorted((name, list(parameter.shape)) for name, parameter in parameters.items()))
    content = hashlib.sha256()
    for name in sorted(parameters):
        content.update(_sampled_bytes(parameters[name]))
    return ModelRecord(
        architecture=type(policy.model).__name__,
        num_parameters=sum(parameter.numel() for parameter in parameters.values()),
        shapes=hashlib.sha256(shapes.encode()).hexdigest(),
        dtype=str(policy.model.dtype).removeprefix("torch."),
        weights=content.hexdigest(),
        adapters=None if policy.adapters is None else adapter_record(policy.adapters),
    )


def _sampled_bytes(parameter: Tensor) -> bytes:
    flat = parameter.detach().flatten()
    sample = flat[:: max(1, len(flat) // SAMPLED_NUMBERS)].contiguous().cpu()
    return sample.view(torch.uint8).numpy().tobytes()


def _random_state() -> dict[str, Any]:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": devices}


def _restore_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    # The run may go on where there are fewer devices.
    for device, one in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
        torch.cuda.set_rng_state(one, device)
