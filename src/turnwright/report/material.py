"""Material: everything the report shows, read from the run directory alone. What is missing is None or empty."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from turnwright.config.resolved import DEFAULT, ResolvedConfig, Setting
from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError
from turnwright.core.finding import Finding
from turnwright.core.outcome import Failed
from turnwright.evaluation.compare import Comparison, compare
from turnwright.evaluation.result import EvaluationResult
from turnwright.evaluation.sop_metrics import SopMeasures
from turnwright.evaluation.statistics import Interval, cluster_bootstrap, share_interval
from turnwright.evaluation.store import GREEDY, SAMPLED, read_episodes, read_result, read_sop_measures
from turnwright.rundir.reader import RunReader
from turnwright.rundir.records import Manifest, Status

CURVE_RESAMPLES = 1_000
"""Resamples behind the band of a curve; numbers in tables come from the evaluations, with their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEpisodes:
    """What the episodes of one step say."""

    step: int
    reward: Interval | None
    success: Interval | None
    """By the independent scorer, where it was run on these episodes."""
    domains: Mapping[str, "StepEpisodes"] = field(default_factory=dict[str, "StepEpisodes"])
    """Of a mixture: what those of each domain say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteEvaluations:
    """The evaluations of one suite: the earliest checkpoint as base, the latest as tuned."""

    suite: str
    base: EvaluationResult | None
    """None when the suite was run on one checkpoint only."""
    tuned: EvaluationResult
    comparison: Comparison | None
    refusal: str
    """Why the two cannot be compared; empty when they can."""
    folder: Path
    """Where the tuned evaluation lies."""
    base_sop: SopMeasures | None = None
    """Of SOP-Bench environments: what the original would have measured."""
    tuned_sop: SopMeasures | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What the report shows."""

    path: Path
    manifest: Manifest
    status: Status | None
    config: ResolvedConfig | None
    metrics: tuple[dict[str, float], ...]
    rollouts: tuple[StepEpisodes, ...]
    validations: tuple[StepEpisodes, ...]
    suites: tuple[SuiteEvaluations, ...]
    findings: tuple[Finding, ...]
    episodes: tuple[Episode, ...]
    """Scored attempts to pick examples from."""
    episodes_from: str
    """In words, which attempts these are."""

    @property
    def changed_settings(self) -> tuple[Setting, ...]:
        """Settings that somebody gave."""
        settings = self.config.settings() if self.config else ()
        return tuple(setting for setting in settings if setting.source != DEFAULT)


def read_material(run_dir: Path) -> Material:
    """Read a run directory.

    Raises:
        RunDirectoryError: it is none, or a file in it is damaged.
    """
    reader = RunReader(run_dir)
    suites = tuple(_suites(run_dir))
    episodes, episodes_from = _examples(reader, suites)
    return Material(
        path=run_dir,
        manifest=reader.manifest(),
        status=reader.status(),
        config=reader.config() if reader.layout.config_resolved.is_file() else None,
        metrics=tuple(reader.metrics()),
        rollouts=tuple(_summarise(step, reader.episodes(step)) for step in reader.episode_steps()),
        validations=tuple(_summarise(step, reader.validation(step)) for step in reader.validation_steps()),
        suites=suites,
        findings=reader.findings(),
        episodes=episodes,
        episodes_from=episodes_from,
    )


def _summarise(step: int, episodes: Iterable[Episode]) -> StepEpisodes:
    every = list(episodes)
    domains = sorted({episode.task.domain for episode in every if episode.task.domain is not None})
    return replace(
        _measure(step, every),
        domains={
            domain: _measure(step, [episode for episode in every if episode.task.domain == domain])
            for domain in domains
        },
    )


def _measure(step: int, episodes: Iterable[Episode]) -> StepEpisodes:
    rewards: dict[str, list[float]] = {}
    successes: dict[str, list[float]] = {}
    for episode in episodes:
        if isinstance(episode.outcome, Failed):
            continue
        rewards.setdefault(episode.key.task_id, []).append(episode.outcome.value)
        if episode.score is not None:
            successes.setdefault(episode.key.task_id, []).append(float(episode.score.success))
    return StepEpisodes(
        step=step,
        reward=cluster_bootstrap(rewards, resamples=CURVE_RESAMPLES) if rewards else None,
        success=share_interval(successes, resamples=CURVE_RESAMPLES) if successes else None,
    )


def _suites(run_dir: Path) -> Iterator[SuiteEvaluations]:
    by_suite: dict[str, list[tuple[EvaluationResult, Path]]] = {}
    for path in sorted((run_dir / "evaluations").glob("*/result.json")):
        result = read_result(path.parent)
        by_suite.setdefault(result.suite, []).append((result, path.parent))
    for suite, found in sorted(by_suite.items()):
        # A checkpoint without a step is the model from which the run started.
        found.sort(key=lambda pair: -1 if pair[0].step is None else pair[0].step)
        tuned, folder = found[-1]
        base, base_folder = found[0] if len(found) > 1 else (None, None)
        comparison, refusal = None, ""
        if base is not None:
            try:
                comparison = compare(base, tuned, seed=tuned.seed)
            except ConfigError as error:
                refusal = str(error)
        yield SuiteEvaluations(
            suite=suite,
            base=base,
            tuned=tuned,
            comparison=comparison,
            refusal=refusal,
            folder=folder,
            base_sop=read_sop_measures(base_folder) if base_folder else None,
            tuned_sop=read_sop_measures(folder),
        )


def _examples(reader: RunReader, suites: tuple[SuiteEvaluations, ...]) -> tuple[tuple[Episode, ...], str]:
    if suites:
        folder = suites[0].folder
        found = tuple(read_episodes(folder, SAMPLED)) + tuple(read_episodes(folder, GREEDY))
        if found:
            return found, f"all attempts of the evaluation of {suites[0].tuned.checkpoint} on suite {suites[0].suite}"
    if steps := reader.validation_steps():
        return tuple(reader.validation(steps[-1])), f"the validation episodes after step {steps[-1]}"
    if steps := reader.episode_steps():
        return tuple(reader.episodes(steps[-1])), f"the training episodes of step {steps[-1]}"
    return (), ""
