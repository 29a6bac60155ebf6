"""Check an environment without a model: does it replay, can it be solved, and only by solving it?

load twice -> tasks of every split -> solutions -> the same actions again, alone and side by side
                                                -> what prompts show of the ground truth, what tools answer,
                                                   what is left behind
                                   -> idle answers -> floors
"""

from collections.abc import Mapping
from typing import Any

from turnwright.audit.cost import check_cost
from turnwright.audit.floors import check_floors
from turnwright.audit.hermetic import check_hermetic
from turnwright.audit.judge import EpisodeScorer, Judge
from turnwright.audit.leftovers import check_leftovers
from turnwright.audit.prompt_leaks import check_prompt_leaks
from turnwright.audit.replay import check_isolation, check_replay
from turnwright.audit.report import CheckReport
from turnwright.audit.solutions import check_solutions, check_turns, count_solved, play_solutions, propose_turns
from turnwright.audit.splits import check_splits, read_splits
from turnwright.audit.tool_answers import check_constant, check_random
from turnwright.audit.tool_leaks import check_tool_leaks
from turnwright.audit.tool_schemas import check_names, check_schemas
from turnwright.core.finding import Finding
from turnwright.core.outcome import Failed
from turnwright.core.seeding import derive_key
from turnwright.environments.load import load_environment

REPLAYED_TASKS = 50
"""Tasks played again: what differs from play to play shows in a few."""


async def check(
    environment: str,
    options: Mapping[str, Any] | None = None,
    *,
    scorer: EpisodeScorer | None = None,
    success_threshold: float = 1.0,
    num_tasks: int = 500,
    seed: int = 0,
) -> CheckReport:
    """Audit an environment.

    Args:
        environment: Name, as ``load_environment`` takes it.
        options: Its options.
        scorer: Independent scorer; where given, a solution must satisfy it besides the reward.
        success_threshold: Reward from which an episode counts as solved.
        num_tasks: Most tasks to play, drawn over all splits.
        seed: Seed of the draw and of the episodes.

    Raises:
        EnvironmentLoadError: the name or an option does not resolve.
    """
    prototype, fresh = load_environment(environment, options), load_environment(environment, options)
    judge = Judge(success_threshold=success_threshold, scorer=scorer)
    splits = read_splits(prototype)
    available = [task for tasks in splits.values() for task in tasks]
    tasks = sorted(available, key=lambda task: derive_key(seed, task.split, task.id))[:num_tasks]
    solutions = await play_solutions(prototype, tasks, seed=seed)
    oracle, proposed = count_solved(solutions, judge), propose_turns(solutions, judge)
    floors, floor_findings = await check_floors(prototype, tasks, judge, seed=seed)
    replayed = solutions.episodes[:REPLAYED_TASKS]
    # An environment may know of defects in its own data, as SOP-Bench folders do.
    known: tuple[Finding, ...] = getattr(prototype, "findings", ())
    # Stating the ground truth makes calls with arguments that mean nothing: they say nothing about the tools.
    by_rules = replayed if solutions.kind == "rules" else ()
    played = [episode for episode in by_rules if not isinstance(episode.outcome, Failed)]
    another = load_environment(environment, options)
    findings = (
        *known,
        *check_splits(splits, read_splits(fresh)),
        *check_solutions(solutions, judge),
        *check_turns(prototype, solutions, judge, proposed),
        *await check_random(fresh, another, played, seed=seed),
        *await check_replay(prototype, fresh, replayed, seed=seed),
        *await check_hermetic(prototype, replayed, seed=seed),
        *await check_isolation(prototype, replayed, seed=seed),
        *await check_leftovers(prototype, replayed, seed=seed),
        *floor_findings,
        *check_prompt_leaks(prototype, solutions.episodes, solved=oracle.solved / max(oracle.of, 1)),
        *check_names(prototype, by_rules),
        *await check_schemas(prototype, by_rules, seed=seed),
        *await check_tool_leaks(prototype, played, seed=seed),
        *check_cost(solutions.episodes),
        *await check_constant(prototype, played, seed=seed),
    )
    return CheckReport(
        environment=environment,
        passed=not any(finding.severity == "error" for finding in findings),
        findings=findings,
        oracle=oracle,
        floors=floors,
        proposed=proposed,
    )
