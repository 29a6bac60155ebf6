"""Losses and advantages of one's own: found by place, tried when they are loaded, checked when they are called."""

import re
from pathlib import Path

import pytest
import torch

from learner.material import attempt, group, on_policy_groups, optimizer_of, passes_of, uniform_policy
from models.tiny import tiny_policy
from turnwright.core.errors import ConfigError, TrainingError
from turnwright.learner.batch import BatchSettings, build_batch
from turnwright.learner.credit import AdvantageSettings, find_advantage
from turnwright.learner.extensions import CustomAdvantage, CustomLoss, load_advantage, load_loss
from turnwright.learner.objective import LossSettings, find_loss
from turnwright.learner.step import StepSettings, take_step

HEAD = "import torch\nfrom turnwright.algorithms.policy_loss import PolicyLoss\n"
SIGNATURE = (
    "def mine(logprobs_T, old_logprobs_T, advantages_T, weights_T, lengths_S, *, "
    "clip_low_threshold, clip_high_threshold):\n"
)
RATIO = "    w = (logprobs_T - old_logprobs_T).exp()\n"
RETURN = "    return PolicyLoss(loss={loss}, ratio_T=w.detach(), clipped_T=torch.zeros_like(w, dtype=torch.bool))\n"


def written(folder: Path, text: str) -> str:
    """Write a file and return the place of the function ``mine`` in it."""
    file = folder / "mine.py"
    file.write_text(text, encoding="utf-8")
    return f"{file}:mine"


def loss_text(loss: str) -> str:
    return HEAD + SIGNATURE + RATIO + RETURN.format(loss=loss)


