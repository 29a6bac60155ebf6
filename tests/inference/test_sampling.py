import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turnwright.inference.local_sampling import draw_tokens, uniforms

KEYS = st.integers(0, 2**64 - 1)


def test_uniforms_are_splitmix64():
    # First outputs of SplitMix64 seeded with 1234567, as published with Vigna's splitmix64.c.
    outputs = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    expected = [(output >> 11) * 2.0**-53 for output in outputs]
    assert uniforms([1234567] * 5, range(5)).tolist() == expected


@given(st.lists(st.tuples(KEYS, st.integers(0, 10**6)), min_size=1, max_size=8))
def test_a_uniform_depends_on_its_own_key_and_position_alone(pairs: list[tuple[int, int]]):
    together = uniforms([key for key, _ in pairs], [position for _, position in pairs])
    assert all(0 <= value < 1 for value in together)
    assert together.tolist() == [uniforms([key], [position])[0] for key, position in pairs]


def draw(probabilities: list[float], random: float, *, temperature: float = 1.0, top_p: float = 1.0) -> tuple:
    logits = torch.tensor([probabilities]).log()
    result = draw_tokens(logits, [temperature], [top_p], np.array([random]))
    return result.token_ids[0], result.logprobs[0], result.kept_logmass[0]


@pytest.mark.parametrize(("random", "token"), [(0.0, 0), (0.24, 0), (0.26, 2), (0.74, 2), (0.76, 3), (1 - 2.0**-53, 3)])
def test_a_token_is_drawn_by_inverting_the_cumulative_distribution(random: float, token: int):
    chosen, logprob, logmass = draw([0.25, 0.0, 0.5, 0.25], random)
    assert chosen == token
    assert logprob == pytest.approx(math.log([0.25, 0, 0.5, 0.25][token]), abs=1e-6)
    assert logmass == 0.0


def test_temperature_sharpens():
    _, logprob, _ = draw([0.2, 0.8], 0.99, temperature=0.5)
    assert logprob == pytest.approx(math.log(0.64 / 0.68), abs=1e-6)


@pytest.mark.parametrize(("top_p", "size"), [(0.39, 1), (0.41, 2), (0.71, 3), (1.0, 4)])
def test_top_p_renormalises_over_the_smallest_sufficient_set(top_p: float, size: int):
    probabilities = [0.1, 0.4, 0.2, 0.3]
    kept = sorted(probabilities, reverse=True)[:size]
    for random in np.linspace(0, 0.999, 20):
        chosen, logprob, logmass = draw(probabilities, float(random), top_p=top_p)
        assert probabilities[chosen] in kept
        assert logmass == pytest.approx(math.log(sum(kept)), abs=1e-6)
        assert logprob == pytest.approx(math.log(probabilities[chosen] / sum(kept)), abs=1e-6)


def test_rows_of_one_batch_keep_their_own_settings():
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log().repeat(3, 1)
    result = draw_tokens(logits, [0.0, 1.0, 1.0], [1.0, 1.0, 0.5], np.array([0.0, 0.0, 0.0]))
    assert result.token_ids == [1, 0, 1]
    assert result.logprobs == pytest.approx([math.log(0.4), math.log(0.1), math.log(0.4 / 0.7)], abs=1e-6)
    assert result.kept_logmass == pytest.approx([0.0, 0.0, math.log(0.7)], abs=1e-6)
    assert result.kept_logmass[:2] == [0.0, 0.0]


def test_draws_follow_the_distribution():
    probabilities = [0.5, 0.3, 0.15, 0.05]
    count = 4000
    random = uniforms([99] * count, range(count))
    result = draw_tokens(torch.tensor([probabilities]).log().repeat(count, 1), [1.0] * count, [1.0] * count, random)
    shares = np.bincount(result.token_ids, minlength=4) / count
    assert shares == pytest.approx(probabilities, abs=0.03)
