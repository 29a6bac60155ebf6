"""Which GPU another process of the same run computes on."""

import os

import torch


def spare_gpu() -> str | None:
    """Return the GPU that this process does not use, as CUDA_VISIBLE_DEVICES has it; None where there is no second.

    ``load_policy`` uses the first one that a process sees.
    """
    if torch.cuda.device_count() < 2:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0,1").split(",")
    return visible[1].strip()
