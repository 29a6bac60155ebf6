from dataclasses import replace

import pytest

from turnwright.core.episode import ContextChange, Episode, EpisodeKey, ToolOutcome, Turn
from turnwright.core.group import Attempt, Group
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Outcome, Rewarded, Truncated
from turnwright.core.task import Task
from turnwright.core.trajectory import SampledTurn, Trajectory, hash_ids
from turnwright.rollout.metrics import attempt_metrics, group_metrics, reward_of, with_domains

TASK = Task(id="t", prompt="p")


def attempt(number: int, outcome: Outcome, *, logprobs: tuple[float, ...] = (), tools: tuple = (), turns: int = 1):
    key = EpisodeKey(task_id="t", attempt=number)
    sampled = SampledTurn(
        index=0,
        parent=None,
        kind="root",
        prompt_token_ids=(1, 2, 3),
        sampled_token_ids=(4,) * len(logprobs),
        logprobs=logprobs,
        policy_versions=(0,) * len(logprobs),
        temperature=1.0,
        top_p=1.0,
        prefix_hash=hash_ids((1, 2, 3)),
    )
    said = Turn(reply=Message(role="assistant"), tools=tools)
    episode = Episode(key=key, task=TASK, opening=(), turns=(said,) * turns, outcome=outcome)
    return Attempt(episode=episode, trajectory=Trajectory(key=key, turns=(sampled,)))


ATTEMPTS = [
    attempt(
        0,
        Rewarded(value=1.0, components={"fields": 1.0}),
        logprobs=(-1.0, -3.0),
        tools=(ToolOutcome(name="look"), ToolOutcome(name="look", error=True)),
        turns=2,
    ),
    attempt(1, Truncated(value=0.0, cause="token_cap", components={"fields": 0.5}), logprobs=(-2.0,) * 4),
    attempt(2, Failed(cause="tool_error"), logprobs=(-9.0,) * 50, turns=9),
    attempt(3, Rewarded(value=0.5), logprobs=(-2.0,) * 3),
]


def test_a_failed_attempt_has_no_reward_and_counts_only_as_failed():
    assert [reward_of(one) for one in ATTEMPTS] == [1.0, 0.0, None, 0.5]
    metrics = attempt_metrics(ATTEMPTS, "rollout")
    assert metrics["rollout/reward/mean"] == 0.5
    assert metrics["rollout/reward/std"] == pytest.approx((1 / 6) ** 0.5)
    assert (metrics["rollout/reward/min"], metrics["rollout/reward/max"]) == (0.0, 1.0)
    assert metrics["rollout/reward/zero_frac"] == pytest.approx(1 / 3)
    assert metrics["rollout/turns/mean"] == pytest.approx(4 / 3)
    assert metrics["rollout/tokens/response_mean"] == pytest.approx(3.0)
    assert metrics["rollout/tokens/prompt_mean"] == 3.0
    assert metrics["rollout/logprob/mean"] == pytest.approx((-4 - 8 - 6) / 9)
    assert metrics["rollout/outcome/rewarded_frac"] == metrics["rollout/completion_frac"] == 0.5
    assert metrics["rollout/outcome/truncated_frac"] == metrics["rollout/outcome/failed_frac"] == 0.25
    assert metrics["rollout/truncated/token_cap_frac"] == 0.25
    assert metrics["rollout/truncated/max_turns_frac"] == 0.0
    assert metrics["rollout/failure/tool_error"] == 1.0
    assert metrics["rollout/tools/calls"] == pytest.approx(4 / 3)
    assert metrics["rollout/tools/error_frac"] == 0.5
    assert metrics["rollout/tools/malformed_frac"] == 0.0
    assert metrics["rollout/component/fields"] == 0.75


def test_nothing_but_failures_is_told_without_inventing_a_reward():
    metrics = attempt_metrics([ATTEMPTS[2]], "val")
    assert metrics["val/outcome/failed_frac"] == 1.0
    assert not any(name.startswith("val/reward") for name in metrics)
    assert attempt_metrics([], "val") == {}


def test_groups_by_hand():
    def group(*rewards: float) -> Group:
        return Group(task=TASK, attempts=tuple(attempt(i, Rewarded(value=r)) for i, r in enumerate(rewards)))

    lost = Group(task=TASK, attempts=(ATTEMPTS[2],))
    metrics = group_metrics([group(1, 0), group(1, 1), lost], batch_size=4)
    assert metrics["analysis/batch_completion_ratio"] == 0.5
    assert metrics["analysis/reward_variance_across_groups"] == pytest.approx(0.0625)
    assert metrics["analysis/mean_group_reward_spread"] == 0.5
    assert metrics["rollout/reward/valid_mean"] == 0.5
    assert group_metrics([lost], batch_size=4) == {"analysis/batch_completion_ratio": 0.0}


