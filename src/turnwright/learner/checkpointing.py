"""Checkpoints: a folder in Hugging Face format to deploy, and ``resume/`` beside it to continue from exactly."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from turnwright.core.errors import RunDirectoryError
from turnwright.learner.optimizer import Optimizer
from turnwright.models.load import Policy

STATE_FILE = "optimizer.pt"
COUNTERS_FILE = "counters.json"


def save_policy(policy: Policy, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write weights or adapters, config, tokenizer and chat template: any ``from_pretrained`` reads the folder."""
    policy.save(folder)
    tokenizer.save_pretrained(folder)


def save_resume_state(optimizer: Optimizer, folder: Path, *, step: int) -> None:
    """Write what a continuation at step + 1 needs; randomness needs nothing, because it is counter-based."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(optimizer.state(), folder / STATE_FILE)
    (folder / COUNTERS_FILE).write_text(json.dumps({"step": step}) + "\n", encoding="utf-8")


def load_resume_state(optimizer: Optimizer, folder: Path) -> int:
    """Restore the optimizer and return the step to continue after.

    Raises RunDirectoryError when the folder does not hold a complete state, or that of other parameters.
    """
    try:
        counters: dict[str, Any] = json.loads((folder / COUNTERS_FILE).read_text(encoding="utf-8"))
        state = torch.load(folder / STATE_FILE, weights_only=True)
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
    return int(counters["step"])
