from pathlib import Path

import pytest
import torch
from torch import nn

from turnwright.core.errors import RunDirectoryError, TrainingError
from turnwright.learner.checkpointing import load_resume_state, save_resume_state
from turnwright.learner.optimizer import Optimizer, OptimizerSettings


def line(value: float = 1.0) -> nn.Linear:
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(value)
    return model


def push(model: nn.Linear, gradient: float) -> None:
    model.weight.grad = torch.full_like(model.weight, gradient)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]), ("linear", [0.25, 0.5, 0.75, 1.0, 1.0, 2 / 3, 1 / 3])],
)
def test_the_rate_warms_up_and_then_stays_or_falls(schedule: str, expected: list[float]):
    model = line()
    settings = OptimizerSettings(learning_rate=0.5, num_updates=7, warmup_updates=4, lr_schedule=schedule)
    optimizer = Optimizer(model, settings)
    rates: list[float] = []
    for _ in expected:
        rates.append(optimizer.learning_rate())
        push(model, 1.0)
        optimizer.step()
    assert rates == pytest.approx([0.5 * share for share in expected])


def test_the_first_step_of_adam_is_the_rate_against_the_gradients_sign():
    model = line()
    optimizer = Optimizer(model, OptimizerSettings(learning_rate=0.1, num_updates=1, grad_clip_norm=0))
    push(model, 3.0)
    assert optimizer.step() == pytest.approx(3 * 2**0.5)
    assert model.weight.tolist() == [pytest.approx([0.9, 0.9], abs=1e-6)]
    assert model.weight.grad is None


def test_weight_decay_is_decoupled():
    model = line()
    optimizer = Optimizer(model, OptimizerSettings(learning_rate=0.1, num_updates=1, weight_decay=0.5))
    push(model, 0.0)
    optimizer.step()
    assert model.weight.tolist() == [pytest.approx([0.95, 0.95], abs=1e-6)]


def test_gradients_are_clipped_and_the_norm_before_is_told():
    """A large eps makes Adam's step proportional to the gradient, so that the clip shows."""
    steps: list[float] = []
    for clip in (0, 1.0):
        model = line()
        optimizer = Optimizer(model, OptimizerSettings(learning_rate=1.0, num_updates=1, grad_clip_norm=clip, eps=1e6))
        push(model, 5.0)
        assert optimizer.step() == pytest.approx(5 * 2**0.5)
        steps.append(1 - model.weight[0, 0].item())
    assert steps[1] / steps[0] == pytest.approx(1 / (5 * 2**0.5), rel=0.02)


def test_a_norm_that_is_not_finite_touches_nothing():
    model = line()
    optimizer = Optimizer(model, OptimizerSettings(learning_rate=0.1, num_updates=1))
    push(model, float("nan"))
    with pytest.raises(TrainingError, match="update 1 is not finite"):
        optimizer.step()
    assert model.weight.tolist() == [[1.0, 1.0]]
    assert (model.weight.grad, optimizer.num_done) == (None, 0)


def test_a_saved_state_continues_to_the_bit(tmp_path: Path):
    settings = OptimizerSettings(learning_rate=0.1, num_updates=9, warmup_updates=3, lr_schedule="linear")
    gradients = [1.0, -0.3, 0.7, 0.2, -2.0]

    def advance(model: nn.Linear, optimizer: Optimizer, some: list[float]) -> None:
        for gradient in some:
            push(model, gradient)
            optimizer.step()

    straight = line()
    advance(straight, Optimizer(straight, settings), gradients)
    first = line()
    optimizer = Optimizer(first, settings)
    advance(first, optimizer, gradients[:2])
    save_resume_state(optimizer, tmp_path / "resume", step=2)
    second = line()
    second.load_state_dict(first.state_dict())
    restored = Optimizer(second, settings)
    assert load_resume_state(restored, tmp_path / "resume") == 2
    advance(second, restored, gradients[2:])
    assert torch.equal(second.weight, straight.weight)


def test_an_incomplete_state_is_named(tmp_path: Path):
    model = line()
    optimizer = Optimizer(model, OptimizerSettings(learning_rate=0.1, num_updates=1))
    save_resume_state(optimizer, tmp_path / "step_000002" / "resume", step=2)
    (tmp_path / "step_000002" / "resume" / "optimizer.pt").unlink()
    with pytest.raises(RunDirectoryError, match=r"step_000002' cannot be resumed: .*optimizer\.pt is missing"):
        load_resume_state(optimizer, tmp_path / "step_000002" / "resume")
