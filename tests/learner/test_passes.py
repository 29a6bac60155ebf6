import logging
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from learner.forests import gradients_of, require_equal, trained
from learner.material import make_row
from models.tiny import FAMILIES, stock_logprobs, stock_twin, tiny_policy
from turnwright.core.episode import EpisodeKey
from turnwright.core.trajectory import Row
from turnwright.learner import packing
from turnwright.learner.passes import Passes, PassReport, PassSettings
from turnwright.models import tree_attention
from turnwright.models.forward import TokenScores
from turnwright.models.load import Policy

PROMPT = (7, 3, 9, 1, 4, 4, 8, 2)
REPLIES = ((5, 6, 7, 8), (5, 6, 9), (11, 12, 13), (11, 12, 13))
OTHER_PROMPT = (7, 3, 9, 21, 22)


def row(task: str, number: int, prompt: Sequence[int], reply: Sequence[int], heat: float = 1.0) -> Row:
    return make_row(
        EpisodeKey(task_id=task, attempt=number),
        (*prompt, *reply),
        [False] * len(prompt) + [True] * len(reply),
        [-2.0] * len(reply),
        heat,
    )


def two_groups() -> tuple[list[Row], list[str]]:
    """Rows of 12, 11, 11, 11, 7 and 8 tokens; 8 + 4 + 1 + 3 and, behind 3 shared, 2 + 2 + 3 = 23 are distinct."""
    rows = [row("a", number, PROMPT, reply, heat=0.8) for number, reply in enumerate(REPLIES)]
    rows += [row("b", number, OTHER_PROMPT, reply) for number, reply in enumerate(((1, 2), (3, 4, 5)))]
    return rows, [one.key.task_id for one in rows]


def summed(rows: Sequence[Row]):
    """Return a loss that gives each row its own weight, and the list of rows it was asked for."""
    asked: list[int] = []

    def loss(members: Sequence[int], scores: TokenScores) -> Tensor:
        asked.extend(members)
        counts = torch.tensor([rows[index].num_trained_tokens for index in members])
        weights = torch.tensor([1.0 - 0.7 * index for index in members]).repeat_interleave(counts)
        return (scores.logprobs * weights).sum() + 0.1 * scores.entropy.sum()

    return loss, asked


def accumulated(
    policy: Policy, layout: str, budget: int = 8192, *, entropy_gradient: bool = False
) -> tuple[PassReport, dict[str, Tensor]]:
    rows, groups = two_groups()
    loss, asked = summed(rows)
    settings = PassSettings(layout=layout, tokens_per_microbatch=budget)
    report = Passes(policy, settings).accumulate(rows, groups, loss, entropy_gradient=entropy_gradient)
    assert sorted(asked) == list(range(len(rows)))
    return report, gradients_of(lambda: trained(policy))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("budget", [1, 14, 8192])
def test_scores_come_back_in_the_order_of_the_rows(family: str, budget: int):
    policy = tiny_policy(family)
    twin = stock_twin(policy)
    rows, groups = two_groups()
    for layout in ("tree", "dense"):
        passes = Passes(policy, PassSettings(layout=layout, tokens_per_microbatch=budget))
        for one, found in zip(rows, passes.score(rows, groups), strict=True):
            expected = stock_logprobs(twin, one.token_ids, one.trained, one.temperature)
            torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=2e-5)
            assert not found.requires_grad


@pytest.mark.slow
@pytest.mark.parametrize("entropy_gradient", [False, True])
@pytest.mark.parametrize("budget", [1, 14, 8192])
def test_layouts_and_budgets_give_the_same_gradient(budget: int, entropy_gradient: bool):
    policy = tiny_policy()
    _, expected = accumulated(policy, "dense", entropy_gradient=entropy_gradient)
    _, found = accumulated(policy, "tree", budget, entropy_gradient=entropy_gradient)
    require_equal(found, expected)
    _, without = accumulated(policy, "dense")
    largest = max((without[name] - slope).abs().max().item() for name, slope in expected.items())
    assert (largest > 1e-3) == entropy_gradient


def test_the_report_counts_distinct_tokens():
    policy = tiny_policy()
    report, _ = accumulated(policy, "tree")
    # The second group begins with three tokens of the first.
    assert report == PassReport(num_passes=1, num_tokens=23, num_row_tokens=60, max_tokens_held=23)
    report, _ = accumulated(policy, "dense")
    assert report == PassReport(num_passes=1, num_tokens=60, num_row_tokens=60, max_tokens_held=60)
    report, _ = accumulated(policy, "tree", budget=20)
    assert (report.num_passes, report.num_tokens) == (2, 26)


