import pytest
import torch

from models.tiny import stock_logprobs, stock_twin, tiny_policy
from turnwright.core.errors import SamplerMismatchError
from turnwright.learner.canary import CANARY_TEMPERATURE, require_same_weights

PROMPT, REPLY = (1, 2, 3), (4, 5, 6, 7)


def exact(policy) -> list[float]:
    row = PROMPT + REPLY
    with torch.no_grad():
        return stock_logprobs(stock_twin(policy), row, [False] * 3 + [True] * 4, [CANARY_TEMPERATURE] * 7).tolist()


def test_the_same_weights_pass_with_their_gap():
    policy = tiny_policy()
    logprobs = exact(policy)
    assert require_same_weights(policy, PROMPT, REPLY, logprobs) < 1e-5
    logprobs[2] += 5e-4
    assert require_same_weights(policy, PROMPT, REPLY, logprobs) == pytest.approx(5e-4, abs=1e-5)


def test_stale_weights_and_nonsense_do_not():
    policy, other = tiny_policy(), tiny_policy(seed=1)
    for logprobs in (exact(other), [float("nan")] * 4):
        with pytest.raises(SamplerMismatchError, match="canary"):
            require_same_weights(policy, PROMPT, REPLY, logprobs)
