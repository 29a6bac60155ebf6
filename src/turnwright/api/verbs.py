"""The verbs of the command line as functions, with the same names and arguments.

Each is a thin layer over ``launch``, ``evaluation`` and ``report``. A configuration is a run.toml, with overrides such
as ``"algorithm.group_size=4"``; an environment is its name or its class.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnwright.api.naming import environment_name
from turnwright.api.process import run_command
from turnwright.config import resolve, resolve_values
from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError
from turnwright.core.task import Split
from turnwright.environments.base import Environment
from turnwright.evaluation.result import EvaluationResult
from turnwright.rundir.catalog import find_run

if TYPE_CHECKING:
    from turnwright.audit.report import CheckReport
    from turnwright.evaluation.compare import Comparison
    from turnwright.launch.baseline import Baseline
    from turnwright.launch.plan import Plan
    from turnwright.launch.warmstart import WarmStart
    from turnwright.learner.warmstart import SupervisedUpdate
    from turnwright.models.load import Precision
    from turnwright.tracking.picture import Picture

RUNS = Path("runs")


def check(
    environment: str | type[Environment],
    *,
    options: Mapping[str, Any] | None = None,
    scorer: str | None = None,
    success_threshold: float = 1.0,
    tasks: int = 500,
    seed: int = 0,
    allow_network: bool = False,
    production: Path | None = None,
    html: Path | None = None,
    output: Path | None = None,
) -> "CheckReport":
    """Audit an environment: does it replay, can it be solved, and only by solving it? No model is needed.

    Args:
        environment: Name or class.
        options: Its options.
        scorer: Name of an independent scorer; None = the strict one where every task has a gold answer.
        success_threshold: Reward from which an episode counts as solved.
        tasks: Most tasks to play.
        seed: Seed of the draw of tasks and of the episodes.
        allow_network: Let the environment reach the network; what it reaches is then a warning.
        production: File with the tools as production has them, to compare with.
        html: Where to write the report as one HTML page.
        output: Where to write the report as a JSON file.
    """
    from turnwright.audit.page import write_page
    from turnwright.audit.report import write_report
    from turnwright.launch.check import check_environment

    report = check_environment(
        environment_name(environment),
        options=options,
        scorer=scorer,
        success_threshold=success_threshold,
        num_tasks=tasks,
        seed=seed,
        allow_network=allow_network,
        production=production,
    )
    if html is not None:
        write_page(report, html)
    if output is not None:
        write_report(report, output)
    return report


def play(
    environment: str | type[Environment],
    model: str,
    *,
    options: Mapping[str, Any] | None = None,
    override: Sequence[str] = (),
    split: Split | None = None,
    task: str | None = None,
    seed: int = 1,
    greedy: bool = False,
) -> Episode:
    """Play one episode and return it with its score; ``print_episode`` shows it.

    Args:
        environment: Name or class.
        model: Checkpoint folder, hub id, "tiny", or a scripted policy of the environment such as "oracle".
        options: Options of the environment.
        override: Settings such as ``"sampling.max_turns=5"``.
        split: Tasks to take from; None = the first of test, validation and train that has any.
        task: Id of the task; None = the first one.
        seed: Another seed samples another attempt.
        greedy: Always take the likeliest token.
    """
    from turnwright.launch.play import play_episode

    values = {
        "environment": {"name": environment_name(environment), "options": dict(options or {})},
        "model": {"path": model},
        "run": {"seed": seed},
    }
    config = resolve_values(values, source="argument", overrides=override).config
    return play_episode(config, split=split, task=task, greedy=greedy)


def warmstart(
    config: str | Path,
    out: str | Path = "warmstarted",
    *,
    overrides: Sequence[str] = (),
    on_update: "Callable[[SupervisedUpdate], None]" = lambda update: None,
) -> "WarmStart":
    """Learn from demonstrations as [warmstart] says, save the policy in ``out`` and measure its foothold.

    ``on_update`` is told of every optimizer update.
    """
    from turnwright.launch.warmstart import warmstart as run_warmstart

    return run_warmstart(resolve(Path(config), overrides).config, Path(out), on_update=on_update)


def merge(checkpoint: str | Path, out: str | Path, *, dtype: "Precision" = "float32") -> None:
    """Save a checkpoint with an adapter as a whole model in ``out``, its adapter added to the base model's weights."""
    from turnwright.launch.merge import merge_checkpoint

    merge_checkpoint(str(checkpoint), Path(out), dtype=dtype)


