import pytest
import torch
from torch import nn

from turnwright.core.errors import TrainingError
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
    [
        ("constant", [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.25, 0.5, 0.75, 1.0, 1.0, 2 / 3, 1 / 3, 0.0]),
        # (1 + cos 60 degrees) / 2 and (1 + cos 120 degrees) / 2.
        ("cosine", [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.25, 0.0]),
    ],
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


def test_weight_decay_is_decoupled_and_takes_matrices_only():
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.bias.fill_(1.0)
    optimizer = Optimizer(model, OptimizerSettings(learning_rate=0.1, num_updates=1, weight_decay=0.5))
    model.weight.grad, model.bias.grad = torch.zeros(1, 2), torch.zeros(1)
    optimizer.step()
    assert model.weight.tolist() == [pytest.approx([0.95, 0.95], abs=1e-6)]
    assert model.bias.tolist() == [1.0]


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


def test_an_update_that_rounding_swallows_is_an_error_with_the_cure():
    model = line()
    optimizer = Optimizer(model, OptimizerSettings(learning_rate=1e-9, num_updates=9))
    push(model, 1.0)
    with pytest.raises(
        TrainingError, match=r"update 1 had a gradient .* moved no weight: .* raise optimizer\.learning"
    ):
        optimizer.step()
    small = line(1e-4)
    settings = OptimizerSettings(learning_rate=1e-9, num_updates=9)
    push(small, 1.0)
    Optimizer(small, settings).step()
    assert small.weight[0, 0] != 1e-4


def test_nothing_has_to_move_without_a_gradient_or_at_a_rate_of_0():
    model = line()
    settings = OptimizerSettings(learning_rate=0.1, num_updates=1, lr_schedule="cosine")
    optimizer = Optimizer(model, settings)
    push(model, 0.0)
    assert optimizer.step() == 0
    push(model, 1.0)
    assert optimizer.learning_rate() == 0
    assert optimizer.step() > 0
    assert model.weight.tolist() == [[1.0, 1.0]]


def test_a_weight_that_alone_has_a_gradient_may_be_the_one_that_moves():
    """As B has at the first update of an adapter, where A has none, or the row of the one word that occurred."""
    model = nn.Sequential(line(), line(0.0))
    optimizer = Optimizer(model, OptimizerSettings(learning_rate=1e-9, num_updates=2))
    push(model[0], 0.0)
    model[1].weight.grad = torch.tensor([[0.0, -1.0]])
    optimizer.step()
    assert model[0].weight.tolist() == [[1.0, 1.0]]
    assert model[1].weight.tolist() == [[0.0, pytest.approx(1e-9)]]


def test_small_updates_of_bfloat16_weights_add_up():
    """One of 1e-3 is lost between 1 and the next lower bfloat16, 1 - 2**-8; ten of them are not."""
    model = line().bfloat16()
    optimizer = Optimizer(model, OptimizerSettings(learning_rate=1e-3, num_updates=10, grad_clip_norm=0))
    seen: list[float] = []
    for _ in range(10):
        (model.weight.sum() * 1.0).backward()
        optimizer.step()
        seen.append(model.weight[0, 0].item())
    assert model.weight.dtype == torch.bfloat16
    assert seen[:2] == [1.0, pytest.approx(1 - 2**-8)]
    assert seen[-1] == pytest.approx(0.99, abs=2**-9)


def test_gradients_of_bfloat16_weights_add_up_in_float32():
    model = line().bfloat16()
    optimizer = Optimizer(model, OptimizerSettings(learning_rate=1e-3, num_updates=1))
    for scale in (1.0, *[2**-10] * 4):
        (model.weight.sum() * scale).backward()
    assert model.weight.grad is not None
    assert model.weight.grad.dtype == torch.float32
    assert model.weight.grad.tolist() == [[1 + 2**-8] * 2]
    assert optimizer.step() == pytest.approx(2**0.5 * (1 + 2**-8))
    assert model.weight.grad is None
