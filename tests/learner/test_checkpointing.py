"""Saving and continuing: to the bit, or with an error that says why not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models.adapted import adapted_policy
from models.tiny import tiny_policy
from turnwright.core.errors import RunDirectoryError
from turnwright.learner.checkpointing import ResumeState, describe_model, load_resume_state, save_resume_state
from turnwright.learner.optimizer import Optimizer, OptimizerSettings
from turnwright.models.load import load_policy

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
    counters = {"dealt": 7, "ledger": {"trained": 5, "stale": 2}}
    save_resume_state(optimizer, tmp_path / "resume", step=2, counters=counters)
    second = line(dtype)
    second.load_state_dict(first.state_dict())
    restored = Optimizer(second, SETTINGS)
    assert load_resume_state(restored, tmp_path / "resume") == ResumeState(step=2, counters=counters)
    advance(second, restored, GRADIENTS[2:])
    assert torch.equal(second.weight, straight.weight)
    assert len(restored.state()["copies"]) == (dtype == torch.bfloat16)


@pytest.mark.parametrize("name", ["optimizer.pt", "random.pt", "counters.json"])
def test_an_incomplete_state_is_named(name: str, tmp_path: Path) -> None:
    optimizer = Optimizer(line(), SETTINGS)
    save_resume_state(optimizer, tmp_path / "step_000002" / "resume", step=2)
    (tmp_path / "step_000002" / "resume" / name).unlink()
    with pytest.raises(RunDirectoryError, match=rf"step_000002' cannot be resumed: .*{name} is missing"):
        load_resume_state(optimizer, tmp_path / "step_000002" / "resume")


def test_what_is_drawn_from_torch_goes_on(tmp_path: Path) -> None:
    optimizer = Optimizer(line(), SETTINGS)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        torch.rand(3)
        save_resume_state(optimizer, tmp_path / "resume", step=1)
        expected = torch.rand(3)
        torch.manual_seed(6)
        load_resume_state(optimizer, tmp_path / "resume")
        assert torch.equal(torch.rand(3), expected)


def test_a_model_is_told_from_others(tmp_path: Path) -> None:
    first = describe_model(tiny_policy())
    assert first == describe_model(tiny_policy())
    assert (first.architecture, first.dtype, first.adapters) == ("Qwen3ForCausalLM", "float32", None)
    assert first.num_parameters == sum(parameter.numel() for parameter in tiny_policy().model.parameters())
    for other in (tiny_policy("llama"), tiny_policy(vocab_size=62)):
        assert describe_model(other).shapes != first.shapes
    coarse = describe_model(tiny_policy(dtype=torch.bfloat16))
    assert (coarse.shapes, coarse.dtype) == (first.shapes, "bfloat16")
    retrained = describe_model(tiny_policy(seed=1))
    assert (retrained.shapes, retrained.weights != first.weights) == (first.shapes, True)


def test_adapters_are_told_from_the_weights_they_stand_beside(tmp_path: Path) -> None:
    policy = adapted_policy(tmp_path)
    found = describe_model(policy)
    base = describe_model(load_policy(str(tmp_path), device="cpu"))
    assert replace(found, adapters=None) == base
    assert found.adapters is not None
    assert (found.adapters.rank, found.adapters.alpha) == (4, 8.0)
    assert set(found.adapters.targets) == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip


def test_a_state_of_other_parameters_is_refused(tmp_path: Path) -> None:
    model = line()
    optimizer = Optimizer(model, SETTINGS)
    advance(model, optimizer, GRADIENTS)
    save_resume_state(optimizer, tmp_path / "step_000002" / "resume", step=2)
    for other in (nn.Linear(2, 1), nn.Sequential(line(), line()), nn.Linear(3, 1, bias=False), line(torch.bfloat16)):
        with pytest.raises(RunDirectoryError, match="cannot be resumed: its optimizer state is that of other param"):
            load_resume_state(Optimizer(other, SETTINGS), tmp_path / "step_000002" / "resume")