def test_a_loss_of_ones_own_trains(tmp_path: Path):
    """-(1/5) sum w A with ratios 1.5, 1 and 0.5, 1, 2 and A = +-0.5: -(0.5 * 2.5 - 0.5 * 3.5) / 5 = 0.1."""
    place = written(tmp_path, loss_text("-(weights_T * w * advantages_T).sum()"))
    loss = load_loss(place)
    settings = StepSettings(
        batch=BatchSettings(advantages=AdvantageSettings(normalization=False)),
        loss=LossSettings(loss_fn=loss), sampler_gap_warn=1e3, sampler_kl_warn=1e3,
    )  # fmt: skip
    groups = [group("a", attempt("a", 0, 1.0, [1.5, 1.0]), attempt("a", 1, 0.0, [0.5, 1.0, 2.0]))]
    policy = uniform_policy()
    metrics = take_step(passes_of(policy), optimizer_of(policy), groups, settings, step=1).metrics
    assert metrics["training/loss"] == pytest.approx(0.1, abs=1e-6)
    assert metrics["training/ratio/max"] == pytest.approx(2.0, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (loss_text("-(w * advantages_T).mean()"), "of two rows is .* and of each alone .*: micro-batches"),
        (loss_text("-(weights_T * w.detach() * advantages_T).sum()"), "no gradient of loss .*mine.py:mine' reaches"),
        (loss_text("-(weights_T * w * advantages_T)"), r"must return a scalar as PolicyLoss\.loss: got shape \[5\]"),
        (loss_text("(weights_T * w * advantages_T).sum() / 0"), "expected a finite number"),
        (loss_text("(weights_T * w * no).sum()"), "raised NameError"),
        (HEAD + SIGNATURE + "    return -(weights_T * logprobs_T).sum()\n", r"must return .*PolicyLoss: got tensor"),
        (HEAD + "def mine(logprobs_T, advantages_T): ...\n", r"must accept \(logprobs_T, .*\): it is declared as"),
        (HEAD + "def other(): ...\n", "has no function 'mine'; it has: other"),
        ("raise RuntimeError('no')\n", r"importing .*mine.py failed: RuntimeError"),
        (loss_text("-(weights_T * w * advantages_T).sum()").replace("ratio_T=w.detach()", "ratio_T=w.mean()"),
         r"PolicyLoss\.ratio_T of loss .* must be a tensor of shape \[5\]: got shape \[\]"),
    ],
)  # fmt: skip
def test_a_loss_that_cannot_be_trained_with_is_refused_when_it_is_loaded(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_loss(written(tmp_path, text))


def test_an_advantage_of_ones_own(tmp_path: Path):
    """Rewards less their median, weighted by length: 2 * (1 - 0), and -> 0 where the rewards are the median."""
    place = written(
        tmp_path, "def mine(rewards_G, lengths_G):\n    return (rewards_G - rewards_G.median()) * lengths_G\n"
    )
    method = find_advantage(place)
    assert isinstance(method, CustomAdvantage)
    groups = [
        group("a", attempt("a", 0, 1.0, [1.0] * 2), attempt("a", 1, 0.0, [1.0]), attempt("a", 2, 0.0, [1.0])),
        group("b", attempt("b", 0, 1.0, [1.0]), attempt("b", 1, 1.0, [1.0])),
    ]
    batch = build_batch(groups, BatchSettings(advantages=AdvantageSettings(method=method)))
    assert batch.advantages == (2.0, 0.0, 0.0)
    assert (batch.num_live_groups, batch.zero_adv_nonzero_reward) == (1, 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("rewards_G.mean()", r"must be a tensor of shape \[4\]: got shape \[\]"),
        ("rewards_G.tolist()", r"must be a tensor of shape \[4\]: got \[1\.0"),
        ("rewards_G / 0", "must return finite numbers: got "),
        ("rewards_G * 0", "gives every attempt 0 for the rewards"),
        ("rewards_G[9]", "raised IndexError"),
    ],
)
def test_an_advantage_that_cannot_be_trained_with_is_refused(tmp_path: Path, body: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load_advantage(written(tmp_path, f"def mine(rewards_G, lengths_G):\n    return {body}\n"))
    with pytest.raises(ConfigError, match=r"must accept \(rewards_G, lengths_G\)"):
        load_advantage(written(tmp_path, "def mine(rewards_G): ...\n"))


def test_what_breaks_only_later_stops_the_run_by_name_with_the_weights_unchanged():
    def loss(logprobs_T, *rest, **options):
        raise RuntimeError("no")

    def advantage(rewards_G, lengths_G):
        return rewards_G.log()

    groups = [group("a", attempt("a", 0, 1.0, [1.0]), attempt("a", 1, 0.0, [1.0]))]
    for settings, message in (
        (StepSettings(batch=BatchSettings(), loss=LossSettings(loss_fn=CustomLoss(place="my.py:loss", function=loss))),
         r"loss 'my\.py:loss' raised RuntimeError\('no'\) on 2 tokens"),
        (StepSettings(batch=BatchSettings(advantages=AdvantageSettings(
            method=CustomAdvantage(place="my.py:log", function=advantage)))),
         r"advantage 'my\.py:log' must return finite numbers: got \[0\.0, -inf\]"),
    ):  # fmt: skip
        policy = uniform_policy()
        with pytest.raises(TrainingError, match=message):
            take_step(passes_of(policy), optimizer_of(policy), groups, settings, step=1)
        assert all(parameter.grad is None for parameter in policy.model.parameters())


def test_the_example_of_the_page_is_short_and_trains(tmp_path: Path):
    page = (Path(__file__).parents[2] / "docs" / "algorithms.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(code.splitlines()) < 20
    (tmp_path / "my_rl.py").write_text(code, encoding="utf-8")
    (loss, advantage) = re.findall(r"=(my_rl\.py:\w+)", page)
    settings = StepSettings(
        batch=BatchSettings(advantages=AdvantageSettings(method=find_advantage(f"{tmp_path}/{advantage}"))),
        loss=LossSettings(loss_fn=find_loss(f"{tmp_path}/{loss}")),
    )
    policy = tiny_policy()
    metrics = take_step(passes_of(policy), optimizer_of(policy), on_policy_groups(policy), settings, step=1).metrics
    assert metrics["training/grad_norm"] > 0
    assert metrics["training/ratio/mean"] == pytest.approx(1.0, abs=1e-5)


def test_names_are_not_places():
    assert (find_loss("cispo"), find_advantage("opo")) == ("cispo", "opo")
    assert torch.is_tensor(load_advantage("torch:sub")(torch.tensor([1.0, 0.0]), torch.tensor([1, 1])))
