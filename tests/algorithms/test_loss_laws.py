"""What holds of every loss: its value and gradient are those of its definition, and what it does not notice.

Tokens are (log p, log old, A, c), each a sequence of its own for gspo unless a test says otherwise.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from algorithms import definitions
from turnwright.algorithms.cispo import cispo_loss
from turnwright.algorithms.gspo import gspo_loss
from turnwright.algorithms.importance_sampling import importance_sampling_loss
from turnwright.algorithms.policy_loss import PolicyLoss
from turnwright.algorithms.ppo import ppo_loss

LAW = settings(max_examples=12)
"""Five losses take each."""
LOW, HIGH, DUAL, CISPO_HIGH = 0.8, 1.2, 3.0, 2.0
Token = tuple[float, float, float, float]
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], PolicyLoss]


def clipped(low: float = LOW, high: float = HIGH) -> dict[str, float]:
    return {"clip_low_threshold": low, "clip_high_threshold": high}


LOSSES: dict[str, Loss] = {
    "importance_sampling": lambda p, old, a, c, _: importance_sampling_loss(p, old, a, c),
    "ppo": lambda p, old, a, c, _: ppo_loss(p, old, a, c, **clipped()),
    "ppo, dual clip": lambda p, old, a, c, _: ppo_loss(p, old, a, c, **clipped(), dual_clip=DUAL),
    "cispo": lambda p, old, a, c, _: cispo_loss(p, old, a, c, **clipped(0.0, CISPO_HIGH)),
    "gspo": lambda p, old, a, c, lengths: gspo_loss(p, old, a, c, lengths, **clipped()),
}
NAMES = pytest.mark.parametrize("name", LOSSES)
HOLDS_NOTHING = ("importance_sampling", "ppo", "ppo, dual clip")
"""Losses that are the integral of their gradient: nothing in them is held constant."""
MIRRORED = ("importance_sampling", "cispo")
"""Losses that treat pushing up and down alike."""
TOKENS = st.lists(
    st.tuples(st.floats(-4, 0), st.floats(-4, 0), st.floats(-3, 3), st.floats(0, 1)), min_size=1, max_size=8
)
SIGNED = st.sampled_from([-2.0, -1.0, 0.5, 3.0])
COUNTED = st.lists(st.tuples(st.floats(-4, 0), st.floats(-4, 0), SIGNED, st.floats(0.1, 1)), min_size=1, max_size=8)
"""Tokens whose gradient is 0 only where a clip takes it."""


def run(name: str, tokens: Sequence[Token], lengths: Sequence[int] = ()) -> tuple[PolicyLoss, list[float]]:
    """Return a loss and its gradient by log p."""
    p, old, advantages, weights = torch.tensor(list(zip(*tokens, strict=True)), dtype=torch.float64)
    p = p.clone().requires_grad_()
    result = LOSSES[name](p, old, advantages, weights, torch.tensor(lengths or [1] * len(tokens)))
    (gradient,) = torch.autograd.grad(result.loss, p)
    return result, gradient.tolist()


def defined(name: str, tokens: Sequence[Token], lengths: Sequence[int] = ()) -> Callable[[Sequence[float]], float]:
    """Return the definition as a function of log p; what it holds constant stays at the tokens' own."""
    held, old, advantages, weights = zip(*tokens, strict=True)
    known = {
        "importance_sampling": definitions.importance_sampling,
        "ppo": partial(definitions.ppo, low=LOW, high=HIGH),
        "ppo, dual clip": partial(definitions.ppo, low=LOW, high=HIGH, dual=DUAL),
        "cispo": partial(definitions.cispo, held=held, low=0.0, high=CISPO_HIGH),
        "gspo": partial(definitions.gspo, lengths=lengths or [1] * len(tokens), held=held, low=LOW, high=HIGH),
    }
    return lambda p: known[name](p, old, advantages, weights)


def slopes(function: Callable[[Sequence[float]], float], at: Sequence[float], step: float = 1e-5) -> list[float]:
    """Return central differences."""

    def moved(t: int, by: float) -> float:
        return function([*at[:t], at[t] + by, *at[t + 1 :]])

    return [(moved(t, step) - moved(t, -step)) / (2 * step) for t in range(len(at))]


def away_from_corners(tokens: Sequence[Token], lengths: Sequence[int] = ()) -> bool:
    """Tell whether no ratio stands at a threshold, where a clip has no derivative."""
    parts, start = [], 0
    for length in lengths or [1] * len(tokens):
        part = [token[0] - token[1] for token in tokens[start : start + length]]
        parts.append(math.exp(sum(part) / length))
        start += length
    return all(abs(ratio - threshold) > 1e-3 for ratio in parts for threshold in (LOW, HIGH, DUAL, CISPO_HIGH))


