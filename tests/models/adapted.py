"""Policies with adapters that have learned something: B is zero at first, and hides what goes wrong with A."""

from pathlib import Path

import torch

from models.tiny import tiny_model
from turnwright.models.adapters import AdapterSettings
from turnwright.models.load import Policy, load_policy

RANK_4 = AdapterSettings(rank=4, alpha=8.0)


def save_base(folder: Path, family: str = "qwen3") -> str:
    tiny_model(family).save_pretrained(folder)
    return str(folder)


def scatter(policy: Policy, *, std: float = 0.3) -> Policy:
    """Fill the matrices of every adapter with noise."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=std, generator=generator)
    return policy


def adapted_policy(folder: Path, family: str = "qwen3", settings: AdapterSettings = RANK_4) -> Policy:
    """Return a random model with noisy adapters, its base saved in ``folder``."""
    return scatter(load_policy(save_base(folder, family), device="cpu", adapters=settings))