def test_small_trees_are_declined_and_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "BRANCH_COST", 1e15)
    report, _ = accumulated(tiny_policy(), "auto")
    assert (report.num_tokens, report.num_declined) == (60, 1)
    monkeypatch.setattr(packing, "BRANCH_COST", 0.0)
    report, _ = accumulated(tiny_policy(), "auto")
    assert (report.num_tokens, report.num_declined) == (23, 0)


def test_gradients_that_were_there_are_kept():
    policy = tiny_policy()
    rows, groups = two_groups()
    passes = Passes(policy, PassSettings(layout="tree"))
    for parameter in policy.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    passes.accumulate(rows, groups, summed(rows)[0])
    _, alone = accumulated(policy, "tree")
    # ``accumulated`` added to the same gradients: once with what was there, once more alone.
    _, again = accumulated(policy, "tree")
    for name, slope in again.items():
        torch.testing.assert_close(alone[name], 1 + 2 * slope, rtol=1e-4, atol=1e-4)


def test_a_second_accumulation_has_the_same_bits_as_the_first_which_was_verified():
    policy = tiny_policy()
    rows, groups = two_groups()
    passes = Passes(policy, PassSettings(layout="tree"))
    found = []
    for _ in range(2):
        passes.accumulate(rows, groups, summed(rows)[0])
        found.append(gradients_of(lambda: trained(policy)))
    assert all(torch.equal(found[0][name], slope) for name, slope in found[1].items())


def test_a_tree_that_is_wrong_is_found_and_never_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    policy = tiny_policy()
    _, expected = accumulated(policy, "dense")
    # A tree whose tokens do not see the branches they hang from.
    monkeypatch.setattr(tree_attention, "_seen", lambda *arguments: [])
    rows, groups = two_groups()
    passes = Passes(policy, PassSettings(layout="tree"))
    with caplog.at_level(logging.WARNING):
        report = passes.accumulate(rows, groups, summed(rows)[0])
    require_equal(gradients_of(lambda: trained(policy)), expected)
    assert (report.num_fallbacks, report.num_tokens) == (1, 60)
    assert "differ from dense passes" in caplog.text
    assert "over 6 rows" in caplog.text
    assert "in log-probability" in caplog.text
    assert "expected at most 0.0001" in caplog.text
    caplog.clear()
    assert passes.accumulate(rows, groups, summed(rows)[0]).num_fallbacks == 1
    assert not caplog.text


def test_a_tree_whose_gradient_alone_is_wrong_is_found(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    policy = tiny_policy()
    rows, groups = two_groups()
    passes = Passes(policy, PassSettings(layout="tree"))
    right = passes.score(rows, groups)
    kernel = tree_attention._backward

    def forgetful(*arguments: object, **options: object) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = kernel(*arguments, **options)
        return query, key, value * 0.99

    monkeypatch.setattr(tree_attention, "_backward", forgetful)
    report = passes.accumulate(rows, groups, summed(rows)[0])
    assert report.num_fallbacks == 1
    assert "0.016 in gradient" in caplog.text
    for one, other in zip(passes.score(rows, groups), right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_a_tree_that_cannot_be_computed_is_said_and_never_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def missing(*arguments: object, **options: object) -> None:
        raise RuntimeError("no kernel of that name")

    policy = tiny_policy()
    _, expected = accumulated(policy, "dense")
    monkeypatch.setattr(tree_attention, "_forward", missing)
    report, found = accumulated(policy, "tree")
    require_equal(found, expected)
    assert report.num_fallbacks == 1
    assert "cannot be computed on cpu (RuntimeError('no kernel of that name'))" in caplog.text


def test_frozen_policies_are_verified_in_their_scores(monkeypatch: pytest.MonkeyPatch):
    policy = tiny_policy()
    policy.model.requires_grad_(False)
    rows, groups = two_groups()
    expected = Passes(policy, PassSettings(layout="dense")).score(rows, groups)
    monkeypatch.setattr(tree_attention, "_seen", lambda *arguments: [])
    found = Passes(policy, PassSettings(layout="tree")).score(rows, groups)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_bfloat16_agrees_within_its_precision():
    policy = tiny_policy(dtype=torch.bfloat16)
    report, _ = accumulated(policy, "tree")
    assert report.num_fallbacks == 0


def test_no_rows_make_no_pass():
    passes = Passes(tiny_policy(), PassSettings())
    report = passes.accumulate([], [], lambda members, scores: torch.tensor(math.nan))
    assert (report.num_passes, report.num_tokens) == (0, 0)
