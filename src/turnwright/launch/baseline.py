"""Baseline: can reinforcement learning start from this policy, and does its reward deserve to be followed?

N tasks x group_size attempts are played by the base policy; the independent scorer is watched beside the reward.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from statistics import fmean, pvariance

from pydantic import TypeAdapter

from turnwright.config import RunConfig
from turnwright.core.episode import Episode
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed, Truncated
from turnwright.core.task import Split
from turnwright.evaluation.statistics import Interval, share_interval
from turnwright.evaluation.watch import with_score
from turnwright.launch.player import build_player, load_tasks, play_attempts
from turnwright.launch.scoring import configured_scorer
from turnwright.rundir.files import write_atomic

GROUP_SIZES = (4, 8, 16)
TOO_UNIFORM = 0.5
"""Share of groups without signal from which another group size is advised."""
HARDEST, EASIEST = 0.02, 0.98
"""Success beyond which the tasks, not the group size, should change."""
MOST_CAPPED = 0.05
MOST_OUT_OF_TURNS = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Overpaid:
    """An attempt that the reward calls solved and the scorer does not."""

    episode: str
    reward: float
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the base policy can do, and what that means for training."""

    model: str
    environment: str
    split: str
    num_tasks: int
    group_size: int
    scored: bool
    """An independent scorer decided; otherwise success is a reward that reaches the threshold."""
    success: Interval | None
    """One attempt at the training temperature; None when every attempt failed."""
    reward_mean: float
    reward_variance: float
    failed: int
    """Attempts lost to something other than the policy."""
    token_capped: float
    """Share of attempts cut at sampling_max_tokens."""
    out_of_turns: float
    """Share of attempts cut at max_turns."""
    uniform_groups: float
    """Share of the groups played whose rewards are all equal: they teach nothing."""
    predicted_uniform: Mapping[int, float]
    """By group size: share of groups expected to succeed or fail throughout (beta-binomial over tasks)."""
    overpaid: tuple[Overpaid, ...]
    problems: tuple[str, ...]
    """Why training cannot start like this; empty when it can."""
    advice: tuple[str, ...]
    domains: Mapping[str, "Baseline"] = field(default_factory=dict[str, "Baseline"])
    """Of a mixture: each domain by itself; what is wrong with one is among the problems above."""

    @property
    def passed(self) -> bool:
        """Training can start."""
        return not self.problems

    def to_json(self) -> str:
        """Return the baseline as one indented JSON object."""
        return BASELINE_ADAPTER.dump_json(self, indent=2).decode() + "\n"


