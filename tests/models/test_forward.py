import random

import pytest
import torch

from models.tiny import FAMILIES, VOCABULARY, stock_logprobs, stock_twin, tiny_policy
from turnwright.core.errors import AlignmentError, UnsupportedModelError
from turnwright.models.forward import AskedRow, ScoreSettings, score_rows, score_states, score_tokens


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


def test_a_token_without_a_predecessor_is_refused():
    with pytest.raises(AlignmentError, match="position 0"):
        score_tokens(tiny_policy(), [(1, 2)], [[True, True]], [[1.0, 1.0]])


def test_a_pass_around_the_views_is_refused():
    with pytest.raises(UnsupportedModelError, match=r"call Policy\.hidden_states"):
        tiny_policy().model(input_ids=torch.tensor([[1, 2]]))


def test_logits_in_chunks_give_the_same_scores_and_gradients():
    policy = tiny_policy(vocab_size=5000)
    rows, wanted, temperatures = ragged_rows(3, prefix_length=4, num_rows=14)
    asked = [AskedRow.of(*entry) for entry in zip(rows, wanted, temperatures, strict=True)]
    sizes: list[int] = []
    hook = policy.model.lm_head.register_forward_hook(lambda *call: sizes.append(call[2].shape[0]))
    found = []
    for megabytes in (256, 1):
        scores = score_rows(policy, asked, ScoreSettings(entropy_gradient=True, logits_memory_mb=megabytes))
        (scores.logprobs.sum() + scores.entropy.square().sum()).backward()
        found.append((scores, [parameter.grad.clone() for parameter in policy.model.parameters()]))
        policy.model.zero_grad()
    hook.remove()
    num_wanted = sum(map(sum, wanted))
    # A MiB holds the logits of 26 tokens and their gradient; chunks are computed again in the backward pass.
    assert sizes[0] == num_wanted > 26
    assert max(sizes[1:]) == 26
    assert sum(sizes[1:]) == 2 * num_wanted
    for name in ("logprobs", "entropy"):
        torch.testing.assert_close(getattr(found[0][0], name), getattr(found[1][0], name), rtol=1e-5, atol=1e-5)
    for whole, chunked in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(whole, chunked, rtol=1e-4, atol=1e-4 * whole.abs().max().item())


def test_an_equal_prediction_is_computed_once_and_each_row_has_its_gradient():
    policy = tiny_policy()
    seen: list[int] = []
    hook = policy.model.lm_head.register_forward_hook(lambda *call: seen.append(call[2].shape[0]))
    asked = [AskedRow.of((5, 6, 7), (False, True, True), (1.0, 1.0, heat)) for heat in (1.0, 1.0, 2.0)]
    states = torch.randn(3, 32, requires_grad=True)
    scores = score_states(policy, states, asked, [torch.arange(3)] * 3, ScoreSettings())
    hook.remove()
    assert seen == [3]
    assert torch.equal(scores.logprobs[:2], scores.logprobs[2:4])
    weights = torch.tensor([1.0, 2.0, -3.0, 0.5, 4.0, -1.0])
    (scores.logprobs * weights).sum().backward()
    logits = policy.logits(twin := states.detach().requires_grad_())
    first, second, hot = (logits[place] / heat for place, heat in ((0, 1.0), (1, 1.0), (1, 2.0)))
    expected = first.log_softmax(-1)[6] * (1 - 3 + 4) + second.log_softmax(-1)[7] * 2.5 - hot.log_softmax(-1)[7]
    expected.backward()
    torch.testing.assert_close(states.grad, twin.grad)


def test_the_entropys_gradient_is_that_of_its_definition():
    policy = tiny_policy()
    asked = [AskedRow.of((5, 6, 7), (False, True, True), (1.0, 1.0, 0.5))]
    states = torch.randn(3, 32, requires_grad=True)
    scores = score_states(policy, states, asked, [torch.arange(3)], ScoreSettings(entropy_gradient=True))
    (scores.entropy * torch.tensor([1.0, -2.0])).sum().backward()
    twin = states.detach().requires_grad_()
    by_hand = torch.distributions.Categorical(logits=policy.logits(twin[:2]) / torch.tensor([[1.0], [0.5]])).entropy()
    torch.testing.assert_close(scores.entropy, by_hand)
    (by_hand * torch.tensor([1.0, -2.0])).sum().backward()
    torch.testing.assert_close(states.grad, twin.grad)
