"""Saving and continuing: to the bit, or with an error that says why not."""

from pathlib import Path

import pytest
import torch
from torch import nn

from turnwright.core.errors import RunDirectoryError
from turnwright.learner.checkpointing import load_resume_state, save_resume_state
from turnwright.learner.optimizer import Optimizer, OptimizerSettings

SETTINGS = OptimizerSettings(learning_rate=0.1, num_updates=9, warmup_updates=3, lr_schedule="linear")
GRADIENTS = [1.0, -0.3, 0.7, 0.2, -2.0]


def line(dtype: torch.dtype = torch.float32) -> nn.Linear:
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    return model.to(dtype)


def advance(model: nn.Linear, optimizer: Optimizer, gradients: list[float]) -> None:
    for gradient in gradients:
        (model.weight.float() * gradient).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_state_continues_to_the_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    straight = line(dtype)
    advance(straight, Optimizer(straight, SETTINGS), GRADIENTS)
    first = line(dtype)
    optimizer = Optimizer(first, SETTINGS)
    advance(first, optimizer, GRADIENTS[:2])
    save_resume_state(optimizer, tmp_path / "resume", step=2)
    second = line(dtype)
    second.load_state_dict(first.state_dict())
    restored = Optimizer(second, SETTINGS)
    assert load_resume_state(restored, tmp_path / "resume") == 2
    advance(second, restored, GRADIENTS[2:])
    assert torch.equal(second.weight, straight.weight)
    assert len(restored.state()["copies"]) == (dtype == torch.bfloat16)


def test_an_incomplete_state_is_named(tmp_path: Path) -> None:
    optimizer = Optimizer(line(), SETTINGS)
    save_resume_state(optimizer, tmp_path / "step_000002" / "resume", step=2)
    (tmp_path / "step_000002" / "resume" / "optimizer.pt").unlink()
    with pytest.raises(RunDirectoryError, match=r"step_000002' cannot be resumed: .*optimizer\.pt is missing"):
        load_resume_state(optimizer, tmp_path / "step_000002" / "resume")


def test_a_state_of_other_parameters_is_refused(tmp_path: Path) -> None:
    model = line()
    optimizer = Optimizer(model, SETTINGS)
    advance(model, optimizer, GRADIENTS)
    save_resume_state(optimizer, tmp_path / "step_000002" / "resume", step=2)
    for other in (nn.Linear(2, 1), nn.Sequential(line(), line()), nn.Linear(3, 1, bias=False), line(torch.bfloat16)):
        with pytest.raises(RunDirectoryError, match="cannot be resumed: its optimizer state is that of other param"):
            load_resume_state(Optimizer(other, SETTINGS), tmp_path / "step_000002" / "resume")
