import pytest
import torch

from learner.forests import in_order, nested_rows
from models.tiny import FAMILIES, tiny_policy
from turnwright.learner.verification import compare_layouts
from turnwright.models.forward import ScoreSettings


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_trees_agree_with_room_to_spare(family: str, dtype: torch.dtype):
    policy = tiny_policy(family, dtype=dtype)
    _, asked, shared = in_order(nested_rows())
    scoring = ScoreSettings(entropy_gradient=True)
    found = compare_layouts(policy, asked, shared, scoring, budget=60, gradients=True)
    assert found.agrees
    assert 0 < found.logprob_gap < found.limits[0] / 2
    assert 0 < found.gradient_gap < found.limits[1] / 2
    assert all(parameter.grad is None for parameter in policy.model.parameters())


def test_gradients_that_are_there_are_the_same_tensors_afterwards():
    policy = tiny_policy()
    before = {}
    for name, parameter in policy.model.named_parameters():
        before[name] = parameter.grad = torch.full_like(parameter, 2.0)
    _, asked, shared = in_order(nested_rows())
    compare_layouts(policy, asked, shared, ScoreSettings(), budget=999, gradients=True)
    for name, parameter in policy.model.named_parameters():
        assert parameter.grad is before[name]
        assert bool((parameter.grad == 2.0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gradients", [True, False])
def test_a_prefix_that_is_not_shared_is_found(gradients: bool, dtype: torch.dtype):
    policy = tiny_policy(dtype=dtype)
    _, asked, shared = in_order(nested_rows())
    # The fourth row is said to begin like the third for longer than it does.
    wrong = [*shared[:3], shared[3] + 2, *shared[4:]]
    found = compare_layouts(policy, asked, wrong, ScoreSettings(), budget=999, gradients=gradients)
    assert not found.agrees
    assert found.logprob_gap > 2 * found.limits[0]
    assert (found.gradient_gap > found.limits[0]) == gradients
    assert bool(found.worst) == gradients


def test_scores_alone_are_compared_without_gradients():
    policy = tiny_policy()
    _, asked, shared = in_order(nested_rows())
    with torch.no_grad():
        found = compare_layouts(policy, asked, shared, ScoreSettings(), budget=40, gradients=False)
    assert found.agrees
    assert (found.gradient_gap, found.worst) == (0.0, "")