def run_baseline(
    config: RunConfig,
    *,
    split: Split = "train",
    num_tasks: int = 100,
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> Baseline:
    """Play the first tasks of a split with the base policy, ``group_size`` attempts each, and judge."""
    return asyncio.run(_run(config, split, num_tasks, on_attempt))


async def _run(config: RunConfig, split: Split, num_tasks: int, on_attempt: Callable[[Attempt], None]) -> Baseline:
    player = build_player(config)
    try:
        every = load_tasks(player.prototype, split)
        tasks = every[:num_tasks]
        attempts = await play_attempts(
            player,
            tasks,
            config,
            attempts=config.algorithm.group_size,
            temperature=config.sampling.temperature,
            seed=config.run.seed,
            on_attempt=on_attempt,
        )
    finally:
        await player.engine.close()
    scorer = configured_scorer(config, every)
    episodes = [with_score(attempt.episode, scorer) for attempt in attempts]
    return assess(episodes, config, split=split)


def assess(episodes: Sequence[Episode], config: RunConfig, *, split: str) -> Baseline:
    """Return what finished, scored episodes say about training from here, over all and for each domain of a mixture."""
    whole = _assess(episodes, config, environment=config.environment.title, split=split)
    domains = {
        domain: _assess(own, config, environment=member.name, split=split)
        for domain, member in config.environment.mixture.items()
        if (own := [episode for episode in episodes if episode.task.domain == domain])
    }
    if not domains:
        return whole
    # What holds for the whole holds for its parts, and only there it can be mended.
    return replace(
        whole,
        problems=tuple(f"{domain}: {problem}" for domain, own in domains.items() for problem in own.problems),
        advice=tuple(f"{domain}: {advice}" for domain, own in domains.items() for advice in own.advice),
        domains=domains,
    )


def _assess(episodes: Sequence[Episode], config: RunConfig, *, environment: str, split: str) -> Baseline:
    threshold, size = config.validation.success_threshold, config.algorithm.group_size
    rewards: dict[str, list[float]] = {}
    successes: dict[str, list[float]] = {}
    overpaid: list[Overpaid] = []
    for episode in episodes:
        if isinstance(episode.outcome, Failed):
            continue
        reward = episode.outcome.value
        solved = episode.score.success if episode.score else reward >= threshold
        rewards.setdefault(episode.key.task_id, []).append(reward)
        successes.setdefault(episode.key.task_id, []).append(float(solved))
        if reward >= threshold and not solved:
            overpaid.append(Overpaid(episode=str(episode.key), reward=reward, answer=episode.answer))
    values = [value for group in rewards.values() for value in group]
    cuts = [episode.outcome.cause for episode in episodes if isinstance(episode.outcome, Truncated)]
    counts = [(int(sum(group)), len(group)) for group in successes.values()]
    success = share_interval(successes, resamples=2_000, seed=config.run.seed) if successes else None
    variance = pvariance(values) if values else 0.0
    capped, out_of_turns = (cuts.count(cause) / len(episodes) for cause in ("token_cap", "max_turns"))
    predicted = {k: predict_uniform(counts, k) for k in sorted({*GROUP_SIZES, size})} if counts else {}
    return Baseline(
        model=config.model.path,
        environment=environment,
        split=split,
        num_tasks=len({episode.key.task_id for episode in episodes}),
        group_size=size,
        scored=any(episode.score for episode in episodes),
        success=success,
        reward_mean=fmean(values) if values else 0.0,
        reward_variance=variance,
        failed=len(episodes) - len(values),
        token_capped=capped,
        out_of_turns=out_of_turns,
        uniform_groups=fmean(len(set(group)) == 1 for group in rewards.values()) if rewards else 1.0,
        predicted_uniform=predicted,
        overpaid=tuple(overpaid),
        problems=tuple(_problems(success, variance)),
        advice=tuple(_advice(config, success, predicted, capped=capped, out_of_turns=out_of_turns)),
    )


def predict_uniform(counts: Sequence[tuple[int, int]], group_size: int) -> float:
    """Return the expected share of groups that succeed throughout or fail throughout.

    Tasks differ in difficulty: success per task is taken as Beta(a, b), fitted by moments to (successes, attempts)
    per task, so that E[p^k] = prod_{i<k} (a + i) / (a + b + i). With n attempts per task, mean m and variance v of
    the tasks' shares, v = m (1 - m) / n * (1 + (n - 1) r), and a = m (1 / r - 1), b = (1 - m) (1 / r - 1).
    """
    shares = [successes / attempts for successes, attempts in counts]
    mean, attempts = fmean(shares), fmean(attempts for _, attempts in counts)
    if mean in (0.0, 1.0):
        return 1.0
    overdispersion = pvariance(shares) * attempts / (mean * (1 - mean))
    correlation = (overdispersion - 1) / (attempts - 1) if attempts > 1 else 0.0
    if correlation >= 1.0:
        return 1.0
    if correlation <= 0.0:
        return mean**group_size + (1 - mean) ** group_size
    a, b = (share * (1 / correlation - 1) for share in (mean, 1 - mean))
    return sum(prod((side + i) / (a + b + i) for i in range(group_size)) for side in (a, b))


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline as JSON."""
    write_atomic(path, baseline.to_json())


def _problems(success: Interval | None, reward_variance: float) -> list[str]:
    if success is None:
        return ["every attempt failed for reasons other than the policy: run 'turnwright check' on the environment"]
    problems: list[str] = []
    if success.value == 0.0:
        problems.append(
            "no foothold: not one attempt succeeds, so there is nothing to reinforce; start from demonstrations with "
            "'turnwright warmstart', take a stronger model, or make the tasks easier"
        )
    if reward_variance == 0.0:
        problems.append("every attempt has the same reward, so no attempt is better than another: look at the reward")
    return problems


def _advice(
    config: RunConfig, success: Interval | None, predicted: Mapping[int, float], *, capped: float, out_of_turns: float
) -> list[str]:
    advice: list[str] = []
    size = config.algorithm.group_size
    if success is None or success.value == 0.0:
        pass  # a problem already: no group size helps
    elif not HARDEST <= success.value <= EASIEST:
        advice.append(
            f"success is {success.value:.1%}: change the tasks or make the reward denser before tuning group sizes"
        )
    elif predicted[size] > TOO_UNIFORM:
        better = next((k for k in sorted(predicted) if k > size and predicted[k] <= TOO_UNIFORM), None)
        cure = f"algorithm.group_size={better}" if better else "easier tasks, a denser reward or a stronger start"
        advice.append(
            f"with algorithm.group_size = {size}, {predicted[size]:.0%} of the groups are expected to succeed or fail "
            f"throughout; try {cure}"
        )
    else:
        advice.append(f"algorithm.group_size = {size} fits: {1 - predicted[size]:.0%} of the groups should have signal")
    if capped > MOST_CAPPED:
        advice.append(f"{capped:.0%} of the attempts hit the token cap of a reply: raise sampling.sampling_max_tokens")
    if out_of_turns > MOST_OUT_OF_TURNS:
        advice.append(f"{out_of_turns:.0%} of the attempts ran out of turns: raise sampling.max_turns")
    return advice


BASELINE_ADAPTER = TypeAdapter(Baseline)
