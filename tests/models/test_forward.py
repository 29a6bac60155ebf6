import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.tiny import FAMILIES, VOCABULARY, stock_logprobs, stock_twin, tiny_policy
from turnwright.core.errors import AlignmentError, UnsupportedModelError
from turnwright.models.forward import common_prefix_length, score_tokens


def ragged_rows(seed: int, *, prefix_length: int, num_rows: int) -> tuple[list, list, list]:
    """Return rows of unequal length, what is wanted of them, and temperatures."""
    generator = random.Random(seed)
    prefix = [generator.randrange(VOCABULARY) for _ in range(prefix_length)]
    rows, wanted, temperatures = [], [], []
    for _ in range(num_rows):
        own = generator.randint(2, 25)
        rows.append((*prefix, *(generator.randrange(VOCABULARY) for _ in range(own))))
        flags = [False] * max(1, prefix_length) + [generator.random() < 0.4 for _ in range(own + prefix_length)]
        flags = flags[: len(rows[-1])]
        flags[-1] = True
        wanted.append(flags)
        temperatures.append([generator.choice([0.7, 1.0, 1.5]) for _ in rows[-1]])
    return rows, wanted, temperatures


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prefix_length", [0, 1, 23])
@pytest.mark.parametrize("num_rows", [1, 5])
def test_scores_and_every_gradient_equal_the_stock_forward(family: str, prefix_length: int, num_rows: int):
    policy = tiny_policy(family)
    twin = stock_twin(policy)
    rows, wanted, temperatures = ragged_rows(prefix_length, prefix_length=prefix_length, num_rows=num_rows)
    ours = score_tokens(policy, rows, wanted, temperatures).logprobs
    dense = torch.cat([stock_logprobs(twin, *entry) for entry in zip(rows, wanted, temperatures, strict=True)])
    torch.testing.assert_close(ours, dense, rtol=1e-5, atol=2e-5)

    weights = torch.linspace(-1, 1, len(dense))
    (ours * weights).sum().backward()
    (dense * weights).sum().backward()
    expected = dict(twin.named_parameters())
    for name, parameter in policy.model.named_parameters():
        assert parameter.grad is not None, name
        scale = expected[name].grad.abs().max().item()
        assert scale > 0, name
        gap = (parameter.grad - expected[name].grad).abs().max().item()
        assert gap <= 1e-5 * scale, f"{name}: {gap:.2g} of {scale:.2g}"


def test_the_prefix_is_computed_once():
    policy = tiny_policy()
    seen: list[int] = []
    hook = policy.decoder.layers[0].mlp.register_forward_hook(lambda *call: seen.append(call[1][0].shape[:2].numel()))
    shared, tail = (3, 1, 4, 1, 5, 9, 2, 6), ((7, 8), (9, 9))
    score_tokens(policy, [shared + own for own in tail], [[False] * 8 + [True] * 2] * 2, [[1.0] * 10] * 2)
    hook.remove()
    assert seen == [8, 4]


def test_entropy_is_that_of_the_tempered_distribution_and_carries_no_gradient():
    policy = tiny_policy()
    scores = score_tokens(policy, [(5, 6, 7)], [[False, False, True]], [[1.0, 1.0, 2.0]])
    logits = stock_twin(policy)(input_ids=torch.tensor([[5, 6]])).logits[0, -1] / 2.0
    torch.testing.assert_close(scores.entropy[0], torch.distributions.Categorical(logits=logits).entropy())
    assert not scores.entropy.requires_grad
    assert scores.logprobs.requires_grad


def test_what_stands_in_the_padding_never_matters():
    policy = tiny_policy()
    short, long = (1, 2, 3, 4), (1, 2, 9, 9, 9, 9, 9)
    wanted = [[False, False, True, True], [False] * 6 + [True]]
    ones = [[1.0] * 4, [1.0] * 7]
    together = score_tokens(policy, [short, long], wanted, ones).logprobs[:2]
    alone = score_tokens(policy, [short], wanted[:1], ones[:1]).logprobs
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@given(
    st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=12).map(tuple), min_size=1, max_size=6), st.integers(0, 9)
)
def test_common_prefix_length_is_the_longest(rows: list[tuple[int, ...]], limit: int):
    expected = 0
    while expected < min(limit, *map(len, rows)) and len({row[expected] for row in rows}) == 1:
        expected += 1
    assert common_prefix_length(rows, limit) == expected


def test_a_token_without_a_predecessor_is_refused():
    with pytest.raises(AlignmentError, match="position 0"):
        score_tokens(tiny_policy(), [(1, 2)], [[True, True]], [[1.0, 1.0]])


def test_a_pass_around_the_views_is_refused():
    with pytest.raises(UnsupportedModelError, match=r"call Policy\.hidden_states"):
        tiny_policy().model(input_ids=torch.tensor([[1, 2]]))
