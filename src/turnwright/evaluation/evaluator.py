"""The evaluator: a checkpoint on disk and a suite flow in, scored episodes and a result flow out.

It never sees the learner: whoever calls it hands over a way to collect attempts with the checkpoint's weights.
"""

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from turnwright.core.episode import Episode
from turnwright.core.outcome import Failed
from turnwright.core.task import Task
from turnwright.evaluation.result import DomainResult, EvaluationResult, OutcomeShares, PassRate, TaskResult
from turnwright.evaluation.scorers import Scorer
from turnwright.evaluation.statistics import (
    Interval,
    cluster_bootstrap,
    pass_at_k,
    pass_power_k,
    share_interval,
    share_over_strata,
    wilson_interval,
)
from turnwright.evaluation.suites import Suite, build_scorer, select_tasks
from turnwright.evaluation.watch import with_score

FAILED_SHARE_WARNING = 0.05
"""More attempts lost than this: the survivors may no longer stand for the suite, and the result says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRequest:
    """Which attempts to collect; temperature 0 is greedy."""

    checkpoint: Path
    tasks: tuple[Task, ...]
    attempts: int
    temperature: float
    seed: int


CollectAttempts = Callable[[AttemptRequest], Awaitable[Sequence[Episode]]]
"""Plays every attempt of a request, each in an environment of its own, and returns the ended episodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A result and the episodes behind it, with their scores."""

    result: EvaluationResult
    sampled: tuple[Episode, ...]
    greedy: tuple[Episode, ...]


async def evaluate(
    checkpoint: Path, suite: Suite, *, split_tasks: Iterable[Task], collect: CollectAttempts, step: int | None = None
) -> Evaluation:
    """Evaluate the checkpoint on the suite.

    ``split_tasks`` are all tasks of the suite's split: the suite draws from them, and the built-in scorer takes its
    closed vocabulary from them.
    """
    available = tuple(split_tasks)
    tasks = select_tasks(suite, available)
    scorer = build_scorer(suite, available)
    request = AttemptRequest(
        checkpoint=checkpoint, tasks=tasks, attempts=suite.attempts, temperature=suite.temperature, seed=suite.seed
    )
    sampled = score_episodes(await collect(request), scorer)
    greedy: tuple[Episode, ...] = ()
    if suite.greedy:
        greedy = score_episodes(await collect(replace(request, attempts=1, temperature=0.0)), scorer)
    result = summarise(suite, tasks=tasks, sampled=sampled, greedy=greedy, checkpoint=str(checkpoint), step=step)
    return Evaluation(result=result, sampled=sampled, greedy=greedy)


def score_episodes(episodes: Iterable[Episode], scorer: Scorer) -> tuple[Episode, ...]:
    """Return the episodes with their scores; failed ones get none."""
    return tuple(with_score(episode, scorer) for episode in episodes)


def summarise(
    suite: Suite,
    *,
    tasks: Sequence[Task],
    sampled: Sequence[Episode],
    greedy: Sequence[Episode] = (),
    checkpoint: str,
    step: int | None = None,
) -> EvaluationResult:
    """Return the result of scored episodes (see ``score_episodes``).

    Raises:
        ValueError: an episode belongs to no task of the suite, or has neither a score nor a failure.
    """
    sampled_by_task = _by_task(tasks, sampled)
    greedy_by_task = _by_task(tasks, greedy)
    names = _field_names((*sampled, *greedy))
    rows = tuple(_task_result(task, sampled_by_task[task.id], greedy_by_task[task.id], names) for task in tasks)
    domains = tuple(suite.scorers)
    outcomes = _outcome_shares((*sampled, *greedy))
    greedy_scored = [row.greedy for row in rows if row.greedy is not None]
    scored = {task_id: _scored(episodes) for task_id, episodes in sampled_by_task.items()}
    tool_results = [
        tool for episodes in scored.values() for each in episodes for turn in each.turns for tool in turn.tools
    ]
    num_turns = [len(episode.turns) for episodes in scored.values() for episode in episodes]
    return EvaluationResult(
        suite=suite.name,
        environment=suite.environment,
        options=suite.options,
        split=suite.split,
        scorer=suite.judge,
        reward_is_scorer=suite.judged_by_reward,
        checkpoint=checkpoint,
        step=step,
        tasks_hash=hash_tasks(tasks),
        num_tasks=len(tasks),
        attempts=suite.attempts,
        temperature=suite.temperature,
        seed=suite.seed,
        success=_share({row.task_id: [row.successes / row.attempts] for row in rows if row.attempts}, suite),
        pass_rates=_pass_rates(rows, suite),
        greedy_success=wilson_interval(sum(greedy_scored), len(greedy_scored)) if greedy_scored else None,
        field_accuracy=_share(
            {row.task_id: [row.field_accuracy] for row in rows if row.field_accuracy is not None}, suite
        ),
        greedy_field_accuracy=_share(
            {
                task.id: list(_field_shares(_scored(greedy_by_task[task.id]), names[task.domain]).values())
                for task in tasks
            },
            suite,
        ),
        fields={
            name: interval
            for name in sorted({name for own in names.values() for name in own})
            if (interval := _share({row.task_id: [row.fields[name]] for row in rows if name in row.fields}, suite))
        },
        completion=_share(
            {task: [float(e.score.completed) for e in episodes if e.score] for task, episodes in scored.items()}, suite
        ),
        reward=_mean({task: _rewards(episodes) for task, episodes in scored.items()}, suite),
        turns_mean=sum(num_turns) / len(num_turns) if num_turns else None,
        tool_error_fraction=sum(tool.error for tool in tool_results) / len(tool_results) if tool_results else None,
        outcomes=outcomes,
        warnings=_warnings(suite, rows, outcomes),
        tasks=rows,
        domains={domain: _domain_result(domain, suite, tasks, sampled, greedy) for domain in domains},
        macro_success=_macro(rows, domains, suite, lambda row: row.successes / row.attempts if row.attempts else None),
        macro_greedy_success=_macro(rows, domains, suite, lambda row: row.greedy),
    )


def _domain_result(
    domain: str, suite: Suite, tasks: Sequence[Task], sampled: Sequence[Episode], greedy: Sequence[Episode]
) -> DomainResult:
    own = summarise(
        replace(suite, scorer=suite.scorers[domain], scorers={}),
        tasks=[task for task in tasks if task.domain == domain],
        sampled=[episode for episode in sampled if episode.task.domain == domain],
        greedy=[episode for episode in greedy if episode.task.domain == domain],
        checkpoint="",
    )
    return DomainResult(
        environment=suite.options[domain]["name"],
        scorer=own.scorer,
        num_tasks=own.num_tasks,
        success=own.success,
        greedy_success=own.greedy_success,
        field_accuracy=own.field_accuracy,
        fields=own.fields,
        completion=own.completion,
        reward=own.reward,
        turns_mean=own.turns_mean,
        outcomes=own.outcomes,
    )


def _macro(
    rows: Sequence[TaskResult], domains: Sequence[str], suite: Suite, measure: Callable[[TaskResult], float | None]
) -> Interval | None:
    """Return the mean over domains; None outside a mixture, and where a domain has no value to count."""
    values: dict[str | None, dict[str, list[float]]] = {domain: {} for domain in domains}
    for row in rows if domains else ():
        if (value := measure(row)) is not None:
            values[row.domain][row.task_id] = [float(value)]
    if not values or not all(values.values()):
        return None
    return share_over_strata(list(values.values()), resamples=suite.resamples, seed=suite.seed)


def hash_tasks(tasks: Iterable[Task]) -> str:
    """Return a hash of ids, prompts and data that does not depend on the order of tasks."""
    lines = sorted(json.dumps([task.id, task.prompt, task.data], sort_keys=True, default=str) for task in tasks)
    return blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _by_task(tasks: Sequence[Task], episodes: Sequence[Episode]) -> dict[str, list[Episode]]:
    grouped: dict[str, list[Episode]] = {task.id: [] for task in tasks}
    for episode in episodes:
        if episode.key.task_id not in grouped:
            raise ValueError(f"episode '{episode.key}' belongs to no task of the suite: evaluate it with its own suite")
        if episode.score is None and not isinstance(episode.outcome, Failed):
            raise ValueError(f"episode '{episode.key}' has no score: pass it through score_episodes first")
        grouped[episode.key.task_id].append(episode)
    return grouped


def _scored(episodes: Sequence[Episode]) -> list[Episode]:
    return [episode for episode in episodes if episode.score is not None]


def _field_names(episodes: Iterable[Episode]) -> dict[str | None, list[str]]:
    """Return the output fields that scores name, by domain."""
    found: defaultdict[str | None, set[str]] = defaultdict(set)
    for episode in episodes:
        found[episode.task.domain].update(episode.score.fields if episode.score else ())
    return defaultdict(list, {domain: sorted(names) for domain, names in found.items()})


def _task_result(
    task: Task, sampled: Sequence[Episode], greedy: Sequence[Episode], names: Mapping[str | None, Sequence[str]]
) -> TaskResult:
    scored = _scored(sampled)
    greedy_scored = _scored(greedy)
    return TaskResult(
        task_id=task.id,
        cluster=task.cluster,
        attempts=len(scored),
        successes=sum(episode.score.success for episode in scored if episode.score),
        failed=len(sampled) - len(scored),
        greedy=greedy_scored[0].score.success if greedy_scored and greedy_scored[0].score else None,
        fields=_field_shares(scored, names[task.domain]),
        domain=task.domain,
    )


def _field_shares(scored: Sequence[Episode], all_names: Sequence[str]) -> dict[str, float]:
    """Share right per field. A scorer need not name the fields of an answer it cannot read: they count as wrong."""
    scores = [episode.score for episode in scored if episode.score]
    names = sorted({name for score in scores for name in score.fields}) or all_names
    return {
        name: sum(score.completed and score.fields.get(name, False) for score in scores) / len(scores)
        for name in names
        if scores
    }


def _pass_rates(rows: Sequence[TaskResult], suite: Suite) -> tuple[PassRate, ...]:
    rates: list[PassRate] = []
    for k in range(1, suite.attempts + 1):
        enough = [row for row in rows if row.attempts >= k]
        at_least_one = _share({r.task_id: [pass_at_k(r.attempts, r.successes, k)] for r in enough}, suite)
        every = _share({r.task_id: [pass_power_k(r.attempts, r.successes, k)] for r in enough}, suite)
        if at_least_one and every:
            rates.append(PassRate(k=k, at_least_one=at_least_one, all=every))
    return tuple(rates)


def _share(values_by_task: Mapping[str, Sequence[float]], suite: Suite) -> Interval | None:
    if not any(values_by_task.values()):
        return None
    return share_interval(values_by_task, resamples=suite.resamples, seed=suite.seed)


def _mean(values_by_task: Mapping[str, Sequence[float]], suite: Suite) -> Interval | None:
    if not any(values_by_task.values()):
        return None
    return cluster_bootstrap(values_by_task, resamples=suite.resamples, seed=suite.seed)


def _rewards(episodes: Sequence[Episode]) -> list[float]:
    """Return the rewards there are: a failed attempt has none, and none is not 0."""
    return [episode.outcome.value for episode in episodes if not isinstance(episode.outcome, Failed)]


def _outcome_shares(episodes: Sequence[Episode]) -> OutcomeShares:
    kinds = [episode.outcome.kind for episode in episodes]
    total = max(len(kinds), 1)
    return OutcomeShares(
        rewarded=kinds.count("rewarded") / total,
        truncated=kinds.count("truncated") / total,
        failed=kinds.count("failed") / total,
    )


def _warnings(suite: Suite, rows: Sequence[TaskResult], outcomes: OutcomeShares) -> tuple[str, ...]:
    warnings: list[str] = []
    if suite.judged_by_reward:
        warnings.append("Success is judged by the environment's own reward: it cannot show that the reward is right.")
    if outcomes.failed > FAILED_SHARE_WARNING:
        warnings.append(
            f"{outcomes.failed:.1%} of the attempts failed for reasons other than the policy (limit "
            f"{FAILED_SHARE_WARNING:.0%}): the scores speak for the surviving attempts only."
        )
    unscored = sum(row.attempts == 0 for row in rows)
    if unscored:
        warnings.append(f"{unscored} of {len(rows)} tasks have no scored sampled attempt and are left out.")
    return tuple(warnings)