def cut(tokens: Sequence[Token], at: int) -> list[int]:
    """Return the lengths of two sequences, or of one."""
    return [length for length in (min(at, len(tokens)), len(tokens) - at) if length > 0]


@NAMES
@LAW
@given(tokens=TOKENS, at=st.integers(1, 8))
def test_value_and_gradient_are_those_of_the_definition(name: str, tokens: list[Token], at: int) -> None:
    lengths = cut(tokens, at) if name == "gspo" else []
    assume(away_from_corners(tokens, lengths))
    result, gradient = run(name, tokens, lengths)
    function = defined(name, tokens, lengths)
    at_p = [token[0] for token in tokens]
    assert result.loss.item() == pytest.approx(function(at_p), rel=1e-9, abs=1e-9)
    assert gradient == pytest.approx(slopes(function, at_p), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", HOLDS_NOTHING)
@settings(max_examples=10)
@given(tokens=TOKENS)
def test_the_gradient_is_that_of_the_value(name: str, tokens: list[Token]) -> None:
    assume(away_from_corners(tokens))
    p, old, advantages, weights = torch.tensor(list(zip(*tokens, strict=True)), dtype=torch.float64)
    ones = torch.ones(len(tokens), dtype=torch.long)
    p = p.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda leaf: LOSSES[name](leaf, old, advantages, weights, ones).loss, p)


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in HOLDS_NOTHING])
def test_what_is_held_constant_is_no_part_of_the_gradient(name: str) -> None:
    """The gradient of the value itself is another: cispo's weight would move too, gspo's other tokens would count."""
    tokens = [(-1.0, -1.1, 1.0, 0.5), (-0.8, -0.7, -2.0, 0.5)]
    _, gradient = run(name, tokens, [2])
    value = lambda p: run(name, [(x, *token[1:]) for x, token in zip(p, tokens, strict=True)], [2])[0].loss.item()  # noqa: E731
    assert max(abs(a - b) for a, b in zip(gradient, slopes(value, [-1.0, -0.8]), strict=True)) > 0.1


@NAMES
@LAW
@given(tokens=TOKENS, at=st.integers(0, 8))
def test_passes_add_up_and_order_does_not_matter(name: str, tokens: list[Token], at: int) -> None:
    whole, gradient = run(name, tokens)
    parts = [run(name, part) for part in (tokens[at:], tokens[:at]) if part]
    assert sum(part.loss.item() for part, _ in parts) == pytest.approx(whole.loss.item(), abs=1e-9)
    at = min(at, len(tokens))
    assert [value for _, part in parts for value in part] == pytest.approx([*gradient[at:], *gradient[:at]], abs=1e-9)


@LAW
@given(TOKENS, st.integers(1, 8))
def test_sequences_of_gspo_add_up_and_their_order_does_not_matter(tokens: list[Token], at: int) -> None:
    lengths = cut(tokens, at)
    whole, gradient = run("gspo", tokens, lengths)
    first, rest = tokens[: lengths[0]], tokens[lengths[0] :]
    parts = [run("gspo", part, [len(part)]) for part in (rest, first) if part]
    assert sum(part.loss.item() for part, _ in parts) == pytest.approx(whole.loss.item(), abs=1e-9)
    together = [value for _, part in reversed(parts) for value in part]
    assert together == pytest.approx(gradient, abs=1e-9)
    # Within a sequence as well: its ratio is a mean.
    backwards, other = run("gspo", first[::-1], [len(first)])
    assert other[::-1] == pytest.approx(gradient[: lengths[0]], abs=1e-9)
    assert backwards.clipped_T.tolist()[::-1] == whole.clipped_T.tolist()[: lengths[0]]


@NAMES
@LAW
@given(tokens=TOKENS, by=st.floats(-2, 2))
def test_only_the_ratio_counts(name: str, tokens: list[Token], by: float) -> None:
    """A common factor of p and old changes no gradient; cispo's value, which is no objective, has log p itself."""
    assume(away_from_corners(tokens))
    plain, gradient = run(name, tokens)
    moved, other = run(name, [(p + by, old + by, a, c) for p, old, a, c in tokens])
    assert other == pytest.approx(gradient, abs=1e-9)
    if name != "cispo":
        assert moved.loss.item() == pytest.approx(plain.loss.item(), abs=1e-9)