def test_domains_by_hand():
    def group(domain: str | None, *rewards: float) -> Group:
        task = Task(id=f"{domain}/t", prompt="p", domain=domain)
        return Group(task=task, attempts=tuple(attempt(i, Rewarded(value=r)) for i, r in enumerate(rewards)))

    def measure(groups) -> dict[str, float]:
        attempts = [one for some in groups for one in some.attempts]
        metrics = attempt_metrics(attempts, "rollout") | group_metrics(groups, batch_size=len(groups))
        return metrics | {"cost/attempts": float(len(attempts)), "training/groups": float(len(groups))}

    groups = [group("b", 1, 0), group("a", 0, 0), group("b", 1, 1)]
    metrics = with_domains(groups, measure)
    assert metrics["rollout/reward/mean"] == 0.5
    assert (metrics["a/rollout/reward/mean"], metrics["b/rollout/reward/mean"]) == (0.0, 0.75)
    # Group means 0.5 and 1 in b; in a there is one group only, and no reward above 0.
    assert metrics["b/analysis/reward_variance_across_groups"] == 0.0625
    assert metrics["a/analysis/reward_variance_across_groups"] == 0.0
    assert metrics["b/analysis/mean_group_reward_spread"] == 0.5
    assert (metrics["a/rollout/reward/zero_frac"], metrics["b/rollout/reward/zero_frac"]) == (1.0, 0.25)
    assert metrics["b/rollout/reward/valid_mean"] == 0.5
    assert "a/rollout/reward/valid_mean" not in metrics
    assert metrics["cost/attempts"] == 6.0
    per_domain = {name.removeprefix("b/") for name in metrics if name.startswith("b/")}
    assert per_domain == {name for name in metrics if name.startswith(("rollout/", "analysis/"))}


def test_without_a_mixture_there_are_no_domains():
    groups = [Group(task=TASK, attempts=tuple(ATTEMPTS))]
    assert with_domains(groups, lambda some: {"val/n": float(len(some))}) == {"val/n": 1.0}


def test_what_a_context_policy_did_and_cost_is_told_per_attempt():
    def sampled(index: int, prompt: tuple[int, ...], parent: int | None, cause: str = "") -> SampledTurn:
        return SampledTurn(
            index=index,
            parent=parent,
            kind="fork" if cause else "clean" if index else "root",
            cause=cause,
            prompt_token_ids=prompt,
            sampled_token_ids=(9,),
            logprobs=(-1.0,),
            policy_versions=(0,),
            temperature=1.0,
            top_p=1.0,
            prefix_hash=hash_ids(prompt),
        )

    changes = (
        ContextChange(full_results=(Message(role="tool", content="long"),), removed_tokens=7),
        ContextChange(dropped_results=2, removed_tokens=20),
        ContextChange(notes=Message(role="assistant", content="found"), notes_taken=True, removed_tokens=40),
        ContextChange(notes=Message(role="assistant")),
        None,
    )
    turns = tuple(Turn(reply=Message(role="assistant"), context=change) for change in changes)
    first = attempt(0, Rewarded(value=1.0))
    # The context fork shares (1, 2) with what was held and computes 3; the other fork is not the policy's.
    calls = (sampled(0, (1, 2, 3), None), sampled(1, (1, 2, 5, 6, 7), None, "context"), sampled(2, (8,), None, "x"))
    one = Attempt(episode=replace(first.episode, turns=turns), trajectory=replace(first.trajectory, turns=calls))
    metrics = attempt_metrics([one, attempt(1, Rewarded(value=0.0))], "val")
    assert {name: value for name, value in metrics.items() if "/context/" in name} == {
        "val/context/cut_results": 0.5,
        "val/context/dropped_results": 1.0,
        "val/context/summaries": 0.5,
        "val/context/refused_summaries": 0.5,
        "val/context/forks": 0.5,
        "val/context/removed_tokens": 33.5,
        "val/context/refilled_tokens": 1.5,
    }
    assert not any("/context/" in name for name in attempt_metrics(ATTEMPTS, "val"))