def baseline(
    config: str | Path, *, overrides: Sequence[str] = (), tasks: int = 100, split: Split = "train"
) -> "Baseline":
    """Measure the base policy before anything is trained: foothold, audit of the reward, advice on the group size."""
    from turnwright.launch.baseline import run_baseline

    return run_baseline(resolve(Path(config), overrides).config, split=split, num_tasks=tasks)


def train(
    config: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    resume: str | Path | None = None,
    start_from: str | Path | None = None,
    show: bool = True,
) -> Path:
    """Train in this process and return the run directory.

    Args:
        config: A run.toml; None with ``resume`` or ``start_from``: the run's own configuration.
        overrides: Settings that win over the file.
        resume: Run to continue; settings that change nothing about what it learns may differ from its own.
        start_from: "RUN" or "RUN@STEP": a new run begins with the weights of that run's promoted checkpoint, or of
            that step's (``--from`` on the command line).
        show: Show progress on the terminal.

    Raises:
        ConfigError: None of ``config``, ``resume`` and ``start_from`` is given, or both of the latter; a value is
            wrong, or cannot change in a run that exists.
    """
    from turnwright.launch import local
    from turnwright.launch.resumption import find_parent, plan_resumption, resolve_from

    file = None if config is None else Path(config)
    if resume is not None and start_from is not None:
        raise ConfigError("resume= goes on with a run and start_from= starts a new one: give one of them")
    if resume is not None:
        plan = plan_resumption(find_run(str(resume), RUNS), file, overrides)
        return local.resume(plan.run, config=plan.config, show=show)
    if start_from is not None:
        resolved = resolve_from(find_parent(str(start_from), RUNS), file, overrides)
    elif file is None:
        raise ConfigError("train() takes a run.toml with overrides, or a run as resume= or start_from=")
    else:
        resolved = resolve(file, overrides)
    return local.train(resolved, config_text=file.read_text(encoding="utf-8") if file else "", show=show)


def plan(config: str | Path, *, overrides: Sequence[str] = ()) -> "Plan":
    """Return what a training run would do, spending nothing (``turnwright train --dry-run``)."""
    from turnwright.launch.local import build_components
    from turnwright.launch.plan import plan_run

    resolved = resolve(Path(config), overrides).config
    return plan_run(build_components(resolved), resolved)


def evaluate(
    checkpoint: str | Path,
    config: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    run: str | Path | None = None,
    name: str | None = None,
    out: str | Path | None = None,
) -> EvaluationResult:
    """Evaluate a checkpoint on held-out tasks, in a process of its own.

    Args:
        checkpoint: Folder, hub id or "tiny".
        config: A run.toml; None = the configuration of the run.
        overrides: Settings that win over ``config``.
        run: Run that keeps the result; None = the one whose checkpoint it is.
        name: Folder below ``evaluations`` of the run; None = the checkpoint's name.
        out: Folder of the result, in place of run and name.

    Raises:
        ConfigError: The evaluator's process refused its input.
        TurnwrightError: It failed.
    """
    given = {"--config": config, "--run": run, "--name": name, "--out": out}
    arguments = ["eval", str(checkpoint), "--json"]
    arguments += [text for option, value in given.items() if value is not None for text in (option, str(value))]
    arguments += [text for setting in overrides for text in ("--set", setting)]
    return EvaluationResult.from_json(run_command(arguments))


def compare(a: str | Path, b: str | Path) -> "Comparison":
    """Return the paired difference of two evaluations, folders as ``evaluate`` writes them: A = base, B = tuned."""
    from turnwright.evaluation.compare import compare as compare_results
    from turnwright.evaluation.store import read_result

    return compare_results(read_result(Path(a)), read_result(Path(b)))


def report(run: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run, ``report.html`` in its directory unless ``out`` is given, and return its path."""
    from turnwright.report.build import build_report

    return build_report(find_run(str(run), RUNS), None if out is None else Path(out))


def watch(run: str | Path, *, once: bool = False, show: bool = True) -> "Picture":
    """Watch a run until it ends and return the last picture of it.

    Args:
        run: Name or path of the run.
        once: Do not wait: return what it does now.
        show: Show it on the terminal.
    """
    from turnwright.tracking.live import LiveRun
    from turnwright.tracking.watch import View

    live = LiveRun(find_run(str(run), RUNS))
    with View() as view:
        if once:
            picture = live.look()
            if show:
                view.draw_once(picture)
            return picture
        for picture in live.follow():
            if show:
                view.draw(picture)
    return picture