@NAMES
@LAW
@given(tokens=TOKENS, by=st.floats(0.1, 5))
def test_weights_and_advantages_scale_the_loss(name: str, tokens: list[Token], by: float) -> None:
    plain, gradient = run(name, tokens)
    for scaled in ([(p, o, a * by, c) for p, o, a, c in tokens], [(p, o, a, c * by) for p, o, a, c in tokens]):
        result, other = run(name, scaled)
        assert result.loss.item() == pytest.approx(by * plain.loss.item(), abs=1e-8)
        assert other == pytest.approx([by * value for value in gradient], abs=1e-8)


@NAMES
def test_which_losses_push_up_and_down_alike(name: str) -> None:
    """Above its upper threshold a clip holds back who is pushed up, and lets through who is pushed down."""
    (_, (up,)), (_, (down,)) = (run(name, [(math.log(0.6), math.log(0.4), a, 1.0)]) for a in (1.0, -1.0))
    assert (up == -down) == (name in MIRRORED)


@NAMES
@LAW
@given(tokens=TOKENS, garbage=st.floats(-6, 0), advantage=st.floats(-3, 3))
def test_a_token_of_weight_0_or_advantage_0_changes_nothing(
    name: str, tokens: list[Token], garbage: float, advantage: float
) -> None:
    alone, gradient = run(name, tokens)
    together, more = run(name, [*tokens, (garbage, -1.0, advantage, 0.0), (garbage, -2.0, 0.0, 0.7)])
    assert together.loss.item() == pytest.approx(alone.loss.item(), abs=1e-9)
    assert more == pytest.approx([*gradient, 0.0, 0.0], abs=1e-9)


@NAMES
def test_a_weight_of_0_hides_no_token_that_is_no_number(name: str) -> None:
    """Masked tokens never come here; one that does is loud."""
    result, _ = run(name, [(-1.0, -1.0, 1.0, 1.0), (-1.0, math.nan, 1.0, 0.0)])
    assert math.isnan(result.loss.item())


@NAMES
@LAW
@given(tokens=TOKENS, lengths=st.integers(1, 8))
def test_at_ratio_1_every_loss_has_the_gradient_of_reinforce(name: str, tokens: list[Token], lengths: int) -> None:
    result, gradient = run(name, [(p, p, a, c) for p, _, a, c in tokens], cut(tokens, lengths))
    assert gradient == pytest.approx([-c * a for _, _, a, c in tokens], abs=1e-12)
    assert result.ratio_T.tolist() == [1.0] * len(tokens)
    assert not result.clipped_T.any()


@NAMES
@LAW
@given(tokens=COUNTED)
def test_clipped_tokens_are_those_whose_gradient_a_clip_changed(name: str, tokens: list[Token]) -> None:
    assume(away_from_corners(tokens))
    result, gradient = run(name, tokens)
    for (p, old, a, c), found, changed in zip(tokens, gradient, result.clipped_T.tolist(), strict=True):
        free = -c * math.exp(p - old) * a
        assert changed == (abs(found - free) > 1e-9)
        if changed and name != "cispo":
            assert found == 0.0
        if name == "cispo":
            assert abs(found) <= CISPO_HIGH * c * abs(a) + 1e-12
            assert found != 0.0


@LAW
@given(TOKENS)
def test_without_thresholds_every_gradient_is_that_of_importance_sampling(tokens: list[Token]) -> None:
    p, old, advantages, weights = torch.tensor(list(zip(*tokens, strict=True)), dtype=torch.float64)
    p = p.clone().requires_grad_()
    free = clipped(0.0, math.inf)
    ones = torch.ones(len(tokens), dtype=torch.long)
    expected = torch.tensor(run("importance_sampling", tokens)[1], dtype=torch.float64)
    for result in (
        ppo_loss(p, old, advantages, weights, **free),
        cispo_loss(p, old, advantages, weights, **free),
        gspo_loss(p, old, advantages, weights, ones, **free),
    ):
        (found,) = torch.autograd.grad(result.loss, p)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
        assert not result.clipped_T.any()


@LAW
@given(TOKENS)
def test_a_clip_never_promises_more_than_the_ratio(tokens: list[Token]) -> None:
    free = run("importance_sampling", tokens)[0].loss.item()
    assert run("ppo", tokens)[0].loss.item() >= free - 1e-9
    # The dual clip takes back what the clip leaves unbounded below.
    assert run("ppo, dual clip", tokens)[0].loss.item() <= run("ppo", tokens)[0].loss.item() + 1e-9
