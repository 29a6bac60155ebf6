"""Too little memory for a pass: real refusals of torch's allocator, and the update that comes out all the same."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from learner.forests import gradients_of, trained
from learner.material import on_policy_groups, optimizer_of
from learner.test_passes import accumulated, summed, two_groups
from models.tiny import tiny_policy
from turnwright.core.errors import TrainingError
from turnwright.learner.batch import BatchSettings
from turnwright.learner.memory_limit import MemoryLimit, is_out_of_memory
from turnwright.learner.packing import Layout
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.step import StepSettings, take_step
from turnwright.models.load import Policy

CPU = torch.device("cpu")
ABSURD = 2**50
"""Bytes that no machine has."""


def refuse() -> Tensor:
    return torch.empty(ABSURD, dtype=torch.uint8)


def limit_memory(policy: Policy, *, tokens: int, where: str) -> Callable[[], None]:
    """Have the first layer ask for absurd memory in passes over more tokens; returns what takes that back.

    Going backward the first layer comes last: by then the others have added to their gradients.
    """
    layer: nn.Module = policy.decoder.get_submodule("layers.0")

    def check(module: nn.Module, inputs: object, output: object) -> None:
        states = output[0] if isinstance(output, tuple) else output
        assert isinstance(states, Tensor)
        if states.shape[-2] <= tokens:
            return
        if where == "forward":
            refuse()
        elif states.requires_grad:
            states.register_hook(lambda gradient: refuse())

    return layer.register_forward_hook(check).remove


def test_torchs_refusals_are_known_and_other_errors_are_not():
    with pytest.raises(RuntimeError) as refusal:
        refuse()
    assert is_out_of_memory(refusal.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("no kernel of that name"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_the_limit_halves_what_was_held_and_stays_above_the_longest_row(caplog: pytest.LogCaptureFixture):
    limit = MemoryLimit(8192)
    limit.lower(held=6000, longest=700, device=CPU)
    assert limit.tokens == 3000
    assert "out of memory on cpu in a pass over 6000 tokens" in caplog.text
    assert "at most 3000 tokens instead of 8192 for the rest of the run" in caplog.text
    limit.lower(held=20_000, longest=700, device=CPU)  # a tree that is walked in parts of 3000
    limit.lower(held=1500, longest=1400, device=CPU)
    assert (limit.tokens, limit.num_splits) == (1400, 3)
    with pytest.raises(TrainingError, match=r"one row of 1400 tokens .* cpu has.*learner\.logits_memory_mb.*lora_rank"):
        limit.lower(held=1400, longest=1400, device=CPU)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("layout", ["dense", "tree"])
def test_the_gradient_is_that_of_an_undisturbed_update(layout: Layout, where: str, caplog: pytest.LogCaptureFixture):
    policy = tiny_policy()
    _, expected = accumulated(policy, layout)
    rows, groups = two_groups()
    loss, asked = summed(rows)
    passes = Passes(policy, PassSettings(layout=layout))
    limit_memory(policy, tokens=13, where=where)
    report = passes.accumulate(rows, groups, loss, asked.clear)
    found = gradients_of(lambda: trained(policy))
    assert sorted(asked) == list(range(len(rows)))
    for name, slope in expected.items():
        torch.testing.assert_close(found[name], slope, rtol=1e-5, atol=1e-6 * max(1.0, slope.abs().max().item()))
    # Dense 60 -> 30, then 23 in two rows -> 12, the longest one; the tree 23 -> 12.
    assert report.num_splits == {"dense": 2, "tree": 1}[layout]
    assert caplog.text.count("out of memory on cpu") == report.num_splits
    assert report.num_fallbacks == 0
    assert passes.accumulate(rows, groups, loss).num_splits == 0


def test_gradients_that_were_there_are_kept_once():
    policy = tiny_policy()
    _, alone = accumulated(policy, "dense")
    rows, groups = two_groups()
    for parameter in policy.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    limit_memory(policy, tokens=20, where="backward")
    loss, asked = summed(rows)
    Passes(policy, PassSettings(layout="dense")).accumulate(rows, groups, loss, asked.clear)
    for name, slope in gradients_of(lambda: trained(policy)).items():
        torch.testing.assert_close(slope, 1 + alone[name], rtol=1e-5, atol=1e-4)


def test_scores_come_back_whole_and_the_next_report_tells_of_it():
    policy = tiny_policy()
    rows, groups = two_groups()
    passes = Passes(policy, PassSettings(layout="dense"))
    expected = Passes(policy, PassSettings(layout="dense")).score(rows, groups)
    limit_memory(policy, tokens=30, where="forward")
    for one, other in zip(passes.score(rows, groups), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    loss, asked = summed(rows)
    assert passes.accumulate(rows, groups, loss, asked.clear).num_splits == 1


@pytest.mark.parametrize("layout", ["dense", "tree"])
def test_a_row_that_does_not_fit_alone_ends_the_update_with_its_length(layout: Layout):
    policy = tiny_policy()
    rows, groups = two_groups()
    limit_memory(policy, tokens=3, where="backward")
    passes = Passes(policy, PassSettings(layout=layout))
    loss, asked = summed(rows)
    with pytest.raises(TrainingError, match="a pass over one row of 12 tokens needs more memory than cpu has"):
        passes.accumulate(rows, groups, loss, asked.clear)
    assert not gradients_of(lambda: [(name, p) for name, p in trained(policy) if p.grad is not None])
    assert asked == []


def test_a_step_makes_the_same_weights_and_counts_the_splits():
    found: list[tuple[list[Tensor], float]] = []
    for tokens in (10**6, 50):
        policy = tiny_policy()
        optimizer = optimizer_of(policy)
        groups = on_policy_groups(policy)
        limit_memory(policy, tokens=tokens, where="backward")
        passes = Passes(policy, PassSettings(layout="dense"))
        step = take_step(passes, optimizer, groups, StepSettings(batch=BatchSettings()), step=1)
        found.append((optimizer.gradients[0], step.metrics["training/oom_splits"]))
        assert step.metrics["training/num_updates"] == 1
    (undisturbed, none), (disturbed, splits) = found
    assert (none, splits > 0) == (0.0, True)
    for one, other in zip(disturbed, undisturbed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


IN_A_SMALL_PROCESS = """
import resource, sys
from pathlib import Path

