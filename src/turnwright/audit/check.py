"""Check an environment without a model: does it replay, can it be solved, and only by solving it?

load -> tasks of every split -> solutions -> plays without knowledge, attacks on the grader, rewards
                                          -> the same actions again: alone, side by side, built anew, in other processes
                                          -> what prompts show, what tools answer and break on, what is left behind

All of it runs under a guard that refuses the network, and whatever breaks on the way is one more finding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from turnwright.audit.facts import measure
from turnwright.audit.frames import own_code
from turnwright.audit.guard import guard
from turnwright.audit.hermetic import check_hermetic
from turnwright.audit.judge import EpisodeScorer, Judge
from turnwright.audit.leftovers import look_around
from turnwright.audit.parity import check_parity
from turnwright.audit.patience import patience
from turnwright.audit.quiet import quiet
from turnwright.audit.report import CheckReport, Settings
from turnwright.audit.solutions import count_solved, propose_turns
from turnwright.audit.splits import check_splits, read_splits
from turnwright.audit.stages import run_stages
from turnwright.audit.subject import DefaultScorer, Subject
from turnwright.core.errors import EnvironmentLoadError, TurnwrightError
from turnwright.core.finding import Finding
from turnwright.core.message import ToolSpec
from turnwright.core.seeding import derive_key
from turnwright.environments.base import Environment
from turnwright.environments.load import load_environment
from turnwright.rollout.runner import run_episode

Progress = Callable[[str], None]


async def check(
    environment: str,
    options: Mapping[str, Any] | None = None,
    *,
    scorer: EpisodeScorer | None = None,
    default_scorer: DefaultScorer | None = None,
    success_threshold: float = 1.0,
    num_tasks: int = 500,
    seed: int = 0,
    allow_network: bool = False,
    production: Sequence[ToolSpec] | None = None,
    processes: int = 2,
    progress: Progress | None = None,
) -> CheckReport:
    """Audit an environment.

    Args:
        environment: Name, as ``load_environment`` takes it.
        options: Its options.
        scorer: Independent scorer; where given, a solution must satisfy it besides the reward.
        default_scorer: Makes a scorer of the tasks where none is given; left out where no solution answers in the
            format it reads.
        success_threshold: Reward from which an episode counts as solved.
        num_tasks: Most tasks to play, drawn over all splits.
        seed: Seed of the draw and of the episodes.
        allow_network: Let the environment reach the network; what it reaches is then a warning.
        production: Tools as production has them, to compare with; None = there is nothing to compare with.
        processes: Fresh processes, at most two, in which episodes are played again.
        progress: Told the name of each stage.

    Raises:
        EnvironmentLoadError: the name or an option does not resolve.
    """
    prototype, fresh = _load(environment, options), _load(environment, options)
    own = own_code(type(prototype))
    subject = Subject(
        environment=environment,
        options=options,
        prototype=prototype,
        fresh=fresh,
        judge=Judge(success_threshold=success_threshold, scorer=scorer),
        seed=seed,
        own=own,
        allow_network=allow_network,
        processes=processes,
        default_scorer=default_scorer if scorer is None else None,
        surroundings=look_around(),
        tasks=(),
    )
    boundaries = (run_episode.__code__, check.__code__, read_splits.__code__)
    with quiet(), guard(own, boundaries, allow_network=allow_network) as guarding, patience(run_episode.__code__):
        splits = read_splits(prototype)
        available = [task for tasks in splits.tasks.values() for task in tasks]
        subject.tasks = sorted(available, key=lambda task: derive_key(seed, task.split, task.id))[:num_tasks]
        # An environment may know of defects in its own data, as SOP-Bench folders do.
        known: tuple[Finding, ...] = getattr(prototype, "findings", ())
        findings = [*known, *check_splits(splits, read_splits(fresh)), *check_parity(prototype, production)]
        findings += await run_stages(subject, progress or (lambda name: None))
    uses = (*guarding.uses.values(), *subject.uses)
    findings += check_hermetic(uses, allow_network=allow_network)
    return CheckReport(
        environment=environment,
        passed=not any(finding.severity == "error" for finding in findings),
        findings=tuple(sorted(findings, key=lambda one: ("error", "warning", "info").index(one.severity))),
        oracle=count_solved(subject.solutions, subject.judge),
        floors=subject.floors.shares,
        attacks=subject.attacks.shares,
        proposed=propose_turns(subject.solutions, subject.judge),
        facts=measure(prototype, splits.tasks, subject.solutions.episodes, subject.solutions.seconds),
        settings=Settings(
            options={name: str(value) for name, value in (options or {}).items()},
            seed=seed,
            num_tasks=num_tasks,
            success_threshold=success_threshold,
            scorer=type(subject.judge.scorer).__name__ if subject.judge.scorer else "",
            allow_network=allow_network,
        ),
    )


def _load(environment: str, options: Mapping[str, Any] | None) -> Environment:
    try:
        return load_environment(environment, options)
    except TurnwrightError:
        raise
    except Exception as error:  # whatever a user's constructor raises
        raise EnvironmentLoadError(f"environment {environment!r} cannot be built: {error!r}") from error