import torch

from learner.test_passes import row, summed
from models.tiny import tiny_policy
from turnwright.learner.packing import Layout
from turnwright.learner.passes import Passes, PassSettings

torch.set_num_threads(1)
policy = tiny_policy("llama")
policy.model.config.max_position_embeddings = 4096
rows = [row(f"task-{i}", 0, [(7 * i + j) % 61 for j in range(1, 240)], (5, 6, 7)) for i in range(48)]
groups = [one.key.task_id for one in rows]

def gradient(passes):
    loss, asked = summed(rows)
    report = passes.accumulate(rows, groups, loss, asked.clear)
    assert sorted(asked) == list(range(len(rows)))
    slopes = [parameter.grad for parameter in policy.model.parameters()]
    for parameter in policy.model.parameters():
        parameter.grad = None
    return report, slopes

_, expected = gradient(Passes(policy, PassSettings(layout="dense", tokens_per_microbatch=500)))
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[1]) * 2**20, resource.RLIM_INFINITY))
report, found = gradient(Passes(policy, PassSettings(layout="dense", tokens_per_microbatch=48 * 242)))
worst = max((one - other).abs().max().item() / other.abs().max().item() for one, other in zip(found, expected))
print(report.num_splits, worst)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's limits on a process")
def test_a_process_with_little_memory_trains_the_same():
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(tests), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SMALL_PROCESS, "24"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    splits, worst = done.stdout.split()
    assert int(splits) >= 1, done.stderr
    assert float(worst) < 1e-6
